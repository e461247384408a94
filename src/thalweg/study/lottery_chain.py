"""Tickets of some seeds, round after round: what each level trains, from which weights, under which masks."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from torch import Tensor, nn

from thalweg import prune
from thalweg.errors import InputError
from thalweg.key import Key
from thalweg.recipe import Recipe
from thalweg.record import SCHEMA
from thalweg.study.lanes import Lane, Watch, record_of, run_of
from thalweg.study.lottery_ends import barrier
from thalweg.task import Task
from thalweg.train import Member, Population, Result, RunState, begin
from thalweg.train.checkpoint import Checkpoints
from thalweg.train.made import model_of
from thalweg.train.passes import trainable
from thalweg.train.population import steps_per_epoch
from thalweg.train.pruned import copied, rewound
from thalweg.train.state import of_module, packed, pruned, unpacked
from thalweg.train.step import quiet_fallback

__all__ = ["KINDS", "Chain", "Terms", "Ticket", "fresh_seed", "identity", "next_masks", "other_seed"]

KINDS = ("ticket", "random mask", "fresh weights", "one-shot", "other data order")
"""What is trained at each level: the ticket; a mask of its sizes by lot, from the same weights; its mask, from other
first weights; the mask of one pruning, from the same weights; and the ticket again, on its data in another order."""

Masks = dict[str, Tensor]


@dataclass(frozen=True)
class Terms:
    """What a lottery does.

    Args:
        rounds: how often is pruned.
        rate: the share of weights that go each time; half of it in the output layer.
        rewind: the step whose weights tickets go on from.
        scope: ``"layer"``, each layer's weights compete among themselves; ``"global"``, all but the output layer's.
        seeds: how many tickets are drawn.
        seed: of the study.
    """

    rounds: int = 10
    rate: float = 0.2
    rewind: int = 0
    scope: str = "layer"
    seeds: int = 5
    seed: int = 0

    def run_seeds(self) -> list[int]:
        """Return the seed of each ticket."""
        return [(Key(self.seed) / "lottery" / i).integer() for i in range(self.seeds)]


def identity(fingerprint: Mapping[str, str], recipe: Recipe, terms: Terms, kind: str, level: int, seed: int) -> str:
    """Return the identity of a lottery's run: a hash of all that it follows from."""
    said = {name: value for name, value in asdict(terms).items() if name not in ("rounds", "seeds", "seed")}
    whole = json.dumps([SCHEMA, dict(sorted(fingerprint.items())), recipe.toml(), seed, kind, level, said])
    return hashlib.sha256(whole.encode()).hexdigest()


def fresh_seed(seed: int, level: int) -> int:
    """Return the seed of a level's fresh weights."""
    return (Key(seed) / "lottery" / "fresh" / level).integer()


def other_seed(seed: int) -> int:
    """Return the seed by which the other run of a ticket sees its data."""
    return (Key(seed) / "lottery" / "order").integer()


def next_masks(module: nn.Module, terms: Terms, among: Mapping[str, Tensor] | None) -> Masks:
    """Return which of a trained model's weights the next level keeps.

    Args:
        module: with its trained weights.
        terms: of the lottery.
        among: which the level before kept; None for all.
    """
    return prune.magnitude().masks(module, 1 - terms.rate, scope=terms.scope, half_output=True, among=among)


