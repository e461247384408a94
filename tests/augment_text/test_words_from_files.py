"""Synonyms, paraphrases and neighbours: which words are offered, in which form, and what a broken file gets."""

import gzip
import re
import sys
from pathlib import Path

import numpy as np
import pytest

from augment_text.small_sources import PARAPHRASES, VECTORS, small_ppdb, small_vectors, small_wordnet
from thalweg import augment
from thalweg.augment.text._inflection import inflected
from thalweg.augment.text._words import Word
from thalweg.augment.text.sources import _vectors, _wordnet
from thalweg.augment.text.sources._ppdb import paraphrases
from thalweg.augment.text.sources._vectors import neighbours, read
from thalweg.augment.text.sources._wordnet import WordNet, synonyms
from thalweg.errors import InputError

DEBIAN = Path("/usr/share/wordnet")
debian = pytest.mark.skipif(not (DEBIAN / "index.noun").exists(), reason="wordnet-base is not installed")


@pytest.fixture(scope="module")
def wordnet(tmp_path_factory):
    return str(small_wordnet(tmp_path_factory.mktemp("wordnet")))


@pytest.mark.parametrize(
    ("word", "before", "said"),
    [
        ("jumps", "fox", {"leaps", "climbs"}),
        ("jumped", "fox", {"leapt", "climbed"}),
        ("jumping", "fox", {"leaping", "climbing"}),
        ("Jump", "they", {"leap", "climb"}),
        ("jump", "the", {"leap"}),
        ("dogs", "the", {"hounds"}),
        ("bigger", "the", {"larger"}),
        ("big", "a", {"large", "hulking"}),
        ("idea", "an", set()),
        ("idea", "the", {"thought", "notion"}),
        ("quickly", "", {"rapidly"}),
        ("xyzzy", "", set()),
    ],
)
def test_synonyms_have_the_form_of_the_word(wordnet, word, before, said):
    assert set(synonyms(Word(word, before), wordnet, 9)) == said


def test_words_of_one_or_two_letters_are_left_alone(tmp_path):
    synsets = [("noun", ["la", "lanthanum"], {}), ("noun", ["a", "vitamin"], {}), ("noun", ["lad", "boy"], {})]
    folder = str(small_wordnet(tmp_path / "wordnet", synsets, []))
    assert [synonyms(Word(word), folder, 9) for word in ("la", "a", "lad")] == [(), (), ("boy",)]
    assert augment.synonym(path=folder, share=1.0, stop="").text("la lad", sample=0) == "la boy"


def test_antonyms_are_never_synonyms(wordnet):
    """A synset of the small database holds quick and slow, which another makes antonyms."""
    assert set(synonyms(Word("quick"), wordnet, 9)) == {"easy", "speedy"}
    assert "quick" not in synonyms(Word("slow"), wordnet, 9)
    assert _wordnet.antonyms("quick", wordnet) == {"slow", "sluggish"}


def test_a_tagger_decides(wordnet):
    assert synonyms(Word("jumps", "", "NOUN"), wordnet, 9) == ("leaps",)
    assert synonyms(Word("jumps", "", "PROPN"), wordnet, 9) == ()
    assert synonyms(Word("Jumps", "at", "", True), wordnet, 9) == (), "a name"


@debian
def test_debians_wordnet():
    policy = augment.synonym(share=1.0, path=str(DEBIAN))
    text = "The quick brown fox jumps over the lazy dog. They ate BIG apples; an odd mouse was running."
    found = {policy.text(text, epoch=i, sample=0) for i in range(10)}
    assert len(found) > 3
    assert all("BIG" not in new and "LARGE" in new for new in found)
    assert any(word in new for new in found for word in ("leaps", "springs", "bounds"))
    assert "WordNet 3.0 in /usr/share/wordnet, WordNet licence" in policy.sources()[0]


