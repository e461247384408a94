"""A policy on one picture of uint8 levels, through OpenCV: neighbours in the policy become one warp, or one table."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from thalweg.augment._checks import whole
from thalweg.augment._program import Step, steps
from thalweg.augment.image import _own
from thalweg.augment.image._fields import Field, field_of, places
from thalweg.augment.image._opencv import opencv
from thalweg.augment.image._runs import border_of, joins, map_of
from thalweg.augment.image._warps import BLOCK, bent_levels, ending_fits, warped_floats, warped_levels
from thalweg.errors import InputError

if TYPE_CHECKING:
    from thalweg.augment._policy import Policy
    from thalweg.augment.image._plane import Plane

__all__ = ["augmented", "chosen", "field_and_map", "groups_of", "moved", "table_of", "warped", "warped_planes"]

_Group = list[tuple[Step, list[float]]]
_Key = tuple[int, int, int]
_LEVELS = np.arange(256) / 255


def augmented(policy: Policy, image: Any, sample: int, epoch: int, seed: int) -> np.ndarray:
    """See `Policy.__call__`."""
    _check(image)
    if not type(sample) is type(epoch) is type(seed) is int:
        sample, epoch, seed = whole("sample", sample), whole("epoch", epoch), whole("seed", seed)
    all_steps = steps(policy, "image")
    turned = _turned(all_steps[0], image, (seed, epoch, sample)) if len(all_steps) == 1 else None
    if turned is not None:
        return turned
    groups: list[_Group] = []
    channels = _own.channels_of(image)
    for step in all_steps:
        if channels != 3:
            _own.check_channels(step, channels)
        if step.technique.stage == "mix":
            raise InputError(f"{step.technique.name} mixes pictures of a batch, and their labels: call mixed")
        drawn = step.drawn(seed, epoch, sample)
        if drawn is None:
            continue
        if groups and joins([earlier for earlier, _ in groups[-1]], step):
            groups[-1].append((step, drawn))
        else:
            groups.append([(step, drawn)])
    found = _all_carried_out(image, groups, (seed, epoch, sample))
    return image.copy() if found is image else found


def _turned(step: Step, image: np.ndarray, key: _Key) -> np.ndarray | None:
    """Return a picture after one step that is a flip and nothing else, on the shortest way; None if it is not."""
    if step.draws or step.technique.stage != "geometry":
        return None
    if step.drawn(*key) is None:
        return image.copy()
    turn = _unchanging((step,), *image.shape[:2])[4]
    if turn is None:
        return None
    found: np.ndarray = opencv().flip(image, turn)
    return found if found.ndim == image.ndim else found[..., None]


def _all_carried_out(image: np.ndarray, groups: list[_Group], key: _Key) -> np.ndarray:
    """Return a picture after groups of steps that are carried out as one each; a warp takes some with it."""
    at = 0
    while at < len(groups):
        if groups[at][-1][0].technique.stage == "field":
            image, at = _bent_and_more(image, groups, at, key)
        elif groups[at][0][0].technique.stage == "geometry":
            image, at = _warped_and_more(image, groups, at)
        else:
            image, at = _carried_out(image, groups[at], key), at + 1
    return image


def _warped_and_more(image: np.ndarray, groups: list[_Group], at: int) -> tuple[np.ndarray, int]:
    """Return a picture after a map, and after what can follow in the same pass; and which group is next."""
    high, wide = image.shape[:2]
    run = [step for step, _ in groups[at]]
    if any(drawn for _, drawn in groups[at]):
        (plane, height, width), border = map_of(groups[at], high, wide), border_of(run)
    else:
        plane, height, width, border, _ = _unchanging(tuple(run), high, wide)
    found = moved(image, plane, height, width, border)
    if found is not None:
        return found, at + 1
    table, scales, after = _ending(image, groups, at + 1)
    found = warped_levels(image, plane, height, width, border, table, scales)
    if found is None:
        return _by_opencv(image, plane, height, width, border), at + 1
    return found, after


def _bent_and_more(image: np.ndarray, groups: list[_Group], at: int, key: _Key) -> tuple[np.ndarray, int]:
    """Return the same of a field, and the maps before it that are one with it."""
    plane, field, border = field_and_map(groups[at], key, *image.shape[:2])
    found_at = places(field, plane, BLOCK)
    table, scales, after = _ending(image, groups, at + 1)
    found = bent_levels(image, found_at, field.width, border, table, scales)
    if found is not None:
        return found, after
    x, y = found_at[..., : field.width]
    channels = np.atleast_3d(image).transpose(2, 0, 1)  # one at a time: of two, OpenCV rounds places to 1 / 32
    done = [opencv().remap(one, x, y, opencv().INTER_LINEAR, borderMode=_beyond(border)) for one in channels]
    return np.stack(done, -1).reshape(*x.shape, *image.shape[2:]), at + 1


def _ending(image: np.ndarray, groups: list[_Group], at: int) -> tuple[np.ndarray | None, np.ndarray | None, int]:
    """Return the table and the scales, if any, that can follow in the same pass, and which group is next."""
    stages = [group[0][0].technique.stage for group in groups[at : at + 2]]
    tabled = stages[:1] == ["level"]
    scales = _scales(image, groups[at + tabled]) if stages[tabled : tabled + 1] == ["last"] else None
    if scales is not None and not ending_fits(table=tabled, scaled=True):
        scales = None
    return table_of(groups[at]) if tabled else None, scales, at + tabled + (scales is not None)


@lru_cache(1 << 10)
def _unchanging(run: tuple[Step, ...], high: int, wide: int) -> tuple[Plane, int, int, str, int | None]:
    """Return the map of steps without random numbers, the size after it, the border, and how OpenCV flips by it."""
    plane, height, width = map_of([(step, []) for step in run], high, wide)
    return plane, height, width, border_of(list(run)), _turn(plane, high, wide, height, width)


def field_and_map(group: _Group, key: _Key, high: int, wide: int) -> tuple[Plane | None, Field, str]:
    """Return the map of a field's steps before it, none where it is alone, the field, and the border of both."""
    *before, (last, _) = group
    plane: Plane | None = None
    if before:
        plane, high, wide = map_of(before, high, wide)
    return plane, field_of(last, key, high, wide), border_of([step for step, _ in group])


