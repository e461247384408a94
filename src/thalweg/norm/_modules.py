"""Norms as modules, for layers that they can do something for."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from thalweg.errors import InputError, unknown
from thalweg.norm._spatial import SpatialRMSNorm

if TYPE_CHECKING:
    from thalweg.norm._technique import Norm

__all__ = ["check", "made"]


def made(ingredient: Norm, features: int, dims: int, like: Tensor | None, torchs: dict[str, Any]) -> nn.Module:
    """See `Norm.module`."""
    check(ingredient, features, dims, None)
    technique = ingredient.technique
    kind = technique.modules[dims]
    if kind == "Identity":
        return nn.Identity()
    values: dict[str, Any] = dict(ingredient.resolved())
    places = {"GroupNorm": (values.pop("groups", 1), features), "SpatialRMSNorm": (features, dims)}
    make: type[nn.Module] = SpatialRMSNorm if kind == "SpatialRMSNorm" else getattr(nn, kind)
    first = places.get(kind, (features,))
    known = [name for name in inspect.signature(make).parameters if name not in ("device", "dtype")][len(first) :]
    for name in torchs:
        if name not in known:
            raise unknown(f"argument of {kind}", name, known)
    made_like = {} if like is None else {"device": like.device, "dtype": like.dtype}
    return make(*first, **{**values, **technique.torchs, **torchs, **made_like})


def check(ingredient: Norm, features: int, dims: int, batch: int | None) -> None:
    """See `Norm.check`."""
    for name, value in ingredient.values:
        if not isinstance(value, int | float):
            raise InputError(f"{name} of {ingredient.name} is a range to search; give it a value to make a module")
    if not isinstance(features, int) or isinstance(features, bool) or features < 1:
        raise InputError(f"features takes a whole number from 1 up, not {features!r}")
    if isinstance(dims, bool) or dims not in range(4):
        raise InputError(f"dims takes the number of axes behind the features, 0 to 3, not {dims!r}")
    name, over = ingredient.name, ingredient.technique.over
    if over == "space" and dims == 0:
        raise InputError(f"{name} norm needs axes behind the features, such as an image's; without them, take layer")
    if over == "example" and dims == 0 and features == 1:
        raise InputError(
            f"{name} norm of a layer of one unit leaves nothing of what it says; leave the layer without one, or "
            "give it more units"
        )
    if over == "group":
        _check_groups(dict(ingredient.resolved())["groups"], features, dims)
    if over == "batch" and dims == 0 and batch == 1:
        raise InputError(
            f"{name} norm has nothing to take a variance over in a batch of one; take batches of at least 2, or layer"
        )


def _check_groups(groups: int, features: int, dims: int) -> None:
    alone = dims == 0  # then a group of one unit is one number, which its own mean takes off
    would = [n for n in range(1, features + 1) if features % n == 0 and not (alone and n == features)]
    if groups in would:
        return
    if not would:
        raise InputError("group norm of a layer of one unit leaves nothing of what it says; leave it without one")
    wrong = (
        f"leaves nothing of {features} features, one in a group"
        if groups == features
        else f"does not divide {features} features"
    )
    remedy = f"{_either(would)} group{'s' * (would != [1])} would"
    raise InputError(f"group(groups={groups}) {wrong}; {remedy}")


def _either(numbers: list[int]) -> str:
    *most, last = map(str, numbers)
    return f"{', '.join(most)} or {last}" if most else last