@debian
def test_looking_up_finds_every_word_of_debians_index():
    lexicon = WordNet(DEBIAN)
    for name, part in (("adv", "ADV"), ("verb", "VERB")):
        lines = [line for line in (DEBIAN / f"index.{name}").read_text().splitlines() if line[0] != " "]
        for line in [lines[0], *lines[:: len(lines) // 300], lines[-1]]:
            fields = line.split()
            offsets = tuple(map(int, fields[-int(fields[2]) :]))
            assert lexicon._look_up(fields[0], part) == offsets
            assert any(fields[0] in map(str.lower, lexicon._synset(part, at).words) for at in offsets)
    assert lexicon._look_up("aaaaaaa", "NOUN") == lexicon._look_up("zzzzzzz", "NOUN") == ()


def test_wordnet_that_is_missing_or_broken_gets_a_sentence(tmp_path, monkeypatch):
    with pytest.raises(InputError, match="/no/such has no WordNet"):
        augment.synonym(path="/no/such").text("a word", sample=0)
    monkeypatch.setattr(_wordnet, "_usual", lambda: iter([tmp_path / "none"]))
    with pytest.raises(InputError, match="WordNet is not on this machine: apt install wordnet-base, or"):
        augment.synonym().text("a word", sample=0)
    broken = small_wordnet(tmp_path / "wordnet")
    data = (broken / "data.noun").read_text()
    (broken / "data.noun").write_text(data.replace("n 02 jump", "n zz jump"))
    with pytest.raises(InputError, match=r"data.noun is broken at byte \d+, where its index says"):
        augment.synonym(path=str(broken), stop="").text("the jump", sample=0)
    (broken / "data.verb").write_text("")
    with pytest.raises(InputError, match=r"data\.verb cannot be read"):
        WordNet(broken)


def test_nltks_store_is_found(tmp_path, monkeypatch):
    (tmp_path / "corpora").mkdir()
    folder = small_wordnet(tmp_path / "corpora" / "wordnet")
    monkeypatch.setenv("NLTK_DATA", str(tmp_path))
    assert folder in list(_wordnet._usual())


def test_without_lemminflect_the_extra_is_named(monkeypatch, wordnet):
    from thalweg.augment.text import _inflection

    _inflection._library.cache_clear()
    monkeypatch.setitem(sys.modules, "lemminflect", None)
    with pytest.raises(InputError, match=re.escape("pip install 'thalweg[text]'")):
        inflected.__wrapped__("zxcv", "VBZ")
    _inflection._library.cache_clear()


def test_paraphrases_are_filtered_by_score(tmp_path, wordnet):
    path = str(small_ppdb(tmp_path / "ppdb"))
    assert paraphrases(Word("jumps"), path, 0.0, "") == ("climbs", "leaps", "hops")
    assert paraphrases(Word("jumps"), path, 4.0, "") == ("climbs",), "the same word, and what excludes it, are out"
    assert paraphrases(Word("jumped"), path, 0.0, "") == ("hopped",)
    assert paraphrases(Word("dog"), path, 0.0, "") == ("hound",)
    assert paraphrases(Word("quick"), path, 0.0, "") == ("slow", "prompt")
    assert paraphrases(Word("quick"), path, 0.0, wordnet) == ("prompt",)
    assert paraphrases(Word("jumps", "", "NOUN"), path, 0.0, "") == ()
    done = augment.ppdb(path=path, top=1, score=4.0, share=1.0).text("The Fox JUMPS", sample=0)
    assert done == "The Fox CLIMBS"
    zipped = tmp_path / "ppdb.gz"
    zipped.write_bytes(gzip.compress(Path(path).read_bytes()))
    assert paraphrases(Word("jumps"), str(zipped), 4.0, "") == ("climbs",)
    said = augment.ppdb(path=path).sources()
    pairs = len(PARAPHRASES) - 2
    assert said == [
        f"ppdb: PPDB in {path}, {pairs} pairs of words; its authors give it under Creative Commons Attribution"
    ]


def test_version_1_has_logarithms(tmp_path):
    path = tmp_path / "ppdb1"
    path.write_text("[NN] ||| dog ||| hound ||| p(e|f)=2.0 p(f|e)=4.0 ||| 0-0\n")
    assert paraphrases(Word("dog"), str(path), -3.0, "") == ("hound",)
    assert paraphrases(Word("dog"), str(path), -2.9, "") == ()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[NN] ||| dog ||| hound\n", "line 1 of PATH has 3 fields between |||"),
        ("\n[NN] ||| dog ||| hound ||| PPDB2.0Score=x ||| 0-0\n", "line 2 of PATH has no number PPDB2.0Score"),
        ("[NN] ||| dog ||| hound ||| nothing ||| 0-0\n", "line 1 of PATH has no number PPDB2.0Score"),
    ],
)
def test_a_broken_line_of_ppdb_is_named(tmp_path, text, said):
    path = tmp_path / "ppdb"
    path.write_text(text)
    with pytest.raises(InputError, match=re.escape(said.replace("PATH", str(path)))):
        paraphrases(Word("dog"), str(path), 0.0, "")


@pytest.mark.parametrize("form", ["word2vec", "glove", "binary"])
def test_vectors_are_read_as_they_were_written(tmp_path, form):
    path = small_vectors(tmp_path / "vectors", form=form)
    words, vectors = read(str(path), 1000)
    assert words == list(VECTORS)
    np.testing.assert_array_equal(vectors, np.array(list(VECTORS.values()), np.float32))
    assert read(str(path), 3)[0] == words[:3]


