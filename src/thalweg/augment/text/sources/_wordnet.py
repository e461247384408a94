"""WordNet from its own files, as Debian's package wordnet-base and NLTK keep them, or from wn's store."""

from __future__ import annotations

import mmap
import os
from bisect import bisect_right
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple, Protocol

from thalweg.augment.text._inflection import PARTS, context, fitting, lemmas
from thalweg.augment.text._words import Word
from thalweg.errors import InputError

__all__ = ["Lexicon", "WordNet", "antonyms", "opened", "synonyms", "where"]

_SHORT = 2
"""Letters of words that are left alone: to WordNet, la is lanthanum."""

_BLOCK, _LONGEST = 4096, 128
"""Bytes of an index between places that are remembered, and of the longest word, of which WordNet's has 71."""

_FILES = {"NOUN": "noun", "VERB": "verb", "ADJ": "adj", "ADV": "adv"}
_LETTER = {"n": "NOUN", "v": "VERB", "a": "ADJ", "s": "ADJ", "r": "ADV"}
_MISSING = (
    "WordNet is not on this machine: apt install wordnet-base, or python -m nltk.downloader wordnet, or give the "
    "path of a folder with its files, index.noun and the others"
)


class Lexicon(Protocol):
    """What has synonyms and antonyms."""

    def frequency(self, lemma: str, part: str) -> float:
        """Return how often a word is used as a part of speech; 0 if it never is."""

    def synonyms(self, lemma: str, part: str, senses: int) -> tuple[str, ...]:
        """Return single words that mean the same in the word's most frequent senses."""

    def antonyms(self, lemma: str, part: str) -> frozenset[str]:
        """Return words that mean the opposite in any of the word's senses."""

    def said(self) -> str:
        """Return what it is, where it lies, and its licence."""


def synonyms(word: Word, path: str, senses: int) -> tuple[str, ...]:
    """Return synonyms of a word, in its form; none of a word of one or two letters, most of which are symbols.

    Args:
        word: the word, and what stands before it.
        path: WordNet's folder, ``wn:`` and the name of a lexicon of wn's store, or an empty string.
        senses: how many of the word's senses, from the most frequent.

    Raises:
        InputError: there is no WordNet.
    """
    if word.named or len(word.text) <= _SHORT:
        return ()
    return _synonyms(word.text.lower(), context(word.before), word.tag, path, senses)


@lru_cache(1 << 18)
def _synonyms(surface: str, before: str, tag: str, path: str, senses: int) -> tuple[str, ...]:
    lexicon = opened(path)
    part, lemma = reading(surface, before, tag, lexicon)
    near = lexicon.synonyms(lemma, part, senses) if part else ()
    if not near:  # of most words, which then need no more looking up
        return ()
    opposite = lexicon.antonyms(lemma, part)
    same = [(found, True) for found in near if found not in opposite and lemma not in lexicon.antonyms(found, part)]
    return fitting(same, Word(surface), part, lemma, before)


def reading(surface: str, before: str, tag: str, lexicon: Lexicon) -> tuple[str, str]:
    """Return as which part of speech a word is taken, and what it is a form of; empty strings if it is not known.

    Args:
        surface: the word in small letters.
        before: `context` of the word before it.
        tag: its part of speech where that is known.
        lexicon: says how often a word is used as which.
    """
    if tag and tag not in PARTS:
        return "", ""
    known = lemmas(surface) or dict.fromkeys(PARTS, surface)
    parts = {part: lexicon.frequency(lemma, part) for part, lemma in known.items() if tag in ("", part)}
    if before in ("a", "an", "determiner") and not tag:
        parts = {part: often for part, often in parts.items() if part in ("NOUN", "ADJ")}
    if before == "subject" and parts.get("VERB") and not tag:
        return "VERB", known["VERB"]
    part = max(parts, key=lambda part: parts[part], default="")
    return (part, known[part]) if part and parts[part] > 0 else ("", "")


def antonyms(word: str, path: str) -> frozenset[str]:
    """Return words that mean the opposite of a word in any of its senses, as any part of speech; basic forms."""
    lexicon = opened(path)
    found: set[str] = set()
    for part, lemma in lemmas(word.lower()).items():
        found |= lexicon.antonyms(lemma, part)
    return frozenset(found)


