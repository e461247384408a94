"""What a policy does to a sample, in words and numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from thalweg.augment._amounts import amount
from thalweg.augment._checks import whole
from thalweg.augment._program import Step, steps
from thalweg.augment.image._fields import field_of
from thalweg.augment.image._plane import Plane
from thalweg.augment.image._runs import size_after

if TYPE_CHECKING:
    from thalweg.augment._policy import Policy

__all__ = ["explained"]


def explained(policy: Policy, sample: int, epoch: int, seed: int, height: int | None, width: int | None) -> str:
    """See `Policy.explain`."""
    lines = []
    sample, epoch, seed = whole("sample", sample), whole("epoch", epoch), whole("seed", seed)
    for step in steps(policy, "image"):
        drawn = step.drawn(seed, epoch, sample)
        said = "left out" if drawn is None else _said(step, drawn, (seed, epoch, sample), height, width)
        lines.append(f"{step.technique.name}: {said}")
        if drawn is not None and height is not None and width is not None:
            height, width = size_after(step, height, width)
    return "\n".join(lines)


def _said(step: Step, drawn: list[float], key: tuple[int, int, int], height: int | None, width: int | None) -> str:
    said, raw = amount(step.technique.name, drawn, step.values), _raw(step, drawn, key, height, width)
    return f"{said} ({raw})" if said and raw != "done" else said or raw


def _raw(step: Step, drawn: list[float], key: tuple[int, int, int], height: int | None, width: int | None) -> str:
    """Return the random numbers, and what is exact: the map of the plane, or the steps that were chosen."""
    technique = step.technique
    numbers = ", ".join(f"u{i + 1} = {u:.4f}" for i, u in enumerate(drawn))
    if technique.stage == "geometry" and height is not None and width is not None:
        plane = technique.formula(*drawn, height, width, **step.values)
        assert isinstance(plane, Plane)
        rows = [plane.m[i : i + 3] for i in range(0, 6 if plane.affine else 9, 3)]
        return "; ".join([*([numbers] if numbers else []), "map " + " | ".join(_row(row) for row in rows)])
    if technique.stage == "field" and height is not None and width is not None:
        across, down = abs(field_of(step, key, height, width).grid()).max((1, 2))
        return f"moves by up to {across:.2f} pixels across, {down:.2f} down"
    if technique.stage == "chosen":
        chosen = technique.formula(*drawn, **step.values)
        names = [
            f"{one.technique.name} {amount(one.technique.name, one.drawn, one.values)}".strip() for one in chosen
        ]
        return f"{numbers}; {' >> '.join(names) or 'none'}"
    return numbers or "done"


def _row(row: Any) -> str:
    return " ".join(f"{x:.4g}" for x in row)
