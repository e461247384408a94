"""Pruned weights in a population: which rows have any, held at 0; and runs that are rewound to an early step."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from thalweg.optim import Optimizer
from thalweg.train.state import RunState

__all__ = ["PrunedRows", "copied", "rewound"]


class PrunedRows:
    """The rows of a population whose weights keep to masks.

    Args:
        masks: of each run, by the parameters' names, True where a weight stays; empty where none are pruned. The runs
            are the first rows.
        names, shapes: of the parameters that make up a row, in order.

    Attributes:
        masks: as given.
        gone: by row, which of its weights are pruned, bool, shape ``(weights,)``.
    """

    def __init__(
        self, masks: Sequence[Mapping[str, Tensor]], names: Sequence[str], shapes: Sequence[tuple[int, ...]]
    ) -> None:
        self.masks = list(masks)
        self.gone = {row: _gone(mine, names, shapes) for row, mine in enumerate(masks) if mine}
        rows = list(self.gone)
        self._gone = torch.stack(list(self.gone.values())) if rows else torch.empty(0, 0, dtype=torch.bool)
        self._rows = torch.tensor(rows, dtype=torch.int64)
        # Rows that follow each other are a view of the matrix, which costs no copy.
        self._part = slice(rows[0], rows[-1] + 1) if rows and rows == list(range(rows[0], rows[-1] + 1)) else None

    def hold(self, matrix: Tensor) -> None:
        """Set what is pruned to 0 in weights or gradients, shape ``(rows, weights)``, whatever stands there."""
        if not self.gone:
            return
        if self._part is not None:
            matrix[self._part].masked_fill_(self._gone, 0.0)
        else:
            matrix[self._rows] = matrix[self._rows].masked_fill_(self._gone, 0.0)

    def held(self, row: int, weights: Tensor) -> Tensor:
        """Return weights that a row is to have, shape ``(weights,)``, with what it has pruned at 0."""
        return weights.masked_fill(self.gone[row], 0.0) if row in self.gone else weights


def _gone(masks: Mapping[str, Tensor], names: Sequence[str], shapes: Sequence[tuple[int, ...]]) -> Tensor:
    pieces = [
        ~masks[name].reshape(-1) if name in masks else torch.zeros(math.prod(shape), dtype=torch.bool)
        for name, shape in zip(names, shapes, strict=True)
    ]
    return torch.cat(pieces)


def copied(state: RunState) -> RunState:
    """Return a run as it is now, of which nothing changes when it trains on; a population hands out views."""
    tensors = {name: x.detach().clone() for name, x in state.tensors.items()}
    return replace(state, tensors=tensors, facts=copy.deepcopy(dict(state.facts)))


def rewound(
    state: RunState, masks: Mapping[str, Tensor], names: Sequence[str], shapes: Sequence[tuple[int, ...]]
) -> RunState:
    """Return an early state of a run with masks: what it goes on from when it is trained again as a ticket.

    Weights, slow weights and averages are 0 where they are pruned, and so is what the optimizer keeps for each
    weight. What the run had seen of the validation metric by then was not the ticket's: its curve up to here is
    empty, and a rule to stop begins anew.

    Args:
        state: as it was at an early step, without masks.
        masks: of the ticket, by the parameters' names, True where a weight stays.
        names, shapes: of the parameters that are trained, in order.
    """
    gone = _gone(masks, names, shapes)
    tensors = {name: x for name, x in state.tensors.items() if not name.startswith(("best/", "mask/"))}
    for name, mask in masks.items():
        tensors[f"model/{name}"] = tensors[f"model/{name}"].masked_fill(~mask, 0.0)
        tensors[f"mask/{name}"] = mask
    for name in ("slow", "average"):
        if name in tensors:
            tensors[name] = tensors[name].masked_fill(gone, 0.0)
    tensors |= _optimizer(state, masks, gone, names, shapes)
    facts = {name: value for name, value in state.facts.items() if name != "stop"}
    if facts:
        facts["losses"] = [math.nan] * len(facts["losses"])
        facts["valid"] = [math.nan] * len(facts["valid"])
        facts["cpu_seconds"] = 0.0
    return replace(state, tensors=tensors, facts=facts)


def _optimizer(
    state: RunState,
    masks: Mapping[str, Tensor],
    gone: Tensor,
    names: Sequence[str],
    shapes: Sequence[tuple[int, ...]],
) -> dict[str, Tensor]:
    """Return what the optimizer keeps, at 0 for pruned weights where it keeps a number for each weight."""
    technique = state.member.recipe.optimizer.technique
    assert isinstance(technique, Optimizer)
    kept = [state.tensors[f"optimizer/{i}"] for i in range(sum(x.startswith("optimizer/") for x in state.tensors))]
    if technique.scope == "tensor":  # piece after piece, each with all its state
        every = [
            ~masks[name] if name in masks else None
            for name, shape in zip(names, shapes, strict=True)
            for _ in technique.on(shape).state
        ]
    else:
        every = [gone] * len(kept)
    return {
        f"optimizer/{i}": x.masked_fill(where, 0.0) if where is not None and where.shape == x.shape else x
        for i, (x, where) in enumerate(zip(kept, every, strict=True))
    }
