"""What a run is at one moment: everything that its next step depends on, and nothing else.

Populations are made of run states and give them back, so that a run that enters one, leaves it, lies on the disk or
goes on after a kill is the same run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from torch import Tensor, nn

from thalweg.recipe import Recipe
from thalweg.task import Task
from thalweg.task.outside import check_alike
from thalweg.train.made import masks_of, model_of
from thalweg.train.pulse import beat
from thalweg.train.threads import threads

__all__ = [
    "Member",
    "RunState",
    "begin",
    "begin_all",
    "beginnings",
    "masks_in",
    "of_module",
    "packed",
    "pruned",
    "unpacked",
]


@dataclass(frozen=True)
class Member:
    """One run of a population.

    Attributes:
        recipe: resolved.
        seed: of the run.
        identity: what the caller knows it by.
    """

    recipe: Recipe
    seed: int
    identity: str = ""


@dataclass(frozen=True)
class RunState:
    """A run between two steps.

    Attributes:
        member: which run.
        step: steps done.
        tensors: the model's, by its own names behind ``model/``; what the optimizer keeps, ``optimizer/0`` and so on;
            ``slow`` weights and the ``average``, where the recipe has them; where weights are pruned, which stay, by
            the parameters' names behind ``mask/``. Each of one run's shape.
        facts: anything that JSON can hold; see `thalweg.train.company.Company`.
    """

    member: Member
    step: int = 0
    tensors: Mapping[str, Tensor] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)


def begin(task: Task, member: Member, *, alike: bool = False) -> RunState:
    """Return a run before its first step: its initial weights, and which of them stay, are all there is.

    Args:
        task: whose model.
        member: which run.
        alike: whether it is trained by the module of another run.

    Raises:
        RuntimeError: it is to be, and its module is another one outside parameters and buffers.
    """
    seen = {"seen": partial(check_alike, task)} if alike else {}
    with threads(1):  # weights that come from a decomposition depend on it in their last bits
        module = model_of(task, member.recipe, member.seed, **seen)
        masks = masks_of(task, member.recipe, member.seed, module)
    return pruned(RunState(member, tensors=of_module(module)), masks)


def begin_all(task: Task, members: Sequence[Member], *, alike: bool = False) -> list[RunState]:
    """Return runs before their first step; their tensors lie side by side, so that their memory is given back whole.

    Args:
        task: whose models.
        members: with the same shapes.
        alike: whether one module is to stand for all of them; see `begin`.
    """
    blocks: dict[str, Tensor] = {}
    states = []
    for row, member in enumerate(members):
        beat()
        state = begin(task, member, alike=alike)
        tensors = {}
        for name, x in state.tensors.items():
            if name not in blocks:
                blocks[name] = x.new_empty((len(members), *x.shape))
            tensors[name] = blocks[name][row].copy_(x)
        states.append(replace(state, tensors=tensors))
    return states


def masks_in(state: RunState) -> dict[str, Tensor]:
    """Return which weights of a run stay, by the parameters' names; empty where none are pruned."""
    return {name.removeprefix("mask/"): x for name, x in state.tensors.items() if name.startswith("mask/")}


def pruned(state: RunState, masks: Mapping[str, Tensor]) -> RunState:
    """Return a run that has not begun with masks, which its weights keep to from here on; what it has is left alone.

    Args:
        state: only the model's tensors.
        masks: bool tensors by the parameters' names, True where a weight stays.
    """
    tensors = dict(state.tensors)
    for name, mask in masks.items():
        tensors[f"model/{name}"] = tensors[f"model/{name}"].masked_fill(~mask, 0.0)
        tensors[f"mask/{name}"] = mask
    return replace(state, tensors=tensors)


def beginnings(task: Task, count: int, recipe: Recipe | None = None) -> list[RunState]:
    """Return so many runs before their first step, of one resolved recipe; of the task's defaults if not given."""
    one = recipe if recipe is not None else Recipe().resolved()
    return begin_all(task, [Member(one, seed) for seed in range(count)])


def of_module(module: nn.Module) -> dict[str, Tensor]:
    """Return a module's parameters and buffers by name, behind ``model/``; tied ones once."""
    named = [*module.named_parameters(), *module.named_buffers()]
    return {f"model/{name}": x.detach() for name, x in named}


def packed(states: Sequence[RunState]) -> tuple[dict[str, Tensor], list[dict[str, Any]]]:
    """Return states as tensors by name and facts that JSON can hold, to be written down."""
    tensors = {f"{i}/{name}": x for i, state in enumerate(states) for name, x in state.tensors.items()}
    facts = [
        {
            "identity": state.member.identity, "recipe": state.member.recipe.toml(), "seed": state.member.seed,
            "step": state.step, "facts": dict(state.facts),
        }
        for state in states
    ]  # fmt: skip
    return tensors, facts


def unpacked(tensors: Mapping[str, Tensor], facts: Sequence[Mapping[str, Any]]) -> list[RunState]:
    """Return the states that `packed` was given."""
    mine: list[dict[str, Tensor]] = [{} for _ in facts]
    for name, x in tensors.items():
        place, _, rest = name.partition("/")
        mine[int(place)][rest] = x
    return [
        RunState(
            Member(Recipe.from_toml(one["recipe"]), one["seed"], one["identity"]), one["step"], own, one["facts"]
        )
        for one, own in zip(facts, mine, strict=True)
    ]
