"""What ``thalweg landscape`` does: which picture of what, refused before anything is trained if it cannot be."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from torch import Tensor

from thalweg.errors import InputError, unknown
from thalweg.inspect._landscape.descent import Descent, descent
from thalweg.inspect._landscape.drawing import ENDINGS, checked_path
from thalweg.inspect._landscape.losses import check_evaluated
from thalweg.inspect._landscape.planes import LossPlane, loss_plane, trajectory_plane
from thalweg.inspect._landscape.segment import LossSegment, loss_segment
from thalweg.inspect._landscape.surfaces import SURFACES
from thalweg.inspect._landscape.training import weights_along
from thalweg.recipe import Recipe
from thalweg.task import Task, builtin_tasks
from thalweg.technique import Ingredient

__all__ = ["SHOWN", "of_surface", "of_task"]

SHOWN = ("paths", "plane", "segment")


def of_surface(
    name: str,
    optimizers: Mapping[str, Ingredient],
    out: Path,
    *,
    steps: int | None,
    seed: int,
    unfit: Mapping[str, object],
) -> Descent:
    """Draw optimizers' paths on a test surface into a file, and return them.

    Args:
        name: of the surface.
        optimizers: as they were typed.
        out: the file.
        steps, seed: see `descent`.
        unfit: options for tasks alone, by name; None where they were not given.

    Raises:
        InputError: options that do not fit, or a file that cannot be written.
    """
    if given := next((option for option, value in unfit.items() if value is not None), None):
        raise InputError(f"{given} is for tasks, and {name} is a test surface")
    checked_path(out)
    found = descent(name, list(optimizers.values()), steps=steps, seed=seed)
    found.save(out)
    return found


def of_task(
    subject: str,
    load: Callable[[], tuple[Task, Recipe]],
    optimizers: Mapping[str, Ingredient],
    out: Path,
    *,
    show: str | None,
    steps: int | None,
    points: int,
    reach: float,
    seed: int,
) -> LossPlane | LossSegment:
    """Train optimizers on a task, draw a cut through its loss into a file, and return it.

    Args:
        subject: what was typed for the task.
        load: returns the task, and the recipe that says what is not varied.
        optimizers: as they were typed; at their defaults where nothing is said.
        out: the file.
        show: one of `SHOWN`; the plane through the paths if None.
        steps: refused.
        points, reach, seed: see `loss_plane`.

    Raises:
        InputError: options that do not fit, a task or model that cannot be used, or a file that cannot be written.
    """
    kind = show or "paths"
    if kind not in SHOWN:
        raise unknown("kind of landscape", kind, SHOWN)
    if "/" not in subject and "." not in subject and subject not in builtin_tasks() and not Path(subject).exists():
        raise unknown("surface or task", subject, [*SURFACES, *builtin_tasks()])
    if steps is not None:
        raise InputError(f"--steps is for test surfaces; give --epochs for the task {subject}")
    most = {"paths": 7, "plane": 1, "segment": 2}[kind]
    if len(optimizers) > most:
        wanted = {"plane": "one optimizer", "segment": "one optimizer or two", "paths": "at most seven optimizers"}
        raise InputError(f"--show {kind} takes {wanted[kind]}, not {len(optimizers)}; name them with --optimizer")
    if not 0 < reach < math.inf:
        raise InputError(f"--reach takes a number above 0, not {reach:g}")
    checked_path(out, [e for e in ENDINGS if kind != "segment" or e != ".gif"])
    task, base = load()
    check_evaluated(task)
    recipes = {name: replace(base, optimizer=one) for name, one in optimizers.items()}
    ways = weights_along(task, recipes, seed=seed)
    model = task.model(seed)
    found: LossPlane | LossSegment
    if kind == "segment":
        first, *others = ways.items()
        if others:
            second = others[0]
        else:
            again = weights_along(task, recipes, seed=seed + 1)
            first, second = (f"seed {seed}", first[1]), (f"seed {seed + 1}", again[first[0]])
        a, b = _end(*first), _end(*second)
        found = loss_segment(a, b, model, task, points=points, seed=seed, names=(first[0], second[0]))
    elif kind == "plane":
        ((name, way),) = ways.items()
        model.load_state_dict(_end(name, way), strict=False)
        found = loss_plane(model, task, points=points, reach=reach, seed=seed)
    else:
        for name, way in ways.items():
            _end(name, way)
        found = trajectory_plane(ways, model, task, points=points, seed=seed)
    found.save(out)
    return found


def _end(name: str, way: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    """Return the solution that a path ends in, if it is one."""
    if not all(bool(x.isfinite().all()) for x in way[-1].values()):
        raise InputError(
            f"{name} diverged on this task; give it a lower rate, such as {name.partition('(')[0]}(lr=1e-4)"
        )
    return way[-1]
