"""The next byte of Python's standard library: a small transformer on real text that every machine has."""

import math
import sysconfig
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from thalweg import InputError, Key, Metric, Task

CONTEXT = 64
SEQUENCES = {"train": 1024, "valid": 192, "test": 384}


class Block(nn.Module):
    """Causal self-attention and a feed-forward layer, each after a layer norm, each added to its input."""

    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.norm1 = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.join = nn.Linear(width, width)
        self.norm2 = nn.LayerNorm(width)
        self.up = nn.Linear(width, 4 * width)
        self.down = nn.Linear(4 * width, width)

    def forward(self, x):
        """Return (N, T, width) for (N, T, width)."""
        n, t, width = x.shape
        q, k, v = self.qkv(self.norm1(x)).view(n, t, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        later = torch.ones(t, t, dtype=torch.bool, device=x.device).triu(1)
        weights = (q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])).masked_fill(later, -math.inf).softmax(-1)
        x = x + self.join((weights @ v).transpose(1, 2).reshape(n, t, width))
        return x + self.down(F.gelu(self.up(self.norm2(x))))


class Transformer(nn.Module):
    """Bytes in, scores of the next byte out: two blocks of width 64, four heads."""

    def __init__(self, width=64, heads=4, blocks=2):
        super().__init__()
        self.bytes = nn.Embedding(256, width)
        self.places = nn.Parameter(0.02 * torch.randn(CONTEXT, width))
        self.blocks = nn.Sequential(*(Block(width, heads) for _ in range(blocks)))
        self.norm = nn.LayerNorm(width)
        self.out = nn.Linear(width, 256)

    def forward(self, x):
        """Return (N, T, 256) for bytes (N, T)."""
        return self.out(self.norm(self.blocks(self.bytes(x) + self.places)))


def loss(output, targets):
    """Return the mean cross entropy of the next bytes, in nats."""
    return F.cross_entropy(output.flatten(0, 1), targets.flatten())


def bits(output, targets):
    """Return the mean bits a byte of each sequence, shape (N,)."""
    return F.cross_entropy(output.transpose(1, 2), targets, reduction="none").mean(1) / math.log(2)


def sequences():
    """Return for each split its sequences, uint8 (N, CONTEXT + 1); no file is in two splits."""
    library = Path(sysconfig.get_path("stdlib"))
    outside = {"site-packages", "dist-packages", "test", "tests", "__pycache__", "idlelib", "lib2to3"}
    paths = [p for p in sorted(library.rglob("*.py")) if not outside & set(p.relative_to(library).parts)]
    paths = [paths[i] for i in (Key(0) / "files").permutation(len(paths))]
    cuts = [0, int(0.6 * len(paths)), int(0.8 * len(paths)), len(paths)]
    parts = {}
    for (word, count), start, stop in zip(SEQUENCES.items(), cuts[:-1], cuts[1:], strict=True):
        text = np.frombuffer(b"\n".join(path.read_bytes() for path in paths[start:stop]), np.uint8)
        pieces = len(text) // (CONTEXT + 1)
        if pieces < count:
            raise InputError("this Python comes without the source of its standard library, which pysource reads")
        rows = (Key(0) / "sequences" / word).permutation(pieces)[:count]
        parts[word] = text[: pieces * (CONTEXT + 1)].reshape(pieces, -1)[rows].astype(np.int64)
    return parts


def pysource():
    """Return the task: inputs and targets (N, 64), the targets one byte further on."""
    train, valid, test = ((part[:, :-1], part[:, 1:]) for part in sequences().values())
    return Task(
        name="pysource", model=Transformer, train=train, valid=valid, test=test, loss=loss,
        metric=Metric("bits per byte", bits, False, unit="bits", least=0.0, by_example=True), epochs=8, batch_size=16,
    )  # fmt: skip
