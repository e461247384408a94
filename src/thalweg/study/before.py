"""Before a study begins: what it would run and how, in sentences, and whatever must be refused."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

import torch

from thalweg.errors import InputError, unknown
from thalweg.recipe import CATALOGUES, ROLES, Recipe, Together
from thalweg.recipe.roles import values_of
from thalweg.record import RunRecord
from thalweg.study.budget import MOST_SEEDS, MOST_TRIALS, duration, whole_study
from thalweg.study.engines.local import Local
from thalweg.study.facts import cores
from thalweg.study.machine import at_once
from thalweg.study.plan import Protocol, check_schedules, trial_settings, tuning
from thalweg.study.planning import make_plans, sentences
from thalweg.task import Task, check
from thalweg.task.outside import outside
from thalweg.train.bucket import reads_padding
from thalweg.train.planner import Plan

if TYPE_CHECKING:
    from thalweg.study.engines.ray import Cluster

__all__ = [
    "alike",
    "bought",
    "by_name",
    "check_all",
    "checked_processes",
    "counted",
    "engine_of",
    "explain",
    "lost",
    "one_thread",
    "size_of",
    "understood",
]  # fmt: skip


def explain(
    task: Task,
    recipes: Mapping[str, Recipe] | Sequence[Recipe],
    *,
    trials: int = 8,
    seeds: int = 10,
    seed: int = 0,
    budget: float | None = None,
    processes: int | None = None,
    engine: str = "local",
    address: str | None = None,
) -> list[str]:
    """Return, in sentences, what `compare` would run and how, measured on the task; nothing is written.

    Args:
        task, recipes, trials, seeds, seed, budget, processes, engine, address: as for `compare`.

    Raises:
        InputError: what `compare` would refuse.
    """
    named = by_name(recipes)
    asked = tuning(trials=trials, seeds=seeds, seed=seed)
    checked_processes(processes, budget)
    told: list[str] = []
    with one_thread():
        check_all(task, named, asked)
        with engine_of(engine, address, task, processes, told.append) as trains:
            local, where = (True, None) if isinstance(trains, Local) else (False, trains.codes)
            at_work = trains.processes
            plans, protocol = make_plans(task, named, asked, budget, at_work, local, where)
        told += [*understood(task, named), *alike(task, named), *sentences(plans, at_work)]
        told += [bought(budget, asked, protocol)] if budget is not None else []
        working = at_once(at_work) if local else float(at_work)
        return [*told, size_of(task, named, protocol, plans, working)]


def engine_of(
    name: str, address: str | None, task: Task, processes: int | None, say: Callable[[str], None]
) -> AbstractContextManager[Local | Cluster]:
    """Return what trains the runs, to be entered before anything is written.

    Args:
        name: ``"local"`` or ``"ray"``.
        address: of a Ray cluster.
        task: what is trained on.
        processes: how many cores work at once; all of this machine, or of the cluster, if not given.
        say: gets lines.

    Raises:
        InputError: no engine has that name, or it has no address; on entering, that the cluster cannot be used.
    """
    if name == "ray":
        from thalweg.study.engines.ray import Cluster

        return Cluster(task, address, processes=processes, say=say)
    if name != "local":
        raise unknown("engine", name, ("local", "ray"))
    if address is not None:
        raise InputError("an address is that of a Ray cluster; add --engine ray")
    return nullcontext(Local(task, processes=checked_processes(processes, None), say=say))


def understood(task: Task, recipes: Mapping[str, Recipe]) -> list[str]:
    """Return how a task was understood where that was not said, and what to mind of it with these recipes."""
    found = [task.note] if task.note else []
    if any(recipe.bucket != "none" for recipe in recipes.values()) and (caution := reads_padding(task)):
        found.append(caution)
    count = len(task.train)
    sizes = {size for recipe in recipes.values() for size in values_of(recipe.batch_size) if size > count}
    found += [
        f"a batch of {size} is all of the {count} training examples: an epoch is one step" for size in sorted(sizes)
    ]
    return found


def alike(task: Task, recipes: Mapping[str, Recipe]) -> list[str]:
    """Return what to mind of a task whose model begins with the same weights for all seeds, as may well be meant."""
    if not outside(task).begins_alike or all(recipe.init is not None for recipe in recipes.values()):
        return []
    said = f"all runs begin from the same weights, because the model of task {task.name} has these whatever the seed"
    return [f"{said}; seeds differ in the order of data and in what training draws"]


def by_name(recipes: Mapping[str, Recipe] | Sequence[Recipe]) -> dict[str, Recipe]:
    """Return recipes by name; a sequence of them is named after what differs."""
    named = dict(recipes) if isinstance(recipes, Mapping) else _name(recipes)
    if not named:
        raise InputError("there are no recipes to compare; give at least one")
    for name, recipe in named.items():
        if not isinstance(recipe, Recipe):
            raise InputError(f"recipe {name} is a {type(recipe).__name__}, not a thalweg.Recipe")
    return named


def _name(recipes: Sequence[Recipe]) -> dict[str, Recipe]:
    """Name recipes after the roles in which they differ."""
    roles = [role for role in ROLES if len({getattr(x, role) for x in recipes}) > 1]
    names = [" + ".join(_word(role, getattr(x, role)) for role in roles or ["optimizer"]) for x in recipes]
    if len(set(names)) < len(names):
        raise InputError("the same recipe is there twice; every recipe is compared once")
    return dict(zip(names, recipes, strict=True))


def _word(role: str, value: Any) -> str:
    text = "none" if value is None else str(value)
    return text if role in CATALOGUES and text != "none" else f"{role} {text}"


def checked_processes(asked: int | None, budget: float | None) -> int:
    """Return how many cores work at once: as many as were asked for, or as there are."""
    if budget is not None and not budget > 0:
        raise InputError(f"budget takes seconds above 0, not {budget!r}")
    if asked is not None and asked < 1:
        raise InputError(f"processes takes a whole number from 1 up, not {asked!r}")
    return asked or cores()


def check_all(task: Task, recipes: Mapping[str, Recipe], protocol: Protocol) -> None:
    """Refuse a task or recipes that cannot be run, schedules that do not fit among them."""
    check(task)
    for name, recipe in recipes.items():
        _check_listed(name, recipe)
        settings = trial_settings(name, recipe, protocol)
        check_schedules(task, name, (recipe.resolved(drawn) for drawn in settings))


def _check_listed(name: str, recipe: Recipe) -> None:
    """Refuse techniques that a study could not read again from its records."""
    for path, part in recipe.ingredients():
        role = path.partition(".")[0]
        if CATALOGUES[role].get(part.name) is not part.technique:
            raise InputError(
                f"recipe {name}: the {role} {part.name} is in no catalogue, by which a study's records are read; put "
                f"it into the CATALOGUE of its kind first, under the name {part.name}"
            )


@contextmanager
def one_thread() -> Iterator[None]:
    """Let torch have one thread inside a ``with``: each run has one, whoever trains it."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def size_of(
    task: Task, recipes: Mapping[str, Recipe], protocol: Protocol, plans: Mapping[Together, Plan], working: float
) -> str:
    """Return how many runs a study has, of what, and about how long they take.

    Args:
        task, recipes, protocol, plans: of the study.
        working: how many processes really work at once; see `thalweg.study.machine.at_once`.
    """
    seconds = whole_study(task, recipes, protocol, plans, working)
    effort = counted(protocol.seeds, "seed")
    if protocol.trials:
        effort = (
            f"{counted(protocol.trials, 'trial')}, then {effort} of the defaults and of the chosen setting (once, "
            "where these are the same)"
        )
    if swept := protocol.rate_runs(recipes):
        effort += f", and {counted(swept, 'run')} for the sensitivity to the learning rate"
    runs, made = counted(protocol.runs(recipes), "run"), counted(len(recipes), "recipe")
    most = "at most " if protocol.trials else ""  # what is chosen is not known yet
    return f"{most}{runs} of {made} on {task.name}: {effort}; about {duration(seconds)}"