def where(path: str = "") -> str:
    """Return the folder, or zip file, of WordNet's files: the one that is given, Debian's, or NLTK's.

    Raises:
        InputError: it is not there.
    """
    if path:
        folder = Path(path).expanduser()
        if (folder / "index.noun").is_file():
            return str(folder)
        raise InputError(f"{path} has no WordNet: it is to be a folder with index.noun, data.noun and the others")
    for folder in _usual():
        if (folder / "index.noun").is_file():
            return str(folder)
    raise InputError(_MISSING)


def _usual() -> Iterator[Path]:
    yield Path("/usr/share/wordnet")
    given = [place for place in os.environ.get("NLTK_DATA", "").split(os.pathsep) if place]
    places = [*given, str(Path.home() / "nltk_data"), "/usr/share/nltk_data", "/usr/local/share/nltk_data"]
    for root in places:
        yield Path(root) / "corpora" / "wordnet"


def opened(path: str = "") -> Lexicon:
    """Return WordNet; opened once.

    Raises:
        InputError: it is not there, or not whole.
    """
    if path.startswith("wn:"):
        from thalweg.augment.text.sources._wn import Store

        return _store(Store, path[3:])
    return _opened(_found(path, os.environ.get("NLTK_DATA"), os.environ.get("HOME")))


@lru_cache(16)
def _found(path: str, *_: str | None) -> str:
    """Return `where`, which looks at the disk, once for each place that the environment names."""
    return where(path)


@lru_cache(4)
def _store(store: type, name: str) -> Lexicon:
    made: Lexicon = store(name)
    return made


@lru_cache(4)
def _opened(folder: str) -> WordNet:
    return WordNet(Path(folder))


class _Synset(NamedTuple):
    words: tuple[str, ...]
    opposite: tuple[tuple[int, str, int], ...]
    """(the word's number, counted from 1, or 0 for all; the other's part of speech and offset)."""
    similar: tuple[int, ...]


