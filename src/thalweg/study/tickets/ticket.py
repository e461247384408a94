"""What a lottery does, and a ticket as it stands between two levels: its masks, and what they follow from."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from torch import Tensor, nn

from thalweg import prune
from thalweg.key import Key
from thalweg.recipe import Recipe
from thalweg.record import SCHEMA
from thalweg.train import RunState
from thalweg.train.checkpoint import Checkpoints
from thalweg.train.state import packed, unpacked

__all__ = [
    "KINDS", "ORDERS", "Masks", "Terms", "Ticket", "fresh_seed", "identity", "kinds_at", "next_masks", "next_units",
    "other_seed",
]  # fmt: skip

KINDS = ("ticket", "random mask", "fresh weights", "one-shot", "whole units", "other data order")
"""What is trained at each level: the ticket; a mask of its sizes by lot, from the same weights; its mask, from other
first weights; the mask of one pruning, from the same weights; whole output units gone, from the same weights; and the
ticket again, on its data in another order."""

ORDERS = 2
"""Of how many seeds, at most, tickets are trained on their data in another order."""

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


def next_units(module: nn.Module, terms: Terms, among: Mapping[str, Tensor] | None) -> Masks:
    """Return which weights of a trained model the next level keeps where whole units go, as large a share of them.

    Raises:
        InputError: units cannot be taken out of the model.
    """
    return prune.unit_magnitude().masks(module, 1 - terms.rate, scope=terms.scope, among=among)


@dataclass
class Ticket:
    """One seed's ticket, as it stands between two levels.

    Attributes:
        place, seed: which of the lottery's seeds, and the seed itself.
        level: that is to be trained next.
        early: the run at the step to which it is rewound; None before.
        full: the trained weights of the whole model.
        masks: of the ticket at ``level``; ``shot``: of all pruning at once; ``units``: without whole units, where
            there is that.
        barriers: by level, the metric along the line between the ticket and that of the other data order.
        best, best_masks: weights and masks of the smallest ticket that is no worse than the whole model on the
            validation split; of the best one where none is. ``small`` and ``small_masks``: the same where whole
            units went.
        facts: the level and validation metric of these, the whole model's, and how many weights were left at each
            level where whole units went.
    """

    place: int
    seed: int
    level: int = 0
    early: RunState | None = None
    full: dict[str, Tensor] = field(default_factory=dict)
    masks: Masks = field(default_factory=dict)
    shot: Masks = field(default_factory=dict)
    units: Masks = field(default_factory=dict)
    barriers: list[list[float] | None] = field(default_factory=list)
    best: dict[str, Tensor] = field(default_factory=dict)
    best_masks: Masks = field(default_factory=dict)
    small: dict[str, Tensor] = field(default_factory=dict)
    small_masks: Masks = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)

    _PARTS = ("full", "masks", "shot", "units", "best", "best_masks", "small", "small_masks")

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


def kinds_at(level: int, place: int, *, units: bool) -> list[str]:
    """Return what a seed trains at a level, the first seed being 0; ``units``: whether whole units are taken out."""
    if level == 0:
        return ["ticket", *KINDS[-1:]] if place < ORDERS else ["ticket"]
    left_out = {"one-shot"} if level == 1 else set()  # pruned once, all at once is the ticket
    left_out |= (set() if units else {"whole units"}) | (set() if place < ORDERS else {KINDS[-1]})
    return [kind for kind in KINDS if kind not in left_out]
