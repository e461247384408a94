"""Long texts take a time in proportion to their length, and what makes it so chooses what a list would."""

import time

import numpy as np
import pytest

from augment_text.small_sources import small_wordnet
from thalweg import augment
from thalweg.augment.text._others import Others
from thalweg.augment.text._picks import Ring, first_with


@pytest.mark.parametrize(
    ("text", "share"),
    [("中" * 12_000, 0.1), ("中国" * 6_000, 0.5), ("é" * 50_000 + " x@y.org", 0.1), ("quick ax " * 3_000, 0.5),
     ("ax " * 8_000, 0.5)],
    ids=["one letter", "two letters", "one word", "words", "unknown"],
)  # fmt: skip
@pytest.mark.parametrize(
    "name", ["random_swap", "random_deletion", "random_insertion", "keyboard", "typo", "case", "ocr", "random_letter"]
)
def test_the_time_grows_with_the_text_and_not_with_its_square(name, text, share, tmp_path):
    named = {"path": str(small_wordnet(tmp_path / "wordnet"))} if name == "random_insertion" else {}
    policy = augment.CATALOGUE[name](share=share, at_most=10**6, **named)
    policy.text("a few words beforehand", sample=0)
    start = time.process_time()
    policy.text(text, sample=0)
    assert time.process_time() - start < 2.5


def test_the_others_are_those_that_a_list_would_have():
    rng = np.random.default_rng(0)
    for size in (1, 2, 7, 40):
        places, names = list(range(3, 3 + 2 * size, 2)), [str(n) for n in rng.integers(0, 4, size)]
        others, free = Others(places, names), dict(zip(places, names, strict=True))
        for place in rng.permutation(places).tolist():
            for name in "0123x":
                assert list(others.but(name)) == [at for at, own in free.items() if own != name]
            others.take(place)
            del free[place]
        assert not others.but("0")


def test_a_ring_finds_what_a_list_does():
    rng = np.random.default_rng(0)
    for size in (1, 2, 5, 30):
        options = [int(n) for n in rng.integers(0, 6, size)]
        ring = Ring(options)
        for u in rng.random(60):
            assert first_with(ring, u, found_for) == first_with(options, u, found_for)
    asked = []
    ring = Ring(range(1000))
    for u in (0.5, 0.2, 0.9, 0.5):
        assert first_with(ring, u, lambda n: asked.append(n) or ["it"] * (n == 499)) == ["it"]
    assert len(asked) < 1010


def found_for(option):
    return [option] if option > 3 else []
