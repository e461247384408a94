"""What a study's records say of its task and of the machine."""

from __future__ import annotations

import datetime
import os
import platform
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from thalweg import __version__
from thalweg.latex import latex, symbol
from thalweg.recipe import CATALOGUES, Recipe
from thalweg.task import Task
from thalweg.technique import Ingredient, Technique
from thalweg.train.step import drawn

__all__ = ["cores", "environment", "task_facts", "technique_facts"]


def task_facts(task: Task) -> dict[str, Any]:
    """Return what a reader must know of the task to read its scores."""
    metric = task.metric
    return {
        "name": task.name,
        "spec": task.origin.spec if task.origin else task.name,
        "metric": {
            "name": metric.name,
            "higher_is_better": metric.higher_is_better,
            "unit": metric.unit,
            "least": metric.least,
        },
        "sizes": {"train": len(task.train), "valid": len(task.valid), "test": len(task.test)},
        "origin": task.origin and {"file": str(task.origin.file), "expression": task.origin.expression},
        "dropout": drawn(task).masks,
        "noise": drawn(task).noise,
        "draws": drawn(task).moves_generator,
        "keyed": drawn(task).keyed,
        "evaluating": drawn(task).evaluating,
        "hidden": bool(drawn(task).hidden),
        "padding": task.padding is not None,
        "parameters": sum(p.numel() for p in task.model(0).parameters()),
    }


def technique_facts(recipes: Mapping[str, Recipe]) -> list[dict[str, Any]]:
    r"""Return the techniques of some recipes as a page can print them without them: formula, symbols, source.

    >>> from thalweg import optim
    >>> (sgd, constant) = technique_facts({"mine": Recipe(optim.sgd())})
    >>> sgd["role"], sgd["latex"], sgd["symbols"], sgd["recipes"]
    ('optimizer', ['x \\leftarrow x - \\alpha \\, g'], {'lr': '\\alpha'}, ['mine'])
    """
    users: dict[Technique, list[str]] = {}
    for name, recipe in recipes.items():
        for role in CATALOGUES:
            value = getattr(recipe, role)
            for part in [value] if isinstance(value, Ingredient) else getattr(value, "parts", ()):
                names = users.setdefault(part.technique, [])
                names += [name] * (name not in names)
    return [_technique(technique, names) for technique, names in users.items()]


def _technique(technique: Technique, recipes: list[str]) -> dict[str, Any]:
    vectors = getattr(technique, "vectors", None)
    return {
        "role": technique.kind,
        "name": technique.name,
        "summary": technique.summary,
        "latex": _formula(technique),
        "symbols": {name: symbol(name) for name in technique.hyperparameters},
        "vectors": vectors.name if vectors is not None else "",
        "source": technique.source,
        "recipes": recipes,
    }


def _formula(technique: Technique) -> list[str]:
    """Return the formula's lines; none where it has words that LaTeX does not, as a user's own may."""
    try:
        return latex(technique)
    except (AssertionError, OSError):
        return []


def environment(processes: int | str, threads: int | str = 1) -> dict[str, Any]:
    """Return what a run depends on beside its recipe and task.

    Args:
        processes: how many train at once.
        threads: how many each has; in words, where kinds of runs differ.
    """
    return {
        "thalweg": __version__,
        "torch": version("torch"),
        "numpy": np.__version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processor": _processor(),
        "cores": cores(),
        "processes": processes,
        "threads": threads,
        "started": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
