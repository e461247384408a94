"""Which package of Python's standard library does a docstring come from? Read from the running interpreter."""

import ast
import re
import sysconfig
import warnings
import zlib
from collections import defaultdict
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from thalweg import InputError, Key, Task, accuracy

CLASSES = 10
WORDS = 2048
LENGTH = 40
MOST = 300


class WordMean(nn.Module):
    """The mean of a text's word vectors, then one linear layer; word 0 is none."""

    def __init__(self, classes):
        super().__init__()
        self.words = nn.Embedding(WORDS, 32)
        self.out = nn.Linear(32, classes)

    def forward(self, x):
        """Return (N, classes) for words (N, length)."""
        there = (x > 0).to(self.out.weight.dtype).unsqueeze(-1)
        return self.out((self.words(x) * there).sum(1) / there.sum(1).clamp(min=1))


def read():
    """Return docstrings by package, in the order of files and lines; nothing is imported."""
    library = Path(sysconfig.get_path("stdlib"))
    found = defaultdict(list)
    for path in sorted(library.rglob("*.py")):
        package, *inside = path.relative_to(library).parts
        if not inside or package in ("site-packages", "dist-packages", "test") or {"test", "tests"} & set(inside):
            continue
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # old escapes in someone else's strings
                tree = ast.parse(path.read_bytes())
        except (SyntaxError, ValueError):
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Module):
                words = re.findall(r"[a-z]+", (ast.get_docstring(node) or "").lower())
                if len(words) >= 4:
                    found[package].append(words)
    return found


def docstrings():
    """Return the task: the ten packages with the most docstrings, at most 300 of each, as hashed words (N, 40)."""
    found = read()
    packages = sorted(found, key=lambda package: (-len(found[package]), package))[:CLASSES]
    if not packages or len(found[packages[-1]]) < 20:
        raise InputError("this Python comes without the source of its standard library, where docstrings are read")
    inputs, targets = [], []
    for number, package in enumerate(sorted(packages)):
        texts = found[package]
        for i in np.sort((Key(0) / package).permutation(len(texts))[:MOST]):
            codes = [1 + zlib.crc32(word.encode()) % (WORDS - 1) for word in texts[i][:LENGTH]]
            inputs.append(codes + [0] * (LENGTH - len(codes)))
            targets.append(number)
    return Task(
        name="docstrings", model=lambda: WordMean(CLASSES), data=(torch.tensor(inputs), torch.tensor(targets)),
        loss=F.cross_entropy, metric=accuracy, epochs=20, note=f"the packages are {', '.join(sorted(packages))}",
    )  # fmt: skip
