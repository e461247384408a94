"""Texts too unlike their originals are tried again, then left, and counted."""

import re

import numpy as np
import pytest

from thalweg import augment
from thalweg.augment.text import Safety
from thalweg.errors import InputError

TEXT = "One two three four five six seven eight nine ten"


def bag(texts):
    """Encode texts by how often each of these words is in them."""
    return np.array([[text.lower().split().count(word) for word in TEXT.lower().split()] for text in texts])


def test_what_is_alike_is_kept_and_what_is_not_is_left_as_it_was():
    policy = augment.random_deletion(at_least=3, share=0.3)
    kept = Safety(bag, least=0.5)
    done = policy.texts([TEXT] * 10, safety=kept)
    assert [one.text for one in done] == [one.text for one in policy.texts([TEXT] * 10)]
    assert (kept.seen, kept.rejected, kept.rate) == (10, 0, 0.0)
    strict = Safety(bag, least=0.99, tries=3)
    done = policy.texts([TEXT] * 10, safety=strict)
    assert all(one.text == TEXT and not one.log and one.rejected == 3 for one in done)
    assert str(strict) == "30 of 30 tries rejected (100%)"


def test_a_rejected_text_gets_other_draws():
    """Only a text that keeps its first word passes."""

    def first(texts):
        return [[1.0, float(text.startswith("One"))] for text in texts]

    policy, safety = augment.random_deletion(share=0.4), Safety(first, least=0.9, tries=20)
    done = policy.texts([TEXT] * 40, safety=safety)
    assert all(one.text.startswith("One") and one.log for one in done)
    assert safety.seen == 40 + safety.rejected
    assert 0.2 < safety.rate < 0.6
    assert sum(one.rejected for one in done) == safety.rejected
    again = Safety(first, least=0.9, tries=20)
    alone = [policy.edited(TEXT, sample=i, safety=again).text for i in range(40)]
    assert alone == [one.text for one in done], "draws do not depend on the batch"


def test_entities_of_a_rejected_text_stay():
    done = augment.random_deletion(at_least=3).edited(
        TEXT, entities=[(4, 7, "N")], safety=Safety(bag, least=1.0), sample=0
    )
    assert done.entities == ((4, 7, "N"),)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Safety(bag, least=2), "least is a cosine, from -1 to 1, not 2"),
        (lambda: Safety(bag, tries=0), "tries is a whole number from 1 up, not 0"),
        (
            lambda: augment.keyboard().edited(TEXT, safety=Safety(lambda texts: [1, 2]), sample=0),
            "the encoder gave shape (2,)",
        ),
    ],
)
def test_bad_input_gets_a_sentence(make, said):
    with pytest.raises(InputError, match=re.escape(said)):
        make()
