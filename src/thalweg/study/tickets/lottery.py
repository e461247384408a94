"""Lottery tickets: whether a pruned network, rewound and trained again, beats its controls, and how small it is."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from thalweg.errors import InputError, unknown
from thalweg.prune._masks import counts
from thalweg.recipe import Recipe
from thalweg.record import RecipeRow, Store, StoreError, unwritable
from thalweg.report import write
from thalweg.study.before import checked_processes, one_thread
from thalweg.study.facts import environment, task_facts, technique_facts
from thalweg.study.plan import check_schedules
from thalweg.study.planning import in_numbers, plan_facts
from thalweg.study.progress import Bar, Quiet, Show
from thalweg.study.threads import spread
from thalweg.study.tickets.ticket import KINDS, ORDERS, Terms, kinds_at, next_masks, next_units
from thalweg.study.tickets.work import Work
from thalweg.task import Task, check, fingerprint
from thalweg.task.outside import outside
from thalweg.train.epochs import steps_per_epoch
from thalweg.train.made import model_of
from thalweg.train.planner import Plan, measure

__all__ = ["Lottery", "lottery"]


@dataclass(frozen=True)
class Lottery:
    """A lottery that is done.

    Attributes:
        directory: where its records are, and ``ticket.safetensors``, ``ticket.json`` and ``ticket.pt2``.
        verdict: what may be claimed; ``verdict["sentences"]`` says it in words, ``verdict["levels"]`` in numbers.
        report: the page that shows it.
    """

    directory: Path
    verdict: dict[str, Any]
    report: Path

    def __str__(self) -> str:
        return "\n".join(self.verdict["sentences"])


def lottery(
    task: Task,
    recipe: Recipe | None = None,
    *,
    rounds: int = 10,
    rate: float = 0.2,
    rewind: int = 0,
    scope: str = "layer",
    seeds: int = 5,
    seed: int = 0,
    out: Path | str | None = None,
    processes: int | None = None,
    progress: bool = True,
    command: str = "",
) -> Lottery:
    """Draw lottery tickets from a model, compare them with their controls, and leave the smallest that is as good.

    A model is trained, its smallest weights are pruned, what is left is rewound to its values of an early step and
    trained again, and so on. At each level four more are trained beside the ticket, on the same data in the same
    order: a random mask of the same sizes, layer by layer, from the same weights; the ticket's mask from fresh first
    weights; the mask of pruning all at once; and, for the line between the two, the ticket on its data in another
    order. What is already recorded in ``out`` is not done again.

    Args:
        task: what is trained on.
        recipe: how, ranges at their defaults; Adam for the task's own epochs if not given.
        rounds: how often is pruned.
        rate: the share of each layer's weights that go in a round; half of it in the output layer.
        rewind: the step to whose weights, and optimizer state, tickets go back; 0 for the first weights. Fresh
            weights have no early step and begin at 0.
        scope: ``"layer"`` or ``"global"``: whether weights compete within their layer or over all but the output's.
        seeds: how many tickets are drawn, each from first weights of its own.
        seed: of the lottery; everything drawn in it follows from it.
        out: the directory; ``<task>-lottery`` if not given.
        processes: how many cores work at once, each on some of the seeds, or several on the same; all of them if not
            given.
        progress: show lines and a bar on standard error.
        command: what the report says to type to repeat it.

    Raises:
        InputError: anything about the task, the recipe or the directory that cannot be used, nothing to prune, tied
            weights, a rate outside (0, 1), or a step beyond the run; nothing is written then. Later, a whole model
            that diverged.

    Source: Frankle & Carbin 2019, The Lottery Ticket Hypothesis; for late rewinding Frankle, Dziugaite, Roy & Carbin
    2019, Stabilizing the Lottery Ticket Hypothesis.

    >>> import tempfile
    >>> import thalweg as tw
    >>> with tempfile.TemporaryDirectory() as out:
    ...     found = lottery(tw.load_task("wine"), tw.Recipe(epochs=2), rounds=2, seeds=2, out=out, progress=False)
    >>> [row["weights"] for row in found.verdict["levels"]]
    [1536, 1238, 998]
    """
    processes = checked_processes(processes, None)
    terms = Terms(rounds, rate, rewind, scope, seeds, seed)
    _check_terms(terms)
    chosen = recipe or Recipe(epochs=task.epochs, batch_size=task.batch_size)
    resolved = chosen.resolved()
    directory = Path(out) if out is not None else Path(f"{task.name}-lottery")
    show: Show = Bar() if progress else Quiet()
    with one_thread():
        left, no_units = _check(task, resolved, terms)
        prints = fingerprint(task)
        facts = {**asdict(terms), "left": left, "no_units": no_units, "recipe": resolved.toml()}
        plan = None
        try:
            if not os.path.exists(directory / "study.db"):  # noqa: PTH110 – Path.exists raises for long names
                plan = _plan(task, resolved, terms, processes)
            with Store(directory, write=True) as store:
                if store.forgotten:
                    show.say(store.forgotten)
                if store.get("lottery") is None:
                    if store.recipes():
                        raise InputError(f"{directory} holds another run or study; choose another --out")
                    plan = plan or _plan(task, resolved, terms, processes)
                    kinds = [RecipeRow(kind, chosen.declared().toml()) for kind in KINDS]
                    store.begin(
                        {
                            "task": task_facts(task), "fingerprint": dict(prints), "lottery": facts,
                            "protocol": {"seeds": seeds, "seed": seed, "command": command},
                            "environment": environment(*in_numbers({resolved.together(): plan}, processes)),
                            "techniques": technique_facts({"the recipe": resolved}),
                            "plan": {**plan_facts({resolved.together(): plan}, processes), "lottery": asdict(plan)},
                        },
                        kinds,
                    )  # fmt: skip
                else:
                    _continue(store, task, prints, facts)
                    plan = Plan(**store.get("plan")["lottery"])
                if ranges := chosen.ranges():
                    show.say(f"not searched, at their defaults: {', '.join(ranges)}")
                verdict = Work(task, resolved, terms, prints, plan, processes, store, show).run()
                return Lottery(store.directory, verdict, write(store.directory))
        except StoreError as error:
            raise InputError(str(error)) from error
        except OSError as error:
            raise InputError(str(unwritable(directory, error))) from error


def _plan(task: Task, recipe: Recipe, terms: Terms, processes: int) -> Plan:
    """Return how the runs are executed; one by one, perhaps with several threads, as a process trains whole seeds."""
    kind = recipe.together()
    plan = measure(task, kind, processes=processes)
    if plan.executor != "one by one":
        return plan
    rounds = 1 + terms.rounds * len(kinds_at(1, ORDERS, units=True))
    return spread(task, [[(recipe, terms.seeds)]] * rounds, {kind: plan}, processes).get(kind, plan)


# -- what is refused ---------------------------------------------------------------------------------------------


def _check_terms(terms: Terms) -> None:
    for name, least in (("rounds", 1), ("rewind", 0), ("seeds", 1), ("seed", 0)):
        value = getattr(terms, name)
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise InputError(f"{name} takes a whole number from {least} up, not {value!r}")
    if isinstance(terms.rate, bool) or not isinstance(terms.rate, int | float) or not 0 < terms.rate < 1:
        raise InputError(f"rate takes a share of the weights above 0 and below 1, not {terms.rate!r}")
    if terms.scope not in ("layer", "global"):
        raise unknown("scope", terms.scope, ("layer", "global"))


def _check(task: Task, recipe: Recipe, terms: Terms) -> tuple[list[int], str]:
    """Refuse what cannot be trained or pruned.

    Returns:
        How many weights are left at each level, and why no whole units can be taken out, or nothing.
    """
    check(task)
    if recipe.prune is not None:
        raise InputError(f"the lottery prunes by itself; leave prune = {recipe.prune.name} out of the recipe")
    check_schedules(task, "of the lottery", [recipe])
    steps = recipe.sizes()[1] * steps_per_epoch(task, recipe)
    if terms.rewind >= steps:
        raise InputError(f"rewind takes a step of the run, which has {steps}, and not its last: not {terms.rewind}")
    if terms.rewind and (why := outside(task).carried):
        raise InputError(
            f"in the model of task {task.name}, {why}, so that it cannot go back to step {terms.rewind}; keep it in "
            "a buffer, or take rewind = 0"
        )
    module = model_of(task, recipe, terms.run_seeds()[0])
    masks = next_masks(module, terms, None)
    sizes = {name: mask.numel() for name, mask in masks.items()}
    left = counts(sizes, 1 - terms.rate, terms.rounds, scope=terms.scope, half_output=True)
    for level in range(1, len(left)):
        if left[level] == left[level - 1]:
            raise InputError(
                f"rounds: after {level - 1} of them {left[level]} of {left[0]} weights are left, too few to take a "
                f"share of {terms.rate:g} away; take fewer"
            )
    try:
        next_units(module, terms, None)
    except InputError as error:
        return left, str(error)
    return left, ""


def _continue(store: Store, task: Task, prints: Mapping[str, str], facts: Mapping[str, Any]) -> None:
    """Refuse a directory that holds another lottery than this one."""
    where, old = store.directory, store.get("lottery")
    there = store.get("task")["name"]
    if there != task.name:
        raise InputError(f"{where} holds a lottery on the task {there}, not {task.name}; choose another --out")
    changed = [part for part in prints if prints[part] != store.get("fingerprint").get(part)]
    if changed:
        raise InputError(
            f"the {changed[0]} of task {task.name} changed since the lottery in {where} began; choose another --out"
        )
    if old["recipe"] != facts["recipe"]:
        raise InputError(f"{where} holds a lottery with another recipe; choose another --out")
    differ = [
        f"{name} {old[name]} and not {value}"
        for name, value in facts.items()
        if old[name] != value and name not in ("left", "no_units")
    ]
    if differ:
        raise InputError(f"{where} holds a lottery with {', '.join(differ)}; choose another --out")
