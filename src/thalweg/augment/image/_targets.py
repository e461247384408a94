"""What moves with a picture: masks, boxes and key points, which stay on their pixels."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from thalweg.augment._checks import shown, whole
from thalweg.augment._program import Step, steps
from thalweg.augment.image._fields import Field, places
from thalweg.augment.image._pixels import augmented as augmented_image
from thalweg.augment.image._pixels import field_and_map, groups_of
from thalweg.augment.image._runs import border_of, joins, map_of
from thalweg.errors import InputError, unknown

if TYPE_CHECKING:
    from collections.abc import Sequence

    from thalweg.augment._policy import Policy
    from thalweg.augment.image._plane import Plane

__all__ = ["Together", "augmented"]

FORMS = ("pascal", "coco", "yolo")


@dataclass(frozen=True, eq=False)
class Together:
    """A picture after augmentation with what belongs to it.

    Attributes:
        image: the picture.
        masks: as many as were given.
        boxes: ``(kept, 4)``, in the form in which they were given, cut to the picture.
        kept: which of the boxes given they are.
        points: ``(N, 2)``, x and y of all that were given, wherever they are now.
        seen: which of the points are in the picture, bool ``(N,)``.
    """

    image: np.ndarray
    masks: tuple[np.ndarray, ...]
    boxes: np.ndarray
    kept: np.ndarray
    points: np.ndarray
    seen: np.ndarray


class _Run(NamedTuple):
    """What is carried out as one: a map, a field after it, or both, and the size after them."""

    plane: Plane | None
    height: int
    width: int
    border: str
    field: Field | None = None

    def forward(self, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return where places go."""
        x, y = (x, y) if self.plane is None else self.plane(x, y)
        if self.field is None:
            return x, y
        found = self.field.forward(x.ravel(), y.ravel())
        return found[0].reshape(x.shape), found[1].reshape(y.shape)

    def sources(self) -> tuple[np.ndarray, np.ndarray]:
        """Return where all pixels come from."""
        if self.field is not None:
            x, y = places(self.field, self.plane)
            return x, y
        assert self.plane is not None
        y, x = np.mgrid[: self.height, : self.width].astype(np.float64)
        return self.plane.inverse()(x, y)


def augmented(
    policy: Policy, image: Any, masks: Sequence[Any], boxes: Any, points: Any, form: str, visible: float,
    sample: int, epoch: int, seed: int,
) -> Together:  # fmt: skip
    """See `Policy.together`."""
    if not (isinstance(visible, int | float) and 0 <= visible <= 1):
        raise InputError(f"visible is a share of a box's area, from 0 to 1, not {visible!r}")
    done = augmented_image(policy, image, sample, epoch, seed)
    sample, epoch, seed = whole("sample", sample), whole("epoch", epoch), whole("seed", seed)
    height, width = image.shape[:2]
    if isinstance(masks, np.ndarray) and masks.shape[1:3] != (height, width):
        raise InputError(f"masks is a list of arrays, not one of shape {masks.shape}: give [mask]")
    masks = tuple(map(np.asarray, masks))
    for mask in masks:
        if mask.shape[:2] != (height, width):
            raise InputError(f"a mask of shape {mask.shape} does not fit a picture of {height} × {width}")
    runs = _runs(policy, height, width, sample, epoch, seed)
    moved_boxes, kept = _boxes_after(_corners(boxes, form, height, width), runs, height, width, visible)
    high, wide = done.shape[:2]
    moved_points, seen = _points_after(_points(points), runs, height, width)
    for run in runs:
        masks = tuple(_nearest(mask, run) for mask in masks)
    return Together(done, masks, _in_form(moved_boxes, form, high, wide), kept, moved_points, seen)


def _runs(policy: Policy, height: int, width: int, sample: int, epoch: int, seed: int) -> list[_Run]:
    """Return the maps of the plane that the picture goes through, each with the size after it."""
    groups: list[list[tuple[Step, list[float]]]] = []
    for step in steps(policy, "image"):
        drawn = step.drawn(seed, epoch, sample)
        if drawn is None:
            continue
        if step.technique.stage == "mixture":
            raise InputError(f"{step.technique.name} mixes pictures that moved apart: masks, boxes and points cannot")
        if step.technique.stage == "foreign":
            raise InputError(f"where {step.technique.name} moves things is not known: masks, boxes and points cannot")
        if step.technique.stage == "chosen":
            groups += [[], *groups_of(step.technique.formula(*drawn, **step.values)), []]
        elif groups and groups[-1] and joins([earlier for earlier, _ in groups[-1]], step):
            groups[-1].append((step, drawn))
        else:
            groups.append([(step, drawn)])
    found = []
    for group in groups:
        if group and group[-1][0].technique.stage == "field":
            before, field, border = field_and_map(group, (seed, epoch, sample), height, width)
            height, width = field.height, field.width
            found.append(_Run(before, height, width, border, field))
        elif group and group[0][0].technique.stage == "geometry":
            plane, height, width = map_of(group, height, width)
            found.append(_Run(plane, height, width, border_of([step for step, _ in group])))
    return found


def _nearest(mask: np.ndarray, run: _Run) -> np.ndarray:
    """Return a mask of any type after a map, every pixel the nearest one."""
    x, y = run.sources()
    column, row = (np.floor(places + 0.5).astype(np.int64) for places in (x, y))
    high, wide = mask.shape[:2]
    if run.border == "reflect":
        row, column = (_reflected(row, high), _reflected(column, wide))
    found: np.ndarray = mask[row.clip(0, high - 1), column.clip(0, wide - 1)]
    if run.border == "constant":
        found[(row < 0) | (row >= high) | (column < 0) | (column >= wide)] = 0
    return found


