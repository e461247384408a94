"""How error changes on the straight line between two sets of weights."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from thalweg.errors import InputError
from thalweg.prune._weights import check_state

__all__ = ["Connectivity", "connectivity"]


@dataclass(frozen=True)
class Connectivity:
    """The error along a line.

    Attributes:
        shares: of the way from the first end to the second, from 0 to 1.
        errors: at each.
    """

    shares: tuple[float, ...]
    errors: tuple[float, ...]

    @property
    def barrier(self) -> float:
        """The largest error on the line minus the mean of its ends'."""
        return max(self.errors) - (self.errors[0] + self.errors[-1]) / 2


@torch.no_grad()
def connectivity(
    model: nn.Module,
    first: Mapping[str, Tensor],
    second: Mapping[str, Tensor],
    evaluate: Callable[[nn.Module], float],
    points: int = 30,
) -> Connectivity:
    """Return the error on the segment between two sets of weights: whether they lie in one basin.

    Where errors are shares, a barrier below 0.02 counts as none in the paper. Running statistics of batch norms are
    interpolated as weights are; where they should be made anew, let ``evaluate`` do so.

    Args:
        model: of which a copy gets the weights.
        first, second: state dicts, such as two trained tickets'; whole numbers are taken from the first.
        evaluate: from a model, in evaluation mode, to its error: lower is better.
        points: evenly from end to end, both included.

    Raises:
        InputError: fewer than two points, state dicts that are not the model's, or an error that is no finite number.

    Source: Frankle, Dziugaite, Roy & Carbin 2020, Linear Mode Connectivity and the Lottery Ticket Hypothesis.

    >>> layer = nn.Linear(1, 1, bias=False)
    >>> ends = [{"weight": torch.tensor([[w]])} for w in (-1.0, 1.0)]
    >>> found = connectivity(layer, *ends, lambda m: 1 - m.weight.item() ** 2, points=3)
    >>> found.errors, found.barrier
    ((0.0, 1.0, 0.0), 1.0)
    """
    if isinstance(points, bool) or not isinstance(points, int) or points < 2:
        raise InputError(f"connectivity takes a whole number of points from 2 up, not {points!r}")
    walker = copy.deepcopy(model).eval()
    state = walker.state_dict()
    for which, end in (("first", first), ("second", second)):
        check_state(state, end, "connectivity", which)
    shares = [i / (points - 1) for i in range(points)]
    errors = []
    for share in shares:
        for name, value in state.items():
            a, b = first[name].to(value.device), second[name].to(value.device)
            value.copy_(torch.lerp(a, b, share) if value.is_floating_point() else a)
        with torch.enable_grad():
            error = float(evaluate(walker.eval()))
        if not math.isfinite(error):
            raise InputError(f"connectivity got the error {error} at {share:.3g} of the way")
        errors.append(error)
    return Connectivity(tuple(shares), tuple(errors))
