"""Paraphrases from files of the Paraphrase Database: lines of fields between ``|||``."""

from __future__ import annotations

import gzip
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from thalweg.augment.text._inflection import context, fitting, lemmas
from thalweg.augment.text._words import Word
from thalweg.augment.text.sources import _wordnet
from thalweg.errors import InputError

__all__ = ["paraphrases", "said"]

_OPPOSED = ("Exclusion", "Independent")
"""Relations of pairs that do not mean the same."""

_PART = {"N": "NOUN", "V": "VERB", "J": "ADJ", "R": "ADV"}


class _Line(NamedTuple):
    phrase: str
    part: str
    score: float


def paraphrases(word: Word, path: str, score: float, wordnet: str) -> tuple[str, ...]:
    """Return paraphrases of a word, best first.

    Args:
        word: the word, and what stands before it.
        path: a file of PPDB, as it is or as ``.gz``.
        score: the least score.
        wordnet: WordNet's folder, of which antonyms are left out; an empty string for none.

    Raises:
        InputError: no file, or a line of it that is none of PPDB's.
    """
    if word.named:
        return ()
    return _paraphrases(word.text.lower(), context(word.before), word.tag, path, score, wordnet)


@lru_cache(1 << 17)
def _paraphrases(surface: str, before: str, tag: str, path: str, score: float, wordnet: str) -> tuple[str, ...]:
    table, known = opened(path), lemmas(surface)
    opposite = _wordnet.antonyms(surface, wordnet) if wordnet else frozenset()
    wanted = {tag} if tag else set(_PART.values())
    if before in ("a", "an", "determiner") and not tag:
        wanted = {"NOUN", "ADJ", ""}
    found: list[str] = []
    for form in dict.fromkeys([surface, *known.values()]):
        lines = [line for line in table.get(form, ()) if line.score >= score]
        lines = [line for line in lines if not line.part or line.part in wanted]
        for line in sorted(lines, key=lambda line: -line.score):
            same = set(lemmas(line.phrase).values())
            if same & set(known.values()) or line.phrase in opposite or same & opposite:
                continue  # the word in another form, or what stands against it
            part = line.part or next(iter(known), "NOUN")
            basic = form != surface
            found += fitting([(line.phrase, basic)], Word(surface), part, known.get(part, surface), before)
    return tuple(dict.fromkeys(found))


def opened(path: str) -> dict[str, list[_Line]]:
    """Return a file's pairs by their first word; read once."""
    if not path:
        raise InputError(
            "ppdb needs the path of a file of the Paraphrase Database, such as ppdb-2.0-l-lexical.gz; "
            "docs/augmentation-text.md says where to get one"
        )
    try:
        return _read(path, Path(path).stat().st_mtime_ns)
    except OSError as error:
        raise InputError(f"PPDB's file {path} cannot be read: {error.strerror or error}") from None


@lru_cache(4)
def _read(path: str, time: int) -> dict[str, list[_Line]]:  # noqa: ARG001, a changed file is another
    table: dict[str, list[_Line]] = {}
    with gzip.open(path, "rt", encoding="utf-8") if path.endswith(".gz") else open(path, encoding="utf-8") as file:  # noqa: PTH123
        try:
            for number, line in enumerate(file, 1):
                if line.strip():
                    source, found = _parsed(line, f"line {number} of {path}")
                    if found is not None:
                        table.setdefault(source, []).append(found)
        except (UnicodeDecodeError, EOFError):
            raise InputError(f"PPDB's file {path} is no UTF-8 text, or is cut short") from None
    return table


def _parsed(line: str, where: str) -> tuple[str, _Line | None]:
    """Return a line's first word and its pair; None for phrases, and for pairs that do not mean the same."""
    fields = [field.strip() for field in line.split("|||")]
    if len(fields) < 4:
        raise InputError(f"{where} has {len(fields)} fields between |||, not PPDB's 4 to 6")
    tag, source, target, features = fields[:4]
    if " " in source or " " in target or (len(fields) > 5 and fields[5] in _OPPOSED):
        return source, None
    scores = dict(feature.split("=", 1) for feature in features.split() if "=" in feature)
    try:
        if "PPDB2.0Score" in scores:
            score = float(scores["PPDB2.0Score"])
        else:  # PPDB 1.0 has costs alone: the mean of −log p(e|f) and −log p(f|e), turned round
            score = -(float(scores["p(e|f)"]) + float(scores["p(f|e)"])) / 2
    except (KeyError, ValueError):
        raise InputError(f"{where} has no number PPDB2.0Score, nor p(e|f) and p(f|e)") from None
    return source, _Line(target, _PART.get(tag.strip("[]")[:1], ""), score)


def said(path: str) -> str:
    """Return what the file is, and its licence."""
    count = sum(map(len, opened(path).values()))
    return f"PPDB in {path}, {count} pairs of words; its authors give it under Creative Commons Attribution"