def _scales(image: np.ndarray, group: _Group) -> np.ndarray | None:
    """Return what `warped_levels` multiplies by and adds for a step; None where that is not all it does."""
    ((step, drawn),) = group
    channels = image.shape[2] if image.ndim == 3 else 1
    return _own.scales(step, channels) if not drawn and channels <= 4 else None


def _carried_out(image: np.ndarray, pending: _Group, key: _Key) -> np.ndarray:
    """Return a picture after steps, none of geometry, that are carried out as one."""
    step, drawn = pending[0]
    stage = step.technique.stage
    if stage in _own.STAGES:
        return _own.STAGES[stage](image, step, drawn, key)
    if stage in ("chosen", "mixture"):
        return chosen(image, step.technique.formula(*drawn, **step.values), key)
    return opencv().LUT(image, table_of(pending)).reshape(image.shape)  # type: ignore[no-any-return]


def chosen(image: np.ndarray, what: Any, key: _Key) -> np.ndarray:
    """Return a picture after the steps that were chosen for it, or after a mixture of such."""
    if isinstance(what, list):
        return _all_carried_out(image, groups_of(what), key)
    total = image * what.share
    for weight, chain in what.chains:
        total += weight * chosen(image, chain, key)
    found: np.ndarray = np.rint(total).clip(0, 255).astype(np.uint8)
    return found


def groups_of(what: list[Any]) -> list[_Group]:
    """Return steps that were chosen, those together that are carried out as one."""
    groups: list[_Group] = []
    for technique, values, drawn in what:
        step = Step(technique, values, 1.0, 0)
        if groups and joins([earlier for earlier, _ in groups[-1]], step):
            groups[-1].append((step, drawn))
        else:
            groups.append([(step, drawn)])
    return groups


def table_of(pending: _Group) -> np.ndarray:
    """Return the table of 256 levels that steps on levels come to, each cut to 0 to 1."""
    x = _LEVELS
    for step, drawn in pending:
        x = step.technique.formula(x, *drawn, **step.values).clip(0.0, 1.0)
    found: np.ndarray = np.rint(x * 255).astype(np.uint8)
    return found


def warped(image: np.ndarray, plane: Plane, height: int, width: int, border: str = "constant") -> np.ndarray:
    """Return a picture after a map of the plane, bilinear.

    Args:
        image: ``(height, width)`` or ``(height, width, channels)``, uint8 or float32.
        plane: from places of the input to places of the output.
        height, width: of the output.
        border: what lies outside the picture: one of `thalweg.augment.image._plane.BORDERS`.
    """
    for way in (moved, warped_levels if image.dtype == np.uint8 else _by_opencv):
        found = way(image, plane, height, width, border)
        if found is not None:
            return found
    return _by_opencv(image, plane, height, width, border)


def warped_planes(image: np.ndarray, plane: Plane, into: np.ndarray, border: str) -> None:
    """Write a picture after a map of the plane, ``(channels, height, width)``, float32, into another array."""
    height, width = into.shape[1:]
    for i, (channel, own) in enumerate(zip(image, into, strict=True)):
        found = moved(channel, plane, height, width, border)
        if found is None and not i and warped_floats(image, plane, into, border):
            return
        found = _mixed(channel, plane, height, width, border, own) if found is None else found
        if not np.may_share_memory(found, own):
            own[:] = found


