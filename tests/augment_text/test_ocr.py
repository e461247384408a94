"""Misreadings: those that were counted, as often as they were, in their places, and nothing else in the word."""

from collections import Counter

import numpy as np
import pytest

from thalweg import augment
from thalweg.augment.text._misread import READINGS, misread

RATES = {
    source: dict(zip(known.read, np.diff([0.0, *known.sums[:-1], known.total]).tolist(), strict=True))
    for source, known in READINGS.items()
}


def expected(word):
    """Return what a word can be read as, and how likely each is, found without `misread`."""
    found = Counter()
    for source, rates in RATES.items():
        for start in range(len(word)):
            if word.startswith(source, start):
                for read, rate in rates.items():
                    found[word[:start] + read + word[start + len(source) :]] += rate
    return {read: rate / sum(found.values()) for read, rate in found.items()}


@pytest.mark.parametrize("word", ["modern", "Illinois", "SOLAR", "click", "fjord", "m"])
def test_words_are_misread_as_often_as_was_counted(word):
    grid = (np.arange(200) + 0.5) / 200
    found = Counter(misread(word, u, v) for u in grid for v in grid)
    chances = expected(word)
    assert set(found) <= set(chances)
    for read, chance in chances.items():
        assert found[read] / 40_000 == pytest.approx(chance, abs=0.006), read


@pytest.mark.parametrize(
    ("stands", "read"),
    [
        ("O", "0"), ("o", "0"), ("O", "Q"), ("O", "o"), ("Q", "O"), ("l", "1"), ("l", "I"), ("I", "1"), ("I", "l"),
        ("i", "l"), ("S", "5"), ("s", "5"), ("B", "8"), ("Z", "2"), ("g", "9"), ("m", "rn"), ("rn", "m"),
        ("d", "cl"), ("cl", "d"), ("w", "vv"), ("vv", "w"), ("li", "h"), ("e", "c"), ("u", "n"),
    ],
)  # fmt: skip
def test_what_looks_alike_is_confused(stands, read):
    assert RATES[stands][read] >= 1


def test_a_reading_is_another_than_what_stands_there():
    for source, rates in RATES.items():
        assert 1 <= len(source) <= 2
        assert source.isalpha()
        for read, rate in rates.items():
            assert read.isascii()
            assert read.isprintable()
            assert " " not in read
            assert read not in ("", source)
            assert 0 < rate < 1000


def test_casing_is_not_carried_over():
    reads = {augment.ocr().text("OLD", sample=i) for i in range(200)}
    assert {"oLD", "0LD", "OlD"} <= reads


def test_letters_with_marks_and_other_scripts_are_left():
    assert misread("e\u0301", 0.5, 0.5) is None
    assert {misread("e\u0301l", u, 0.0) for u in (0.0, 0.5, 0.99)} == {"e\u0301i"}
    text = "日本語 שלום naïve"
    done = augment.ocr(share=1.0).edited(text, sample=0)
    assert [edit.before for edit in done.log] == ["naïve"]
    assert "ï" in done.log[0].after


def test_numbers_and_addresses_stay():
    text = "Room 101, v1.0.1, see http://lol.io or @bill about loll"
    for i in range(20):
        done = augment.ocr(share=1.0, at_most=99).edited(text, sample=i)
        assert {edit.before for edit in done.log} <= {"Room", "see", "or", "about", "loll"}
        assert len(done.log) == 5
