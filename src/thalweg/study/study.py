"""A study, from the recipes to the verdict: who is compared, what is left to run, and what came of it."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from thalweg.errors import InputError, unknown
from thalweg.recipe import Recipe, Together
from thalweg.record import RecipeRow, RunRecord, Store, StoreError
from thalweg.study import constant
from thalweg.study import verdict as verdicts
from thalweg.study.before import (
    bought,
    by_name,
    check_all,
    checked_processes,
    counted,
    lost,
    one_thread,
    size_of,
    understood,
)  # fmt: skip
from thalweg.study.budget import duration, expected_seconds
from thalweg.study.engines.local import Local
from thalweg.study.identity import continued, study_facts
from thalweg.study.live import Live
from thalweg.study.machine import at_once
from thalweg.study.plan import (
    Job,
    Planned,
    Protocol,
    best_trial,
    chosen_arm,
    first_arms,
    tuning,
)
from thalweg.study.planning import make_plans, plan_facts, plans_of, sentence, sentences
from thalweg.study.progress import Bar, Quiet, Show
from thalweg.task import Task, fingerprint
from thalweg.train.checkpoint import Checkpoints
from thalweg.train.inductor import no_compiler
from thalweg.train.planner import Plan, obstacle, ready

if TYPE_CHECKING:
    from thalweg.study.baselines import Baselines
    from thalweg.study.engines.ray import Cluster

__all__ = ["Study", "compare", "conduct"]

Judge = Callable[[Store], dict[str, Any] | None]
"""Makes the verdict of a study's records; None where some are missing."""


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
        processes: how many work at once; the machine's cores if not given.
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
    processes = checked_processes(processes, budget)
    show: Show = Bar() if progress else Quiet()
    with one_thread():
        check_all(task, named, protocol)
        classical = _classical(baselines, task)
        prints = fingerprint(task)
        rows = [RecipeRow(name, recipe.declared().toml()) for name, recipe in named.items()]
        planned: tuple[dict[Together, Plan], Protocol] | None = None
        try:
            with _engine(engine, address, task, processes, show) as trains:
                compiles = engine == "local"  # what is compiled is for this machine
                if not isinstance(trains, Local):
                    processes = trains.cores
                if not os.path.exists(directory / "study.db"):  # noqa: PTH110 – Path.exists raises for long names
                    # Everything that can be refused is, before the directory is touched.
                    planned = make_plans(task, named, protocol, budget, processes, compiles, _import_ending)
                with Store(directory, write=True) as store:
                    if store.anew:
                        show.say(f"{store.path} is empty: the study begins anew")
                    if store.forgotten:
                        show.say(store.forgotten)
                    if store.get("plan") is None:
                        if store.recipes():
                            raise InputError(f"{directory} holds a run of thalweg train; choose another --out")
                        asked = protocol
                        plans, protocol = planned or make_plans(
                            task, named, protocol, budget, processes, compiles, _import_ending
                        )
                        if budget is not None:
                            notes = [*notes, bought(budget, asked, protocol)]
                        said = study_facts(task, prints, protocol, plans, processes, command, named)
                        store.begin({**said, **(facts or {})}, rows)
                    else:
                        protocol = continued(store, task, prints, rows, protocol, budget is not None)
                        plans = plans_of(store.get("plan"), named, protocol)
                    if kept := list((store.get("baselines") or {}).get("models", ())):
                        classical = _classical(list(dict.fromkeys((*kept, *baselines))), task)
                    for note in notes:
                        show.say(note)
                    work = _Work(task, named, protocol, prints, plans, processes, store, show, trains)
                    return work.run(classical, judge or partial(_verdict, named))
        except StoreError as error:
            raise InputError(str(error)) from error


def _import_ending() -> None:
    """Import what the verdict and the report are made with while others work, and not after them."""
    from opda import nonparametric  # noqa: F401

    from thalweg.report import page  # noqa: F401


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


def _engine(
    name: str, address: str | None, task: Task, processes: int, show: Show
) -> AbstractContextManager[Local | Cluster]:
    """Return what trains the runs, to be entered before anything is written."""
    if name == "ray":
        from thalweg.study.engines.ray import Cluster

        return Cluster(task, address, say=show.say)
    if name != "local":
        raise unknown("engine", name, ("local", "ray"))
    if address is not None:
        raise InputError("an address is that of a Ray cluster; add --engine ray")
    return nullcontext(Local(task, processes=processes, say=show.say))


