"""A table in a CSV file: numbers and categories in, one column predicted."""

import csv
import io
import math
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn
from torch.nn import functional as F

from thalweg import InputError, Metric, Task, accuracy, split, squared_error, unknown

SHARES = (0.6, 0.2, 0.2)
MISSING = {"", "na", "n/a", "nan", "null", "none", "?", "-"}
FEW = 20
"""Up to so many different whole numbers are classes; more of them are a quantity."""


class MLP(nn.Module):
    """Two hidden layers of 64; one output a class, or one number."""

    def __init__(self, features, classes=None):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(features, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, classes or 1)
        )
        self.classes = classes

    def forward(self, x):
        """Return (N, classes), or (N,) for a quantity."""
        y = self.layers(x)
        return y if self.classes else y.squeeze(-1)


relative_squared_error = Metric("relative squared error", squared_error.outcomes, higher_is_better=False)
"""Squared error over the variance of the training targets: 1 is what always saying their mean comes to."""


def from_csv(path, target, name=None):
    """Return the task of predicting one column of a CSV file from the others.

    A column whose values are all numbers is numeric, and scaled to mean 0 and standard deviation 1; any other is a
    category, one input a category. The target is a quantity when it is numeric, unless it has at most 20 different
    values, all whole numbers: then, and when it is text, these are classes. Whatever is fitted is fitted on the
    training rows alone; a category that they do not have is no input.

    Args:
        path: a CSV file with a header, separated by commas, semicolons or tabs, in UTF-8.
        target: the column to predict.
        name: what reports call the task; the file's name if not given.

    Raises:
        InputError: the file cannot be read as a table, a value is missing, or there is nothing to learn; with
            the row as in the file (the header is row 1) and the column.
    """
    path = Path(path)
    header, rows, numbers = read_rows(path)
    if target not in header:
        raise unknown(f"column of {path.name}", target, header)
    columns = {name: [row[i] for row in rows] for i, name in enumerate(header)}
    if len(header) < 2:
        raise InputError(f"{path.name} has one column alone; there is nothing to predict {target} from")
    values, classes, note = read_target(path, target, columns.pop(target), numbers)
    train, valid, test = split(len(rows), SHARES, 0, values if classes else None)
    if not classes:
        deviation = values[train].std()
        if deviation == 0:
            raise InputError(f'column "{target}" of {path.name} has one value alone; there is nothing to learn')
        values = ((values - values[train].mean()) / deviation).astype(np.float32)
    parts = [read_feature(path, column, texts, numbers, train) for column, texts in columns.items()]
    inputs = np.concatenate(parts, axis=1)
    if not inputs.shape[1] or not inputs[train].any():
        raise InputError(f"every column of {path.name} beside {target} is constant; there is nothing to learn from")
    return Task(
        name=name or path.stem,
        model=lambda: MLP(inputs.shape[1], len(classes) or None),
        loss=F.cross_entropy if classes else F.mse_loss,
        metric=accuracy if classes else relative_squared_error,
        train=(inputs[train], values[train]),
        valid=(inputs[valid], values[valid]),
        test=(inputs[test], values[test]),
        note=note,
    )


