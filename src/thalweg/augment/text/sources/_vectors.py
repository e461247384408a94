"""Word vectors from files of word2vec (text and binary), GloVe and fastText, and each word's neighbours."""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import IO

import numpy as np

from thalweg import cache
from thalweg.augment.text._inflection import context, fitting, forms_of, lemmas
from thalweg.augment.text._words import Word
from thalweg.augment.text.sources import _wordnet
from thalweg.errors import InputError

__all__ = ["neighbours", "read", "said"]

_File = IO[bytes] | gzip.GzipFile

KEPT = 20
"""How many neighbours of a word are kept."""


def neighbours(word: Word, path: str, words: int, least: float, wordnet: str) -> tuple[str, ...]:
    """Return words near a word, the nearest first, in its form; none that is another form of it.

    Args:
        word: the word, and what stands before it.
        path: the file.
        words: how many of its words are read, which are its most frequent.
        least: the least cosine.
        wordnet: WordNet's folder, of which antonyms are left out; an empty string for none.

    Raises:
        InputError: no file, or a broken one; it names the line.
    """
    if word.named:
        return ()
    return _neighbours(word.text.lower(), context(word.before), word.tag, path, words, least, wordnet)


@lru_cache(1 << 17)
def _neighbours(
    surface: str, before: str, tag: str, path: str, words: int, least: float, wordnet: str
) -> tuple[str, ...]:
    near = [found for found, cosine in opened(path, words).get(surface, ()) if cosine >= least]
    known = lemmas(surface)
    opposite = _wordnet.antonyms(surface, wordnet) if wordnet else frozenset()
    parts = [tag] if tag in known else list(known)
    tags = {form for part in parts for form in forms_of(surface, known[part], part)}
    found: list[str] = []
    for candidate in near:
        theirs = lemmas(candidate)
        if set(theirs.values()) & {*known.values(), surface} or candidate in opposite:
            continue
        if opposite & set(theirs.values()):
            continue
        same = [part for part in parts if part in theirs]
        if (known and not same) or (tag and tag not in (*theirs, *([] if theirs else [tag]))):
            continue  # no part of speech in common
        if any(tags & set(forms_of(candidate, theirs[part], part)) for part in same) or not same:
            found += fitting([(candidate, False)], Word(surface), "", surface, before)
        else:
            found += fitting([(theirs[same[0]], True)], Word(surface), same[0], known[same[0]], before)
    return tuple(dict.fromkeys(found))


def opened(path: str, words: int) -> dict[str, list[tuple[str, float]]]:
    """Return the neighbours of each word in small letters; computed once for a file, and kept in the user's cache."""
    if not path:
        raise InputError(
            "vectors needs the path of a file of word vectors, such as GloVe's glove.6B.100d.txt or word2vec's .bin; "
            "docs/augmentation-text.md says where to get one"
        )
    try:
        about = Path(path).stat()
    except OSError as error:
        raise InputError(f"word vectors cannot be read from {path}: {error.strerror}") from None
    return _opened(path, about.st_size, about.st_mtime_ns, words)


@lru_cache(4)
def _opened(path: str, size: int, time: int, words: int) -> dict[str, list[tuple[str, float]]]:
    mark = hashlib.sha256(f"{Path(path).resolve()} {size} {time} {words} {KEPT}".encode()).hexdigest()[:32]
    text = cache.kept(f"neighbours-{mark}.txt", lambda: _written(*read(path, words)))
    found: dict[str, list[tuple[str, float]]] = {}
    for line in text.splitlines():
        word, *near = line.split("\t")
        found[word] = [(other, float(cosine)) for other, cosine in zip(near[::2], near[1::2], strict=True)]
    return found


def _written(words: list[str], vectors: np.ndarray) -> str:
    """Return the neighbours of words, a line for each; one matrix product in parts."""
    first: dict[str, int] = {}
    for i, word in enumerate(words):
        if word.isalpha() or (("-" in word or "'" in word) and word.split() == [word]):
            first.setdefault(word.lower(), i)
    names, rows = list(first), vectors[list(first.values())]
    rows = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
    count, part = min(KEPT, len(names) - 1), 1024
    lines = []
    for start in range(0, len(names), part):
        alike = rows[start : start + part] @ rows.T
        alike[np.arange(len(alike)), np.arange(start, start + len(alike))] = -2.0
        if count < 1:
            break
        best = np.argpartition(-alike, count - 1, axis=1)[:, :count]
        for i, columns in enumerate(best):
            columns = columns[np.argsort(-alike[i, columns], kind="stable")]
            lines.append("\t".join([names[start + i], *(f"{names[j]}\t{alike[i, j]:.4f}" for j in columns)]))
    return "\n".join(lines)


