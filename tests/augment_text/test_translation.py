"""Back translation: the models' own words, by the sample's key, and no sentence of which anything could be lost."""

import re
import shutil
import sys
import time

import pytest
import torch
import transformers
from huggingface_hub import constants

from augment_text.small_sources import small_wordnet
from augment_text.small_translation import SENTENCES, small_translation, tokenizer_of, translations
from augment_text.test_edits import between
from thalweg import augment
from thalweg.augment._draws import uniform_arrays
from thalweg.augment.text import Safety
from thalweg.augment.text._edits import Draft
from thalweg.augment.text._picks import pick_by_chance
from thalweg.augment.text.sources import _translation
from thalweg.errors import InputError
from thalweg.inspect import preview

FOX = "The quick brown fox jumps over the lazy dog"
TWO = "A quick idea: big dogs jumped over an idle FOX. And the lazy dog quickly had another thought!"
NONE = ("", "")


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    return translations(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="module")
def given(folders):
    there, back = folders
    return {"path": str(there), "back": str(back)}


@pytest.fixture(scope="module")
def model(folders):
    return _translation.opened(str(folders[0]))


def step_by_step(model, text, stream, way, top):
    """Return a translation found without `generate`: a token at a time, each chosen by its random number."""
    ids = model.tokenizer(text, return_tensors="pt")["input_ids"]
    made = [model.model.config.decoder_start_token_id]
    numbers = uniform_arrays(stream, way, 0, 60).tolist()
    while made[-1] != model.tokenizer.eos_token_id and len(made) < 60:
        with torch.inference_mode():
            logits = model.model(input_ids=ids, decoder_input_ids=torch.tensor([made])).logits[0, -1]
        chances, which = logits.softmax(-1).topk(top)
        options = list(zip(which.tolist(), chances.tolist(), strict=True))
        made.append(pick_by_chance(options, numbers[len(made) - 1]))
    return model.tokenizer.decode(made[1:-1])


def test_tokens_are_chosen_as_step_by_step(model):
    streams = [3, 1, 4, 1 << 52, 5]
    made = model.sampled(SENTENCES, NONE, streams, 1, 6, pick_by_chance)
    assert made == [step_by_step(model, *each, 1, 6) for each in zip(SENTENCES, streams, strict=True)]
    assert made != model.sampled(SENTENCES, NONE, streams, 0, 6, pick_by_chance)
    likeliest = model.sampled(SENTENCES, NONE, streams, 1, 1, pick_by_chance)
    assert likeliest == [best[0][0] for best in model.searched(SENTENCES, NONE, 1, 1)]


def test_texts_of_all_lengths_together_are_as_one_by_one(given, monkeypatch):
    monkeypatch.setattr(_translation, "TOKENS", 64)
    policy = augment.back_translation(share=1.0, **given)
    texts = [" ".join([TWO] * n) for n in (1, 3, 2)] + [FOX, ""]
    together = [done.text for done in policy.texts(texts, epoch=3)]
    assert together == [policy.text(text, sample=i, epoch=3) for i, text in enumerate(texts)]
    assert all(new != old for new, old in zip(together[:4], texts[:4], strict=True))


def test_beams_offer_the_likeliest_and_are_remembered(given, model, monkeypatch):
    policy = augment.back_translation(beams=3, **given)
    found = [done.text for done in policy.texts([FOX] * 200)]
    ((there, _),) = model.searched([FOX], NONE, 3, 1)[0]
    second = _translation.opened(given["back"])
    coded = second.tokenizer(there, return_tensors="pt")
    made = second.model.generate(**coded, num_beams=3, num_return_sequences=3, return_dict_in_generate=True,
                                 output_scores=True, max_new_tokens=40)  # fmt: skip
    texts = second.tokenizer.batch_decode(made.sequences, skip_special_tokens=True)
    chances = made.sequences_scores.softmax(-1).tolist()
    assert set(found) <= {*texts, FOX}
    assert found.count(texts[0]) / 200 == pytest.approx(chances[0], abs=0.1)
    monkeypatch.setattr(_translation.Translator, "_generated", None)
    assert [done.text for done in policy.texts([FOX] * 20)] == found[:20]


@pytest.mark.parametrize(
    "kept", [{"protect": ["dogs"]}, {"entities": [[(38, 46, "X")]] * 8}, {"protect": [[(46, 47)]] * 8}]
)
def test_sentences_with_anything_protected_stay(given, kept):
    done = augment.back_translation(share=1.0, **given).texts([TWO] * 8, **kept)
    assert {edit.start for one in done for edit in one.log} == {48}
    assert all(one.text.startswith(TWO[:48]) for one in done)


