"""Steps that are carried out alone, on a batch of float pictures: those that they happen to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from thalweg.augment._draws import fields
from thalweg.augment.image._own import per_channel
from thalweg.augment.image._veils import veil_of

if TYPE_CHECKING:
    from thalweg.augment._program import Step

__all__ = ["STAGES", "column"]

_Key = tuple[np.ndarray, np.ndarray, np.ndarray]


def column(x: np.ndarray, images: Tensor) -> Tensor:
    """Return one number a sample, of the pictures' type where it is no bool, to be broadcast against them."""
    found = torch.from_numpy(np.ascontiguousarray(x)).to(images.device)
    return (found if found.dtype == torch.bool else found.to(images.dtype)).view(-1, 1, 1, 1)


def _like(x: Any, images: Tensor) -> Tensor:
    return torch.from_numpy(np.require(x, requirements=["C", "W"])).to(images.device, images.dtype)


def _levels(images: Tensor) -> np.ndarray:
    rounded = (images.detach() * 255).round().clamp(0, 255).to("cpu", torch.uint8)
    return rounded.permute(0, 2, 3, 1).contiguous().numpy()


def colour(images: Tensor, step: Step, drawn: np.ndarray, _: Any) -> Tensor:
    matrix = np.broadcast_to(step.technique.formula(*drawn.T, **step.values), (len(images), 3, 3))
    weights = _like(matrix, images)[..., None, None]
    red, green, blue = (weights[:, :, i] * images[:, i : i + 1] for i in range(3))
    return (red + green + blue).clamp(0.0, 1.0)  # in this order, so that no picture depends on the batch


def separable(images: Tensor, step: Step, drawn: np.ndarray, _: Any) -> Tensor:
    weights = _like(step.technique.formula(*drawn.T, **step.values), images)
    return _filtered(_filtered(images, weights[:, None]), weights[:, :, None]).clamp(0.0, 1.0)


def kernel(images: Tensor, step: Step, drawn: np.ndarray, _: Any) -> Tensor:
    return _filtered(images, _like(step.technique.formula(*drawn.T, **step.values), images)).clamp(0.0, 1.0)


def _filtered(images: Tensor, weights: Tensor) -> Tensor:
    """Return pictures, each with weights of its own, ``(N, rows, columns)``; outermost pixels go on outside."""
    count, channels, height, width = images.shape
    rows, columns = weights.shape[1:]
    wide = F.pad(images, (columns // 2, columns // 2, rows // 2, rows // 2), mode="replicate")
    each = weights[:, None].expand(-1, channels, -1, -1).reshape(-1, 1, rows, columns)
    found = F.conv2d(wide.view(1, count * channels, *wide.shape[2:]), each, groups=count * channels)
    return found.view(count, channels, height, width)


def grain(images: Tensor, step: Step, drawn: np.ndarray, key: _Key) -> Tensor:
    seeds, epochs, samples = key
    numbers = _like(fields(step.keys(seeds), epochs, samples, images[0].numel()), images).view(images.shape)
    us = [column(u, images) for u in drawn.T]
    return step.technique.formula(images, numbers, *us, **step.values).clamp(0.0, 1.0)  # type: ignore[no-any-return]


def hole(images: Tensor, step: Step, drawn: np.ndarray, _: Any) -> Tensor:
    height, width = images.shape[-2:]
    row, along = np.arange(height)[:, None], np.arange(width)[None]
    us = [u[:, None, None] for u in drawn.T]
    found = step.technique.formula(row, along, *us, height, width, **step.values)
    erased = torch.from_numpy(found).to(images.device)[:, None]
    return images.masked_fill(erased, round(255 * step.values["fill"]) / 255)


def veil(images: Tensor, step: Step, drawn: np.ndarray, key: _Key) -> Tensor:
    keys = zip(*(x.tolist() for x in key), strict=True)
    pairs = zip(drawn.tolist(), keys, strict=True)
    veils = np.stack([veil_of(step, us, own, *images.shape[-2:]) for us, own in pairs])
    keep, light = _like(veils, images).unbind(1)
    return (images * keep[:, None] + light[:, None]).clamp(0.0, 1.0)


def whole(images: Tensor, step: Step, drawn: np.ndarray, _: Any) -> Tensor:
    pairs = zip(_levels(images), drawn.tolist(), strict=True)
    done = np.stack([step.technique.formula(image, *us, **step.values) for image, us in pairs])
    return _like(done, images).permute(0, 3, 1, 2) / 255


def chosen(images: Tensor, step: Step, drawn: np.ndarray, key: _Key) -> Tensor:
    from thalweg.augment.image._pixels import chosen as chosen_for_one

    keys = zip(*(x.tolist() for x in key), strict=True)
    rows = zip(_levels(images), drawn.tolist(), keys, strict=True)
    done = [chosen_for_one(image, step.technique.formula(*us, **step.values), own) for image, us, own in rows]
    return _like(np.stack(done), images).permute(0, 3, 1, 2) / 255


def last(images: Tensor, step: Step, drawn: np.ndarray, _: Any) -> Tensor:
    values = {
        name: _like(np.array(per_channel(step, name, images.shape[1])), images).view(1, -1, 1, 1)
        for name in step.values
    }
    return step.technique.formula(images, *drawn.T, **values)  # type: ignore[no-any-return]


STAGES = {
    "colour": colour, "separable": separable, "kernel": kernel, "grain": grain, "hole": hole, "veil": veil,
    "whole": whole,
    "foreign": whole, "last": last, "chosen": chosen, "mixture": chosen,
}  # fmt: skip
"""What carries each of them out: from pictures, the step, their random numbers, and their seeds, epochs, samples."""
