"""Any letter, in any place, put in or put instead, in the casing that is there."""

from collections import Counter
from string import ascii_lowercase

import numpy as np
import pytest

from thalweg import augment
from thalweg.augment.text._letters import strayed

GRID = (np.arange(52) + 0.5) / 52


def test_every_letter_in_every_place_is_as_likely():
    word = "fox"
    found = Counter(strayed(word, u, v, w) for u in (0.2, 0.7) for v in GRID for w in np.arange(0, 1, 1 / 1300))
    instead = {word[:i] + c + word[i + 1 :] for i in range(3) for c in ascii_lowercase} - {word}
    inside = {word[:i] + c + word[i:] for i in range(3) for c in ascii_lowercase}
    assert set(found) == instead | inside
    for some in (instead, inside):
        assert sum(found[one] for one in some) * 2 == found.total()
    assert max(found[one] for one in instead) < 1.2 * min(found[one] for one in instead)


@pytest.mark.parametrize("u", [0.0, 0.9])
def test_casing_marks_and_other_scripts_are_kept(u):
    for v in GRID:
        for w in GRID:
            assert strayed("FOX", u, v, w).isupper()
            assert strayed("fox", u, v, w).islower()
            assert "e\u0301" in strayed("fe\u0301x", u, v, w)
    assert strayed("שלום", u, 0.5, 0.5) is None
    assert strayed("e\u0301", u, 0.5, 0.5) is None


def test_one_letter_a_word():
    text = "The quick brown fox jumps over the lazy dog"
    done = augment.random_letter(share=1.0).edited(text, sample=0)
    assert len(done.log) == 9
    assert {len(edit.after) - len(edit.before) for edit in done.log} == {0, 1}
