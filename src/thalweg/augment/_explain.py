"""What a policy does to a sample, in words and numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from thalweg.augment._checks import whole
from thalweg.augment._program import Step, steps
from thalweg.augment.image._fields import field_of
from thalweg.augment.image._plane import Plane
from thalweg.augment.image._runs import size_after

if TYPE_CHECKING:
    from thalweg.augment._technique import Policy

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
        names = [one.technique.name for one in technique.formula(*drawn, **step.values)]
        return f"{numbers}; {' >> '.join(names) or 'none'}"
    return numbers or "done"


def _row(row: Any) -> str:
    return " ".join(f"{x:.4g}" for x in row)
