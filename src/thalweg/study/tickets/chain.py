"""Tickets of some seeds, round after round: what each level trains, from which weights, under which masks."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor, nn

from thalweg import prune
from thalweg.errors import InputError
from thalweg.key import Key
from thalweg.recipe import Recipe
from thalweg.study.engines.lanes import Lane, Watch, record_of, run_of
from thalweg.study.tickets.ends import barrier
from thalweg.study.tickets.ticket import (
    KINDS,
    ORDERS,
    Masks,
    Terms,
    Ticket,
    fresh_seed,
    identity,
    kinds_at,
    next_masks,
    next_units,
    other_seed,
)  # fmt: skip
from thalweg.task import Task
from thalweg.train import Member, Population, Result, RunState, begin
from thalweg.train.checkpoint import Checkpoints
from thalweg.train.epochs import steps_per_epoch
from thalweg.train.made import model_of
from thalweg.train.passes import trainable
from thalweg.train.pruned import copied, rewound
from thalweg.train.pulse import heard
from thalweg.train.state import pruned
from thalweg.train.step import quiet_fallback
from thalweg.train.threads import threads

__all__ = ["Chain"]


@dataclass
class _Run:
    kind: str
    level: int
    ticket: Ticket
    state: RunState
    result: Result | None = None


class Chain:
    """Some tickets, each through all its levels; those at the same level are trained as a population.

    Args:
        task: what is trained on.
        recipe: resolved.
        terms: of the lottery.
        fingerprint: of the task.
        tickets: as they stand.
        executor, together: how runs are trained, and how many at most are a population.
        checkpoints: where tickets are kept after each level, and runs every few seconds.
        tell: gets each record, ``("epochs", count)`` after an epoch, and ``"alive"`` about once a second.
        done: identities of runs that are recorded.
        begun: by identity, runs that a kill has interrupted.
        units: whether whole units are taken out too.
        seconds: from one checkpoint of runs to the next.
        threads: how many runs are trained with.
    """

    def __init__(
        self,
        task: Task,
        recipe: Recipe,
        terms: Terms,
        fingerprint: Mapping[str, str],
        tickets: Sequence[Ticket],
        *,
        executor: str,
        together: int,
        checkpoints: Checkpoints,
        tell: Callable[[Any], None],
        done: Collection[str] = (),
        begun: Mapping[str, RunState] | None = None,
        units: bool = True,
        seconds: float = 5.0,
        threads: int = 1,
    ) -> None:
        self.task, self.recipe, self.terms, self.fingerprint = task, recipe, terms, fingerprint
        self.tickets, self.executor, self.together = list(tickets), executor, max(1, together)
        self.checkpoints, self.tell, self.done, self.begun = checkpoints, tell, set(done), dict(begun or {})
        self.units, self.seconds, self.threads = units, seconds, threads
        self.epoch = steps_per_epoch(task, recipe)
        module = model_of(task, recipe, 0)
        self.names = list(trainable(module))
        self.shapes = [tuple(p.shape) for p in trainable(module).values()]

    @quiet_fallback()
    def run(self) -> None:
        """Train what is left.

        Raises:
            InputError: a whole model diverged, or stopped before the step to which its ticket is rewound.
        """
        while left := [ticket for ticket in self.tickets if ticket.level <= self.terms.rounds]:
            level = min(ticket.level for ticket in left)
            now = [ticket for ticket in left if ticket.level == level]
            runs = [run for ticket in now for run in self._runs(ticket)]
            self._train(runs)
            for ticket in now:
                self._end_level(ticket, [run for run in runs if run.ticket is ticket])

    # -- what a level trains -------------------------------------------------------------------------

    def _runs(self, ticket: Ticket) -> list[_Run]:
        """Return what a ticket's level trains, without what is recorded and no longer needed."""
        level = ticket.level
        if level == 0:
            return [_Run("ticket", 0, ticket, self._ready(ticket, "ticket", 0, ticket.seed))]
        found = [
            _Run(kind, level, ticket, self._ready(ticket, kind, level, ticket.seed))
            for kind in kinds_at(level, ticket.place, units=self.units)
        ]
        if (
            level == 1 and ticket.place < ORDERS
        ):  # the whole model in another order stands at the same step of its epoch as these
            other = KINDS[-1]
            found.append(_Run(other, 0, ticket, self._ready(ticket, other, 0, ticket.seed)))
        needed = ("ticket", "whole units", "other data order")
        return [run for run in found if run.kind in needed or run.state.member.identity not in self.done]

    def _ready(self, ticket: Ticket, kind: str, level: int, seed: int) -> RunState:
        """Return a run as a kill left it, or as it begins."""
        name = identity(self.fingerprint, self.recipe, self.terms, kind, level, seed)
        return self.begun.pop(name, None) or self.begin(ticket, kind, level, name)

    def begin(self, ticket: Ticket, kind: str, level: int, name: str = "") -> RunState:
        """Return a run before its first step at a level."""
        seed, alike = ticket.seed, self.executor != "one by one"
        member = Member(self.recipe, seed, name)
        if kind == "ticket" and level == 0:
            return begin(self.task, member, alike=alike)
        if kind == "fresh weights":
            other = begin(self.task, replace(member, seed=fresh_seed(seed, level)), alike=alike)
            return pruned(RunState(member, tensors=other.tensors), ticket.masks)
        masks = ticket.masks if level else {}
        if kind == "random mask":
            masks = prune.shuffled(ticket.masks, Key(seed) / "lottery" / level)
        elif kind == "one-shot":
            masks = ticket.shot
        elif kind == "whole units":
            masks = ticket.units
        elif kind == "other data order":
            member = replace(member, seed=other_seed(seed))
        assert ticket.early is not None
        return replace(rewound(ticket.early, masks, self.names, self.shapes), member=member)

    # -- training ------------------------------------------------------------------------------------

    def _train(self, runs: Sequence[_Run]) -> None:
        """Train runs in as few populations as there can be: those at the same place of their epochs together."""
        places: dict[int, list[_Run]] = {}
        for run in runs:
            places.setdefault(self._place(run.state), []).append(run)
        for place, group in places.items():
            size = -(-len(group) // -(-len(group) // self.together))
            for start in range(0, len(group), size):
                self._train_together(group[start : start + size], f"runs-{runs[0].ticket.place}-{place}-{start}")

    def _place(self, state: RunState) -> int:
        return state.step - self.epoch * (len(state.facts.get("losses", [0])) - 1)

    def _train_together(self, runs: Sequence[_Run], name: str) -> None:
        by_name = {run.state.member.identity: run for run in runs}
        states = tuple(run.state for run in runs)
        lane = Lane(name, self.executor, len(runs), states, threads=self.threads)
        watch = Watch(checkpoints=self.checkpoints, seconds=self.seconds, alive=lambda: self.tell("alive"))
        population = Population(self.task, lane.executor, lane.slots, states, keep_weights=True)
        first = {run.state.member.identity: run.ticket for run in runs if run.level == 0 and run.kind == "ticket"}
        if first and self.terms.rewind == 0:
            self._keep_early(states, first)

        def on_step(population: Population) -> None:
            if first and self.terms.rewind % self.epoch:
                self._look(population, first)
            watch.step(lane, population)

        def on_epoch(count: int) -> None:
            if first and self.terms.rewind and self.terms.rewind % self.epoch == 0:
                self._look(population, first)
            self.tell(("epochs", count))

        with threads(self.threads), heard(watch.alive):
            for member, result in population.run(on_step=on_step, on_epoch=on_epoch):
                by_name[member.identity].result = result
                self.tell(record_of(run_of(member), lane.manner, result))
        self.checkpoints.remove(name)

    def _look(self, population: Population, tickets: Mapping[str, Ticket]) -> None:
        """Keep the runs that are at the step to which they will be rewound."""
        states = population.snapshot()
        self._keep_early([state for state in states if state.step == self.terms.rewind], tickets)

    def _keep_early(self, states: Sequence[RunState], tickets: Mapping[str, Ticket]) -> None:
        for state in states:
            ticket = tickets[state.member.identity]
            if ticket.early is None:
                ticket.early = copied(state)
                ticket.keep(self.checkpoints)

    # -- the end of a level --------------------------------------------------------------------------

    def _end_level(self, ticket: Ticket, runs: Sequence[_Run]) -> None:
        results = {(run.kind, run.level): run.result for run in runs}
        own = results["ticket", ticket.level]
        assert own is not None
        assert own.weights is not None
        if ticket.level == 0:
            self._check_first(ticket, own)
            ticket.full = own.weights
            ticket.facts = {"full": own.valid, "best": None, "small": None, "left": []}
        if other := results.get(("other data order", 0)):
            ticket.barriers.append(self._barrier(ticket, ticket.full, other))
        if other := results.get(("other data order", ticket.level)):
            ticket.barriers.append(None if own.reason else self._barrier(ticket, own.weights, other))
        for part, kind in (("best", "ticket"), ("small", "whole units")):
            if ticket.level and (result := results.get((kind, ticket.level))) and not result.reason:
                masks = ticket.masks if kind == "ticket" else ticket.units
                self._compare(ticket, part, result, masks)
        if ticket.level < self.terms.rounds:
            # Where a ticket diverged, the whole model's weights say what goes.
            of = ticket.full if own.reason else own.weights
            ticket.masks = next_masks(self._module(ticket, of), self.terms, ticket.masks or None)
            whole = self._module(ticket, ticket.full)
            ticket.shot = next_masks(whole, self.terms, ticket.shot or None)
            if self.units:
                ticket.units = next_units(whole, self.terms, ticket.units or None)
                ticket.facts["left"].append(sum(int(mask.sum()) for mask in ticket.units.values()))
        ticket.level += 1
        ticket.keep(self.checkpoints)

    def _check_first(self, ticket: Ticket, own: Result) -> None:
        if own.reason:
            raise InputError(
                f"the whole model diverged on seed {ticket.seed}, so that nothing can be pruned of it: {own.reason}; "
                "give a recipe that trains it"
            )
        if ticket.early is None:
            raise InputError(
                f"on seed {ticket.seed} the whole model stopped after {own.steps} steps, before step "
                f"{self.terms.rewind}, to which its ticket is to be rewound"
            )

    def _module(self, ticket: Ticket, weights: Mapping[str, Tensor]) -> nn.Module:
        module = model_of(self.task, self.recipe, ticket.seed)
        module.load_state_dict(dict(weights))
        return module

    def _barrier(self, ticket: Ticket, weights: Mapping[str, Tensor], other: Result) -> list[float] | None:
        if other.reason or other.weights is None:
            return None
        return barrier(self.task, self._module(ticket, weights), weights, other.weights)

    def _compare(self, ticket: Ticket, part: str, result: Result, masks: Masks) -> None:
        """Keep a level's outcome if it is the smallest that is no worse than the whole model, or the best so far."""
        sign = 1.0 if self.task.metric.higher_is_better else -1.0
        full, valid, kept = sign * ticket.facts["full"], sign * result.valid, ticket.facts[part]
        held = kept is not None and sign * kept["valid"] >= full
        if valid >= full or (not held and (kept is None or valid > sign * kept["valid"])):
            assert result.weights is not None
            setattr(ticket, part, {name: x.clone() for name, x in result.weights.items()})
            setattr(ticket, f"{part}_masks", {name: mask.clone() for name, mask in masks.items()})
            ticket.facts[part] = {"level": ticket.level, "valid": result.valid}
