"""A study, from the recipes to the verdict: who is compared, what is left to run, and what came of it."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any
from typing import Protocol as Interface

import torch

from thalweg.errors import InputError, unknown
from thalweg.recipe import CATALOGUES, ROLES, Recipe
from thalweg.record import RecipeRow, RunRecord, Store, StoreError
from thalweg.study import verdict as verdicts
from thalweg.study.budget import duration, expected_seconds, fit, whole_study
from thalweg.study.engine_local import Local
from thalweg.study.facts import cores, environment, task_facts
from thalweg.study.plan import (
    Job,
    Planned,
    Protocol,
    best_trial,
    check_schedules,
    chosen_arm,
    first_arms,
    trial_settings,
)
from thalweg.study.progress import Bar, Quiet, Show
from thalweg.task import Task, check, fingerprint
from thalweg.technique import Choice
from thalweg.train.checkpoint import Checkpoints
from thalweg.train.planner import Plan, compiled, measure, ready, to_compile

__all__ = ["Study", "compare", "explain"]


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
        budget: wall seconds to spend; replaces ``trials`` and ``seeds`` by what fits, in their proportion.
        out: the study's directory; ``<task>-study`` if not given.
        processes: how many work at once; the machine's cores if not given.
        engine: ``"local"``, this machine; or ``"ray"``, a Ray cluster.
        address: of the cluster; see `thalweg.study.engine_ray.Cluster`.
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
    named = _named(recipes)
    protocol = Protocol(trials=trials, seeds=seeds, seed=seed)
    processes = _processes(processes, budget)
    directory = Path(out) if out is not None else Path(f"{task.name}-study")
    show: Show = Bar() if progress else Quiet()
    with _one_thread():
        _check(task, named, protocol)
        prints = fingerprint(task)
        rows = [RecipeRow(name, recipe.declared().toml()) for name, recipe in named.items()]
        planned: tuple[dict[int, Plan], Protocol] | None = None
        try:
            with _engine(engine, address, task, processes, show) as trains:
                if not os.path.exists(directory / "study.db"):  # noqa: PTH110 – Path.exists raises for long names
                    # Everything that can be refused is, before the directory is touched.
                    planned = _planned(task, named, protocol, budget, processes)
                with Store(directory, write=True) as store:
                    if store.get("plan") is None:
                        if store.recipes():
                            raise InputError(f"{directory} holds a run of thalweg train; choose another --out")
                        plans, protocol = planned or _planned(task, named, protocol, budget, processes)
                        store.begin(_facts(task, prints, protocol, plans, processes, command, named), rows)
                    else:
                        protocol = _continue(store, task, prints, rows, protocol, budget is not None)
                        kept = store.get("plan")["by_batch_size"].items()
                        plans = {int(size): ready(task, int(size), Plan(**plan)) for size, plan in kept}
                    return _Work(task, named, protocol, prints, plans, processes, store, show, trains).run()
        except StoreError as error:
            raise InputError(str(error)) from error


def explain(
    task: Task,
    recipes: Mapping[str, Recipe] | Sequence[Recipe],
    *,
    trials: int = 8,
    seeds: int = 10,
    seed: int = 0,
    budget: float | None = None,
    processes: int | None = None,
) -> list[str]:
    """Return, in sentences, what `compare` would run and how, measured on the task; nothing is written.

    Args:
        task, recipes, trials, seeds, seed, budget, processes: as for `compare`.

    Raises:
        InputError: what `compare` would refuse.
    """
    named = _named(recipes)
    protocol = Protocol(trials=trials, seeds=seeds, seed=seed)
    processes = _processes(processes, budget)
    with _one_thread():
        _check(task, named, protocol)
        plans, protocol = _planned(task, named, protocol, budget, processes)
        return [*_sentences(plans, processes), _size(task, named, protocol, plans, processes)]


def _processes(asked: int | None, budget: float | None) -> int:
    if budget is not None and not budget > 0:
        raise InputError(f"budget takes seconds above 0, not {budget!r}")
    if asked is not None and asked < 1:
        raise InputError(f"processes takes a whole number from 1 up, not {asked!r}")
    return asked or cores()


def _check(task: Task, recipes: Mapping[str, Recipe], protocol: Protocol) -> None:
    check(task)
    for name, recipe in recipes.items():
        settings = trial_settings(name, recipe, protocol)
        check_schedules(task, name, (recipe.resolved(drawn) for drawn in settings))


@contextmanager
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _engine(name: str, address: str | None, task: Task, processes: int, show: Show) -> AbstractContextManager[Engine]:
    """Return what trains the runs, to be entered before anything is written."""
    if name == "ray":
        from thalweg.study.engine_ray import Cluster

        return Cluster(task, address, say=show.say)
    if name != "local":
        raise unknown("engine", name, ("local", "ray"))
    if address is not None:
        raise InputError("an address is that of a Ray cluster; add --engine ray")
    return nullcontext(Local(task, processes=processes, say=show.say))


class Engine(Interface):
    """Trains runs, wherever; see `thalweg.study.engine_local.Local`."""

    def run(
        self,
        jobs: Sequence[Job],
        plans: dict[int, Plan],
        *,
        on_record: Callable[[RunRecord], None],
        on_epochs: Callable[[int], None],
        done: Collection[str] = (),
        begins: bool = False,
    ) -> None:
        """Train every job that is not done."""
        ...


class _Work:
    """What `compare` does once the study's store is open."""

    def __init__(
        self,
        task: Task,
        recipes: Mapping[str, Recipe],
        protocol: Protocol,
        prints: Mapping[str, str],
        plans: dict[int, Plan],
        processes: int,
        store: Store,
        show: Show,
        engine: Engine,
    ) -> None:
        self.task, self.recipes, self.protocol, self.prints = task, recipes, protocol, prints
        self.plans, self.processes, self.store, self.show = plans, processes, store, show
        self.engine = engine
        if isinstance(engine, Local):
            engine.checkpoints, engine.on_plan = Checkpoints(store.directory), self._replan

    def _replan(self, size: int, plan: Plan) -> None:
        """Keep what a plan has become: it is not measured again when the study goes on."""
        self.show.say(f"{plan.reason}; {self.processes} processes")
        self.plans[size] = plan
        self.store.put("plan", _plan_facts(self.plans, self.processes))

    def run(self) -> Study:
        """Run what is missing, arm after arm; then the verdict and the report."""
        from thalweg.report import write

        first = first_arms(self.recipes, self.protocol, self.prints)
        self._announce(first)
        with self.show:
            self._make(first, "tuning, defaults, rates", begins=True)
            best = best_trial(
                self.store.entries("tuning"), self.store.runs(), higher_is_better=self.task.metric.higher_is_better
            )
            self._make(chosen_arm(self.recipes, self.protocol, self.prints, best), "chosen settings")
        verdict = verdicts.from_store(
            self.store,
            generalises={r.optimizer.name: list(r.optimizer.technique.generalises) for r in self.recipes.values()},
        )
        assert verdict is not None, "every run has a record"
        self.store.put("verdict", verdict)
        return Study(self.store.directory, verdict, write(self.store.directory))

    def _announce(self, first: Planned) -> None:
        """Say, before the first run, how many there are and how long they will take."""
        if self.task.note:
            self.show.say(self.task.note)
        for line in _sentences(self.plans, self.processes):
            self.show.say(line)
        done = self.store.finished()
        left = [job for job in first.jobs.values() if job.identity not in done]
        total = self.protocol.runs(self.recipes)
        if not done:
            self.show.say(_size(self.task, self.recipes, self.protocol, self.plans, self.processes))
        else:
            kept = f"{len(done)} of at most {total} runs are recorded in {self.store.directory} and are kept"
            seconds = expected_seconds(self.task, left, self.plans, self.processes)
            self.show.say(f"{kept}; about {duration(seconds)} for the next {len(left)}" if left else kept)

    def _make(self, planned: Planned, what: str, *, begins: bool = False) -> None:
        """Run and record the planned runs that are not recorded yet."""
        self.store.add_entries(planned.entries)
        done = self.store.finished()
        jobs = [job for job in planned.jobs.values() if job.identity not in done]
        if not jobs:
            return
        names = {entry.run: entry.recipe for entry in planned.entries}

        def record(run: RunRecord) -> None:
            self.store.add_run(run)
            self.show.run()
            if run.status == "failed":
                self.show.say(f"{names[run.identity]}, seed {run.seed}, failed: {run.reason}")

        self.show.begin(what, len(jobs), sum(job.member.recipe.sizes()[1] for job in jobs))
        every = list(planned.jobs.values())
        self.engine.run(
            every, self.plans, on_record=record, on_epochs=self.show.epochs, done=done, begins=begins
        )  # fmt: skip
        identities = {job.identity for job in jobs}
        diverged: dict[str, int] = {}
        for identity, run in self.store.runs().items():
            if identity in identities and run.status == "diverged":
                diverged[names[identity]] = diverged.get(names[identity], 0) + 1
        if diverged:
            counted = ", ".join(f"{name} {count}" for name, count in diverged.items())
            total = sum(diverged.values())
            verb = "is counted as a failure" if total == 1 else "are counted as failures"
            self.show.say(f"{_count(total, 'run')} diverged and {verb}: {counted}")


