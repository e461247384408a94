"""What a model would score that says the same of every example: whoever is no better has learned nothing of use."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from thalweg.record import BaselineRecord, Store
from thalweg.study.statistics import means
from thalweg.study.wording import FEW, joined
from thalweg.task import Split, Task, absolute_error, apply, squared_error
from thalweg.task.reading import are_classes

__all__ = ["against", "answered", "constant", "keep", "kept", "said", "told"]

NAME = "constant"
"""What the store calls it, beside the classical baselines."""

LEAST = 1e-9
"""The least share of a class whose logarithm is taken."""


def constant(task: Task) -> BaselineRecord | None:
    """Return what the best constant answer scores, as a baseline is recorded; None where the metric takes none.

    For classes the answer is the shares that they have in train, as scores: the highest is the commonest. For
    quantities it is the mean or the median of train, for each output its own, whichever the metric prefers on train.

    Args:
        task: any; those with a class or a quantity at each of several places say nothing unless outputs and targets
            agree in shape.

    >>> import thalweg as tw
    >>> found = constant(tw.load_task("wine"))
    >>> found.declared, round(found.test, 3)
    ('class 1, the commonest', 0.389)
    """
    began = time.process_time()
    try:
        with torch.no_grad():
            return _judged(task, began)
    except Exception:  # it is the metric's right to take nothing but what the task's model puts out
        return None


def _judged(task: Task, began: float) -> BaselineRecord | None:
    few = task.train.at(torch.arange(min(4, len(task.train))))
    output = apply(task.model(0).eval(), few.inputs)
    if not isinstance(output, Tensor) or output.is_complex():
        return None
    shape, targets = output.shape[1:], task.train.targets
    if are_classes(targets):
        answers = _classes(task, targets, shape) if len(shape) < 2 else []
    elif targets.is_floating_point() and output.numel() == few.targets.numel():
        answers = _quantities(task, targets)
    else:
        answers = []
    sign = 1.0 if task.metric.higher_is_better else -1.0
    scored = [(sign * float(_outcomes(task, task.train, x, shape).mean()), said, x) for said, x in answers]
    scored = [one for one in scored if math.isfinite(one[0])]
    if not scored:
        return None
    best, said, answer = max(scored, key=lambda one: one[0])
    valid, test = (_outcomes(task, split, answer, shape) for split in (task.valid, task.test))
    if not np.isfinite(test).all():
        return None
    seconds = time.process_time() - began
    return BaselineRecord(NAME, 0, 0, said, "", seconds, sign * best, float(valid.mean()), float(test.mean()), test)


def _outcomes(task: Task, split: Split, answer: Tensor, shape: Sequence[int]) -> np.ndarray:
    """Return the metric of every example of a split where the output is always ``answer``."""
    said = answer.to(task.dtype).reshape(shape).expand(len(split), *shape)
    return task.metric.outcomes(said, split.targets).reshape(-1).float().numpy()


def _classes(task: Task, targets: Tensor, shape: Sequence[int]) -> list[tuple[str, Tensor]]:
    """Return scores for the shares of classes; where the model has one score, that of the second of two classes."""
    width = shape[0] if shape else 1
    counts = torch.bincount(targets.long(), minlength=max(2, width)).double()
    top = int(counts.argmax())
    said = f"'{task.classes[top]}'" if task.classes else f"class {top}"
    shares = counts / counts.sum()
    scores = [shares.clamp_min(LEAST).log()] if width > 1 else [_odds(shares[1]), shares[1]]
    return [(f"{said}, the commonest{' class' * bool(task.classes)}", x) for x in scores]


def _quantities(task: Task, targets: Tensor) -> list[tuple[str, Tensor]]:
    """Return the mean and the median of every output; of zeros and ones the log odds of a one, too."""
    values = targets.double()
    mean, median = values.mean(0), torch.as_tensor(np.median(values.numpy(), axis=0))
    many = mean.numel() > 1
    whole = (squared_error.outcomes, absolute_error.outcomes)
    if task.metric.outcomes not in whole and (values * (values - 1) == 0).all():
        said = "the commonest values" if many else f"{float(mean) >= 0.5:d}, the commonest value"
        return [(said, x) for x in (_odds(mean), mean, median)]
    of = "means" if many else "mean", "medians" if many else "median"
    return [(f"the {word} of the training targets", x) for word, x in zip(of, (mean, median), strict=True)]


def _odds(share: Tensor) -> Tensor:
    inside = share.clamp(LEAST, 1 - LEAST)
    return (inside / (1 - inside)).log()


# -- kept, and held against recipes ----------------------------------------------------------------------


def keep(task: Task, store: Store) -> None:
    """Record a study's constant answer, once; also of a study that an older version began.

    Raises:
        StoreError: it could not be written.
    """
    if kept(store) is None and (found := constant(task)) is not None:
        store.add_baseline(found)


def kept(store: Store) -> BaselineRecord | None:
    """Return a study's constant answer, if it has one."""
    return next((fit for fit in store.baselines() if fit.name == NAME and fit.outcomes is not None), None)