def test_fasttexts_vec_and_what_others_write(tmp_path):
    """fastText ends lines with a space, and its words can hold others; gensim puts no line ends between vectors."""
    fast = tmp_path / "wiki.vec"
    fast.write_text("4 2 \n</s> 0.5 -0.25 \nquick 1 0 \nde\u00a0la 0 1 \nбыстрый 1 1e-3 \n", encoding="utf-8")
    expected = np.array([[0.5, -0.25], [1, 0], [0, 1], [1, 1e-3]], np.float32)
    words, vectors = read(str(fast), 100)
    assert words == ["</s>", "quick", "de\u00a0la", "быстрый"]
    np.testing.assert_array_equal(vectors, expected)
    packed = tmp_path / "vectors.bin.gz"
    rows = [word.encode() + b" " + row.astype("<f4").tobytes() for word, row in zip(words, expected, strict=True)]
    packed.write_bytes(gzip.compress(b"4 2\n" + b"".join(rows)))
    again, same = read(str(packed), 100)
    assert again == words
    np.testing.assert_array_equal(same, expected)
    glove = tmp_path / "glove.840B.300d.txt"
    glove.write_text("the 1 2\n. . . 3 4\nat name@domain.com 5 6\n")
    assert read(str(glove), 100)[0] == ["the", ". . .", "at name@domain.com"]


def test_neighbours_are_the_nearest_and_of_the_words_form(tmp_path, wordnet):
    path = str(small_vectors(tmp_path / "vectors"))
    assert neighbours(Word("quick"), path, 1000, 0.9, "")[:3] == ("slow", "easy", "fast")
    assert neighbours(Word("quick"), path, 1000, 0.9, wordnet)[:2] == ("easy", "fast")
    assert neighbours(Word("jumps"), path, 1000, 0.9, "")[:2] == ("climbs", "leaps"), "no form of the word itself"
    assert neighbours(Word("dogs"), path, 1000, 0.98, "") == ("hounds", "cats")
    assert neighbours(Word("quick"), path, 2, -1.0, "") == ("slow",), "the first two words alone are read"
    assert neighbours(Word("quick", "an"), path, 1000, 0.9, "")[0] == "easy"


@pytest.mark.parametrize("odd", ["don't\x85", "a-\u2028b", "it's\tlate", "x\x1c-y", "a\x0b-b"])
def test_words_with_ends_of_lines_inside_are_no_neighbours(tmp_path, odd):
    """Files of words from the web have such, of letters that were once decoded as others."""
    path = str(small_vectors(tmp_path / "vectors", {odd: (1, 0.15, 0), **VECTORS, "up-to-date": (1, 0.1, 0.01)}))
    assert odd in read(path, 100)[0]
    found = _vectors.opened(path, 100)
    assert {"quick", "up-to-date"} <= found.keys()
    assert not any(odd in (word, *(other for other, _ in near)) for word, near in found.items())
    assert set(neighbours(Word("quick"), path, 100, 0.9, "")) == {"slow", "easy", "fast"}


def test_neighbours_against_all_cosines(tmp_path):
    words = {
        f"w{chr(97 + i // 26)}{chr(97 + i % 26)}": tuple(np.random.default_rng(i).normal(size=8)) for i in range(60)
    }
    path = small_vectors(tmp_path / "vectors", words)
    found = _vectors.opened(str(path), 1000)
    matrix = np.array(list(words.values()))
    matrix /= np.linalg.norm(matrix, axis=1, keepdims=True)
    names = list(words)
    for i, name in enumerate(names):
        cosines = matrix @ matrix[i]
        cosines[i] = -2
        best = np.argsort(-cosines)[: _vectors.KEPT]
        assert [word for word, _ in found[name]] == [names[j] for j in best]
        np.testing.assert_allclose([cosine for _, cosine in found[name]], cosines[best], atol=1e-4)


def test_neighbours_are_computed_once_and_kept(tmp_path, monkeypatch):
    monkeypatch.setenv("THALWEG_CACHE", str(tmp_path / "cache"))
    path = str(small_vectors(tmp_path / "vectors"))
    first = _vectors.opened(path, 500)
    _vectors._opened.cache_clear()
    monkeypatch.setattr(_vectors, "read", lambda *_: pytest.fail("the file is read again"))
    assert _vectors.opened(path, 500) == first
    with pytest.raises(pytest.fail.Exception):
        _vectors.opened(path, 501)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"2 3\na 1 2 3\nb 1 2\n", "line 3 of PATH has 2 numbers, not 3"),
        (b"2 3\na 1 2 3\nb 1 2 x\n", "line 3 of PATH has something that is no number after its word, 'b'"),
        (b"3 2\na 1 2\nb 1 2\n", "PATH ends after 2 words; its first line says 3"),
        (b"a 1 2 3\nb 1 2 3 4\n", "line 2 of PATH has 4 numbers, not 3"),
        (b"a 1 2\nb 1 nan\n", "line 2 of PATH, 'b', has numbers that are not finite"),
        (b"a 1 2\n\xff\xfe 1 2\n", "line 2 of PATH is no UTF-8"),
        (b"", "PATH has no word vectors"),
        (b"2 2\na \x00\x00\x80?\x00\x00\x80?\nb \x00\x00", "PATH ends in the vector of its word 2; 2 were to come"),
        (b"\xba\x16\x4f\x2f\x00\x00", "PATH is fastText's own .bin; give the .vec beside it"),
    ],
)
def test_a_broken_line_of_vectors_is_named(tmp_path, content, said):
    path = tmp_path / "vectors"
    path.write_bytes(content)
    with pytest.raises(InputError, match=re.escape(said.replace("PATH", str(path)))):
        read(str(path), 100)