def _by_opencv(image: np.ndarray, plane: Plane, height: int, width: int, border: str) -> np.ndarray:
    """Return the same, by OpenCV, four channels at a time."""
    if image.ndim == 2 or image.shape[2] <= 4:
        return _mixed(image, plane, height, width, border)
    parts = [np.ascontiguousarray(image[..., i : i + 4]) for i in range(0, image.shape[2], 4)]
    return np.concatenate([warped(part, plane, height, width, border) for part in parts], -1)


def _mixed(image: np.ndarray, plane: Plane, height: int, width: int, border: str, into: Any = None) -> np.ndarray:
    """Return the same of at most four channels, where pixels do not stay what they are."""
    cv2, back = opencv(), plane.inverse().array()
    call = cv2.warpAffine if plane.affine else cv2.warpPerspective
    matrix = back[:2] if plane.affine else back
    found = call(
        image, matrix, (width, height), dst=into, flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=_beyond(border),
    )  # fmt: skip
    return found.reshape(height, width, *image.shape[2:])  # type: ignore[no-any-return]


def _beyond(border: str) -> Any:
    cv2 = opencv()
    return {"constant": cv2.BORDER_CONSTANT, "reflect": cv2.BORDER_REFLECT_101, "edge": cv2.BORDER_REPLICATE}[border]


def moved(image: np.ndarray, plane: Plane, height: int, width: int, border: str) -> np.ndarray | None:
    """Return a picture that is turned round, by quarters, or cut, for which no warp is needed; else None."""
    if not plane.affine:
        return None
    a, b, c, d, e, f = plane.m[:6]
    high, wide = image.shape[:2]
    cv2 = opencv()
    if b == d == 0 and a == e == 1 and c == int(c) and f == int(f):
        return _window(image, int(-f), int(-c), height, width, border)
    turn = _turn(plane, high, wide, height, width)
    if turn is not None:
        return cv2.flip(image, turn).reshape(image.shape)  # type: ignore[no-any-return]
    if a == e == 0 and abs(b) == abs(d) == 1 and (height, width) == (wide, high):
        if c != (0 if b > 0 else high - 1) or f != (0 if d > 0 else wide - 1):
            return None
        turned = cv2.transpose(image).reshape(wide, high, *image.shape[2:])
        how = {(1, 1): None, (-1, 1): 1, (1, -1): 0, (-1, -1): -1}[int(b), int(d)]
        return turned if how is None else cv2.flip(turned, how).reshape(turned.shape)  # type: ignore[no-any-return]
    return None


def _turn(plane: Plane, high: int, wide: int, height: int, width: int) -> int | None:
    """Return how OpenCV flips a picture: 1 left and right, 0 top and bottom, -1 both; None if the map is no flip."""
    a, b, c, d, e, f = plane.m[:6]
    if not plane.affine or not b == d == 0 or not abs(a) == abs(e) == 1 or (height, width) != (high, wide):
        return None
    if c != (0 if a > 0 else wide - 1) or f != (0 if e > 0 else high - 1) or a == e == 1:
        return None
    return 1 if e > 0 else 0 if a > 0 else -1


def _window(image: np.ndarray, top: int, left: int, height: int, width: int, border: str) -> np.ndarray | None:
    """Return a window of a picture; None where what lies outside cannot be told from the window alone."""
    high, wide = image.shape[:2]
    margins = (max(-top, 0), max(top + height - high, 0), max(-left, 0), max(left + width - wide, 0))
    inside = image[max(top, 0) : top + height, max(left, 0) : left + width]
    if not any(margins):
        return inside.copy()
    if top + height <= 0 or left + width <= 0 or (border != "constant" and inside.shape != image.shape):
        return None
    if not inside.size:
        return None
    return opencv().copyMakeBorder(inside, *margins, _beyond(border)).reshape(height, width, *image.shape[2:])  # type: ignore[no-any-return]


def _check(image: Any) -> None:
    if not isinstance(image, np.ndarray) or image.ndim not in (2, 3):
        what = f"an array of shape {image.shape}" if isinstance(image, np.ndarray) else type(image).__name__
        raise InputError(f"a policy takes a picture (height, width) or (height, width, channels), not {what}")
    if image.ndim == 3 and image.shape[0] in (1, 3, 4) and image.shape[2] > 4:
        raise InputError(
            f"the picture has shape {image.shape}, with its channels first: pictures are (height, width, channels), "
            "as picture.transpose(1, 2, 0) is"
        )
    if image.dtype != np.uint8:
        raise InputError(
            f"a policy takes uint8 levels, not {image.dtype}; for floats from 0 to 1, make a tensor "
            "(N, channels, height, width) and call batch"
        )
    if not image.size:
        raise InputError(f"the picture is empty: its shape is {image.shape}")
