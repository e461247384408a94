"""How long a study of `pysource` takes, nothing cached and cached, beside plain PyTorch; some 25 minutes."""

from __future__ import annotations

import shlex
from pathlib import Path

from clock import met, table
from whole import nothing_cached, ours, peer, prepared

TARGET = 3.0
"""How many times less wall time than plain PyTorch."""

VARY = "optimizer=momentum,nesterov,adam,adamw"
SEEDS, EPOCHS, EVERY = 11, 2, 8
"""204 runs at most, each a quarter as long as the task's own 8 epochs: what is paid once weighs the more. By plain
PyTorch one run in eight, scaled."""


def section() -> str:
    with nothing_cached() as folder:
        return _section(folder)


def _section(folder: Path) -> str:
    arguments = ["compare", "pysource", "--epochs", str(EPOCHS), "--seeds", str(SEEDS)]
    arguments += ["--vary", VARY, "--out", "pysource"]
    done = [ours(arguments), ours(arguments)]
    files = prepared(folder, "pysource", done[0].plan)
    plain = peer("plain.py", files, done[0].runs, every=EVERY)
    words = ("nothing cached", "compiled code cached")
    rows = [
        [
            f"thalweg, {word}",
            f"{one.wall:.1f} s",
            f"{plain / one.wall:.1f}",
            f"≥ {TARGET:g}",
            met(plain / one.wall >= TARGET),
        ]
        for word, one in zip(words, done, strict=True)
    ]
    rows.append(["plain PyTorch", f"{plain:.1f} s", "1.0", "", ""])
    command = shlex.join(["thalweg", *arguments[:-2]])
    return f"""## A study of a small transformer

`{command}`: {done[0].runs} runs of the small transformer, each
{EPOCHS} epochs long and not the task's own 8, so that what is paid once weighs the more. Plain PyTorch made
one run in {EVERY}; for the others is added as much for each.

{table(["by", "wall", "plain PyTorch ÷ it", "target", ""], rows)}
"""
