"""The lecture's five rows, and that the steps of its last one leave each other's words alone."""

import pytest

from augment_text.small_model import docstrings, small_model
from augment_text.small_sources import PARAPHRASES, small_ppdb, small_vectors, trained_vectors
from thalweg import augment

pytestmark = pytest.mark.slow  # a model is trained until it has learnt a sentence by heart

ORIGINAL = "The quick brown fox jumps over the lazy dog"
LITTLE = ["little quick brown fox jumps over the lazy dog .", "little easy brown fox climbs over the lazy dog ."]


@pytest.fixture(scope="module")
def steps(tmp_path_factory):
    """Return a step for each source, vectors and model trained on docstrings; the model may edit articles alone."""
    folder = tmp_path_factory.mktemp("lecture")
    (folder / "stop.txt").write_text("\n".join(ORIGINAL.lower().replace("the ", "").split()))
    vectors = trained_vectors([*docstrings(), *LITTLE * 20])
    model = small_model(folder / "model", steps=300, width=64, more=LITTLE * 400)
    return {
        "ppdb": augment.ppdb(path=str(small_ppdb(folder / "ppdb", PARAPHRASES[:4])), score=4.0),
        "word2vec": augment.vectors(path=str(small_vectors(folder / "vectors", vectors, "binary")), least=0.95),
        "bert": augment.masked(path=str(model), stop=str(folder / "stop.txt")),
    }


def rows(policy):
    """Return what becomes of the sentence in 300 samples."""
    return {done.text for done in policy.texts([ORIGINAL] * 300)}


def test_synonym(steps):
    assert rows(steps["ppdb"]) == {"The quick brown fox climbs over the lazy dog"}


def test_word_vectors(steps):
    assert "The easy brown fox jumps over the lazy dog" in rows(steps["word2vec"])


def test_contextual(steps):
    assert "Little quick brown fox jumps over the lazy dog" in rows(steps["bert"])


def test_all_three(steps):
    policy = steps["ppdb"] >> steps["word2vec"] >> steps["bert"]
    assert "Little easy brown fox climbs over the lazy dog" in rows(policy)
    for epoch in range(30):
        log = policy.edited(ORIGINAL, epoch=epoch, sample=0).log
        assert sorted(edit.step for edit in log) == [0, 1, 2]
        assert [edit.before for edit in log if edit.step == 0] == ["jumps"]


def test_any_order_composes(steps):
    for policy in (
        steps["bert"] >> steps["word2vec"] >> steps["ppdb"],
        steps["word2vec"] >> steps["bert"] >> steps["ppdb"],
    ):
        assert "Little easy brown fox climbs over the lazy dog" in rows(policy)
