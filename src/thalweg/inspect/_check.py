"""The sanity checks that experienced people do by hand before a training, in order."""

from __future__ import annotations

import textwrap
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch

from thalweg import task as tasks
from thalweg.errors import InputError
from thalweg.inspect._checks import (
    codes,
    data,
    layers,
    leaks,
    losses,
    model,
    modes,
    rates,
    sharing,
    training,
    units,
    windows,
)
from thalweg.inspect._checks.finding import Finding, skipped
from thalweg.inspect._checks.subject import Subject
from thalweg.key import Key
from thalweg.recipe import Recipe
from thalweg.task import Task
from thalweg.task.reading import first_line
from thalweg.train.made import check_made
from thalweg.train.passes import check_passes

__all__ = ["CHECKS", "Check", "check"]

CHECKS: dict[str, Callable[[Subject], Finding]] = {
    "targets": data.targets,
    "class codes": codes.codes,
    "duplicates": sharing.duplicates,
    "overlaps": windows.overlaps,
    "leakage": leaks.leakage,
    "inputs": data.inputs,
    "splits": data.alike,
    "loss at start": losses.start,
    "outputs": losses.outputs,
    "loss": losses.loss,
    "layers": layers.layers,
    "gradient check": model.gradient_check,
    "batch independence": model.batch_independence,
    "causality": model.causality,
    "inputs used": model.inputs_used,
    "overfit a batch": training.overfit,
    "signal": training.signal,
    "units": units.units,
    "updates": rates.updates,
    "learning rate": rates.learning_rate,
    "no gradient": model.without_gradient,
    "modes": modes.modes,
    "loader": rates.loader,
}
"""Every check by name, in order: from a task and a recipe to a finding."""

SMALL = 1_000_000
"""Models with fewer weights are looked at on one thread: several would wait for each other."""


@dataclass(frozen=True)
class Check:
    """What `check` found; printed, a table.

    Attributes:
        task: its name and sizes.
        recipe: how it is trained.
        findings: one a check, in order.
    """

    task: str
    recipe: str
    findings: tuple[Finding, ...]

    @property
    def wrong(self) -> tuple[Finding, ...]:
        """The mistakes."""
        return tuple(x for x in self.findings if x.level == "wrong")

    def __getitem__(self, name: str) -> Finding:
        """Return the finding of a check by its name."""
        return next(x for x in self.findings if x.check == name)

    def __str__(self) -> str:
        return self.text(80)

    def text(self, width: int) -> str:
        """Return the table, lines at most so many characters long."""
        names = max(len(x.check) for x in self.findings)
        indent = " " * (7 + 2 + names + 2)
        lines = [*_wrapped(f"{self.task}; {self.recipe}", width), ""]
        for x in self.findings:
            head = f"{x.level:<7}  {x.check:<{names}}  "
            lines += textwrap.wrap(x.what, width, initial_indent=head, subsequent_indent=indent)
            lines += textwrap.wrap(x.remedy, width, initial_indent=f"{indent}→ ", subsequent_indent=f"{indent}  ")
        return "\n".join([*lines, "", *_wrapped(self.sentence, width)])

    @property
    def sentence(self) -> str:
        """All in one sentence."""
        counts = {
            level: sum(x.level == level for x in self.findings) for level in ("wrong", "note", "skipped", "fine")
        }
        if self.wrong:
            return f"{counts['wrong']} of {len(self.findings)} checks found something wrong: {_named(self.wrong)}."
        rest = f"{counts['fine']} checks are fine, {counts['skipped']} could not be made."
        notes = [x for x in self.findings if x.level == "note"]
        return f"Nothing is wrong; look at {_named(notes)}. {rest}" if notes else f"Nothing is wrong. {rest}"


def _named(findings: Any) -> str:
    return ", ".join(x.check for x in findings)


def _wrapped(text: str, width: int) -> list[str]:
    return textwrap.wrap(text, width)


def check(task: Task, recipe: Recipe | None = None) -> Check:
    """Look a task over before it is trained on, in seconds: data, loss, gradients, units, rates, modes, speed.

    Each check gives a plain finding: ``fine``; ``note``, worth knowing and perhaps meant; ``wrong``, a mistake, with
    what to do about it; or ``skipped``, with the reason. Task, data and all generators of random numbers are left as
    they were, and nothing is written.

    Args:
        task: what is checked.
        recipe: how it is to be trained: its optimizer and learning rate, what it changes in the model, its loss and
            batch size. Ranges take their defaults. Left out: adam at its defaults.

    Raises:
        InputError: a task that cannot be trained on at all, such as one whose model has no parameters; or a recipe
            that does not fit it.

    Source: Karpathy 2019, A Recipe for Training Neural Networks.

    >>> import thalweg as tw
    >>> from thalweg import inspect
    >>> found = inspect.check(tw.load_task("wine"))
    >>> found.wrong, found["loss at start"].level
    ((), 'fine')
    """
    if not isinstance(task, Task):
        raise InputError(f"check takes a Task, not {type(task).__name__}")
    if recipe is not None and not isinstance(recipe, Recipe):
        raise InputError(f"check takes a Recipe, not {type(recipe).__name__}")
    chosen = (recipe or Recipe(batch_size=task.batch_size, epochs=task.epochs)).resolved()
    with _quietly():
        tasks.check(task)
        check_passes(task, chosen)
        check_made(task, chosen)
        subject = Subject(task, chosen)
        with _threads(subject):
            findings = tuple(_made(name, looked, subject) for name, looked in CHECKS.items())
    sizes = ", ".join(f"{len(getattr(task, word)):,} {word}" for word in ("train", "valid", "test"))
    shown = f"{chosen.optimizer}, batches of {chosen.sizes()[0]}"
    return Check(f"{task.name}: {sizes}", shown, findings)


def _made(name: str, looked: Callable[[Subject], Finding], subject: Subject) -> Finding:
    """Return a check's finding; where it fails, it was skipped, and says why."""
    with (Key(0) / "check" / name).seeded():
        try:
            found = looked(subject)
        except Exception as error:
            found = skipped(f"it could not be made: {first_line(error)}")
    return replace(found, check=name)


@contextmanager
def _quietly() -> Iterator[None]:
    """Keep what a model warns of to its training."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@contextmanager
def _threads(subject: Subject) -> Iterator[None]:
    before = torch.get_num_threads()
    if sum(p.numel() for p in subject.model().parameters()) < SMALL:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