class _Work:
    """What `compare` does once the study's store is open."""

    def __init__(
        self,
        task: Task,
        recipes: Mapping[str, Recipe],
        protocol: Protocol,
        prints: Mapping[str, str],
        plans: dict[Together, Plan],
        processes: int,
        store: Store,
        show: Show,
        engine: Local | Cluster,
    ) -> None:
        self.task, self.recipes, self.protocol, self.prints = task, recipes, protocol, prints
        self.plans, self.processes, self.store, self.show = plans, processes, store, Live(show, store)
        self.engine, self.told = engine, set[str]()  # of which runs it was said whether they diverged
        self.again = store.failed()  # by an earlier command; this one tries them once more
        self.reasons: set[str] = set()
        if isinstance(engine, Local):
            engine.checkpoints, engine.on_plan = Checkpoints(store.directory), self._replan

    def _replan(self, together: Together, plan: Plan) -> None:
        """Keep what a plan has become: it is not measured again when the study goes on."""
        self.plans[together] = plan
        self.show.say(sentence(together, self.plans, self.processes))
        self.store.put("plan", plan_facts(self.plans, self.processes))

    def run(self, classical: Baselines | None, judge: Judge) -> Study:
        """Run what is missing, arm after arm, and fit the baselines; then the verdict and the report."""
        from thalweg.report import write

        first = first_arms(self.recipes, self.protocol, self.prints)
        self._announce(first)
        with self.show:
            self._make(first, "tuning, defaults, rates" if self.protocol.trials else "runs", begins=True)
            best = best_trial(
                self.store.entries("tuning"), self.store.runs(), higher_is_better=self.task.metric.higher_is_better
            )
            self._make(chosen_arm(self.recipes, self.protocol, self.prints, best), "chosen settings")
            self._tidy_up()
            if classical is not None:
                classical.fit(self.store, self.protocol, self.show.say)
        constant.keep(self.task, self.store)
        verdict = judge(self.store)
        assert verdict is not None, "every run has a record"
        if classical is not None:
            verdict = classical.judged(self.store, verdict)
        self.store.put("verdict", verdict)
        return Study(self.store.directory, verdict, write(self.store.directory))

    def _tidy_up(self) -> None:
        """Remove what a kill between a lane's last record and its end has left."""
        checkpoints = Checkpoints(self.store.directory)
        for name in checkpoints.names():
            checkpoints.remove(name)

    def _announce(self, first: Planned) -> None:
        """Say, before the first run, how many there are and how long they will take."""
        for line in understood(self.task, self.recipes):
            self.show.say(line)
        for line in sentences(self.plans, self.processes):
            self.show.say(line)
        done = self.store.finished() - self.again
        left = [job for job in first.jobs.values() if job.identity not in done]
        total = self.protocol.runs(self.recipes)
        if self.again:
            self.store.drop_entries("chosen")  # of trials that are made again, others may be the best
            count = len(self.again)
            self.show.say(f"{counted(count, 'run')} failed, and {'is' if count == 1 else 'are'} tried again")
        working = at_once(self.processes) if isinstance(self.engine, Local) else float(self.processes)
        if not done:
            self.show.say(size_of(self.task, self.recipes, self.protocol, self.plans, working))
        else:
            kept = f"{len(done)} of at most {total} runs are recorded in {self.store.directory} and are kept"
            seconds = expected_seconds(self.task, left, self.plans, working)
            self.show.say(f"{kept}; about {duration(seconds)} for the next {len(left)}" if left else kept)

    def _have_code(self, jobs: Sequence[Job]) -> None:
        """Have the code ready that jobs are to be trained with, if that was decided before; without, bits differ."""
        for together in dict.fromkeys(job.member.recipe.together() for job in jobs):
            try:
                ready(self.task, together, self.plans[together])
            except Exception as error:
                raise InputError(
                    f"the steps of the study in {self.store.directory} are compiled, and here they cannot be: "
                    f"{no_compiler() or obstacle(error)}; choose another --out"
                ) from error

    def _make(self, planned: Planned, what: str, *, begins: bool = False) -> None:
        """Run and record the planned runs that are not recorded yet."""
        self.store.add_entries(planned.entries)
        done = self.store.finished() - self.again
        jobs = [job for job in planned.jobs.values() if job.identity not in done]
        if not jobs:
            self.told |= planned.jobs.keys()
            return
        if isinstance(self.engine, Local):
            self._have_code(jobs)
        names = {entry.run: entry.recipe for entry in planned.entries}

        def record(run: RunRecord) -> None:
            self.store.add_run(run)
            self.again.discard(run.identity)
            self.show.ended(run.identity)
            self.show.run()
            if run.status == "failed" and run.reason not in self.reasons:
                self.reasons.add(run.reason)
                self.show.say(f"{names[run.identity]}, seed {run.seed}, failed: {run.reason}")

        self.show.begin(what, len(jobs), sum(job.member.recipe.sizes()[1] for job in jobs))
        every = list(planned.jobs.values())
        more: dict[str, Any] = {}
        if isinstance(self.engine, Local):
            more = {"on_courses": self.show.courses, "meanwhile": _import_ending}
        self.engine.run(
            every, self.plans, on_record=record, on_epochs=self.show.epochs, done=done, begins=begins, **more
        )  # fmt: skip
        runs = self.store.runs()
        new = planned.jobs.keys() - self.told
        for line in lost((name, runs[identity]) for identity, name in names.items() if identity in new):
            self.show.say(line)
        self.told |= planned.jobs.keys()