def read(path: str, most: int) -> tuple[list[str], np.ndarray]:
    """Return the first words of a file and their vectors, float32 ``(words, width)``.

    Args:
        path: word2vec's or fastText's text, GloVe's, or word2vec's binary, as it is or as ``.gz``.
        most: how many words.

    Raises:
        InputError: a broken line, by its number; a file that ends before its time; one that holds no vectors.
    """
    try:
        with gzip.open(path, "rb") if path.endswith(".gz") else open(path, "rb") as file:  # noqa: PTH123
            head = file.readline()
            sizes = head.split()
            if len(sizes) == 2 and all(size.isdigit() for size in sizes):
                count, width = int(sizes[0]), int(sizes[1])
                if _binary(file):
                    return _read_binary(file, path, min(count, most), width)
                return _read_text(file, path, 2, width, min(count, most), count)
            if head.startswith(b"\xba\x16\x4f\x2f"):
                raise InputError(f"{path} is fastText's own .bin; give the .vec beside it")
            return _read_text(_again(head, file), path, 1, None, most, None)
    except (OSError, EOFError) as error:
        raise InputError(f"word vectors cannot be read from {path}: {error}") from None


def _again(head: bytes, file: _File) -> Iterator[bytes]:
    yield head
    yield from file


def _binary(file: _File) -> bool:
    """Return whether vectors follow as bytes; the file is read on from where it was."""
    here = file.tell()
    some = file.read(4096)
    file.seek(here)
    try:
        line = some.split(b"\n")[0].decode()
        [float(number) for number in line.rstrip().split(" ")[1:4]]
    except (UnicodeDecodeError, ValueError):
        return True
    return "\x00" in line


def _read_binary(file: _File, path: str, count: int, width: int) -> tuple[list[str], np.ndarray]:
    words, vectors = [], np.empty((count, width), np.float32)
    for i in range(count):
        name = bytearray()
        while (byte := file.read(1)) != b" ":
            if not byte:
                raise InputError(f"{path} ends in its word {i + 1}; {count} were to come")
            name += byte
        numbers = file.read(4 * width)
        if len(numbers) < 4 * width:
            raise InputError(f"{path} ends in the vector of its word {i + 1}; {count} were to come")
        vectors[i] = np.frombuffer(numbers, "<f4")
        words.append(bytes(name).lstrip(b"\n").decode("utf-8", "replace"))
        if not np.isfinite(vectors[i]).all():
            raise InputError(f"word {i + 1} of {path}, {words[-1]!r}, has a vector with numbers that are not finite")
    return words, vectors


def _read_text(
    lines: Iterable[bytes], path: str, first: int, width: int | None, most: int, said: int | None
) -> tuple[list[str], np.ndarray]:
    words: list[str] = []
    rows: list[np.ndarray] = []
    for number, line in enumerate(lines, first):
        if len(words) == most:
            break
        if not line.strip():
            continue
        where = f"line {number} of {path}"
        try:
            fields = line.decode().rstrip().split(" ")
        except UnicodeDecodeError:
            raise InputError(f"{where} is no UTF-8") from None
        width = width or len(fields) - 1
        if len(fields) < width + 1 or width < 1:
            raise InputError(f"{where} has {len(fields) - 1} numbers, not {width or 'some'}")
        try:
            row = np.array(fields[-width:], np.float32)
        except ValueError:
            raise InputError(f"{where} has something that is no number after its word, {fields[0]!r}") from None
        if not np.isfinite(row).all():
            raise InputError(f"{where}, {fields[0]!r}, has numbers that are not finite")
        words.append(" ".join(fields[:-width]))
        if len(fields) > width + 1 and _is_number(fields[-width - 1]):
            raise InputError(f"{where} has {len(fields) - 1} numbers, not {width}")
        rows.append(row)
    if not rows:
        raise InputError(f"{path} has no word vectors")
    if said is not None and len(rows) < min(said, most):
        raise InputError(f"{path} ends after {len(rows)} words; its first line says {said}")
    return words, np.stack(rows)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def said(path: str, words: int) -> str:
    """Return what the file is, and its licence."""
    return f"word vectors in {path}, its first {len(opened(path, words))} words; its licence is not stated in it"
