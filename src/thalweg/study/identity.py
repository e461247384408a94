"""What a study's store says of it, and whether a command goes on with the study that is there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from thalweg.errors import InputError
from thalweg.recipe import Recipe, Together
from thalweg.record import RecipeRow, Store
from thalweg.study.facts import environment, task_facts, technique_facts
from thalweg.study.plan import Protocol
from thalweg.study.planning import in_numbers, plan_facts
from thalweg.task import Task
from thalweg.train.planner import Plan

__all__ = ["continued", "study_facts"]


def study_facts(
    task: Task,
    prints: Mapping[str, str],
    protocol: Protocol,
    plans: Mapping[Together, Plan],
    processes: int,
    command: str,
    recipes: Mapping[str, Recipe],
) -> dict[str, Any]:
    """Return what a new study's store says of itself."""
    return {
        "task": task_facts(task),
        "fingerprint": dict(prints),
        "protocol": {**protocol.as_dict(), "command": command, "runs": protocol.runs(recipes)},
        "environment": environment(*in_numbers(plans, processes)),
        "techniques": technique_facts(recipes),
        "plan": plan_facts(plans, processes),
    }


def continued(
    store: Store,
    task: Task,
    prints: Mapping[str, str],
    rows: Sequence[RecipeRow],
    protocol: Protocol,
    budgeted: bool,
) -> Protocol:
    """Return the protocol of the study that is there, or refuse: it must be this one.

    Raises:
        InputError: the study is of another task, of a task that has changed, of other recipes, or of another size.
    """
    where = store.directory
    there = store.get("task")["name"]
    if there != task.name:
        raise InputError(f"{where} holds a study of the task {there}, not {task.name}; choose another --out")
    old = store.get("fingerprint")
    changed = [part for part in prints if prints[part] != old.get(part)]
    if changed:  # what comes after the first may have changed with it
        drawn = " (does its file draw them at random, without a seed?)" if changed[0] == "data" else ""
        raise InputError(
            f"the {changed[0]} of task {task.name} changed since the study in {where} began{drawn}; "
            "choose another --out"
        )
    held = store.recipes()
    if [row.name for row in held] != [row.name for row in rows]:
        names = ", ".join(row.name for row in held)
        raise InputError(f"{where} holds a study of other recipes ({names}); choose another --out")
    differ = [row.name for row, other in zip(rows, held, strict=True) if row != other]
    if differ:
        raise InputError(
            f"{where} holds a study in which {' and '.join(differ)} was another recipe; choose another --out"
        )
    kept = Protocol(**{k: v for k, v in store.get("protocol").items() if k in protocol.as_dict()})
    if budgeted:
        kept_but_counts = replace(kept, trials=protocol.trials, seeds=protocol.seeds, rate_seeds=protocol.rate_seeds)
    else:
        kept_but_counts = kept
    if kept_but_counts != protocol:
        differ = [k for k, v in protocol.as_dict().items() if v != kept_but_counts.as_dict()[k]]
        words = ", ".join(f"{k} {kept.as_dict()[k]} and not {protocol.as_dict()[k]}" for k in differ)
        raise InputError(f"{where} holds a study with {words}; choose another --out")
    return kept