@pytest.mark.parametrize(
    ("policy", "said"),
    [
        (augment.ppdb, "ppdb needs the path of a file of the Paraphrase Database, such as"),
        (augment.vectors, "vectors needs the path of a file of word vectors, such as"),
        (lambda: augment.ppdb("/no/such"), "PPDB's file /no/such cannot be read"),
        (lambda: augment.vectors("/no/such"), "word vectors cannot be read from /no/such"),
    ],
)
def test_what_is_missing_is_said_in_a_sentence(policy, said):
    with pytest.raises(InputError, match=said):
        policy().text("a quick fox", sample=0)


LEXICON = """<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE LexicalResource SYSTEM "http://globalwordnet.github.io/schemas/WN-LMF-1.0.dtd">
<LexicalResource xmlns:dc="http://purl.org/dc/elements/1.1/">
<Lexicon id="tiny" label="Tiny" language="en" email="a@b.c" license="CC0" version="1">
<LexicalEntry id="w1"><Lemma writtenForm="quick" partOfSpeech="a"/><Sense id="s1" synset="tiny-1-a">
<SenseRelation relType="antonym" target="s3"/></Sense><Sense id="s5" synset="tiny-3-a"/></LexicalEntry>
<LexicalEntry id="w2"><Lemma writtenForm="speedy" partOfSpeech="a"/><Sense id="s2" synset="tiny-1-a"/></LexicalEntry>
<LexicalEntry id="w3"><Lemma writtenForm="slow" partOfSpeech="a"/><Sense id="s3" synset="tiny-2-a"/>
<Sense id="s4" synset="tiny-3-a"/></LexicalEntry>
<Synset id="tiny-1-a" ili="" partOfSpeech="a"/><Synset id="tiny-2-a" ili="" partOfSpeech="a"/>
<Synset id="tiny-3-a" ili="" partOfSpeech="a"/>
</Lexicon></LexicalResource>
"""


def test_wns_store(tmp_path, monkeypatch):
    wn = pytest.importorskip("wn", reason="wn is not installed")
    monkeypatch.setattr(wn.config, "data_directory", tmp_path / "store")
    (tmp_path / "tiny.xml").write_text(LEXICON)
    wn.add(tmp_path / "tiny.xml", progress_handler=None)
    assert synonyms(Word("quick"), "wn:tiny:1", 9) == ("speedy",), "slow is in one of its synsets, and an antonym"
    assert _wordnet.antonyms("quick", "wn:tiny:1") == {"slow"}
    assert "Tiny 1 in " in augment.synonym(path="wn:tiny:1").sources()[0]
    with pytest.raises(InputError, match="wn's store has no lexicon none"):
        augment.synonym(path="wn:none").text("quick", sample=0)


def test_without_wn_it_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "wn", None)
    with pytest.raises(InputError, match="the lexicon oewn:2024 is in the store of the package wn: pip install wn"):
        augment.synonym(path="wn:oewn:2024").text("quick", sample=0)


def test_spacys_parts_of_speech_decide(tmp_path, wordnet):
    spacy = pytest.importorskip("spacy", reason="spaCy is not installed")
    pipeline = spacy.blank("en")
    rules = [{"patterns": [[{"ORTH": "jumps"}]], "attrs": {"POS": "NOUN"}}]
    rules.append({"patterns": [[{"ORTH": "quick"}]], "attrs": {"POS": "PROPN"}})
    pipeline.add_pipe("attribute_ruler").add_patterns(rules)
    pipeline.to_disk(tmp_path / "tagger")
    policy = augment.synonym(path=wordnet, senses=9, share=1.0, tagger=str(tmp_path / "tagger"))
    assert policy.text("It jumps  quick", sample=0) == "It leaps  quick"


def test_without_spacy_it_is_named(monkeypatch, wordnet):
    monkeypatch.setitem(sys.modules, "spacy", None)
    with pytest.raises(InputError, match="parts of speech need spaCy: pip install spacy, and a pipeline such as"):
        augment.synonym(path=wordnet, tagger="en_core_web_sm").text("quick", sample=0)