@pytest.mark.parametrize("name", ["typo", "random_insertion", "random_deletion"])
def test_steps_leave_each_others_sentences_alone(given, name, tmp_path):
    values = {"path": str(small_wordnet(tmp_path / "wordnet"))} if name == "random_insertion" else {}
    other = augment.CATALOGUE[name](share=0.0, at_least=1, **values)
    for policy in (
        other >> augment.back_translation(share=1.0, **given),
        augment.back_translation(at_most=1, **given) >> other,
    ):
        both = 0
        for done in policy.texts([TWO] * 12):
            assert len(done.log) <= 2
            if len(done.log) == 2:
                both += 1
                assert [edit.start >= 47 for edit in done.log] == [False, True]
            before, after = between(done)
            assert before == after
        assert both > 5


def test_long_texts_are_translated_by_sentences(given):
    text = "\n\n".join([TWO] * 20)
    done = augment.back_translation(share=1.0, at_most=1000, **given).edited(text, sample=0)
    assert len(done.log) > 30
    assert done.log[-1].start > 0.9 * len(text)
    assert done.text.count("\n\n") == 19
    assert {edit.before for edit in done.log} == set(TWO.replace("FOX. ", "FOX.|").split("|"))
    before, after = between(done)
    assert before == after


def test_what_could_be_lost_is_not_translated(given, model):
    policy = augment.back_translation(share=1.0, **given)
    kept = "Don't panic: v1.2.3 is quick"
    done = policy.texts([kept] * 30)
    assert all(one.text.count("v1.2.3") == 1 for one in done), "numbers come back, or the sentence stays"
    for text in ("The zebra jumps", "The quick fox 🙂", "日本語。", f"{FOX} \ud83d", " ".join(["The quick"] * 40)):
        assert policy.edited(text, sample=0).log == ()
    texts = [FOX.replace("fox", "zebra"), " ".join(["The quick"] * 40), FOX]
    assert [text is None for text in model.sampled(texts, NONE, [0] * 3, 0, 1, pick_by_chance)] == [True, True, False]


def test_a_translation_without_an_end_is_none(tmp_path):
    """Nor one that the model's own settings would have cut short and closed."""
    folder = small_translation(tmp_path / "model", [(FOX, FOX)], FOX.split(), steps=5)
    made = transformers.AutoModelForSeq2SeqLM.from_pretrained(folder)
    made.final_logits_bias[0, made.config.eos_token_id] = -1e4
    made.save_pretrained(folder)
    settings = transformers.GenerationConfig.from_pretrained(folder)
    settings.update(forced_eos_token_id=1)
    settings.save_pretrained(folder)
    endless = _translation.opened(str(folder))
    assert endless.sampled([FOX], NONE, [0], 0, 1, pick_by_chance) == [None]
    assert endless.searched([FOX], NONE, 2, 2) == [[]]
    for beams in (1, 2):
        assert augment.back_translation(path=str(folder), beams=beams).text(FOX, sample=0) == FOX


def test_models_of_many_languages_are_told_which(tmp_path, model):
    words = [*FOX.split(), "translate", "English", "to", "German:"]
    config = transformers.T5Config(
        vocab_size=50, d_model=16, d_kv=4, d_ff=16, num_layers=1, num_heads=2, decoder_start_token_id=0,
        pad_token_id=0, eos_token_id=1,
    )  # fmt: skip
    folder = small_translation(tmp_path / "t5", [(FOX, FOX)], words, steps=1, config=config)
    t5 = _translation.opened(str(folder))
    ((ids,), first) = t5._coded([FOX], ("English", "German"))
    assert t5.tokenizer.decode(ids, skip_special_tokens=True) == f"translate English to German: {FOX}"
    assert first is None
    tokenizer = tokenizer_of([*FOX.split(), "xx"], 64)
    tokenizer.add_tokens(["en", "fr"])
    tokenizer.src_lang = ""
    many = _translation.Translator(tokenizer, model.model, "many")
    english, french = tokenizer.convert_tokens_to_ids(["en", "fr"])
    assert many._coded([FOX], ("en", "fr"))[1] == french
    assert many._coded([FOX], ("fr", "en"))[1] == english
    assert tokenizer.src_lang == "fr"
    assert many._generated([[5, 6, 1]], 5, french, []).sequences[0, 1] == french
    for languages, said in (
        (("en", "zz"), "does not know the language 'zz'"),
        (NONE, "knows many languages"),
    ):
        with pytest.raises(InputError, match=f"many {said}: name that of the texts"):
            many.sampled([FOX], languages, [0], 0, 1, pick_by_chance)


@pytest.mark.parametrize("beams", [1, 2])
def test_languages_are_those_of_the_way(given, monkeypatch, beams):
    told = []
    monkeypatch.setattr(
        _translation.Translator, "_told", lambda self, pair: told.append((self.path, *pair)) or ("", None)
    )
    augment.back_translation(language="en", through="fr", beams=beams, **given).text(FOX, sample=0)
    assert told == [(given["path"], "en", "fr"), (given["back"], "fr", "en")]


