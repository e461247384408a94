"""A lottery's work: its missing runs, the smallest ticket that is as good, and the verdict on the records."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from thalweg.errors import InputError
from thalweg.recipe import Recipe
from thalweg.record import Entry, RunRecord, Store, StoreError
from thalweg.study import constant
from thalweg.study.before import alike, counted, understood
from thalweg.study.budget import OVERHEAD, duration
from thalweg.study.engines.lanes import lane_left, not_kept, said
from thalweg.study.machine import at_once
from thalweg.study.planning import sentences
from thalweg.study.progress import Show
from thalweg.study.tickets import verdict as verdicts
from thalweg.study.tickets.chain import Chain
from thalweg.study.tickets.ends import leave_smallest
from thalweg.study.tickets.engine import Forked
from thalweg.study.tickets.ticket import Terms, Ticket, identity, kinds_at
from thalweg.task import Task
from thalweg.train import RunState
from thalweg.train.checkpoint import Checkpoints
from thalweg.train.epochs import steps_per_epoch
from thalweg.train.planner import Plan

__all__ = ["Work"]


class Work:
    """What is missing of a lottery, trained and recorded; and the verdict on all."""

    def __init__(
        self,
        task: Task,
        recipe: Recipe,
        terms: Terms,
        prints: Mapping[str, str],
        plan: Plan,
        processes: int,
        store: Store,
        show: Show,
    ) -> None:
        self.task, self.recipe, self.terms, self.prints = task, recipe, terms, prints
        self.plan, self.processes, self.store, self.show = plan, processes, store, show
        self.checkpoints = Checkpoints(store.directory)
        self.units = not store.get("lottery")["no_units"]

    def run(self) -> dict[str, Any]:
        """Train what is missing, and leave the smaller model; then return the verdict, which is kept."""
        if self.store.get("verdict") is None:
            entries = self._entries()
            self.store.add_entries(entries)
            self._announce({entry.run for entry in entries})
            with self.show:
                self._train(entries)
                self.store.put("lottery", {**self.store.get("lottery"), **self._ends()})
            constant.keep(self.task, self.store)
            verdict = verdicts.from_store(self.store)
            assert verdict is not None, "every run has a record"
            self.store.put("verdict", verdict)
        for name in self.checkpoints.names():
            self.checkpoints.remove(name)
        return dict(self.store.get("verdict"))

    def _entries(self) -> list[Entry]:
        """Return every run by kind, level and seed; the first time, pruning all at once is the ticket."""
        found = []
        for level in range(self.terms.rounds + 1):
            for place, seed in enumerate(self.terms.run_seeds()):
                kinds = kinds_at(level, place, units=self.units)
                for kind in [*kinds, "one-shot"] if level == 1 else kinds:
                    trained = "ticket" if kind == "one-shot" and level == 1 else kind
                    name = identity(self.prints, self.recipe, self.terms, trained, level, seed)
                    found.append(Entry("chosen", kind, level, place, name))
        return found

    def _announce(self, wanted: set[str]) -> None:
        own = {"": self.recipe}
        for line in filter(None, (*understood(self.task, own), *alike(self.task, own), not_kept(self.task))):
            self.show.say(line)
        for line in sentences({self.recipe.together(): self.plan}, self.processes):
            self.show.say(line)
        done = len(self.store.finished())
        epochs = self.recipe.sizes()[1]
        each = self.plan.seconds(epochs * steps_per_epoch(self.task, self.recipe), epochs)
        groups = min(self.plan.at_once(self.processes), self.terms.seeds)
        share = -(-self.terms.seeds // groups) / self.terms.seeds
        time_left = duration(
            OVERHEAD * each * (len(wanted) - done) * share * groups / at_once(groups * self.plan.threads)
        )
        left = self.store.get("lottery")["left"]
        what = (
            f"{counted(len(wanted), 'run')} on {self.task.name}: {counted(self.terms.rounds, 'round')} from "
            f"{left[0]:,} weights down to {left[-1]:,}, {100 * left[-1] / left[0]:.3g} %, "
            f"{counted(self.terms.seeds, 'seed')}"
        )
        kept = f"; {done} are recorded and kept" if done else ""
        self.show.say(f"{what}; about {time_left}{kept}")

    def _train(self, entries: Sequence[Entry]) -> None:
        done = self.store.finished()
        places: dict[str, Entry] = {}
        for entry in entries:
            places.setdefault(entry.run, entry)
        tickets = [Ticket.kept(self.checkpoints, i, seed) for i, seed in enumerate(self.terms.run_seeds())]
        begun = {state.member.identity: state for state in self._begun()}
        for sentence in self.checkpoints.damaged:
            self.show.say(sentence)
        left = [run for run in places if run not in done]
        late = self.terms.rewind // steps_per_epoch(self.task, self.recipe)
        epochs = self.recipe.sizes()[1]
        total = sum(
            epochs - late * (places[run].recipe != "fresh weights" and places[run].setting > 0) for run in left
        )
        self.show.begin("lottery", len(left), total)
        shown = set(done)
        diverged: Counter[str] = Counter()

        def tell(message: Any) -> None:
            match message:
                case RunRecord():
                    self.store.add_run(message)
                    if message.identity not in shown:
                        shown.add(message.identity)
                        self.show.run()
                        diverged[places[message.identity].recipe] += message.status == "diverged"
                case ("epochs", count):
                    self.show.epochs(count)

        groups = min(self.plan.at_once(self.processes), len(tickets))
        parts = [tickets[i::groups] for i in range(groups)]
        chain = partial(
            Chain, self.task, self.recipe, self.terms, self.prints, executor=self.plan.executor,
            together=self.plan.together if self.plan.executor != "one by one" else 1, checkpoints=self.checkpoints,
            done=done, begun=begun, units=self.units, threads=self.plan.threads,
        )  # fmt: skip
        if groups == 1:
            try:
                chain(tickets, tell=tell).run()
            except (InputError, StoreError):
                raise
            except Exception as error:
                raise InputError(f"training the tickets failed: {said(error)}") from error
        else:
            Forked(chain, parts, self.checkpoints, tell, self.show.say).run()
        if told := +diverged:
            whose = ", ".join(f"{kind} {count}" for kind, count in told.items())
            self.show.say(f"{counted(sum(told.values()), 'run')} diverged: {whose}")

    def _begun(self) -> list[RunState]:
        """Return the runs that a kill has interrupted."""
        names = [name for name in self.checkpoints.names() if name.startswith("runs-")]
        lanes = [lane_left(self.checkpoints, name) for name in names]
        return [state for lane in lanes if lane is not None for state in lane.states]

    def _ends(self) -> dict[str, Any]:
        """Return what the tickets left: lines between data orders, and the smallest that is as good, made smaller."""
        tickets = [Ticket.kept(self.checkpoints, i, seed) for i, seed in enumerate(self.terms.run_seeds())]
        weights = self.store.get("lottery")["left"][0]
        smaller = leave_smallest(self.task, self.recipe, tickets, weights, self.store.directory)
        units_left = [ticket.facts["left"] for ticket in tickets]
        return {"barriers": [t.barriers for t in tickets], "units_left": units_left, "smaller": smaller}
