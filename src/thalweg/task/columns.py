"""Columns of a CSV file: read, and taken for numbers or classes; what is wrong is said with row and column."""

import csv
import io
import math
import re
from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch.nn import functional as F

from thalweg import InputError, split, unknown
from thalweg.task.gaps import is_gap
from thalweg.task.judged import judge

SHARES = (0.6, 0.2, 0.2)
FEW = 20
"""Up to so many different whole numbers may be classes; more of them are a quantity."""


@dataclass(frozen=True)
class Goal:
    """What is predicted.

    Attributes:
        values: classes, or a quantity with the training rows' mean 0 and deviation 1; ``(rows,)``.
        classes: their names; none for a quantity.
        splits: the rows of train, valid and test.
        note: how the column was understood.
        deviation: of a quantity in the training rows, before it was scaled.
    """

    values: Any
    classes: Any
    splits: Any
    note: str
    deviation: float = 1.0

    @property
    def outputs(self):
        """How many outputs a model has: one a class, or None for a quantity."""
        return len(self.classes) or None

    def judged(self, metric=None):
        """Return a task's loss and metric, by its name or the usual one."""
        seen = self.values[np.concatenate(self.splits[1:])] if self.classes else None
        return {
            "loss": F.cross_entropy if self.classes else F.mse_loss,
            "metric": judge(metric, seen, self.deviation),
        }

    def parts(self, inputs):
        """Return a task's three splits of inputs, an array whose first axis counts the rows, or a list."""
        some = [inputs[rows] if hasattr(inputs, "shape") else [inputs[i] for i in rows] for rows in self.splits]
        pairs = zip(some, (self.values[rows] for rows in self.splits), strict=True)
        return dict(zip(("train", "valid", "test"), pairs, strict=True))


def read_goal(path, target, texts, numbers):
    """Return what a column asks to be predicted, with rows divided into train, valid and test."""
    values, classes, note = read_target(path, target, texts, numbers)
    splits = split(len(values), SHARES, 0, values if classes else None)
    deviation = 1.0
    if not classes:
        deviation = float(values[splits[0]].std())
        values = scale(path, target, values, numbers, splits[0])
        if values is None:
            raise InputError(f'column "{target}" of {path.name} is constant in the training rows; nothing to learn')
    return Goal(values, classes, splits, note, deviation)


def read_columns(path, target, drop=()):
    """Return a file's columns by name without those to drop, the target's apart, and each row's number in it."""
    header, rows, numbers = read_rows(path)
    for column in (target, *drop):
        if column not in header:
            raise unknown(f"column of {path.name}:", column, header)
    if target in drop:
        raise InputError(f'"{target}" of {path.name} is what is predicted, and cannot be dropped')
    if len(header) < 2:
        raise InputError(f"{path.name} has one column alone; there is nothing to predict {target} from")
    if len(rows) < 10:
        raise InputError(f"{path.name} has {len(rows)} row{'s' * (len(rows) != 1)}; train, valid and test need 10")
    columns = {name: [row[i] for row in rows] for i, name in enumerate(header) if name not in drop}
    if len(columns) < 2:
        raise InputError(f"every column of {path.name} beside {target} is dropped; leave one to predict from")
    return columns, columns.pop(target), numbers