def test_an_unlike_translation_is_tried_again(given):
    def hounds(texts):
        return [[1.0, 0.0] if "hound" in text or text == FOX else [0.0, 1.0] for text in texts]

    policy, safety = augment.back_translation(top=20, **given), Safety(hounds, least=0.9, tries=8)
    done = policy.texts([FOX] * 40, safety=safety)
    assert all("hound" in one.text or one.text == FOX for one in done)
    assert any(one.rejected and one.log for one in done)


def test_which_models_and_licences(folders, tmp_path):
    there, back = tmp_path / "a", tmp_path / "b"
    for old, new in zip(folders, (there, back), strict=True):
        shutil.copytree(old, new)
    (there / "README.md").write_text("---\nlicense: cc-by-4.0\n---\n")
    said = f"MarianMTModel in {back}, its licence is not stated in it"
    policy = augment.back_translation(path=str(there), back=str(back))
    assert policy.sources() == [f"back_translation: MarianMTModel in {there}, licence cc-by-4.0; back by {said}"]
    assert augment.back_translation(path=str(back)).sources() == [f"back_translation: {said}"]


def test_the_name_of_a_model_in_the_store_is_as_good_as_its_folder(folders, tmp_path, monkeypatch):
    kept = tmp_path / "models--small--there"
    shutil.copytree(folders[0], kept / "snapshots" / "abc")
    (kept / "snapshots" / "abc" / "README.md").write_text("---\nlicense: mit\n---\n")
    (kept / "refs").mkdir()
    (kept / "refs" / "main").write_text("abc")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    policy = augment.back_translation(path="small/there", back=str(folders[1]))
    assert policy.sources()[0].startswith("back_translation: MarianMTModel in small/there, licence mit; back by")
    assert policy.text(FOX, sample=0) == augment.back_translation(path=str(folders[0]), back=str(folders[1])).text(
        FOX, sample=0
    )


def test_what_is_missing_gets_a_sentence(tmp_path, given, monkeypatch):
    for values, said in (
        ({}, "back_translation needs the paths of two models"),
        (
            {"path": "/no/such"},
            "/no/such is no model on this machine that translates; nothing is downloaded: there is no such folder",
        ),
        ({**given, "back": "no-such/name"}, "no-such/name is no model on this machine that translates; nothing is"),
    ):
        with pytest.raises(InputError, match=said) as caught:
            augment.back_translation(**values).text(FOX, sample=0)
        assert "\n" not in str(caught.value)
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(InputError, match="is no model on this machine that translates"):
        augment.back_translation(path=str(tmp_path)).text(FOX, sample=0)
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(InputError, match=re.escape("pip install 'thalweg[text]'")):
        _translation._opened.__wrapped__(given["path"])


def test_a_preview_shows_it(given, tmp_path):
    (tmp_path / "texts.txt").write_text(f"{FOX}\n{SENTENCES[3]}\n")
    policy = augment.back_translation(**given) >> augment.ocr()
    done = preview(policy, tmp_path / "texts.txt", tmp_path / "out.html")
    assert "hound" in (tmp_path / "out.html").read_text()
    assert (done.samples, done.medium) == (2, "text")


def pieces(text):
    return [text[one.start : one.end] for one in Draft(text).sentences]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("One two. Three?  Four!", ["One two.", "Three?", "Four!"]),
        ("“One.” (Two…) three", ["“One.”", "(Two…) three"]),
        ("Mr. A. B. Cee met Dr. Dee, e.g. at 3 p.m. So", ["Mr. A. B. Cee met Dr. Dee, e.g. at 3 p.m. So"]),
        ("So did I. He too", ["So did I.", "He too"]),
        ("1. One\n2. Two.\r\n\r\nThree", ["1. One", "2. Two.", "Three"]),
        ("日本。「語」！中", ["日本。", "「語」！", "中"]),
        ("www.a.b/c?d is. v1.2.3 it. \t ...", ["www.a.b/c?d is. v1.2.3 it."]),
        ("नमस्ते। दुनिया", ["नमस्ते।", "दुनिया"]),
        ("🙂!\n\n  ", []),
    ],
)  # fmt: skip
def test_sentences(text, found):
    assert pieces(text) == found


@pytest.mark.parametrize("part", [".", "a. ", 'a.")', "1. ", "Mr. ", ". ", "a.)", "\n", "。"])
def test_sentences_take_a_time_in_proportion(part):
    start = time.process_time()
    pieces("a" + part * (150_000 // len(part)))
    assert time.process_time() - start < 2.0