def _size(
    task: Task, recipes: Mapping[str, Recipe], protocol: Protocol, plans: Mapping[int, Plan], processes: int
) -> str:
    seconds = whole_study(task, recipes, protocol, plans, processes)
    effort = f"{_count(protocol.trials, 'trial')}, then {_count(protocol.seeds, 'seed')}"
    runs, made = _count(protocol.runs(recipes), "run"), _count(len(recipes), "recipe")
    return f"{runs} of {made} on {task.name}: {effort}; about {duration(seconds)}"


def _count(number: int, word: str) -> str:
    return f"{number} {word}{'s' * (number != 1)}"


def _named(recipes: Mapping[str, Recipe] | Sequence[Recipe]) -> dict[str, Recipe]:
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


def _batch_sizes(recipes: Mapping[str, Recipe]) -> list[int]:
    sizes: set[int] = set()
    for recipe in recipes.values():
        size = recipe.batch_size
        sizes.update(size.values if isinstance(size, Choice) else [size])
    return sorted(sizes)


def _planned(
    task: Task, recipes: Mapping[str, Recipe], protocol: Protocol, budget: float | None, processes: int
) -> tuple[dict[int, Plan], Protocol]:
    """Return how runs of each batch size are executed, and how many of them fit into the budget."""
    plans = {size: measure(task, size, processes=processes) for size in _batch_sizes(recipes)}
    if budget is not None:
        protocol = fit(budget, task, recipes, protocol, plans, processes)
    # The work is not divided by batch size: a range of them is drawn from, and each may get most of it.
    seconds = processes * whole_study(task, recipes, protocol, plans, processes) / len(plans)
    for size, plan in plans.items():
        plans[size] = to_compile(task, size, plan, seconds, processes)
        if plans[size].compiles:
            plans[size] = compiled(task, size, plans[size], cached=True) or plans[size]
    return plans, protocol


def _sentences(plans: Mapping[int, Plan], processes: int) -> list[str]:
    many = len(plans) > 1
    lines = [(f"batch size {size}: " if many else "") + plan.reason for size, plan in plans.items()]
    return [f"{line}; {processes} processes" if processes > 1 else line for line in lines]


def _facts(
    task: Task,
    prints: Mapping[str, str],
    protocol: Protocol,
    plans: Mapping[int, Plan],
    processes: int,
    command: str,
    recipes: Mapping[str, Recipe],
) -> dict[str, Any]:
    """Return what a new study's store says of itself."""
    return {
        "task": task_facts(task),
        "fingerprint": dict(prints),
        "protocol": {**protocol.as_dict(), "command": command, "runs": protocol.runs(recipes)},
        "environment": environment(processes),
        "plan": _plan_facts(plans, processes),
    }


def _plan_facts(plans: Mapping[int, Plan], processes: int) -> dict[str, Any]:
    return {
        "sentences": _sentences(plans, processes),
        "by_batch_size": {str(size): asdict(plan) for size, plan in plans.items()},
    }


def _continue(
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
