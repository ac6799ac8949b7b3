"""Divide many named things into chunks, one job for each, so that a new one moves few others."""

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TypeVar

Thing = TypeVar("Thing")


@dataclass(frozen=True)
class Chunk:
    """Chunk `number`, from 1, of `count` chunks. The only one of 1 holds every name."""

    number: int = 1
    count: int = 1

    def __str__(self) -> str:
        return f"{self.number}of{self.count}"

    def holds(self, name: str) -> bool:
        """Tell whether a name belongs to this chunk."""
        return self.count == 1 or chunk_of(name, self.count) == self

    @property
    def enclosing(self) -> "list[Chunk]":
        """Return the chunks, from the whole on, that hold all names of this one and others.

        Of chunks of two numbers that are powers of two, any two share no name or one holds the
        other.
        """
        # The number is a remainder by the count, and so known by each divisor of that.
        counts = [count for count in range(1, self.count) if self.count % count == 0]
        return [Chunk((self.number - 1) % count + 1, count) for count in counts]


WHOLE = Chunk()


def parse_chunk(text: str) -> Chunk:
    """Return the chunk that a text such as 3of8 names."""
    number, _, count = text.partition("of")
    return Chunk(int(number), int(count))


def chunk_of(name: str, count: int) -> Chunk:
    """Return the chunk that a name belongs to, which no other name has a say in."""
    digest = hashlib.sha256(name.encode(errors="surrogateescape")).digest()
    return Chunk(int.from_bytes(digest[:4], "big") % count + 1, count)


def all_chunks(count: int) -> list[Chunk]:
    """Return `count` chunks in their order."""
    return [Chunk(number, count) for number in range(1, count + 1)]


def divide(
    things: Iterable[Thing], count: int, name: Callable[[Thing], str] = str
) -> list[list[Thing]]:
    """Return the things of each of `count` chunks, which their names decide."""
    if count == 1:
        return [list(things)]
    chunks: list[list[Thing]] = [[] for _ in range(count)]
    for thing in things:
        chunks[chunk_of(name(thing), count).number - 1].append(thing)
    return chunks


def number_of_chunks(things: int, size: int) -> int:
    """Return the number of chunks of about `size` things: a power of two.

    So a new thing seldom changes it, and else changes the chunk that it belongs to, and no other.
    """
    needed = max(1, -(-things // size))
    return 1 << (needed - 1).bit_length()


def chunks_of_classes(things: Mapping[str, int], size: int) -> dict[str, int]:
    """Return the number of chunks of about `size` things, for each class that needs several."""
    counts = {cls: number_of_chunks(number, size) for cls, number in things.items()}
    return {cls: count for cls, count in counts.items() if count > 1}