def read_rows(path):
    """Return a file's header, its rows, and each row's number in the file."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        line = path.read_bytes()[: error.start].count(b"\n") + 1
        raise InputError(f"{path} is not UTF-8 text (line {line}); save it as UTF-8") from error
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from error
    if not text.strip():
        raise InputError(f"{path} is empty")
    first = text.lstrip("\n").partition("\n")[0]
    separator = max(",;\t", key=first.count)
    table = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    found: list[Any] = []
    try:
        found.extend((table.line_num, [cell.strip() for cell in cells]) for cells in table if cells)
    except csv.Error as error:
        raise InputError(f"{path}, row {table.line_num}, cannot be read as CSV: {error}") from error
    (_, header), *rows = found
    twice = [name for name, count in Counter(header).items() if count > 1]
    if twice:
        raise InputError(f'{path.name} has the column "{twice[0]}" twice')
    if "" in header:
        raise InputError(f"column {header.index('') + 1} of {path.name} has no name")
    if not rows:
        raise InputError(f"{path.name} has a header and no rows")
    for number, row in rows:
        if len(row) != len(header):
            raise InputError(f"{path.name}, row {number}, has {len(row)} values, and the header {len(header)}")
    if len(rows) < 10:
        raise InputError(f"{path.name} has {len(rows)} rows; train, valid and test need 10 at the least")
    return header, [row for _, row in rows], [number for number, _ in rows]


def read_column(path, column, texts, numbers):
    """Return a column as float64 if it is numeric, else None; refuse missing and infinite values."""
    values, odd = np.zeros(len(texts)), []
    for i, text in enumerate(texts):
        try:
            values[i] = float(text)
        except ValueError:
            odd.append(i)
    missing = [i for i in odd if texts[i].lower() in MISSING]
    numeric = len(odd) == len(missing) < len(texts)
    if not numeric:
        missing = [i for i in missing if not texts[i]]
    if numeric:
        missing += np.flatnonzero(np.isnan(values)).tolist()
    if missing:
        row, text = numbers[min(missing)], texts[min(missing)]
        what = "empty" if not text else f'"{text}"'
        more = f" ({len(missing)} values are missing in this column)" if len(missing) > 1 else ""
        raise InputError(
            f'{path.name}, row {row}, column "{column}", is {what}; fill missing values in, or drop the row{more}'
        )
    if numeric and np.isinf(values).any():
        row = numbers[int(np.isinf(values).argmax())]
        raise InputError(f'{path.name}, row {row}, column "{column}", is infinite')
    if not numeric and len(odd) <= 0.05 * len(texts):
        raise InputError(
            f'{path.name}, row {numbers[odd[0]]}, column "{column}", is "{texts[odd[0]]}"; the others are numbers'
        )
    return values if numeric else None


def read_target(path, column, texts, numbers):
    """Return the target's values, the names of its classes (none for a quantity), and a note that says which."""
    values = read_column(path, column, texts, numbers)
    if values is not None:
        different = np.unique(values)
        if len(different) > FEW or (different != np.round(different)).any():
            if len(different) == 1:
                raise InputError(f'column "{column}" of {path.name} has one value alone; there is nothing to learn')
            note = f"{column} is taken for a quantity ({len(different)} different numbers)"
            return values, [], note
        texts = [f"{value:g}" for value in values]
        classes = [f"{value:g}" for value in different]
    else:
        classes = sorted(set(texts))
    counts = Counter(texts)
    if len(classes) == 1:
        raise InputError(f'column "{column}" of {path.name} has one class alone, "{classes[0]}"; nothing to learn')
    if len(classes) > len(texts) / 3:
        raise InputError(
            f'column "{column}" of {path.name} has {len(classes)} classes in {len(texts)} rows; is it a name?'
        )
    rare = min(classes, key=lambda c: counts[c])
    if counts[rare] < 3:
        raise InputError(
            f'class "{rare}" of column "{column}" has {counts[rare]} rows; each class needs 3, one for each split'
        )
    number = {name: i for i, name in enumerate(classes)}
    shown = ", ".join(classes[:5]) + (", …" if len(classes) > 5 else "")
    note = f"{column} is taken for {len(classes)} classes ({shown})"
    return np.array([number[text] for text in texts]), classes, note


def read_feature(path, column, texts, numbers, train):
    """Return a column as inputs, float32 (rows, inputs), fitted on the training rows."""
    values = read_column(path, column, texts, numbers)
    if values is not None:
        mean, deviation = values[train].mean(), values[train].std()
        if not math.isfinite(deviation) or deviation == 0:
            return np.zeros((len(texts), 0 if deviation == 0 else 1), np.float32)
        return ((values - mean) / deviation).astype(np.float32)[:, None]
    known = sorted({texts[i] for i in train})
    if len(known) > max(50, len(train) / 10):
        raise InputError(
            f'column "{column}" of {path.name} has {len(known)} different texts in {len(train)} training rows; '
            "drop it if it is a name or a date, or group it"
        )
    place = {name: i for i, name in enumerate(known)}
    codes = np.array([place.get(text, -1) for text in texts])
    return (codes[:, None] == np.arange(len(known))).astype(np.float32)