def bought(budget: float, asked: Protocol, protocol: Protocol) -> str:
    """Return what a budget of so many seconds came to, in the place of the trials and seeds that were asked for.

    >>> bought(60.0, Protocol(trials=8, seeds=10), Protocol(trials=24, seeds=30))
    'the budget of 1 min buys 24 trials and 30 seeds, in place of 8 and 10'
    """
    text = f"the budget of {duration(budget)} buys {counted(protocol.trials, 'trial')} and "
    text += counted(protocol.seeds, "seed")
    if (protocol.trials, protocol.seeds) != (asked.trials, asked.seeds):
        text += f", in place of {asked.trials} and {asked.seeds}"
    if protocol.trials >= max(MOST_TRIALS, asked.trials) and protocol.seeds >= max(MOST_SEEDS, asked.seeds):
        text += "; more would tell little more, so no more are made"
    return text


def lost(runs: Iterable[tuple[str, RunRecord]]) -> list[str]:
    """Return how many of the runs, each with its recipe's name, diverged, and how many failed: lines."""
    found: dict[str, Counter[str]] = {"diverged": Counter(), "failed": Counter()}
    for name, run in runs:
        if run.status in found:
            found[run.status][name] += 1
    lines = []
    for status, whose in found.items():
        total = whose.total()
        counts = ", ".join(f"{name} {count}" for name, count in whose.items())
        counted_as = "is counted as a failure" if total == 1 else "are counted as failures"
        what = f"diverged and {counted_as}" if status == "diverged" else "failed; the same command tries again"
        lines += [f"{counted(total, 'run')} {what}: {counts}"] * bool(total)
    return lines


def counted(number: int, word: str) -> str:
    """Return a number with its noun."""
    return f"{number} {word}{'s' * (number != 1)}"
