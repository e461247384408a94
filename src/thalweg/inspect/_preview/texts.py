"""Texts with the edits that a policy makes, taken out and put in."""

from __future__ import annotations

import time
from statistics import median

from thalweg.augment import Policy
from thalweg.augment.text import Edited
from thalweg.inspect._preview import page
from thalweg.inspect._preview.samples import Sample

__all__ = ["drawn", "marked"]


def drawn(
    policy: Policy, samples: list[Sample], epochs: int, seed: int, source: str, notes: list[str]
) -> tuple[bytes, float]:
    """Return a page of a policy's texts, and the seconds that one takes."""
    texts, numbers = [sample.text for sample in samples], [sample.number for sample in samples]
    made: list[list[Edited]] = []
    took = []
    policy.texts(texts, numbers, seed=seed)  # sources are opened at the first call
    for epoch in range(epochs):
        start = time.perf_counter()
        made.append(policy.texts(texts, numbers, epoch=epoch, seed=seed))
        took.append((time.perf_counter() - start) / len(texts))
    sections = []
    for i, sample in enumerate(samples):
        lines = [f'<dt>original</dt><dd dir="auto">{page.escaped(sample.text)}</dd>']
        lines += [f'<dt>epoch {epoch}</dt><dd dir="auto">{marked(done[i])}</dd>' for epoch, done in enumerate(made)]
        told = [(f"epoch {epoch}", _log(done[i])) for epoch, done in enumerate(made)]
        sections.append(page.sample(sample, f'<dl class="texts">{"".join(lines)}</dl>', told))
    said = [page.escaped(note) for note in notes]
    said += ["<del>Taken out</del>, <ins>put in</ins>; all else is as it was, byte for byte."]
    said += [page.escaped(f"Words come from {line}") for line in policy.sources()]
    return page.whole(policy, seed, source, median(took), "text", said, sections), median(took)


def marked(done: Edited) -> str:
    """Return a text as HTML in which each edit shows what was taken out and what was put in.

    >>> from thalweg.augment.text._edits import Edit
    >>> marked(Edited("a <b>", "one <b>", (Edit(0, 1, "a", "one", 0, "synonym"),)))
    '<span title="synonym"><del>a</del><ins>one</ins></span> &lt;b&gt;'
    """
    pieces, last = [], 0
    for edit in done.log:
        pieces.append(page.escaped(done.original[last : edit.start]))
        old, new = page.escaped(edit.before), page.escaped(edit.after)
        both = (f"<del>{old}</del>" if old else "") + (f"<ins>{new}</ins>" if new else "")
        pieces.append(f'<span title="{page.escaped(edit.name)}">{both}</span>')
        last = edit.end
    pieces.append(page.escaped(done.original[last:]))
    return "".join(pieces)


def _log(done: Edited) -> str:
    """Return the edits, a line each."""
    if not done.log:
        return "as it was"
    return "\n".join(f"{edit.name}, at {edit.start}: {edit.before!r} → {edit.after!r}" for edit in done.log)
