"""Slips of the finger and of the pen: which words come out of a word, and none of the others."""

import numpy as np
import pytest

from thalweg import augment

SAMPLES = 600


def made(name, word):
    """Return all that becomes of a word in many samples."""
    policy = augment.CATALOGUE[name](share=1.0)
    return {policy.text(word, sample=i) for i in range(SAMPLES)}


@pytest.mark.parametrize(
    ("letter", "near"), [("g", "ftyhvb"), ("q", "wa"), ("p", "ol"), ("z", "asx"), ("m", "njk"), ("G", "FTYHVB")]
)
def test_a_slip_of_the_finger_is_a_key_that_touches(letter, near):
    assert made("keyboard", letter * 3) == {letter * i + other + letter * (2 - i) for i in range(3) for other in near}


def test_letters_that_no_english_key_has_stay():
    assert made("keyboard", "déjà") == {f"{letter}éjà" for letter in "serfxc"} | {f"dé{x}à" for x in "huiknm"}
    assert made("keyboard", "слово") == {"слово"}


@pytest.mark.parametrize("word", ["quick", "Hello", "the", "слово", "e\u0301te\u0301s"])
def test_a_slip_of_the_pen_is_an_exchange_a_letter_left_out_or_doubled_and_never_the_first(word):
    parts = [part for part in "".join(f" {c}" if c != "\u0301" else c for c in word).split(" ") if part]
    expected = set()
    for i in range(1, len(parts)):
        expected |= {"".join(parts[:i] + parts[i + 1 :]), "".join(parts[: i + 1] + parts[i:])}
        if i + 1 < len(parts) and parts[i] != parts[i + 1]:
            expected.add("".join([*parts[:i], parts[i + 1], parts[i], *parts[i + 2 :]]))
    assert made("typo", word) == expected


def test_each_kind_of_slip_is_as_frequent():
    lengths = [len(augment.typo(share=1.0).text("quick", sample=i)) for i in range(SAMPLES)]
    counts = np.bincount(lengths, minlength=7)[4:7] / SAMPLES
    assert np.abs(counts - 1 / 3).max() < 0.07


def test_casing_is_another_and_the_letters_are_the_same():
    assert made("case", "quick") == {"QUICK", "Quick"}
    assert made("case", "Quick") == {"QUICK", "quick"}
    assert made("case", "QUICK") == {"Quick", "quick"}
    assert made("case", "été") == {"ÉTÉ", "Été"}
    assert made("case", "straße") <= {"Straße"}, "capitals have other letters"
    assert made("case", "כלב") == {"כלב"}
