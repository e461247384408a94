"""A table in a CSV file: numbers and categories in, one column predicted."""

from pathlib import Path

import numpy as np

from thalweg import InputError, Task
from thalweg.task.columns import read_column, read_columns, read_goal, scale
from thalweg.task.gaps import without_gaps
from thalweg.task.models import MLP


def from_csv(path, target, drop=(), name=None, missing=None, metric=None):
    """Return the task of predicting one column of a CSV file from the others.

    A column whose values are all numbers is numeric, and scaled to mean 0 and standard deviation 1; any other is a
    category, one input a category. The target is a quantity when it is numeric, unless it has few different values
    (at most 20, and at most a third of the rows), all whole numbers: then, and when it is text, these are classes.
    Whatever is fitted is fitted on the training rows alone; a category that they do not have is no input, and so is
    a column that is constant in them.

    Args:
        path: a CSV file with a header, separated by commas, semicolons or tabs, in UTF-8.
        target: the column to predict.
        drop: columns that are not to be predicted from, such as numbers of rows, names and dates.
        name: what reports call the task; the file's name if not given.
        missing: what to do with missing values: empty cells, NA, N/A, NaN, null and ?, in capitals or not. "fill":
            numbers become the median of the training rows, with an input more that says where; of categories they
            are one more; rows without a target are left out. "drop": all rows with one are left out.
        metric: "accuracy" or "balanced_accuracy" for classes; for a quantity "relative_squared_error",
            "squared_error" or "absolute_error", the last two in its own units; the first if not given.

    Raises:
        InputError: the file cannot be read as a table, values are missing and ``missing`` is not given, or there is
            nothing to learn; with the row as in the file (the header is row 1) and the column.
    """
    path = Path(path)
    columns, texts, numbers = read_columns(path, target, drop)
    columns, texts, numbers, gaps = without_gaps(path, target, columns, texts, numbers, missing)
    goal = read_goal(path, target, texts, numbers)
    parts = {column: read_feature(path, column, texts, numbers, goal.splits[0]) for column, texts in columns.items()}
    inputs = np.concatenate([part for part, _ in parts.values()], axis=1)
    if not inputs.shape[1]:
        raise InputError(f"every column of {path.name} beside {target} is constant; there is nothing to learn from")
    task = Task(
        name=name or path.stem, model=lambda: MLP(inputs.shape[1], goal.outputs), **goal.parts(inputs),
        **goal.judged(metric), note=f"{goal.note}; {gaps}" if gaps else goal.note,
    )  # fmt: skip
    task.features = tuple(feature for _, named in parts.values() for feature in named)
    task.constant = tuple(column for column, (_, named) in parts.items() if not named)
    task.classes = tuple(goal.classes)
    return task


def read_feature(path, column, texts, numbers, train):
    """Return a column as inputs, float32 (rows, inputs), fitted on the training rows, and their names."""
    values = read_column(path, column, texts, numbers)
    if values is not None:
        return read_numbers(path, column, values, numbers, train)
    known = sorted({texts[i] for i in train})
    if len(known) > max(50, min(500, len(train) / 10)) or len(known) == len(train):
        raise InputError(
            f'column "{column}" of {path.name} has {len(known)} different texts in {len(train)} training rows; '
            f'drop it with --drop "{column}" if it is a name or a date, write fewer and more general ones into '
            f'the file, or predict from it alone with --text "{column}"'
        )
    if len(known) == 1:
        known = []
    place = {name: i for i, name in enumerate(known)}
    codes = np.array([place.get(text, -1) for text in texts])
    return (codes[:, None] == np.arange(len(known))).astype(np.float32), [
        f"{column}={value}" if value else f"{column} is missing" for value in known
    ]


def read_numbers(path, column, values, numbers, train):
    """Return numbers as inputs and their names; missing ones are the training rows' median, and an input more."""
    empty = np.isnan(values)
    if empty[train].all():
        raise InputError(f'column "{column}" of {path.name} has no value in the training rows; use --drop "{column}"')
    scaled = scale(path, column, np.where(empty, np.median(values[train][~empty[train]]), values), numbers, train)
    parts = [] if scaled is None else [(scaled, column)]
    if empty[train].any():
        parts.append((empty.astype(np.float32), f"{column} is missing"))
    inputs = [part for part, _ in parts]
    return np.stack(inputs, 1) if parts else np.zeros((len(values), 0), np.float32), [name for _, name in parts]
