"""A study's work: its missing runs, arm after arm, the baselines, and the verdict that its records bear out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from thalweg.errors import InputError
from thalweg.recipe import Recipe, Together
from thalweg.record import RunRecord, Store
from thalweg.study import constant
from thalweg.study.before import alike, counted, lost, size_of, understood
from thalweg.study.budget import duration, expected_seconds
from thalweg.study.engines.local import Local
from thalweg.study.live import Live
from thalweg.study.machine import at_once
from thalweg.study.plan import Job, Planned, Protocol, best_trial, chosen_arm, first_arms
from thalweg.study.planning import plan_facts, sentence, sentences
from thalweg.study.progress import Show
from thalweg.task import Task
from thalweg.train.checkpoint import Checkpoints
from thalweg.train.inductor import no_compiler
from thalweg.train.planner import Plan, obstacle, ready

if TYPE_CHECKING:
    from thalweg.study.baselines import Baselines
    from thalweg.study.engines.ray import Cluster

__all__ = ["Judge", "Work", "import_ending"]

Judge = Callable[[Store], dict[str, Any] | None]
"""Makes the verdict of a study's records; None where some are missing."""


class Work:
    """What is missing of a study, run and recorded; and the verdict on all."""

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
        engine.checkpoints, engine.say, engine.on_plan = Checkpoints(store.directory), self.show.say, self._replan

    def _replan(self, together: Together, plan: Plan) -> None:
        """Keep what a plan has become: it is not measured again when the study goes on."""
        self.plans[together] = plan
        self.show.say(sentence(together, self.plans, self.processes))
        self.store.put("plan", plan_facts(self.plans, self.processes))

    def run(self, classical: Baselines | None, judge: Judge) -> dict[str, Any]:
        """Run what is missing, arm after arm, and fit the baselines; then return the verdict, which is kept."""
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
        return verdict

    def _tidy_up(self) -> None:
        """Remove what a kill between a lane's last record and its end has left."""
        checkpoints = Checkpoints(self.store.directory)
        for name in checkpoints.names():
            checkpoints.remove(name)

    def _announce(self, first: Planned) -> None:
        """Say, before the first run, how many there are and how long they will take."""
        for line in (*understood(self.task, self.recipes), *alike(self.task, self.recipes)):
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
            if self.plans[together].compiles != "yes":
                continue
            try:
                ready(self.task, together, self.plans[together].together)
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
        self.engine.run(
            every, self.plans, on_record=record, on_epochs=self.show.epochs, on_courses=self.show.courses,
            meanwhile=import_ending, done=done, begins=begins,
        )  # fmt: skip
        runs = self.store.runs()
        new = planned.jobs.keys() - self.told
        for line in lost((name, runs[identity]) for identity, name in names.items() if identity in new):
            self.show.say(line)
        self.told |= planned.jobs.keys()


def import_ending() -> None:
    """Import what the verdict and the report are made with while others work, and not after them."""
    from opda import nonparametric  # noqa: F401

    from thalweg.report import page  # noqa: F401