@dataclass
class Ticket:
    """One seed's ticket, as it stands between two levels.

    Attributes:
        place, seed: which of the lottery's seeds, and the seed itself.
        level: that is to be trained next.
        early: the run at the step to which it is rewound; None before.
        full: the trained weights of the whole model.
        masks: of the ticket at ``level``; ``shot``: of all pruning at once.
        barriers: by level, the metric along the line between the ticket and that of the other data order.
        best, best_masks: weights and masks of the smallest ticket that is no worse than the whole model on the
            validation split; of the best one where none is.
        facts: its level, its validation metric, and the whole model's.
    """

    place: int
    seed: int
    level: int = 0
    early: RunState | None = None
    full: dict[str, Tensor] = field(default_factory=dict)
    masks: Masks = field(default_factory=dict)
    shot: Masks = field(default_factory=dict)
    barriers: list[list[float] | None] = field(default_factory=list)
    best: dict[str, Tensor] = field(default_factory=dict)
    best_masks: Masks = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)

    _PARTS = ("full", "masks", "shot", "best", "best_masks")

    @property
    def name(self) -> str:
        """Of its checkpoint."""
        return f"ticket-{self.place}"

    def keep(self, checkpoints: Checkpoints) -> None:
        """Write it down."""
        early, facts = packed([self.early] if self.early is not None else [])
        tensors = {f"early/{name}": x for name, x in early.items()}
        for part in self._PARTS:
            tensors |= {f"{part}/{name}": x for name, x in getattr(self, part).items()}
        said = {"seed": self.seed, "level": self.level, "barriers": self.barriers, "facts": self.facts}
        checkpoints.save(self.name, tensors, {**said, "early": facts})

    @classmethod
    def kept(cls, checkpoints: Checkpoints, place: int, seed: int) -> Ticket:
        """Return it as it was written down, or as it begins."""
        loaded = checkpoints.load(cls(place, seed).name)
        if loaded is None:
            return cls(place, seed)
        tensors, said = loaded
        parts: dict[str, dict[str, Tensor]] = {part: {} for part in ("early", *cls._PARTS)}
        for name, x in tensors.items():
            part, _, rest = name.partition("/")
            parts[part][rest] = x
        states = unpacked(parts.pop("early"), said["early"])
        return cls(
            place, seed, said["level"], states[0] if states else None, barriers=said["barriers"], facts=said["facts"],
            **parts,
        )  # fmt: skip


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
        tell: gets each record, and ``("epochs", count)`` after an epoch.
        done: identities of runs that are recorded.
        begun: by identity, runs that a kill has interrupted.
        seconds: from one checkpoint of runs to the next.
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
        seconds: float = 5.0,
    ) -> None:
        self.task, self.recipe, self.terms, self.fingerprint = task, recipe, terms, fingerprint
        self.tickets, self.executor, self.together = list(tickets), executor, max(1, together)
        self.checkpoints, self.tell, self.done, self.begun = checkpoints, tell, set(done), dict(begun or {})
        self.seconds = seconds
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
        found = []
        for kind in KINDS:
            if kind == "one-shot" and level == 1:  # it is the ticket
                continue
            found.append(_Run(kind, level, ticket, self._ready(ticket, kind, level, ticket.seed)))
        if level == 1:  # the whole model in another order stands at the same step of its epoch as these
            other = KINDS[-1]
            found.append(_Run(other, 0, ticket, self._ready(ticket, other, 0, ticket.seed)))
        needed = ("ticket", "other data order")
        return [run for run in found if run.kind in needed or run.state.member.identity not in self.done]

    def _ready(self, ticket: Ticket, kind: str, level: int, seed: int) -> RunState:
        """Return a run as a kill left it, or as it begins."""
        name = identity(self.fingerprint, self.recipe, self.terms, kind, level, seed)
        return self.begun.pop(name, None) or self.begin(ticket, kind, level, name)

    def begin(self, ticket: Ticket, kind: str, level: int, name: str = "") -> RunState:
        """Return a run before its first step at a level."""
        seed = ticket.seed
        member = Member(self.recipe, seed, name)
        if kind == "ticket" and level == 0:
            return begin(self.task, member)
        if kind == "fresh weights":
            first = of_module(model_of(self.task, self.recipe, fresh_seed(seed, level)))
            return pruned(RunState(member, tensors=first), ticket.masks)
        masks = ticket.masks if level else {}
        if kind == "random mask":
            masks = prune.shuffled(ticket.masks, Key(seed) / "lottery" / level)
        elif kind == "one-shot":
            masks = ticket.shot
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
        lane = Lane(name, self.executor, len(runs), states)
        watch = Watch(checkpoints=self.checkpoints, seconds=self.seconds)
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

        for member, result in population.run(on_step=on_step, on_epoch=on_epoch):
            by_name[member.identity].result = result
            self.tell(record_of(run_of(member), f"{lane.executor}, {lane.slots} together", result))
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
            ticket.facts = {"full": own.valid, "level": None, "valid": None}
        if other := results.get(("other data order", 0)):
            ticket.barriers.append(self._barrier(ticket, ticket.full, other))
        if other := results.get(("other data order", ticket.level)):
            ticket.barriers.append(None if own.reason else self._barrier(ticket, own.weights, other))
        if ticket.level and not own.reason:
            self._compare(ticket, own)
        if ticket.level < self.terms.rounds:
            # Where a ticket diverged, the whole model's weights say what goes.
            of = ticket.full if own.reason else own.weights
            ticket.masks = next_masks(self._module(ticket, of), self.terms, ticket.masks or None)
            ticket.shot = next_masks(self._module(ticket, ticket.full), self.terms, ticket.shot or None)
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

    def _compare(self, ticket: Ticket, own: Result) -> None:
        """Keep the ticket if it is the smallest that is no worse than the whole model, or the best so far."""
        facts, sign = ticket.facts, 1.0 if self.task.metric.higher_is_better else -1.0
        no_worse = sign * own.valid >= sign * facts["full"]
        held = facts["valid"] is not None and sign * facts["valid"] >= sign * facts["full"]
        better = facts["valid"] is None or sign * own.valid > sign * facts["valid"]
        if no_worse or (not held and better):
            assert own.weights is not None
            ticket.best = {name: x.clone() for name, x in own.weights.items()}
            ticket.best_masks = {name: mask.clone() for name, mask in ticket.masks.items()}
            ticket.facts = {**facts, "level": ticket.level, "valid": own.valid}
