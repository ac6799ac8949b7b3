"""Numbers with their nouns."""

import pytest

from actionrec.utils.text import count


@pytest.mark.parametrize(
    ("number", "noun", "text"),
    [
        (1, "label", "1 label"),
        (0, "label", "0 labels"),
        (2, "class", "2 classes"),
        (3, "entry", "3 entries"),
        (3, "day", "3 days"),
        (2, "match", "2 matches"),
    ],
)
def test_a_number_agrees_with_its_noun(number, noun, text):
    assert count(number, noun) == text


def test_a_phrase_brings_its_own_plural():
    assert count(1, "video of the split", "videos of the split") == "1 video of the split"
    assert count(2, "video of the split", "videos of the split") == "2 videos of the split"