def against(
    answer: BaselineRecord | None, arms: Mapping[str, ArrayLike], metric: Mapping[str, Any], alpha: float
) -> dict[str, Any] | None:
    """Return where recipes stand to a constant answer; None without one, or without recipes.

    Differences are recipe − answer, turned so that more is better, paired by test example. They hold for all recipes
    at once (Bonferroni). With one seed, which has no intervals, the mean decides.

    Args:
        answer: what `constant` made.
        arms: the recipes' scores, shape ``(seeds, examples)``.
        metric: ``name``, ``higher_is_better`` and ``unit``.
        alpha: probability with which any of the claims is wrong.

    Returns:
        ``said``, ``mean``, and ``recipes``: ``name``, ``difference``, ``better`` (it is claimed to be better).
    """
    outcomes = None if answer is None else np.asarray(answer.outcomes, float)
    if answer is None or outcomes is None or not arms:
        return None
    scores = [np.asarray(one, float) for one in arms.values()]
    if any(one.shape[1:] != outcomes.shape for one in scores):
        return None
    sign = 1.0 if metric["higher_is_better"] else -1.0
    over = means(sign * (np.stack(scores) - outcomes))
    claimed = over.claimed(alpha / len(scores)) if len(scores[0]) > 1 else np.ones(len(scores), bool)
    rows = [
        {"name": name, "difference": float(size), "better": bool(sure and size > 0)}
        for name, size, sure in zip(arms, over.mean, claimed, strict=True)
    ]
    return {"said": answer.declared, "mean": float(outcomes.mean()), "recipes": rows}


def said(verdict: dict[str, Any], found: dict[str, Any] | None) -> dict[str, Any]:
    """Return a verdict that says of which recipes it is not claimed that they are better than the constant answer.

    Where these are all, the second sentence does; else a warning.
    """
    text, every = told(found, verdict["unit"])
    sentences, warnings = list(verdict["sentences"]), list(verdict["warnings"])
    if every:
        sentences.insert(1, text)
    elif text:
        warnings.insert(0, text)
    return {**verdict, "constant": found, "sentences": sentences, "warnings": warnings}


def told(found: Mapping[str, Any] | None, unit: str) -> tuple[str, bool]:
    r"""Return a sentence on the recipes that are no better, and whether these are all; no sentence where all are.

    >>> rows = [{"name": "adam", "difference": 0.0, "better": False}]
    >>> told({"said": "'no', the commonest class", "mean": 0.935, "recipes": rows}, "%")
    ("adam is no better than always answering 'no', the commonest class: 93.5\xa0%.", True)
    """
    names = [row["name"] for row in found["recipes"] if not row["better"]] if found else []
    if not found or not names:
        return "", False
    every = len(names) == len(found["recipes"])
    above = any(row["difference"] > 0 for row in found["recipes"] if row["name"] in names)
    one = len(names) == 1
    who = joined(names) if len(names) <= FEW else f"{len(names)} of {len(found['recipes'])} recipes"
    if every and not one:
        head = f"No recipe {'was shown to be' if above else 'is'} better"
    elif above:
        head = f"{who} {'was' if one else 'were'} not shown to be better"
    else:
        head = f"{who} {'is' if one else 'are'} no better"
    return f"{head} than {answered(found, unit)}.", every


def answered(found: Mapping[str, Any], unit: str) -> str:
    """Return what the constant answer is, and what it scores."""
    value = found["mean"]  # it has no interval, which would say to how many figures
    percent = f"{100 * value:.2f}".rstrip("0").rstrip(".")
    shown = f"{percent}\u00a0%" if unit == "%" else f"{value:.4g} {unit}".rstrip()
    return f"always answering {found['said']}: {shown}"
