"""Numbers as a reader expects them in messages and on pages, and the lines of a text."""

_ES = ("s", "x", "z", "ch", "sh")  # after these sounds English needs a vowel before the s


def count(number: int, noun: str, plural: str | None = None) -> str:
    """Return a number with its noun: `1 label`, `2 labels`, `0 classes`, `3 entries`.

    `plural` is for nouns that do not follow the rule, and for phrases: `video of the split`.
    """
    return f"{number} {noun if number == 1 else plural or _plural(noun)}"


def lines_of(text: str) -> list[str]:
    """Return the lines; `splitlines` ends one at characters, too, that a name may hold."""
    return text.replace("\r\n", "\n").replace("\r", "\n").split("\n")


def _plural(noun: str) -> str:
    if noun.endswith(_ES):
        return f"{noun}es"
    if noun.endswith("y") and noun[-2:-1] not in "aeiou":
        return f"{noun[:-1]}ies"
    return f"{noun}s"
