"""Texts in a CSV file: one column of texts in, another predicted."""

import math
import re
import unicodedata
from collections import Counter
from pathlib import Path

import numpy as np

from thalweg import InputError, Task, unknown
from thalweg.task.columns import read_columns, read_goal
from thalweg.task.gaps import without_gaps
from thalweg.task.models import Windows

MOST = 20_000
"""Words that a vocabulary has at most."""

LONGEST = 128
"""Words of a text that a model sees at most."""

WORD = re.compile(
    # In scripts that put no spaces between words a letter counts as one.
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]"
    r"|[^\W_]+(?:['’][^\W_]+)*|[^\w\s]|_"
)


class Vocabulary:
    """The words of training texts, and texts as their numbers; called with a list of texts.

    A word is letters and digits, or a sign; small and capital letters are the same. 0 is padding, 1 any word that is
    not known, and the most frequent of the others is 2. A word that occurs once is known only where all do.

    Args:
        texts: of the training examples.

    >>> vocabulary = Vocabulary(["Good, good film!", "Bad, bad film."])
    >>> vocabulary(["A good film", "FILM"])
    [[1, 5, 4], [4]]
    """

    def __init__(self, texts):
        found = [split_words(text) for text in texts]
        counts = Counter(word for words in found for word in words)
        often = {word: count for word, count in counts.items() if count > 1} or counts
        words = sorted(often, key=lambda word: (-often[word], word))[:MOST]
        self.numbers = {word: i for i, word in enumerate(words, 2)}
        lengths = sorted(map(len, found))
        self.longest = max(1, min(LONGEST, lengths[math.ceil(0.98 * (len(lengths) - 1))]))

    def __len__(self):
        return len(self.numbers) + 2

    def __call__(self, texts):
        """Return each text's words as numbers, at most ``longest`` of them."""
        return [[self.numbers.get(word, 1) for word in split_words(text)[: self.longest]] for text in texts]


def split_words(text):
    """Return a text's words and signs, in small letters.

    >>> split_words("Don't  panic: 日本 🙂")
    ["don't", 'panic', ':', '日', '本', '🙂']
    """
    return WORD.findall(unicodedata.normalize("NFC", text).lower())


def from_csv(path, target, column, name=None, missing=None, metric=None):
    """Return the task of predicting one column of a CSV file from a column of texts.

    The vocabulary is that of the training texts. Texts are cut to the length that 98 of 100 of these keep within,
    and to 128 words.

    Args:
        path: a CSV file with a header, separated by commas, semicolons or tabs, in UTF-8.
        target: the column to predict: classes, or a quantity, as for tables.
        column: that of the texts; all others are left out.
        name: what reports call the task; the file's name if not given.
        missing: "fill" or "drop" leave out the rows without a text or a target; they are refused if not given.
        metric: as for tables.

    Raises:
        InputError: the file cannot be read as a table, a text is missing, or there is nothing to learn; with the row.
    """
    path = Path(path)
    columns, values, numbers = read_columns(path, target)
    if column == target:
        raise InputError(f'"{column}" of {path.name} is what is predicted; name another column as the text')
    if column not in columns:
        raise unknown(f"column of {path.name}:", column, columns)
    texts = columns.pop(column)
    used, values, numbers, gaps = without_gaps(path, target, {column: texts}, values, numbers, missing, fills=False)
    texts = used[column]
    goal = read_goal(path, target, values, numbers)
    vocabulary = Vocabulary([texts[i] for i in goal.splits[0]])
    longer = sum(len(split_words(text)) > vocabulary.longest for text in texts)
    said = [goal.note, f"{column} is read as texts of at most {vocabulary.longest} words"]
    if longer:
        said[-1] += f" ({longer} of {len(texts)} are cut)"
    if columns:
        said.append(f"left out: {', '.join(columns)}")
    if gaps:
        said.append(gaps)
    task = Task(
        name=name or path.stem, model=lambda: Windows(len(vocabulary), goal.outputs), **goal.parts(texts),
        encode=vocabulary, padding=0, **goal.judged(metric), note="; ".join(said),
    )  # fmt: skip
    task.classes = tuple(goal.classes)
    return task


def free_text(columns):
    """Return the column that is free text, where it is the only one beside the target; else None.

    Four fifths of its values differ, and half of them have three words or more.
    """
    if len(columns) != 1:
        return None
    ((name, values),) = columns.items()
    differ = len(set(values)) >= 0.8 * len(values)
    return name if differ and np.median([len(value.split()) for value in values]) >= 3 else None
