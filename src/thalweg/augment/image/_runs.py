"""Which neighbouring steps are carried out as one, and the map of the plane that geometric ones come to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from thalweg.augment._program import Step
    from thalweg.augment.image._plane import Plane

__all__ = ["border_of", "joins", "map_of", "size_after"]

_AFTER = {"geometry": "geometry", "field": "geometry", "level": "level"}
"""Stages that are carried out as one with those before them, and which those are."""


def joins(run: list[Step], step: Step) -> bool:
    """Return whether a step is carried out as one with those before it.

    Maps of the plane are, and functions of levels; but not maps that differ in what lies outside the picture,
    nor padding with what comes before it. A field is with the maps before it, and nothing with a field before it.
    """
    stage = step.technique.stage
    if run[-1].technique.stage != _AFTER.get(stage):
        return False
    if step.technique.sized is not None and "border" in step.values:
        return False  # what is put on is new, even where a crop has taken pixels away
    mine = step.values.get("border")
    return mine is None or all(other.values.get("border", mine) == mine for other in run)


def border_of(run: list[Step]) -> str:
    """Return what lies outside the picture; where no step says so, none reaches further than half a pixel."""
    return next((step.values["border"] for step in run if "border" in step.values), "edge")


def size_after(step: Step, height: int, width: int) -> tuple[int, int]:
    """Return a picture's size after a step."""
    sized = step.technique.sized
    return (height, width) if sized is None else sized(height, width, **step.values)


def map_of(run: list[tuple[Step, list[float]]], height: int, width: int) -> tuple[Plane, int, int]:
    """Return the map of the plane that geometric steps come to, and the size after them."""
    plane: Any = None
    for step, drawn in run:
        high, wide = size_after(step, height, width)
        mine = step.technique.formula(*drawn, height, width, **step.values)
        plane = mine if plane is None else mine @ plane
        height, width = high, wide
    return plane, height, width
