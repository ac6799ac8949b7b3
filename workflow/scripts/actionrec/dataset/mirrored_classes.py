"""Classes that a mirror exchanges, such as "swipe left" and "swipe right".

A training that mirrors clips at random teaches the opposite label of such classes.
"""

import re
from collections.abc import Iterable

_SIDES = (("left", "right"), ("leftward", "rightward"), ("leftwards", "rightwards"), ("l", "r"))
_TURNS = (("clockwise", "counterclockwise"), ("clockwise", "anticlockwise"), ("cw", "ccw"))
FLIP_KEY = "dataset.augmentation_config.horizontal_flip_prob"


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


def _words(name: str) -> list[str]:
    """Split a name at case, digits and signs: SwipeLeft, swipe_left and "Swipe left" are equal."""
    plain = re.sub(r"(?i)counter[-_ ]clockwise", "counterclockwise", name)
    return [
        word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+|[^\W\d_]+", plain)
    ]


def _exchange(word: str, one: str, other: str) -> str:
    return other if word == one else one if word == other else word