def read_rows(path):
    """Return a file's header, its rows, and each row's number in the file; empty lines count, and are left out."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        line = path.read_bytes()[: error.start].count(b"\n") + 1
        raise InputError(f"{path} is not UTF-8 text (line {line}); save it as UTF-8") from error
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}; give a CSV file") from error
    first = re.sub(r'"[^"]*"', "", text[:65536]).lstrip().partition("\n")[0]
    separator = max(",;\t", key=first.count)
    found: list[Any] = []
    number = 0
    try:
        table = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
        for number, cells in enumerate(table, 1):
            if len(cells) > 1 or any(cell.strip() for cell in cells):
                found.append((number, [cell.strip() for cell in cells]))
    except csv.Error as error:
        why = "a quotation mark is never closed" if "unexpected end" in str(error) else str(error)
        raise InputError(f"{path.name}, row {number + 1}, cannot be read as CSV: {why}; correct it") from error
    if not found:
        raise InputError(f"{path} is empty; give a CSV file with a header and rows")
    (_, header), *rows = found
    twice = [name for name, count in Counter(header).items() if count > 1 and name]
    if twice:
        raise InputError(f'{path.name} has the column "{twice[0]}" twice; rename one or drop it')
    if "" in header:
        raise InputError(f"column {header.index('') + 1} of {path.name} has no name; name it or drop it")
    if not rows:
        raise InputError(f"{path.name} has a header and no rows; there is nothing to learn from")
    for number, row in rows:
        if len(row) != len(header):
            many = f"{len(row)} value{'s' * (len(row) != 1)}, and the header {len(header)}"
            raise InputError(f"{path.name}, row {number}, has {many}; correct it or drop it")
    return header, [row for _, row in rows], [number for number, _ in rows]


def read_column(path, column, texts, numbers):
    """Return a column as float64 if it is numeric, else None; NaN where it is missing; refuse infinite ones."""
    values = np.zeros(len(texts))
    words: list[int] = []
    for i, text in enumerate(texts):
        try:
            values[i] = math.nan if is_gap(text) else float(text)
        except ValueError:
            words.append(i)

    def place(i):
        return f'{path.name}, row {numbers[i]}, column "{column}", is "{texts[i]}"'

    odd = set(words)
    given = [value for i, value in enumerate(values) if i not in odd and not math.isnan(value)]
    few = len(words) <= max(1, 0.05 * len(texts)) or len(set(given)) > FEW
    numeric = len(given) > len(words) and few
    plain = [i for i in words if is_number(re.sub(r"[\s,'’%$€£]", "", texts[i]))]
    if plain and (numeric or len(plain) == len(words)):
        raise InputError(f"{place(plain[0])}; write it as a plain number such as 1234.5, without commas and signs")
    if numeric and words:
        raise InputError(f"{place(words[0])}, and the others are numbers; correct it, or write NA if it is missing")
    if not numeric:
        return None
    if np.isinf(values).any():
        raise InputError(f"{place(int(np.isinf(values).argmax()))}, which is infinite; correct it, or drop the row")
    return values


def is_number(text):
    """Return whether a text is a number."""
    try:
        float(text)
    except ValueError:
        return False
    return True


def scale(path, column, values, numbers, train):
    """Return a column as float32 with the training rows' mean 0 and deviation 1; None if it is constant in them."""
    if values[train].min() == values[train].max():  # its deviation may be a rounding error
        return None
    with np.errstate(over="ignore", invalid="ignore"):
        mean, deviation = values[train].mean(), values[train].std()
        scaled = ((values - mean) / deviation).astype(np.float32)
    if not (math.isfinite(deviation) and np.isfinite(scaled).all()):
        largest = int(np.abs(values).argmax())
        raise InputError(
            f'{path.name}, row {numbers[largest]}, column "{column}", is {values[largest]:g}, '
            "which is too large to be scaled with the others; correct it, or drop the row"
        )
    return scaled


def read_target(path, column, texts, numbers):
    """Return the target's values, the names of its classes (none for a quantity), and a note that says which."""
    values = read_column(path, column, texts, numbers)
    if values is None:
        classes = sorted(set(texts))
    else:
        different = np.unique(values)
        whole = (different == np.round(different)).all()
        if len(different) > 1 and not (whole and len(different) <= min(FEW, len(texts) / 3)):
            return values, [], f"{column} is taken for a quantity ({len(different)} different numbers)"
        classes = [str(int(value)) for value in different]
        texts = [str(int(value)) for value in values]
    where = f'column "{column}" of {path.name}'
    if len(classes) == 1:
        raise InputError(f"{where} has the same value in every row; there is nothing to learn")
    if len(classes) > len(texts) / 3:
        raise InputError(f"{where} has {len(classes)} classes in {len(texts)} rows; group them, or predict another")
    counts = Counter(texts)
    rare = min(classes, key=lambda c: counts[c])
    if counts[rare] < 3:
        raise InputError(
            f'class "{rare}" of {where} has {counts[rare]} row{"s" * (counts[rare] != 1)}, and every class needs 3, '
            "one for each split; drop it or join it with another"
        )
    number = {name: i for i, name in enumerate(classes)}
    shown = ", ".join(classes[:5]) + (", …" if len(classes) > 5 else "")
    note = f"{column} is taken for {len(classes)} classes ({shown})"
    return np.array([number[text] for text in texts]), classes, note
