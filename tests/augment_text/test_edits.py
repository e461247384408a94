"""Edits are spans of the original: all else stays byte for byte, and what is protected is found again."""

import re
import unicodedata
from itertools import pairwise

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from thalweg import augment
from thalweg.augment.text import Edit, Edited
from thalweg.augment.text._edits import Draft
from thalweg.augment.text._words import (
    bounds,
    bounds_of_each,
    carried,
    letters,
    pattern,
    starts_sentence,
    words,
)  # fmt: skip
from thalweg.errors import InputError

FOX = "The quick brown fox jumps over the lazy dog"
ODD = (
    "Don't  panic: v1.2.3\t(see https://a.b/c?d or me@x.org)\r\n"
    " “naïve” e\u0301te\u0301 🙂 #tag @you state-of-the-art 7up_x"
)


def between(done):
    """Return what no edit touches, of the original and of the text."""
    before, after, last, now = [], [], 0, 0
    for edit, (start, end) in zip(done.log, done.spans(), strict=True):
        before.append(done.original[last : edit.start])
        after.append(done.text[now:start])
        assert done.original[edit.start : edit.end] == edit.before
        assert done.text[start:end] == edit.after
        last, now = edit.end, end
    return [*before, done.original[last:]], [*after, done.text[now:]]


ANY = augment.keyboard() >> augment.typo() >> augment.case() >> augment.random_swap() >> augment.random_deletion()


@settings(max_examples=300, deadline=None)
@given(
    st.text() | st.text("ab cD.,'’-\n\té\u0301אبक्日ส🙂1_@#", max_size=60),
    st.integers(0, 5),
)
def test_whatever_the_string_all_outside_the_edits_is_as_it_was(text, epoch):
    done = ANY.edited(text, epoch=epoch, sample=0)
    before, after = between(done)
    assert before == after
    assert all(a.end <= b.start for a, b in pairwise(done.log)), "edits do not overlap"


def test_words_are_found_and_the_rest_is_left():
    found = [ODD[a:b] for a, b in words(ODD)]
    assert found == ["Don't", "panic", "see", "or", "naïve", "e\u0301te\u0301", "state-of-the-art"]
    assert [FOX[a:b] for a, b in words(FOX)] == FOX.split()


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", []),
        ("🙂👩‍👩‍👧 ❤️", []),
        ("שלום עולם", ["שלום", "עולם"]),
        ("السلامُ عليكم", ["السلامُ", "عليكم"]),
        ("हिन्दी भाषा", ["हिन्दी", "भाषा"]),
        ("日本語", ["日", "本", "語"]),
        ("ที่นี่", ["ที่", "นี่"]),
        ("abc日本", ["abc", "日", "本"]),
        ("abc1 2de f_g", []),
        ("don’t—never", ["don’t", "never"]),
    ],
)
def test_scripts(text, found):
    assert [text[a:b] for a, b in words(text)] == found


@settings(max_examples=500)
@given(st.text("abZ '-_1.\n,xwww", max_size=40))
def test_the_quick_expression_finds_what_the_full_one_does(text):
    assert words(text) == as_one_expression(text)


@settings(max_examples=300)
@given(st.lists(st.text("abZ '-_1.\n\r,xé@", max_size=20), max_size=8))
@example(["a-b", "-a", "b'", "", "a--b c'", "'a", "", "-"])
def test_words_of_many_texts_are_those_of_each(texts):
    assert bounds_of_each(texts) == [bounds(text) for text in texts]


def as_one_expression(text):
    """Return where words are, by an expression that looks for mail addresses too, in a time that can be quadratic."""
    whole = pattern().pattern.replace("|[@#$]", r"|[\w.+-]+@[\w-]+\.[\w.-]+|[@#$]", 1)
    return [m.span() for m in re.finditer(whole, text) if m.lastgroup not in (None, "web")]


@settings(max_examples=500)
@given(st.text("ab@.#-+_1 /:whtp日\u0301", max_size=30))
@example("#foo-bar@x.com a@b@c.d e@f.g@h.i http://u@v.w e\u0301中foo@x.c www.x@y.z")
def test_addresses_are_found_as_by_one_expression(text):
    assert words(text) == as_one_expression(text)


def test_letters_keep_what_combines_with_them():
    assert letters("ह\u093fन\u094d") == ["ह\u093f", "न\u094d"]
    text = "cafe\u0301 e\u0301te\u0301 fle\u0301chir re\u0301pe\u0301ter"
    for epoch in range(30):
        new = augment.typo(share=1.0).text(text, epoch=epoch, sample=0)
        assert all(a == "e" for a, b in pairwise(new) if b == "\u0301")
        assert unicodedata.normalize("NFC", new) != new


@pytest.mark.parametrize(
    ("new", "like", "said"),
    [
        ("climbs", "jumps", "climbs"),
        ("climbs", "Jumps", "Climbs"),
        ("climbs", "JUMPS", "CLIMBS"),
        ("one", "A", "One"),
        ("London", "city", "London"),
        ("\ufb01nd", "Look", "Find"),
        ("\ufb01nd", "LOOK", "FIND"),
        ("österreich", "Wien", "Österreich"),
        ("כלב", "Dog", "כלב"),
    ],
)
def test_casing_is_carried_over(new, like, said):
    assert carried(new, like) == said


def test_sentences_begin_after_more_than_spaces():
    text = "One two. Three, four\n“Five"
    assert [starts_sentence(text, text.index(word)) for word in ("One", "two", "Three", "four", "Five")] == [
        True, False, True, False, True,
    ]  # fmt: skip


