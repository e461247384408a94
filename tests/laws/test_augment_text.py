"""Laws of augmentations of texts: a new one is covered at once."""

import pickle
from itertools import pairwise

import pytest

from augment_text.small_sources import given_sources
from thalweg import augment
from thalweg.technique import Ingredient

TEXTS = [
    "The quick brown fox jumps over the lazy dog",
    "A quick idea: big dogs jumped over an idle FOX. And the lazy dog quickly had another thought!",
    "",
    "🙂",
    "שלום dog עולם jumps quick",
    "Don't  panic: v1.2.3 is\tquick",
    "日本語 quick fox",
]
each = pytest.mark.parametrize("technique", augment.TEXT, ids=lambda technique: technique.name)


@pytest.fixture(scope="session")
def given(tmp_path_factory):
    return given_sources(tmp_path_factory.mktemp("sources"))


@each
def test_a_sample_follows_from_its_key_whatever_the_batch(technique, given):
    policy = augment.keyboard(p=0.5) >> technique(share=0.5, **given(technique))
    samples = [3, 1, 4, 15, 9, 2, 6]
    together = policy.texts(TEXTS, samples, epoch=2, seed=7)
    alone = [policy.text(text, sample=sample, epoch=2, seed=7) for text, sample in zip(TEXTS, samples, strict=True)]
    backwards = policy.texts(TEXTS[::-1], samples[::-1], epoch=2, seed=7)[::-1]
    assert [done.text for done in together] == alone == [done.text for done in backwards]


@each
def test_draws_move_with_sample_epoch_and_seed_and_not_with_later_steps(technique, given):
    policy = technique(share=0.3, **given(technique))
    text = TEXTS[1]
    for name in ("samples", "epoch", "seed"):
        done = policy.texts([text] * 20, **{"samples": [0] * 20, name: range(20)})
        assert len({one.text for one in done}) > 2, name
    longer = policy >> augment.keyboard()
    mine, whole = (one.texts([text] * 5, [0] * 5, epoch=range(5)) for one in (policy, longer))
    assert [[edit for edit in one.log if edit.step == 0] for one in whole] == [list(one.log) for one in mine]


@each
def test_outside_its_edits_all_stays_and_the_log_says_what_it_did(technique, given):
    policy = technique(share=0.5, **given(technique))
    edited = 0
    for i, text in enumerate(TEXTS * 5):
        done = policy.edited(text, sample=i)
        rebuilt, last = [], 0
        for edit in done.log:
            assert text[edit.start : edit.end] == edit.before
            assert (edit.step, edit.name) == (0, technique.name)
            rebuilt += [text[last : edit.start], edit.after]
            last = edit.end
        assert "".join(rebuilt) + text[last:] == done.text
        edited += len(done.log)
    assert edited > 5


@each
def test_it_happens_as_often_as_it_says(technique, given):
    text, known = TEXTS[1], given(technique)
    assert all(technique(p=0.0, **known).text(text, sample=i) == text for i in range(10))
    done = technique(p=0.5, **known).texts([text] * 60)
    assert 15 <= sum(bool(one.log) for one in done) <= 45


@each
def test_no_step_touches_what_another_did(technique, given):
    twice = technique(share=0.25, **given(technique)) >> technique(share=0.25, **given(technique))
    both = 0
    for done in twice.texts([TEXTS[1]] * 20):
        log = done.log
        assert all(one.end <= other.start for one, other in pairwise(log))
        spans = [(edit.start, edit.end) for edit in log]
        assert len(set(spans)) == len(spans)
        both += {edit.step for edit in log} == {0, 1}
    assert both > 2


@each
def test_explain_says_what_was_done(technique, given):
    policy = technique(p=0.5, **given(technique))
    for i in range(10):
        log = policy.edited(TEXTS[1], sample=i).log
        said = policy.explain(i, text=TEXTS[1])
        assert said.startswith(f"{technique.name}: ")
        assert said.count(";") >= len(log) - 1
        assert all(repr(edit.after.strip() or edit.before.strip()) in said for edit in log)
        assert ("left out" in said or "that it could edit" in said) == (not log)


@each
def test_what_is_protected_stays(technique, given):
    policy = technique(share=1.0, at_most=100, **given(technique))
    for i, text in enumerate(TEXTS):
        assert policy.text(text, sample=i, protect=[(0, len(text))]) == text
    start = TEXTS[1].index("dogs")
    done = policy.edited(TEXTS[1], entities=[(start, start + 4, "ANIMAL")], sample=0)
    assert [done.text[a:b] for a, b, _ in done.entities] == ["dogs"]


@each
def test_it_is_an_ingredient(technique, given):
    policy = technique(**given(technique))
    assert pickle.loads(pickle.dumps(policy)) == policy
    (part,) = policy.parts
    assert Ingredient(technique, dict(part.values)) == part
    assert augment.CATALOGUE[technique.name] is technique
    assert technique.medium == "text"


def test_many_texts_are_edited_as_each_alone(given):
    """Random numbers of many texts are drawn together, some hundred at a time; of few, one by one."""
    texts, samples = [TEXTS[i % 2] for i in range(300)], [*range(-150, 149), 1 << 62]
    policy = augment.synonym(**given(augment.synonym)) >> augment.typo(share=0.3) >> augment.random_deletion(p=0.5)
    together = [done.text for done in policy.texts(texts, samples, epoch=1, seed=3)]
    alone = [policy.text(text, sample=sample, epoch=1, seed=3) for text, sample in zip(texts, samples, strict=True)]
    assert together == alone
    assert len(set(together)) > 200
