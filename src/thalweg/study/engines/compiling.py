"""What is compiled on the nodes of a Ray cluster: each has code of its own, in the cache of its user."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

import torch

from thalweg.recipe import Recipe, Together
from thalweg.study.engines.travelling import opened
from thalweg.task import Task
from thalweg.train.compiled import forget
from thalweg.train.inductor import folder, no_compiler
from thalweg.train.planner import SECONDS, Plan, compiled, graphs, not_compiled, obstacle
from thalweg.train.trial import timed

__all__ = ["answer", "question"]


def question(what: str, kind: Together, plan: Plan, number: int = 0) -> dict[str, Any]:
    """Return what a node is asked, as plain values.

    Args:
        what: ``"compiler"``, ``"lacks"``, ``"compile"`` or ``"measure"``; see `answer`.
        kind, plan: of the runs.
        number: of the graph to be compiled.
    """
    return {"what": what, "kind": kind.recipe().toml(), "plan": asdict(plan), "number": number}


def answer(sent: list[Any], asked: Mapping[str, Any]) -> Any:
    """Return what a node answers.

    To ``"compiler"``, why it has none, or nothing; to ``"lacks"``, the numbers of the graphs whose code it lacks; to
    ``"compile"``, why a graph could not be, or nothing; to ``"measure"``, what becomes of the plan with the code.
    """
    if asked["what"] == "compiler":
        return no_compiler()
    torch.set_num_threads(1)
    task, kind, plan = opened(sent), Recipe.from_toml(asked["kind"]).together(), Plan(**asked["plan"])
    try:
        match asked["what"]:
            case "lacks":
                return _lacks(task, kind, plan)
            case "compile":
                return _compile(task, kind, plan, asked["number"])
            case _:
                return asdict(_measured(task, kind, plan))
    finally:
        forget(task, kind)


def _lacks(task: Task, kind: Together, plan: Plan) -> list[int]:
    try:
        return [number for number, graph in enumerate(graphs(task, kind, plan)) if not graph.load()]
    except Exception:  # what stands in the way is said where one is compiled
        return list(range(plan.graphs))


def _compile(task: Task, kind: Together, plan: Plan, number: int) -> str:
    try:
        graph = graphs(task, kind, plan)[number]
        if not graph.load():
            if missing := no_compiler():
                return missing
            graph.compile()
    except Exception as error:
        return obstacle(error)
    return "" if graph.path.exists() else f"code cannot be kept in {folder()}"


def _measured(task: Task, kind: Together, plan: Plan) -> Plan:
    """Return a plan with the figures of this node, which may be slower than where it was made."""
    try:
        count = plan.runs or plan.together if plan.executor == "vmapped" else 2
        step, epoch = timed(task, kind, plan.executor, count, SECONDS / 2)
    except Exception as error:
        return not_compiled(plan, obstacle(error))
    return compiled(task, kind, replace(plan, step_seconds=step, epoch_seconds=epoch))
