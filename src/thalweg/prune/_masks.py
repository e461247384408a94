"""From scores to masks: how much stays, and among which weights it is decided."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from thalweg.errors import InputError, unknown
from thalweg.key import Key
from thalweg.prune._chains import Chain, chains
from thalweg.prune._gradients import flow_gradient, loss_gradient
from thalweg.prune._weights import checked, masked, prunable

if TYPE_CHECKING:
    from thalweg.prune._technique import Prune

__all__ = ["Given", "counts", "masks"]

Masks = dict[str, Tensor]


@dataclass(frozen=True)
class Given:
    """What `Prune.masks` was given beside the model and the share; see there."""

    scope: str
    half_output: bool | str
    among: Mapping[str, Tensor] | None
    names: str | Sequence[str] | None
    batch: Any
    loss: Callable[[Any, Any], Tensor] | None
    key: Key | None


def masks(how: Prune, model: nn.Module, keep: float, given: Given) -> Masks:
    """See `Prune.masks`."""
    _check(how, keep, given)
    weights = prunable(model, given.names, how.name)
    begun = _begun(model, weights, given, how.name)
    units = how.technique.units
    found = (
        _units(how, model, weights, begun, keep, given) if units else _single(how, model, weights, begun, keep, given)
    )
    if dead := [name for name, mask in found.items() if begun[name].any() and not mask.any()]:
        gone = " and ".join(dead)
        warnings.warn(f"{how.name} leaves nothing of {gone}: what comes out there is the same for all", stacklevel=3)
    return found


def _single(
    how: Prune, model: nn.Module, weights: Mapping[str, Tensor], begun: Masks, keep: float, given: Given
) -> Masks:
    """Return masks without the lowest weights, each on its own."""
    pools = _pools(list(weights), keep, given, how.name)
    rounds = int(dict(how.resolved()).get("rounds", 1))
    there = begun
    for i in range(1, rounds + 1):
        scores = _scores(how, model, {name: masked(w.detach(), there[name]) for name, w in weights.items()}, given)
        _check_scores(how.name, scores, there)
        left: Masks = {}
        for names, share in pools:
            # Each round keeps the same share of the one before it, so that the last has kept the whole one's.
            count = _whole(share ** (i / rounds) * sum(int(begun[name].sum()) for name in names))
            left |= _highest(scores, there, names, count)
        there = {name: left[name] for name in weights}
    return there


def counts(sizes: Mapping[str, int], keep: float, rounds: int, *, scope: str, half_output: bool | str) -> list[int]:
    """Return how many weights stay after each of so many prunings, each among what the one before left.

    Args:
        sizes: weights of each parameter, by name, in the model's order.
        keep, scope, half_output: as for `Prune.masks`.
        rounds: how often is pruned.

    Returns:
        All weights first; then what is left after each round.

    >>> counts({"0.weight": 100, "2.weight": 20}, 0.8, 2, scope="layer", half_output=True)
    [120, 98, 80]
    """
    given = Given(scope, half_output, None, None, None, None, None)
    pools = [(sum(sizes[n] for n in names), share) for names, share in _pools(list(sizes), keep, given, "pruning")]
    found = [sum(count for count, _ in pools)]
    for _ in range(rounds):
        pools = [(_whole(share * count), share) for count, share in pools]
        found.append(sum(count for count, _ in pools))
    return found


def _check(how: Prune, keep: float, given: Given) -> None:
    if isinstance(keep, bool) or not isinstance(keep, int | float) or not 0 < keep <= 1:
        raise InputError(f"{how.name} keeps a share above 0 up to 1, not {keep!r}")
    if given.scope not in ("global", "layer"):
        raise unknown(f"scope of {how.name}", given.scope, ("global", "layer"))
    if ranges := [name for name, value in how.values if not isinstance(value, int | float)]:
        raise InputError(f"{ranges[0]} of {how.name} is a range to search; give it a value")
    technique = how.technique
    if "u" in technique.takes and not isinstance(given.key, Key):
        raise InputError(f"{how.name} draws lots; give it key=, such as thalweg.Key(0)")
    pair = isinstance(given.batch, tuple | list) and len(given.batch) == 2
    if technique.gradient == "loss" and (not pair or given.loss is None):
        raise InputError(f"{how.name} looks at the loss; give it batch=(inputs, targets) and loss=")
    if technique.gradient == "flow" and not pair and not isinstance(given.batch, Tensor):
        raise InputError(f"{how.name} must know what an input looks like; give it batch=(inputs, targets)")


def _begun(model: nn.Module, weights: Mapping[str, Tensor], given: Given, asks: str) -> Masks:
    """Return the masks of the earlier round; where there is none, all stay."""
    earlier = {id(p): mask for p, mask in checked(model, given.among or {}, asks).values()}
    found = {n: earlier.get(id(w), torch.ones_like(w, dtype=torch.bool)).to(w.device) for n, w in weights.items()}
    if not any(bool(mask.any()) for mask in found.values()):
        raise InputError(
            f"{asks} finds nothing left to prune: the masks of {next(iter(found))} and all others are empty"
        )
    return found


def _pools(names: Sequence[str], keep: float, given: Given, asks: str) -> list[tuple[list[str], float]]:
    """Return which parameters compete among themselves, and what share of each such group stays."""
    last = names[-1] if given.half_output is True else given.half_output
    if last and last not in names:
        raise unknown(f"weight for half_output of {asks}", last, names)
    others = [name for name in names if name != last]
    groups = [others] if given.scope == "global" and others else [[name] for name in others]
    return [(group, float(keep)) for group in groups] + ([([str(last)], (1 + keep) / 2)] if last else [])


def _scores(how: Prune, model: nn.Module, weights: Mapping[str, Tensor], given: Given) -> Masks:
    """Return the scores of weights, by name."""
    technique = how.technique
    values = {name: value for name, value in how.resolved() if name not in ("keep", *technique.when)}
    columns: list[Mapping[str, Tensor]] = [weights]
    if technique.gradient == "loss":
        assert given.loss is not None
        columns.append(loss_gradient(model, weights, tuple(given.batch), given.loss, given.key))
    elif technique.gradient == "flow":
        inputs = given.batch if isinstance(given.batch, Tensor) else given.batch[0]
        columns = [{name: w.double().abs() for name, w in weights.items()}]
        columns.append(flow_gradient(model, weights, inputs, how.name))
    if "u" in technique.takes:
        assert given.key is not None
        columns.append({name: _lots(given.key / "prune" / name, w) for name, w in weights.items()})
    with torch.no_grad():
        return {name: technique.formula(*(column[name] for column in columns), **values) for name in weights}


def _lots(key: Key, like: Tensor) -> Tensor:
    return torch.from_numpy(key.generator().random(tuple(like.shape))).to(like.device)


def _check_scores(asks: str, scores: Mapping[str, Tensor], there: Mapping[str, Tensor]) -> None:
    for name, found in scores.items():
        if not found[there[name].expand_as(found)].isfinite().all():
            raise InputError(f"{asks} cannot rank {name}: its scores are not all finite")
    if not any(bool(found.any()) for found in scores.values()):
        raise InputError(f"{asks} gives all weights the score 0, that of {next(iter(scores))} too: it cannot choose")


def _whole(count: float) -> int:
    return max(1, round(count))


def _highest(scores: Mapping[str, Tensor], there: Mapping[str, Tensor], names: Sequence[str], count: int) -> Masks:
    """Return masks that keep so many of the weights that are there; among equals the first ones."""
    device = scores[names[0]].device
    flat = [scores[n].masked_fill(~there[n], -torch.inf).flatten().to(device, torch.float64) for n in names]
    order = torch.cat(flat).argsort(descending=True, stable=True)
    chosen = torch.zeros(len(order), dtype=torch.bool, device=device)
    chosen[order[:count]] = True
    pieces = chosen.split([there[name].numel() for name in names])
    return {
        name: piece.view_as(there[name]).to(there[name].device) & there[name]
        for name, piece in zip(names, pieces, strict=True)
    }


def _units(
    how: Prune, model: nn.Module, weights: Mapping[str, Tensor], begun: Masks, keep: float, given: Given
) -> Masks:
    """Return masks without the lowest units: without their weights, and what others take from them."""
    found = chains(model)[1].values()
    known = {f"{chain.layer}.weight".removeprefix("."): chain for chain in found}
    can = {
        name: chain
        for name, chain in known.items()
        if not chain.left and name in weights and all(f"{taker}.weight" in weights for taker in chain.takers)
    }
    if not can:
        name, why = next(((n, c.left) for n, c in known.items() if n in weights), ("", ""))
        why = f"the units of {name}: {why}" if why else "its weights are in no linear layer and no convolution"
        raise InputError(f"{how.name} can take no units out of {type(model).__name__}; {why}")
    scores = _scores(how, model, {name: masked(weights[name].detach(), begun[name]) for name in can}, given)
    there = {name: begun[name].flatten(1).any(1) for name in can}
    scores = {name: found.flatten() for name, found in scores.items()}
    _check_scores(how.name, scores, there)
    for own in scores.values():
        own[own.argmax()] = torch.finfo(own.dtype).max  # no layer is lost whole
    left: Masks = {}
    for names, share in _pools(list(can), keep, replace(given, half_output=False), how.name):
        count = _whole(share * sum(int(there[name].sum()) for name in names))
        left |= _highest(scores, there, names, max(count, len(names)))
    masks = {name: mask.clone() for name, mask in begun.items()}
    for name, chain in can.items():
        _take_out(masks, name, chain, ~left[name])
    return masks


def _take_out(masks: Masks, name: str, chain: Chain, gone: Tensor) -> None:
    """Let masks be without some units of a layer."""
    masks[name][gone] = False
    for taker, each in chain.takers.items():
        masks[f"{taker}.weight"][:, gone.repeat_interleave(each)] = False
