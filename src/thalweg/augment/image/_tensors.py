"""A policy on a batch of float pictures, each with draws of its own: neighbours become one warp a sample."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from thalweg.augment._checks import shown
from thalweg.augment._draws import uniform_arrays
from thalweg.augment._program import Step, steps
from thalweg.augment.image import _own, _own_tensors
from thalweg.augment.image._fields import field_of, places
from thalweg.augment.image._own_tensors import column
from thalweg.augment.image._pixels import warped_planes
from thalweg.augment.image._plane import Plane
from thalweg.augment.image._runs import border_of, joins, size_after
from thalweg.augment.image._warps import BLOCK, bent_floats, warped_small
from thalweg.errors import InputError

if TYPE_CHECKING:
    from thalweg.augment._policy import Policy

__all__ = ["augmented", "mixed"]

_Key = tuple[np.ndarray, np.ndarray, np.ndarray]
_Drawn = tuple[Step, np.ndarray, np.ndarray]
_BEYOND = 0.25


def augmented(policy: Policy, images: Tensor, samples: Any, epochs: Any, seeds: Any) -> Tensor:
    """See `Policy.batch`."""
    return _augmented(policy, images, samples, epochs, seeds, None)[0]


def mixed(
    policy: Policy, images: Tensor, labels: Any, samples: Any, epochs: Any, seeds: Any, classes: int | None
) -> tuple[Tensor, Tensor]:
    """See `Policy.mixed`."""
    _check(images)
    labels = torch.as_tensor(labels, device=images.device)
    if len(labels) != len(images) or labels.dim() not in (1, 2):
        raise InputError(f"mixed takes a label for each of {len(images)} pictures, not {tuple(labels.shape)}")
    if labels.dim() == 1:
        if labels.is_floating_point() or not classes:
            raise InputError("labels are numbers of classes, with how many classes there are, or (N, classes)")
        if not 0 <= int(labels.min()) <= int(labels.max()) < classes:
            raise InputError(f"labels lie from 0 to {classes - 1}, not {int(labels.min())} to {int(labels.max())}")
        labels = F.one_hot(labels.long(), classes)
    return _augmented(policy, images, samples, epochs, seeds, labels.to(images.dtype))


def _augmented(
    policy: Policy, images: Tensor, samples: Any, epochs: Any, seeds: Any, labels: Any
) -> tuple[Tensor, Any]:
    _check(images)
    numbers = _whole("samples", samples, len(images))
    if numbers.ndim != 1:
        raise InputError(f"batch takes a number for each of {len(images)} pictures, not {numbers.shape}")
    seeds, epochs = (
        np.broadcast_to(_whole(name, x, len(images)), numbers.shape)
        for name, x in (("seed", seeds), ("epoch", epochs))
    )
    key = (seeds, epochs, numbers)
    pending: list[_Drawn] = []
    program = steps(policy, "image")
    for step in program:
        _own.check_channels(step, images.shape[1])
    _check_levels(program, images)
    for step in program:
        if pending and not joins([earlier for earlier, _, _ in pending], step):
            images, pending = _carried_out(images, pending, key), []
        if step.technique.stage == "mix":
            if labels is None:
                raise InputError(f"{step.technique.name} mixes labels too: call mixed")
            images = _carried_out(images, pending, key) if pending else images
            images, labels, pending = *_mixed(images, labels, step, key), []
            continue
        pending.append((step, *step.drawn_arrays(step.keys(seeds), epochs, numbers)))
    return (_carried_out(images, pending, key) if pending else images.clone()), labels


def _mixed(images: Tensor, labels: Tensor, step: Step, key: _Key) -> tuple[Tensor, Tensor]:
    """Return pictures and labels, each mixed with another's: the next in an order that is drawn."""
    seeds, epochs, samples = key
    happens, drawn = step.drawn_arrays(step.keys(seeds), epochs, samples)
    order = np.argsort(uniform_arrays(step.keys(seeds), epochs, samples, 64)[:, -1])
    partner = np.empty_like(order)
    partner[order] = np.roll(order, 1)
    height, width = images.shape[-2:]
    row, along = np.arange(height)[:, None], np.arange(width)[None]
    share = step.technique.formula(row, along, *(u[:, None, None] for u in drawn.T), height, width, **step.values)
    share = np.where(happens[:, None, None], share, 1.0)
    others = torch.from_numpy(partner).to(images.device)
    own = torch.from_numpy(share).to(images.device, images.dtype)[:, None]
    of_label = torch.from_numpy(share.mean((1, 2))).to(images.device, labels.dtype)[:, None]
    return own * images + (1 - own) * images[others], of_label * labels + (1 - of_label) * labels[others]


