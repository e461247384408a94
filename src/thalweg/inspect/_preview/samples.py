"""The pictures or texts to show: read from a file, a folder or a column."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from thalweg.augment.image._files import SUFFIXES, files_in, is_picture, read_picture
from thalweg.errors import InputError, unknown

__all__ = ["Sample", "chosen", "samples_of"]


@dataclass(frozen=True)
class Sample:
    """A picture or a text.

    Attributes:
        number: its place among all, counted from 0.
        name: what a page calls it.
        file: of a picture.
        text: the text itself.
    """

    number: int
    name: str
    file: Path | None = None
    text: str = ""

    def image(self) -> np.ndarray:
        """Return the picture as uint8; of 16 bits the upper eight."""
        assert self.file is not None
        found = read_picture(self.file)
        return found if found.dtype == np.uint8 else np.rint(found / 257).astype(np.uint8)


def samples_of(path: Path, column: str | None) -> tuple[str, list[Sample]]:
    """Return the medium, ``image`` or ``text``, and all samples at a path.

    Raises:
        InputError: there is nothing, or something else.
    """
    try:
        kind = "folder" if path.is_dir() else path.suffix.lower() if path.exists() else ""
    except OSError:  # a name that is too long
        kind = ""
    if not kind and not path.name.startswith("."):
        raise InputError(f"there is no file or folder {path}")
    if kind in (".csv", ".tsv"):
        return _from_columns(path, column)
    if column is not None:
        raise InputError(f"--text names a column of a CSV file, and {path} is not one")
    if kind == "folder":
        files = [file for file in files_in(path) if is_picture(file)]
        if not files:
            raise InputError(f"{path} has no pictures ({', '.join(SUFFIXES[:3])}, …); give a folder that has")
        return "image", [Sample(i, str(file.relative_to(path)), file) for i, file in enumerate(files)]
    if kind in SUFFIXES:
        return "image", [Sample(0, path.name, path)]
    if kind == ".npz":
        raise InputError(
            f"{path} holds arrays, of which no preview is drawn; give a picture, or a folder of pictures"
        )
    return "text", _from_lines(path)


def _from_lines(path: Path) -> list[Sample]:
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        line = path.read_bytes()[: error.start].count(b"\n") + 1
        raise InputError(
            f"{path} is no picture by its name, and no UTF-8 text (line {line}); give a picture, a folder of "
            "pictures, or a file with a text on each line"
        ) from error
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from error
    there = [(i, line) for i, line in enumerate(lines, 1) if line.strip()]
    if not there:
        raise InputError(f"{path} is empty; give a file with a text on each line")
    return [Sample(number, f"line {i}", text=line) for number, (i, line) in enumerate(there)]


def _from_columns(path: Path, column: str | None) -> tuple[str, list[Sample]]:
    columns: Any = import_module("thalweg.task.columns")
    images: Any = import_module("thalweg.task.images")
    texts: Any = import_module("thalweg.task.texts")

    header, rows, numbers = columns.read_rows(path)
    values = {name: [row[i] for row in rows] for i, name in enumerate(header)}
    if column is not None and column not in values:
        raise unknown(f"column of {path.name}:", column, header)
    if column is None and (named := images.named_in(values)) is not None:
        files = [images.beside(path, text, number) for number, text in zip(numbers, values[named], strict=True)]
        return "image", [
            Sample(i, text, file) for i, (file, text) in enumerate(zip(files, values[named], strict=True))
        ]
    if column is None:
        free = [name for name in header if texts.free_text({name: values[name]})]
        if len(free) != 1 and len(header) > 1:
            raise InputError(
                f"say which column of {path} has the texts, with --text; it has {', '.join(header[:30])}"
            )
        column = free[0] if free else header[0]
    found = zip(numbers, values[column], strict=True)
    return "text", [Sample(i, f"row {number}", text=text) for i, (number, text) in enumerate(found)]


def chosen(samples: list[Sample], count: int) -> list[Sample]:
    """Return so many of some samples, evenly from the first to the last."""
    places = np.unique(np.linspace(0, len(samples) - 1, min(count, len(samples))).round().astype(int))
    return [samples[i] for i in places]
