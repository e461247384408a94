"""What a study's records say of its task and of the machine."""

from __future__ import annotations

import datetime
import os
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from thalweg import __version__
from thalweg.task import Task
from thalweg.train.step import drawn

__all__ = ["cores", "environment", "task_facts"]


def task_facts(task: Task) -> dict[str, Any]:
    """Return what a reader must know of the task to read its scores."""
    metric = task.metric
    return {
        "name": task.name,
        "spec": task.origin.spec if task.origin else task.name,
        "metric": {"name": metric.name, "higher_is_better": metric.higher_is_better, "unit": metric.unit},
        "sizes": {"train": len(task.train), "valid": len(task.valid), "test": len(task.test)},
        "origin": task.origin and {"file": str(task.origin.file), "expression": task.origin.expression},
        "dropout": drawn(task).masks,
        "draws": drawn(task).moves_generator,
        "hidden": bool(drawn(task).hidden),
        "padding": task.padding is not None,
        "parameters": sum(p.numel() for p in task.model(0).parameters()),
    }


def environment(processes: int) -> dict[str, Any]:
    """Return what a run depends on beside its recipe and task."""
    return {
        "thalweg": __version__,
        "torch": version("torch"),
        "numpy": np.__version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processor": _processor(),
        "cores": cores(),
        "processes": processes,
        "threads": 1,
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
