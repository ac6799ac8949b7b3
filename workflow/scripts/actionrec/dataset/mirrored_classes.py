"""Classes that a mirror exchanges, such as "swipe left" and "swipe right".

A training that mirrors clips at random teaches the opposite label of such classes.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any

_SIDES = (("left", "right"), ("leftward", "rightward"), ("leftwards", "rightwards"), ("l", "r"))
_TURNS = (("clockwise", "counterclockwise"), ("clockwise", "anticlockwise"), ("cw", "ccw"))
_FLIP = "horizontal_flip_prob"
_TAOS_FLIP = 0.5  # where a spec does not say
_FIX = f"Set spec: dataset.augmentation_config.{_FLIP}: 0."


def mirrored_pairs(classes: Iterable[str]) -> list[tuple[str, str]]:
    """Return the pairs of class names of which one says left where the other says right."""
    words = {name: tuple(_words(name)) for name in classes}
    found: list[tuple[str, str]] = []
    for name, own in words.items():
        for pair in (*_SIDES, *_TURNS):
            mirror = tuple(_exchange(word, *pair) for word in own)
            found += [
                (name, other)
                for other, theirs in words.items()
                if name < other and mirror == theirs and mirror != own
            ]
    return sorted(set(found))


def warning(spec: Mapping[str, Any]) -> str | None:
    """Return what to say before a training with a spec, of any toolkit, that mirrors such classes.

    None if its classes have no such pair, or if clips are not mirrored.
    """
    dataset = spec.get("dataset") or spec.get("dataset_config") or {}
    pairs = mirrored_pairs(dataset.get("label_map") or {})
    flips = (dataset.get("augmentation_config") or {}).get(_FLIP, _TAOS_FLIP)
    if not pairs or not flips:
        return None
    names = ", ".join(f"{one} and {other}" for one, other in pairs)
    return (
        f"{names}: a mirror exchanges these classes, and {flips:.0%} of the training clips are "
        f"mirrored, which teaches the opposite label. {_FIX}"
    )


def flips_to_stop(flips: Mapping[str, float]) -> str:
    """Return what to say of experiments whose training mirrors such classes; "" if none does.

    `flips` is how probable it is that an experiment mirrors a training clip.
    """
    flipped = [name for name, probability in flips.items() if probability > 0]
    if not flipped:
        return ""
    return (
        "Classes that are each other's mirror image, and training clips that are mirrored "
        f"({', '.join(flipped)}): a mirrored clip teaches the opposite label. {_FIX}"
    )


def _words(name: str) -> list[str]:
    """Split a name at case, digits and signs: SwipeLeft, swipe_left and "Swipe left" are equal."""
    plain = re.sub(r"(?i)counter[-_ ]clockwise", "counterclockwise", name)
    return [
        word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+|[^\W\d_]+", plain)
    ]


def _exchange(word: str, one: str, other: str) -> str:
    return other if word == one else one if word == other else word