def test_spans_move_with_the_edits():
    draft = Draft("a quick brown fox")
    draft.delete(0, 0, "deletion")
    draft.replace(1, "speedy", 0, "synonym")
    draft.insert(3, "red", 0, "insertion")
    text, log = draft.done()
    assert text == "speedy brown red fox"
    done = Edited(draft.original, text, log)
    spans = {"quick": (2, 7, "A"), "brown": (8, 13, "B"), "fox": (14, 17, "C"), "quick brown": (2, 13), "a": (0, 1)}
    moved = dict(zip(spans, done.moved(spans.values()), strict=True))
    said = {name: text[slice(*span[:2])] for name, span in moved.items()}
    assert said == {"quick": "speedy", "brown": "brown", "fox": "fox", "quick brown": "speedy brown", "a": ""}
    assert moved["fox"][2] == "C"


def test_a_span_inside_a_replacement_becomes_all_of_it():
    done = Edited("abcdef gh", "XY gh", (Edit(0, 6, "abcdef", "XY", 0, "s"),))
    assert done.moved([(2, 4), (2, 9), (0, 3), (7, 9)]) == [(0, 2), (0, 5), (0, 2), (3, 5)]


def test_deletion_takes_the_spaces_behind_a_word_and_no_others():
    def without(text, i):
        draft = Draft(text)
        draft.delete(i, 0, "d")
        return draft.done()[0]

    assert without("one  two three", 1) == "one  three"
    assert without("one two", 1) == "one"
    assert without("one, two. Three", 1) == "one,. Three"
    assert without("one\ntwo\nthree", 1) == "one\n\nthree"
    draft = Draft("one two three")
    for i in (0, 2, 1):
        draft.delete(i, 0, "d")
    assert draft.done()[0].strip() == ""


def test_protected_words_and_entities_are_not_touched_and_found_again():
    text = "Call Ada Lovelace at the New York office, call now and call often"
    entities = [(5, 17, "PERSON"), (25, 33, "PLACE")]
    policy = augment.random_deletion(share=0.3) >> augment.keyboard(share=1.0, at_most=99) >> augment.case(share=1.0)
    for epoch in range(20):
        done = policy.edited(
            text, epoch=epoch, entities=entities, protect=["office", re.compile("o[a-z]ten")], sample=0
        )
        assert [done.text[a:b] for a, b, _ in done.entities] == ["Ada Lovelace", "New York"]
        assert [kind for *_, kind in done.entities] == ["PERSON", "PLACE"]
        assert "office" in done.text
        assert "often" in done.text
        assert done.text != text
        assert policy.text(text, epoch=epoch, protect=[(0, len(text))], sample=0) == text


def test_how_many_words_are_edited():
    text = " ".join(["word"] * 100)

    def edits(**values):
        return len(augment.keyboard(**values).edited(text, sample=0).log)

    assert edits(share=0.2, at_most=50) == 20
    assert edits(share=0.2) == 10
    assert edits(share=0.0, at_least=3) == 3
    assert edits(share=0.0, at_least=0) == 0
    assert edits(share=1.0, at_most=1000) == 100
    assert len(augment.random_deletion(share=1.0).edited(text, sample=0).log) == 99, "one word is left"


def test_stop_words_are_left_alone(tmp_path):
    def touched(**values):
        return {edit.before for edit in augment.keyboard(share=1.0, **values).edited(FOX, sample=0).log}

    assert touched() == set(FOX.split())
    assert touched(stop="english") == {"quick", "brown", "fox", "jumps", "lazy", "dog"}
    (tmp_path / "stop.txt").write_text("fox\nDOG\n")
    assert touched(stop=str(tmp_path / "stop.txt")) == set(FOX.split()) - {"fox", "dog"}
    assert augment.keyboard(share=1.0, stop="english").text("Don’t", sample=0) == "Don’t"


def test_swapped_words_take_over_casing():
    for epoch in range(20):
        done = augment.random_swap().edited("The quick brown fox. It jumps", epoch=epoch, sample=0)
        one, two = done.log
        assert {one.before.lower(), two.before.lower()} == {one.after.lower(), two.after.lower()}
        assert done.text[0].isupper()
        assert all(edit.after.islower() for edit in done.log if edit.before.islower())


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda p: p.text(None, sample=0), "text 0 is None, of type NoneType; texts are strings"),
        (lambda p: p.texts(["a", 3]), "text 1 is 3, of type int; texts are strings"),
        (
            lambda p: p.text("abc", protect=[(1, 9)], sample=0),
            "the span (1, 9) lies outside text 0, which has 3 characters",
        ),
        (lambda p: p.text("abc", protect=[3.5], sample=0), "3.5 is nothing that text 0 can be protected by"),
        (lambda p: p.edited("abc", entities=[(2, 1, "X")], sample=0), "the span (2, 1) lies outside text 0"),
        (lambda p: p.texts(["a", "b"], [1]), "samples has 1 numbers for 2 texts"),
        (lambda p: p.texts(["a", "b"], entities=[[]]), "entities has 1 lists for 2 texts"),
        (lambda p: p.text("abc", epoch=0.5, sample=0), "epoch takes whole numbers, not 0.5"),
        (
            lambda p: augment.keyboard(stop="/no/such").text("abc", sample=0),
            "stop words cannot be read from /no/such",
        ),
        (lambda p: augment.keyboard(stop=3), "stop of keyboard takes a text, such as the path of a file, not 3"),
        (lambda p: augment.keyboard(share=2.0), "share of keyboard takes a number from 0 up to 1, not 2.0"),
    ],
)
def test_bad_input_gets_a_sentence(call, said):
    with pytest.raises(InputError, match=re.escape(said)):
        call(augment.keyboard())


def test_pictures_and_texts_are_told_apart():
    with pytest.raises(InputError, match="flip is for pictures, and these are texts"):
        augment.flip().text("abc", sample=0)