def _carried_out(images: Tensor, pending: list[_Drawn], key: _Key) -> Tensor:
    stage = pending[0][0].technique.stage
    if stage in _own_tensors.STAGES:
        return _alone(images, *pending[0], key)
    if pending[-1][0].technique.stage == "field":
        return _bent(images, pending, key)
    if stage == "level":
        for step, happens, drawn in pending:
            us = [column(drawn[:, i], images) for i in range(drawn.shape[1])]
            changed = step.technique.formula(images, *us, **step.values).clamp(0.0, 1.0)
            images = torch.where(column(happens, images), changed, images)
        return images
    plane, height, width = _map_of(pending, *images.shape[-2:])
    found = images.new_empty(*images.shape[:2], height, width)
    for at, border in _borders(pending):
        if len(at) == len(images):
            return _warped(images, plane, height, width, border)
        rows = torch.from_numpy(at).to(images.device)
        found = found.index_copy(0, rows, _warped(images[rows], plane.of(at), height, width, border))
    return found


def _borders(pending: list[_Drawn]) -> list[tuple[np.ndarray, str]]:
    """Return which pictures have which border: as for one, that of the steps that happen to it."""
    border = border_of([step for step, _, _ in pending])
    without = border_of([step for step, _, _ in pending if "border" not in step.values])
    bordered = np.any([happens for step, happens, _ in pending if "border" in step.values], axis=0)
    if border == without or bordered.all():
        return [(np.arange(len(pending[0][1])), border)]
    return [
        (at, of) for of, at in ((border, np.flatnonzero(bordered)), (without, np.flatnonzero(~bordered))) if len(at)
    ]


def _bent(images: Tensor, pending: list[_Drawn], key: _Key) -> Tensor:
    """Return pictures after maps and the field that follows them: in one go those that it happens to."""
    *before, (step, happens, _) = pending
    height, width = images.shape[-2:]
    plane: Plane | None = None
    if before:
        plane, height, width = _map_of(before, height, width)
    found = images.new_empty(*images.shape[:2], height, width)
    each = [(bent, at[happens[at] == bent], border) for bent in (True, False) for at, border in _borders(pending)]
    for bent, at, border in each:
        if not len(at):
            continue
        rows = torch.from_numpy(at).to(images.device)
        some = images if len(at) == len(images) else images[rows]
        own = None if plane is None else plane.of(at)
        if bent:
            seeds, epochs, samples = (x[at] for x in key)
            field = field_of(step, (seeds, epochs, samples), height, width)
            some = _at_places(some, places(field, own, BLOCK), width, border)
        elif own is not None:
            some = _warped(some, own, height, width, border)
        found = found.index_copy(0, rows, some)
    return found


def _at_places(images: Tensor, places: np.ndarray, width: int, border: str) -> Tensor:
    """Return pictures whose pixels come from places, ``(N, 2, height, columns)``, of which the first ``width``."""
    if _in_numpy(images):
        found = images.new_empty(*images.shape[:2], places.shape[2], width)
        if bent_floats(images.contiguous().numpy(), places, found.numpy(), border):
            return found
    return _taken(images, torch.from_numpy(places[..., :width]).movedim(1, -1), border)


def _map_of(pending: list[_Drawn], height: int, width: int) -> tuple[Plane, int, int]:
    """Return the map that geometric steps come to, one a sample, and the size after them."""
    plane: Any = None
    for step, happens, drawn in pending:
        high, wide = size_after(step, height, width)
        if (high, wide) != (height, width) and not happens.all():
            raise InputError(f"{step.technique.name} changes the size, which a batch shares: give it p=1")
        mine = step.technique.formula(*drawn.T, height, width, **step.values)
        mine = mine if happens.all() else mine.where(happens)
        plane = mine if plane is None else mine @ plane
        height, width = high, wide
    return plane, height, width


def _alone(images: Tensor, step: Step, happens: np.ndarray, drawn: np.ndarray, key: _Key) -> Tensor:
    """Return pictures of which those are changed that a step happens to."""
    change = _own_tensors.STAGES[step.technique.stage]
    if happens.all():
        return change(images, step, drawn, key)
    found = images.clone()
    if happens.any():
        at = torch.from_numpy(np.flatnonzero(happens)).to(images.device)
        seeds, epochs, samples = (x[happens] for x in key)
        found[at] = change(images[at], step, drawn[happens], (seeds, epochs, samples))
    return found