def _reflected(at: np.ndarray, size: int) -> np.ndarray:
    last = size - 1
    found: np.ndarray = last - np.abs(at % max(2 * last, 1) - last)
    return found


def _numbers(name: str, given: Any, width: int) -> np.ndarray:
    """Return a copy of what was given, float64; ``(0, width)`` where that is nothing."""
    try:
        return np.zeros((0, width)) if given is None or not len(given) else np.array(given, np.float64)
    except (TypeError, ValueError):
        raise InputError(f"{name} are numbers, (N, {width}), not {shown(given)}") from None


def _points(points: Any) -> np.ndarray:
    found = _numbers("points", points, 2)
    if found.ndim != 2 or found.shape[1] != 2:
        raise InputError(f"points are (N, 2), x and y, not of shape {found.shape}")
    if not np.isfinite(found).all():
        at = int(np.flatnonzero(~np.isfinite(found).all(1))[0])
        raise InputError(f"point {at}, {found[at].tolist()}, is not two finite numbers")
    return found


def _points_after(points: np.ndarray, runs: list[_Run], height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    x, y = points.T
    seen = _inside(x, y, height, width)
    for run in runs:
        x, y = run.forward(x, y)
        seen = seen & _inside(x, y, run.height, run.width)
    return np.stack([x, y], -1), seen


def _inside(x: np.ndarray, y: np.ndarray, height: int, width: int) -> np.ndarray:
    found: np.ndarray = (x >= -0.5) & (x < width - 0.5) & (y >= -0.5) & (y < height - 0.5)
    return found


def _corners(boxes: Any, form: str, height: int, width: int) -> np.ndarray:
    """Return boxes as left, top, right, bottom, counted from the picture's corner."""
    if form not in FORMS:
        raise unknown("form of boxes", form, FORMS)
    found = _numbers("boxes", boxes, 4)
    if found.ndim != 2 or found.shape[1] != 4:
        raise InputError(f"boxes are (N, 4), not of shape {found.shape}")
    if form == "yolo":
        if (found > 1 + 1e-6).any():
            at = int(np.flatnonzero((found > 1 + 1e-6).any(1))[0])
            raise InputError(
                f"box {at}, {found[at].tolist()}, is no share of a picture, as boxes in the form yolo are; divide by "
                'width and height, or say form="coco" or "pascal"'
            )
        found *= (width, height, width, height)
        found[:, :2] -= found[:, 2:] / 2
    if form != "pascal":
        found[:, 2:] += found[:, :2]
    broken = ~(np.isfinite(found).all(1) & (found[:, 2:] > found[:, :2]).all(1))
    if broken.any():
        at = int(np.flatnonzero(broken)[0])
        raise InputError(f"box {at}, {np.asarray(boxes)[at].tolist()}, has no area in the form {form}")
    return found


def _in_form(corners: np.ndarray, form: str, height: int, width: int) -> np.ndarray:
    found = corners.copy()
    if form != "pascal":
        found[:, 2:] -= found[:, :2]
    if form == "yolo":
        found[:, :2] += found[:, 2:] / 2
        found /= (width, height, width, height)
    return found


def _boxes_after(
    boxes: np.ndarray, runs: list[_Run], height: int, width: int, visible: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return the boxes about where their corners went, cut to what is seen, and which are left."""
    numbers = np.arange(len(boxes))
    boxes = _cut(boxes, np.array([0, 0, width, height], np.float64))
    there = _areas(boxes) > 0
    boxes, numbers = boxes[there], numbers[there]
    window = np.array([[0, 0, width, height]], np.float64)
    limits = []
    for i, run in enumerate(runs):
        window = np.array([[0, 0, run.width, run.height]], np.float64)
        limits.append(_about(window, runs[i + 1 :])[0])
    moved = _about(boxes, runs)
    seen = moved
    for limit in limits:
        seen = _cut(seen, limit)
    areas = _areas(seen)
    left = (areas > 0) & (areas >= visible * _areas(moved) * (1 - 1e-9))
    return seen[left], numbers[left]


def _about(boxes: np.ndarray, runs: Sequence[_Run]) -> np.ndarray:
    """Return the boxes about their outlines' new places; pixels' centres are half a pixel from their corners.

    Corners are enough where lines stay straight; where a field bends them, a place on every half of a pixel.
    """
    if not runs or not len(boxes):
        return boxes
    along = np.zeros(1)
    if any(run.field is not None for run in runs):
        count = math.ceil(2 * float((boxes[:, 2:] - boxes[:, :2]).max()))
        along = np.arange(count) / count
    left, top, right, bottom = (side[:, None] for side in boxes.T)
    wide, high, still = (right - left) * along, (bottom - top) * along, np.zeros((1, len(along)))
    x = np.concatenate([left + wide, right + still, right - wide, left + still], 1) - 0.5
    y = np.concatenate([top + still, top + high, bottom + still, bottom - high], 1) - 0.5
    for run in runs:
        x, y = run.forward(x, y)
    return np.stack([x.min(1), y.min(1), x.max(1), y.max(1)], 1) + 0.5


def _cut(boxes: np.ndarray, limit: np.ndarray) -> np.ndarray:
    return np.concatenate([np.maximum(boxes[:, :2], limit[:2]), np.minimum(boxes[:, 2:], limit[2:])], 1)


def _areas(boxes: np.ndarray) -> np.ndarray:
    found: np.ndarray = (boxes[:, 2:] - boxes[:, :2]).clip(0).prod(1)
    return found
