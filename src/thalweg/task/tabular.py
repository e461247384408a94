"""A table in a CSV file: numbers and categories in, one column predicted."""

from pathlib import Path

import numpy as np

from thalweg import InputError, Task
from thalweg.task.columns import read_column, read_columns, read_goal, scale
from thalweg.task.models import MLP


def from_csv(path, target, drop=(), name=None):
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

    Raises:
        InputError: the file cannot be read as a table, a value is missing, or there is nothing to learn; with
            the row as in the file (the header is row 1) and the column.
    """
    path = Path(path)
    columns, texts, numbers = read_columns(path, target, drop)
    goal = read_goal(path, target, texts, numbers)
    parts = {column: read_feature(path, column, texts, numbers, goal.splits[0]) for column, texts in columns.items()}
    inputs = np.concatenate([part for part, _ in parts.values()], axis=1)
    if not inputs.shape[1]:
        raise InputError(f"every column of {path.name} beside {target} is constant; there is nothing to learn from")
    task = Task(
        name=name or path.stem, model=lambda: MLP(inputs.shape[1], goal.outputs), **goal.parts(inputs),
        **goal.judged(), note=goal.note,
    )  # fmt: skip
    task.features = tuple(feature for _, named in parts.values() for feature in named)
    task.constant = tuple(column for column, (_, named) in parts.items() if not named)
    task.classes = tuple(goal.classes)
    return task


def read_feature(path, column, texts, numbers, train):
    """Return a column as inputs, float32 (rows, inputs), fitted on the training rows, and their names."""
    values = read_column(path, column, texts, numbers)
    if values is not None:
        scaled = scale(path, column, values, numbers, train)
        return (np.zeros((len(texts), 0), np.float32), []) if scaled is None else (scaled[:, None], [column])
    known = sorted({texts[i] for i in train})
    if len(known) > max(50, min(500, len(train) / 10)) or len(known) == len(train):
        raise InputError(
            f'column "{column}" of {path.name} has {len(known)} different texts in {len(train)} training rows; '
            f'drop it with --drop "{column}" if it is a name or a date, group it, or predict from it alone with '
            f'--text "{column}"'
        )
    if len(known) == 1:
        known = []
    place = {name: i for i, name in enumerate(known)}
    codes = np.array([place.get(text, -1) for text in texts])
    return (codes[:, None] == np.arange(len(known))).astype(np.float32), [f"{column}={value}" for value in known]
