"""Charts as files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from thalweg.errors import InputError

__all__ = ["Pictured", "save"]

_ROOM = {"left": 20, "top": 5, "right": 45, "bottom": 5}
"""Pixels around an SVG: names are measured in one font, and whoever shows them may have a wider one."""


def save(chart: Any, path: Path | str) -> None:
    """Write an Altair chart as ``.svg``, ``.png`` or ``.html``; the page asks the network for nothing.

    Raises:
        InputError: another ending, or a file that cannot be written.
    """
    path = Path(path)
    if path.suffix not in (".svg", ".png", ".html"):
        raise InputError(f'a chart is saved as .svg, .png or .html, not "{path.name}"')
    more: dict[str, dict[str, Any]] = {".png": {"scale_factor": 2}, ".html": {"inline": True}}
    if path.suffix == ".svg":
        chart = chart.properties(padding=_ROOM)
    try:
        chart.save(path, **more.get(path.suffix, {}))
    except OSError as error:
        raise InputError(f"the chart {path} cannot be written: {error.strerror}") from error


class Pictured:
    """What has a picture of itself."""

    def chart(self) -> Any:
        """Return the picture."""
        raise NotImplementedError

    def save(self, path: Path | str) -> None:
        """Write the picture as ``.svg``, ``.png`` or ``.html``; the page asks the network for nothing.

        Raises:
            InputError: another ending, or a file that cannot be written.
        """
        save(self.chart(), path)
