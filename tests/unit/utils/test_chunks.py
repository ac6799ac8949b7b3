"""Names are divided into chunks that stay what they are when names come and go."""

import pytest

from actionrec.utils.chunks import (
    WHOLE,
    Chunk,
    all_chunks,
    chunk_of,
    chunks_of_classes,
    divide,
    number_of_chunks,
    parse_chunk,
)

NAMES = [f"video {number} \udcff" for number in range(4000)]


def test_each_name_is_in_one_chunk_and_the_chunks_are_alike():
    chunks = all_chunks(8)
    held = [[name for name in NAMES if chunk.holds(name)] for chunk in chunks]
    assert divide(NAMES, 8) == held
    assert sorted(name for names in held for name in names) == sorted(NAMES)
    assert all(400 < len(names) < 600 for names in held)


def test_a_new_name_moves_no_other():
    before, after = divide(NAMES[:-1], 8), divide(NAMES, 8)
    assert sum(one != other for one, other in zip(before, after, strict=True)) == 1


def test_twice_as_many_chunks_are_the_halves_of_those_before():
    for number, names in enumerate(divide(NAMES, 4), 1):
        assert {chunk_of(name, 8).number for name in names} == {number, number + 4}


def test_one_chunk_holds_everything():
    assert all(map(WHOLE.holds, NAMES))
    assert divide(NAMES, 1) == [NAMES]


@pytest.mark.parametrize(
    ("things", "chunks"), [(0, 1), (1, 1), (1000, 1), (1001, 2), (2001, 4), (20_000, 32)]
)
def test_the_number_of_chunks_is_a_power_of_two(things, chunks):
    assert number_of_chunks(things, 1000) == chunks


def test_only_large_classes_have_chunks():
    assert chunks_of_classes({"walk": 1000, "run": 1001, "unknown": 0}, 1000) == {"run": 2}


def test_a_chunk_is_read_from_its_name():
    assert str(Chunk(3, 8)) == "3of8"
    assert parse_chunk("3of8") == Chunk(3, 8)
    assert parse_chunk("1of1") == WHOLE


def test_chunks_around_a_chunk_hold_its_names():
    for chunk in all_chunks(8):
        assert [other.count for other in chunk.enclosing] == [1, 2, 4]
        names = [str(number) for number in range(200) if chunk.holds(str(number))]
        assert all(other.holds(name) for other in chunk.enclosing for name in names)