class WordNet:
    """WordNet's own files; each word is looked up where it stands, so that opening costs nothing.

    Args:
        folder: with ``index.noun``, ``data.noun`` and those of ``verb``, ``adj`` and ``adv``; ``cntlist.rev``, which
            says how often each sense was met, where it is there.

    Raises:
        InputError: a file is missing or empty.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._index = {part: _Index(_mapped(folder / f"index.{name}")) for part, name in _FILES.items()}
        self._data = {part: _mapped(folder / f"data.{name}") for part, name in _FILES.items()}
        self._counts = _counts(folder / "cntlist.rev")
        self._senses = lru_cache(1 << 16)(self._look_up)
        self._synset = lru_cache(1 << 15)(self._read)
        self._against_all = lru_cache(1 << 16)(self._antonyms)

    def said(self) -> str:
        """Return which WordNet it is, where it lies, and its licence."""
        head = self._data["NOUN"][:2000].decode("utf-8", "replace")
        at = head.find("WordNet")
        version = " ".join(head[at : at + 11].split()) if at >= 0 else "WordNet"
        licence = "WordNet licence (free for any purpose)" if "Princeton" in head else "licence not stated in it"
        return f"{version} in {self.folder}, {licence}"

    def frequency(self, lemma: str, part: str) -> float:
        """Return how often a word was met as a part of speech; a little for each sense if it never was."""
        senses = self._senses(lemma, part)
        return self._counts.get((lemma, part), 0) + 0.01 * len(senses)

    def synonyms(self, lemma: str, part: str, senses: int) -> tuple[str, ...]:
        """Return single words of the word's first synsets; no names."""
        found = [
            word
            for offset in self._senses(lemma, part)[:senses]
            for word in self._synset(part, offset).words
            if word.lower() != lemma and "_" not in word and word.islower()
        ]
        return tuple(dict.fromkeys(found))

    def antonyms(self, lemma: str, part: str) -> frozenset[str]:
        """Return words that stand against any of the word's senses, or against adjectives that it is similar to."""
        return self._against_all(lemma, part)

    def _antonyms(self, lemma: str, part: str) -> frozenset[str]:
        found: set[str] = set()
        for offset in self._senses(lemma, part):
            line = self._line(part, offset)
            if b" ! " not in line and b" & " not in line:  # it stands against nothing, and is similar to nothing
                continue
            synset = self._synset(part, offset)
            mine = {0, *(i for i, word in enumerate(synset.words, 1) if word.lower() == lemma)}
            found |= self._against(synset, mine)
            for head in synset.similar:
                found |= self._against(self._synset(part, head), None)
        return frozenset(found - {lemma})

    def _against(self, synset: _Synset, mine: set[int] | None) -> set[str]:
        found: set[str] = set()
        for number, part, offset in synset.opposite:
            if mine is None or number in mine:
                found |= {word.lower() for word in self._synset(part, offset).words}
        return found

    def _look_up(self, lemma: str, part: str) -> tuple[int, ...]:
        """Return where the synsets of a word stand, the most frequent first."""
        fields = self._index[part].line(lemma.replace(" ", "_").encode()).split()
        return tuple(int(offset) for offset in fields[-int(fields[2]) :]) if fields else ()

    def _line(self, part: str, offset: int) -> bytes:
        """Return what says of a synset, without its gloss."""
        data = self._data[part]
        end = data.find(b"\n", offset)
        return data[offset : len(data) if end < 0 else end].split(b" | ", 1)[0]

    def _read(self, part: str, offset: int) -> _Synset:
        fields = self._line(part, offset).decode().split()
        try:
            if int(fields[0]) != offset:
                raise ValueError
            count = int(fields[3], 16)
            words = tuple(word.split("(")[0] for word in fields[4 : 4 + 2 * count : 2])
            at = 5 + 2 * count
            pointers = [fields[i : i + 4] for i in range(at, at + 4 * int(fields[at - 1]), 4)]
            opposite = tuple(
                (int(numbers[:2], 16), _LETTER[kind], int(target))
                for symbol, target, kind, numbers in pointers
                if symbol == "!"
            )
            similar = tuple(int(target) for symbol, target, _, _ in pointers if symbol == "&")
        except (ValueError, IndexError, KeyError):
            name = self.folder / f"data.{_FILES[part]}"
            raise InputError(
                f"{name} is broken at byte {offset}, where its index says that a synset begins"
            ) from None
        return _Synset(words, opposite, similar)


class _Index:
    """A file of lines in the order of their first words, of which a few say where to look."""

    def __init__(self, file: mmap.mmap) -> None:
        self._file = file
        starts = {file.find(b"\n", at) + 1 for at in range(_BLOCK, len(file), _BLOCK)}
        self._starts = [0, *sorted(starts - {0, len(file)}), len(file)]
        self._words = [file[at : at + _LONGEST].partition(b" ")[0] for at in self._starts[:-1]]

    def line(self, word: bytes) -> bytes:
        """Return the line that begins with a word, or nothing."""
        i = max(0, bisect_right(self._words, word) - 1)
        block = b"\n" + self._file[self._starts[i] : self._starts[i + 1]]
        at = block.find(b"\n" + word + b" ") + 1 if word else 0
        return block[at:].partition(b"\n")[0] if at else b""


def _mapped(path: Path) -> mmap.mmap:
    try:
        with path.open("rb") as file:
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or "it is empty"
        raise InputError(f"WordNet's {path} cannot be read: {why}") from None


def _counts(path: Path) -> dict[tuple[str, str], int]:
    """Return how often each word was met as each part of speech, of the lines ``jump%2:38:00:: 1 19``."""
    found: dict[tuple[str, str], int] = {}
    if path.is_file():
        parts = {"1": "NOUN", "2": "VERB", "3": "ADJ", "4": "ADV", "5": "ADJ"}
        for line in path.read_text(encoding="utf-8").splitlines():
            fields = line.split()
            lemma, _, rest = fields[0].partition("%") if len(fields) == 3 else ("", "", "")
            if rest[:1] in parts and fields[2].isdigit():
                key = lemma, parts[rest[0]]
                found[key] = found.get(key, 0) + int(fields[2])
    return found
