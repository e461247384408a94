"""A study, from the recipes to the report: what is asked is checked and planned, its store opened, its work done."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from thalweg.errors import InputError
from thalweg.recipe import Recipe, Together
from thalweg.record import RecipeRow, Store, StoreError
from thalweg.report import write
from thalweg.study import verdict as verdicts
from thalweg.study.before import bought, by_name, check_all, checked_processes, engine_of, one_thread
from thalweg.study.engines.local import Local
from thalweg.study.identity import continued, study_facts
from thalweg.study.plan import Protocol, tuning
from thalweg.study.planning import make_plans, plans_of
from thalweg.study.progress import Bar, Quiet, Show
from thalweg.study.work import Judge, Work
from thalweg.task import Task, fingerprint
from thalweg.train.planner import Plan

if TYPE_CHECKING:
    from thalweg.study.baselines import Baselines

__all__ = ["Study", "compare", "conduct"]


@dataclass(frozen=True)
class Study:
    """A study that is done.

    Attributes:
        directory: where its records are.
        verdict: what may be claimed; ``verdict["sentences"]`` says it in words.
        report: the page that shows it.
    """

    directory: Path
    verdict: dict[str, Any]
    report: Path

    def __str__(self) -> str:
        return "\n".join(self.verdict["sentences"])


def compare(
    task: Task,
    recipes: Mapping[str, Recipe] | Sequence[Recipe],
    *,
    trials: int = 8,
    seeds: int = 10,
    seed: int = 0,
    budget: float | None = None,
    baselines: Sequence[str] = (),
    out: Path | str | None = None,
    processes: int | None = None,
    engine: str = "local",
    address: str | None = None,
    progress: bool = True,
    command: str = "",
) -> Study:
    """Compare recipes fairly on a task, and return the verdict with its report.

    Every recipe is tuned with the same number of trials, then measured on the same fresh seeds. What is already
    recorded in ``out`` is not done again.

    Args:
        task: what the recipes are applied to.
        recipes: by name; or a sequence, named after what differs.
        trials: settings tried for each recipe: its defaults, and draws from its space.
        seeds: fresh seeds on which the defaults and the chosen setting are measured.
        seed: of the study; everything drawn in it follows from it.
        budget: wall seconds to spend; replaces ``trials`` and ``seeds`` by what fits, in their proportion, up to 64
            and 80 or as many as were asked for.
        baselines: classical models of scikit-learn to hold recipes against: ``"knn"``, ``"svm"``, ``"logistic"``,
            ``"trees"``. Each has as many settings as a recipe has trials, at most eight, chosen on validation.
        out: the study's directory; ``<task>-study`` if not given.
        processes: how many cores work at once; all of the machine's if not given.
        engine: ``"local"``, this machine; or ``"ray"``, a Ray cluster.
        address: of the cluster; see `thalweg.study.engines.ray.Cluster`.
        progress: show lines and a bar on standard error.
        command: what the report says to type to repeat the study.

    Raises:
        InputError: anything about the task, the recipes, the cluster or the directory that cannot be used; nothing
            is written then.

    >>> import tempfile
    >>> import thalweg as tw
    >>> with tempfile.TemporaryDirectory() as out:
    ...     study = tw.compare(tw.load_task("wine"), {"sgd": tw.Recipe(tw.optim.sgd(), epochs=2),
    ...                                          "adam": tw.Recipe(tw.optim.adam(), epochs=2)},
    ...                        trials=1, seeds=2, out=out, progress=False)
    >>> sorted(row["name"] for row in study.verdict["recipes"] if row["arm"] == "chosen")
    ['adam', 'sgd']
    """
    return conduct(
        task,
        by_name(recipes),
        tuning(trials=trials, seeds=seeds, seed=seed),
        budget=budget,
        baselines=baselines,
        directory=Path(out) if out is not None else Path(f"{task.name}-study"),
        processes=processes,
        engine=engine,
        address=address,
        progress=progress,
        command=command,
    )


def conduct(
    task: Task,
    named: Mapping[str, Recipe],
    protocol: Protocol,
    *,
    directory: Path,
    budget: float | None = None,
    baselines: Sequence[str] = (),
    processes: int | None = None,
    engine: str = "local",
    address: str | None = None,
    progress: bool = True,
    command: str = "",
    judge: Judge | None = None,
    facts: Mapping[str, Any] | None = None,
    notes: Sequence[str] = (),
) -> Study:
    """Run a study of named recipes; see `compare`, and `thalweg.study.ablate` for one that is judged otherwise.

    Args:
        task, named, protocol: what is run: the recipes by name, and how much of each.
        directory, budget, baselines, processes, engine, address, progress, command: as for `compare`.
        judge: makes the verdict of the study's records; as `thalweg.study.verdict` does, if not given.
        facts: more that the store keeps of a new study.
        notes: sentences to say before it begins.
    """
    checked_processes(processes, budget)
    show: Show = Bar() if progress else Quiet()
    with one_thread():
        check_all(task, named, protocol)
        classical = _classical(baselines, task)
        prints = fingerprint(task)
        rows = [RecipeRow(name, recipe.declared().toml()) for name, recipe in named.items()]
        planned: tuple[dict[Together, Plan], Protocol] | None = None
        try:
            with engine_of(engine, address, task, processes, show.say) as trains:
                compiles, where = (True, None) if isinstance(trains, Local) else (False, trains.codes)
                at_work = trains.processes
                make = partial(make_plans, task, named, protocol, budget, at_work, compiles, where)
                if not os.path.exists(directory / "study.db"):  # noqa: PTH110 – Path.exists raises for long names
                    # Everything that can be refused is, before the directory is touched.
                    planned = make()
                with Store(directory, write=True) as store:
                    if store.anew:
                        show.say(f"{store.path} is empty: the study begins anew")
                    if store.forgotten:
                        show.say(store.forgotten)
                    if store.get("plan") is None:
                        if store.recipes():
                            raise InputError(f"{directory} holds a run of thalweg train; choose another --out")
                        asked = protocol
                        plans, protocol = planned or make()
                        if budget is not None:
                            notes = [*notes, bought(budget, asked, protocol)]
                        said = study_facts(task, prints, protocol, plans, at_work, command, named)
                        store.begin({**said, **(facts or {})}, rows)
                    else:
                        protocol = continued(store, task, prints, rows, protocol, budget is not None)
                        plans = plans_of(store.get("plan"), named, protocol)
                    if kept := list((store.get("baselines") or {}).get("models", ())):
                        classical = _classical(list(dict.fromkeys((*kept, *baselines))), task)
                    for note in notes:
                        show.say(note)
                    work = Work(task, named, protocol, prints, plans, at_work, store, show, trains)
                    verdict = work.run(classical, judge or partial(_verdict, named))
                    return Study(store.directory, verdict, write(store.directory))
        except StoreError as error:
            raise InputError(str(error)) from error


def _classical(names: Sequence[str], task: Task) -> Baselines | None:
    """Return the baselines of a study, which bring scikit-learn's models with them; None where there are none."""
    if not names:
        return None
    from thalweg.study.baselines import Baselines

    return Baselines(names, task)


def _verdict(named: Mapping[str, Recipe], store: Store) -> dict[str, Any] | None:
    """Return the verdict on recipes that are compared."""
    optimizers = [recipe.optimizer for recipe in named.values()]
    return verdicts.from_store(store, {one.name: list(one.technique.generalises) for one in optimizers})
