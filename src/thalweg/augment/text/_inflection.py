"""Words in the form that another word has: jumps, so climbs. English, by lemminflect."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Any

from thalweg.augment.text._words import Word
from thalweg.errors import InputError

__all__ = ["PARTS", "context", "fitting", "forms_of", "inflected", "lemmas"]

PARTS = ("NOUN", "VERB", "ADJ", "ADV")
"""Parts of speech whose words have synonyms."""

_TAGS = {
    "NOUN": ("NN", "NNS"), "VERB": ("VB", "VBD", "VBG", "VBN", "VBP", "VBZ"), "ADJ": ("JJ", "JJR", "JJS"),
    "ADV": ("RB", "RBR", "RBS"),
}  # fmt: skip
"""Penn's tags of each."""

_BASIC = ("NN", "VB", "VBP", "JJ", "RB")
"""Penn's tags of basic forms."""

_KINDS = {
    "determiner": "the this that these those my your his her its our their some any no every each",
    "subject": "i you he she it we they who will would can could may might must shall should",
    "auxiliary": "have has had having be is are was were been being am get got i've we've they've",
}
_BEFORE = {word: kind for kind, members in _KINDS.items() for word in members.split()} | {"a": "a", "an": "an"}


def context(before: str) -> str:
    """Return of what kind the word before a word is, as far as that says something of the word.

    >>> context("An"), context("they"), context("brown")
    ('an', 'subject', '')
    """
    return _BEFORE.get(before.lower().replace("’", "'"), "")


@lru_cache(1)
def _library() -> Any:
    try:
        import lemminflect
    except ImportError:
        raise InputError("words are inflected by lemminflect: pip install 'thalweg[text]'") from None
    return lemminflect


@lru_cache(1 << 16)
def lemmas(word: str) -> dict[str, str]:
    """Return what a word in small letters is a form of, by part of speech.

    >>> lemmas("jumps")
    {'NOUN': 'jump', 'VERB': 'jump'}
    """
    found = _library().getAllLemmas(word)
    return {part: min(found[part], key=lambda lemma: (lemma == word and len(found[part]) > 1, len(lemma)))
            for part in PARTS if part in found}  # fmt: skip


@lru_cache(1 << 16)
def _forms(lemma: str) -> dict[str, tuple[str, ...]]:
    """Return a lemma's forms by Penn's tags, of all parts of speech; the library makes a deep copy each time."""
    found: dict[str, tuple[str, ...]] = _library().getAllInflections(lemma)
    return found


@lru_cache(1 << 16)
def forms_of(word: str, lemma: str, part: str) -> tuple[str, ...]:
    """Return which forms of its lemma a word is, as Penn's tags; an empty one where that is not known.

    >>> forms_of("ate", "eat", "VERB"), forms_of("ate", "ate", "")
    (('VBD',), ())
    """
    return tuple(tag for tag, forms in _forms(lemma).items() if tag in _TAGS[part] and word in forms) if part else ()


@lru_cache(1 << 16)
def inflected(lemma: str, tag: str, *, regular: bool = True) -> str | None:
    """Return a word's form with Penn's tag; None if it has none.

    >>> inflected("climb", "VBZ"), inflected("child", "NNS")
    ('climbs', 'children')
    """
    found = _forms(lemma).get(tag) or _library().getInflection(lemma, tag, inflect_oov=regular)
    return found[0] if found else None


def fitting(
    candidates: Iterable[tuple[str, bool]], word: Word, part: str, lemma: str, seen: str | None = None
) -> tuple[str, ...]:
    """Return candidates in the form of a word, without those that would be the word itself or need another article.

    Args:
        candidates: words, and whether they are in their basic form.
        word: whose place they are to take.
        part, lemma: its part of speech, and what it is a form of.
        seen: `context` of the word before it, where that is known already.
    """
    before = context(word.before) if seen is None else seen
    surface = word.text.lower()
    tags = forms_of(surface, lemma, part)
    tag = ""
    if tags:
        participle = before == "auxiliary" and "VBN" in tags
        tag = "VBN" if participle else next((basic for basic in _BASIC if basic in tags), tags[0])
    found = []
    for candidate, basic in candidates:
        new: str | None = candidate
        if basic and tag and tag not in _BASIC:
            new = inflected(candidate, tag, regular=not tag.startswith("JJ"))  # no hulkinger
        if not new or new.lower() == surface or new.lower() == lemma:
            continue
        if before in ("a", "an") and (new[0].lower() in "aeiou") != (before == "an"):
            continue
        found.append(new)
    return tuple(dict.fromkeys(found))
