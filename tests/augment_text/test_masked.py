"""Masked language models: all texts at once as one at a time, long ones in windows, and no word that is no word."""

import json
import shutil
import sys

import pytest
import torch

from augment_text.small_model import small_model
from augment_text.test_edits import between
from thalweg import augment
from thalweg.augment.text._edits import Draft
from thalweg.augment.text.sources import _masked
from thalweg.errors import InputError

FOX = "The quick brown fox jumps over the lazy dog"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return small_model(tmp_path_factory.mktemp("model"), length=40)


@pytest.fixture(scope="module")
def model(folder):
    return _masked.opened(str(folder))


def test_guesses_are_the_models_own_over_whole_words(model):
    """Against the model asked by hand, one mask in one text without padding."""
    draft, i = Draft(FOX), 3
    ((found,),) = model.guesses([(draft, [i])], top=5, gaps=False)
    coded = model.tokenizer(FOX.replace("fox", "[MASK]"), return_tensors="pt")
    with torch.inference_mode():
        logits = model.model(**coded).logits[0]
    row = logits[coded["input_ids"][0].tolist().index(model.tokenizer.mask_token_id)]
    chances = row[model.ids].softmax(-1)
    best = [(model.words[k], chances[k].item()) for k in chances.argsort(descending=True)[:8]]
    best = [(word, chance) for word, chance in best if word != "fox"][:5]
    assert [word for word, _ in found] == [word for word, _ in best]
    assert [chance for _, chance in found] == pytest.approx([chance for _, chance in best], abs=1e-5)


def test_texts_of_all_lengths_together_are_as_one_by_one(model):
    asked = [(Draft(" ".join([FOX] * n)), list(range(0, 9 * n, 4))) for n in (1, 7, 2, 3)] + [(Draft(""), [])]
    together = model.guesses(asked, top=5, gaps=False)
    for one, (draft, chosen) in zip(together, asked, strict=True):
        (alone,) = model.guesses([(draft, chosen)], top=5, gaps=False) if chosen else ([],)
        assert [[word for word, _ in guesses] for guesses in one] == [
            [word for word, _ in guesses] for guesses in alone
        ]
        assert len(one) == len(chosen)
        assert all(len(guesses) == 5 for guesses in one)


def test_a_text_longer_than_the_model_is_seen_in_windows(model):
    draft = Draft(" ".join([FOX] * 30))
    chosen = list(range(0, 270, 3))
    seen = list(model._windows([(draft, chosen)], gaps=False))
    assert sorted(k for window in seen for k in window.which) == list(range(len(chosen)))
    assert all(len(window.ids) <= 40 for window in seen)
    assert len(seen) < 20
    for window in seen:
        assert all(window.ids[place] == model.tokenizer.mask_token_id for place in window.places)
        inner = [place for place in window.places if 5 < place < 35]
        assert len(inner) >= len(window.places) - 2 or window.which[0] == 0 or window.which[-1] == len(chosen) - 1


def test_long_texts_are_edited_throughout(folder):
    text = " ".join([FOX] * 40)
    done = augment.masked(path=str(folder), share=0.2, at_most=1000).edited(text, sample=0)
    assert len(done.log) == 72
    assert done.log[-1].start > 0.9 * len(text)
    before, after = between(done)
    assert before == after


def test_casing_stays_and_words_are_whole(folder, model):
    assert all(word.isalpha() for word in model.words)
    assert not any(word.startswith("##") for word in model.words)
    policy = augment.masked(path=str(folder), share=1.0)
    done = policy.edited("The QUICK fox, Over the v1.2 dog 🙂", sample=0)
    now = {edit.before: edit.after for edit in done.log}
    assert now["QUICK"].isupper()
    assert now["The"][0].isupper()
    assert now["fox"].islower()
    assert all(one.lower() != other.lower() for one, other in now.items())


def test_insertion_puts_words_between(folder):
    policy = augment.masked_insertion(path=str(folder), share=0.5)
    for i in range(10):
        done = policy.edited(FOX, sample=i)
        assert len(done.log) == 4
        assert [word for word in done.text.split() if word in FOX.split()][:1] == ["The"]
        rest = done.text
        for edit in done.log:
            assert edit.start == edit.end
            assert edit.after.endswith(" ")
            rest = rest.replace(edit.after, "", 1) if edit.after not in FOX else rest
        assert len(done.text) == len(FOX) + sum(len(edit.after) for edit in done.log)


def test_it_sees_what_earlier_steps_did(folder, monkeypatch):
    seen = []
    ours = _masked.Masked._with_masks
    monkeypatch.setattr(
        _masked.Masked,
        "_with_masks",
        lambda self, draft, chosen, gaps: seen.append(ours(self, draft, chosen, gaps=gaps)) or seen[-1],
    )
    policy = augment.case(share=1.0, at_most=3) >> augment.masked(path=str(folder))
    done = policy.edited(FOX, sample=0)
    ((text, (at,)),) = seen
    assert text[at:].startswith("[MASK]")
    for edit in done.log:
        assert (edit.after in text.split()) == (edit.step == 0)


def test_masks_in_the_text_itself_are_not_taken_for_ours(folder):
    done = augment.masked(path=str(folder), share=0.0).edited(f"[MASK] {FOX} [MASK] [SEP]", protect="MASK", sample=0)
    assert len(done.log) == 1
    assert done.text.count("[MASK]") == 2


@pytest.mark.parametrize("text", ["", "🙂🙂", "v1.2.3", "שלום עולם", "e\u0301te\u0301 日本語 हिन्दी",
                                  "half \ud83d of a pair \udc00"])  # fmt: skip
@pytest.mark.parametrize("technique", [augment.masked, augment.masked_insertion])
def test_odd_texts(folder, technique, text):
    done = technique(path=str(folder), share=1.0).edited(text, sample=0)
    before, after = between(done)
    assert before == after
    assert bool(done.log) == ("half" in text or "日" in text or "ש" in text)


def test_what_is_no_model_gets_a_sentence(tmp_path, folder, monkeypatch):
    for path, said in (
        ("", "masked language models need the path"),
        ("/no/such", "/no/such is no masked language model on this machine; nothing is downloaded: there is no such"),
        ("no-such/name", "no-such/name is no masked language model on this machine; nothing is downloaded: there is"),
    ):
        with pytest.raises(InputError, match=said):
            augment.masked(path=path).text("a word", sample=0)
    other = tmp_path / "other"
    shutil.copytree(folder, other)
    (other / "config.json").write_text(json.dumps({"model_type": "no_such_type"}))
    with pytest.raises(InputError, match="other is no masked language model on this machine; nothing is downloaded"):
        augment.masked(path=str(other)).text("a word", sample=0)
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(InputError, match="pip install 'thalweg"):
        _masked._opened.__wrapped__(str(folder))


def test_its_licence_is_read_from_its_card(tmp_path, folder):
    other = tmp_path / "carded"
    shutil.copytree(folder, other)
    (other / "README.md").write_text("---\nlanguage: en\nlicense: apache-2.0\n---\n")
    assert augment.masked(path=str(other)).sources() == [f"masked: BertForMaskedLM in {other}, licence apache-2.0"]