def _warped(images: Tensor, plane: Plane, height: int, width: int, border: str) -> Tensor:
    if _in_numpy(images):
        return _warped_one_by_one(images, plane, height, width, border)
    return _sampled(images, plane, height, width, border)


def _in_numpy(images: Tensor) -> bool:
    """Return whether pictures can be changed outside torch."""
    return images.device.type == "cpu" and not images.requires_grad and images.dtype == torch.float32


def _warped_one_by_one(images: Tensor, plane: Plane, height: int, width: int, border: str) -> Tensor:
    """Return each picture warped by itself, a few times quicker than a grid of torch's; small ones in one call."""
    found = torch.empty(*images.shape[:2], height, width)
    given, into = images.contiguous().numpy(), found.numpy()
    done = warped_small(given, plane, into, border)
    matrices = plane.array(len(images))
    for i in np.flatnonzero(~done).tolist():
        warped_planes(given[i], Plane(*matrices[i].ravel().tolist()), into[i], border)
    return found


def _sampled(images: Tensor, plane: Plane, height: int, width: int, border: str) -> Tensor:
    """Return pictures taken from where each place comes from, bilinear."""
    back = torch.from_numpy(plane.inverse().array(len(images))).to(images.device)
    y, x = torch.meshgrid(
        torch.arange(height, dtype=torch.float64, device=images.device),
        torch.arange(width, dtype=torch.float64, device=images.device),
        indexing="ij",
    )
    found = torch.stack([x, y, torch.ones_like(x)], -1).view(1, -1, 3) @ back.transpose(1, 2)
    found = found[..., :2] / found[..., 2:]
    return _taken(images, found.view(len(images), height, width, 2), border)


def _taken(images: Tensor, places: Tensor, border: str) -> Tensor:
    """Return pictures whose pixels come from places, ``(N, height, width, 2)``, bilinear."""
    places = places.to(images.device)
    size = torch.tensor([images.shape[-1], images.shape[-2]], dtype=places.dtype, device=images.device)
    if border == "reflect":
        last = size - 1
        places = last - ((places % (2 * last).clamp(min=1)) - last).abs()
    grid = (2 * places + 1) / size - 1
    padding = "zeros" if border == "constant" else "border"
    return F.grid_sample(images, grid.to(images.dtype), align_corners=False, padding_mode=padding)


def _whole(name: str, given: Any, count: int) -> np.ndarray:
    """Return a whole number, or one for each of so many pictures."""
    found = np.asarray(given)
    if found.dtype.kind not in "iub":
        raise InputError(f"{name} takes whole numbers, not {shown(given)}")
    if found.shape not in ((), (count,)):
        raise InputError(f"batch takes a number for each of {count} pictures, and {name} has the shape {found.shape}")
    return found


def _check_levels(program: tuple[Step, ...], images: Tensor) -> None:
    """Refuse numbers far from 0 to 1 where a step works with levels; what resizing adds at an edge is let pass."""
    still = [
        step.technique.stage in ("geometry", "field") and step.values.get("border") != "constant" for step in program
    ]
    if all(still) or images.device.type != "cpu":
        return
    low, high = (float(x) for x in images.detach()[..., ::4, :].aminmax())
    if not (low >= -_BEYOND and high <= 1 + _BEYOND):
        raise InputError(
            f"batch takes floats from 0 to 1, and these are from {low:.4g} to {high:.4g}; divide levels by 255, and "
            "standardise after it"
        )


def _check(images: Any) -> None:
    if not isinstance(images, Tensor) or images.dim() != 4:
        what = f"a tensor of shape {tuple(images.shape)}" if isinstance(images, Tensor) else type(images).__name__
        raise InputError(f"batch takes pictures (N, channels, height, width), not {what}")
    if images.shape[3] in (1, 3, 4) and images.shape[1] > 4 and images.shape[2] > 4:
        raise InputError(
            f"the batch has shape {tuple(images.shape)}, with its channels last: batch takes pictures (N, channels, "
            "height, width), as images.permute(0, 3, 1, 2) makes them"
        )
    if not images.is_floating_point():
        raise InputError(f"batch takes floats from 0 to 1, not {images.dtype}; divide levels by 255")
    if not images.numel():
        raise InputError(f"the batch is empty: its shape is {tuple(images.shape)}")
