"""Contours with paths over them, as a picture and as a page that moves."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import numpy as np

from thalweg.errors import InputError
from thalweg.files import write_whole
from thalweg.inspect._landscape.contours import isolines, levels

__all__ = ["ENDINGS", "Drawing", "Drawn", "Line", "checked_path"]

WIDTH, HEIGHT = 720, 480
LEFT, TOP, RIGHT, BOTTOM = 58, 14, 14, 42
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#c56a9d", "#b87d00", "#2e97d0", "#59616b")
DASHES = ("", "7 3", "2 2", "9 3 2 3")
FRAMES = 48
ENDINGS = (".html", ".gif", ".png", ".svg")
FONT = "Inter, 'Helvetica Neue', Helvetica, Arial, 'Liberation Sans', sans-serif"


@dataclass(frozen=True, eq=False)
class Line:
    """A path: what it is called, its points ``(steps + 1, 2)``, and the loss at each; NaN where it is no longer."""

    name: str
    points: np.ndarray
    losses: np.ndarray


@dataclass(frozen=True, eq=False)
class Drawing:
    """Contours and paths, before it is decided what they are written as.

    Attributes:
        title, about, note: what stands over and under it.
        values: of the loss on a grid, shape ``(rows, columns)``; the first row is the lowest.
        x, y: from where to where the grid goes.
        axes: their names.
        marks: points that are marked, and what they are (``marked``).
        table: what the picture shows, as text.
        lines: the paths.
        least: the height that contours are counted from; see `levels`.
        counted: what a path's places are: steps, epochs.
    """

    title: str
    about: str
    note: str
    values: np.ndarray
    x: tuple[float, float]
    y: tuple[float, float]
    axes: tuple[str, str]
    marks: tuple[tuple[float, float], ...]
    marked: str
    table: str
    lines: tuple[Line, ...]
    least: float
    counted: str = "step"

    @property
    def steps(self) -> int:
        """How many steps the longest path has."""
        return max((len(line.points) for line in self.lines), default=1) - 1

    def places(self, points: np.ndarray) -> np.ndarray:
        """Return where points are drawn, in pixels; far outside, at most ten pictures away."""
        (x0, x1), (y0, y1) = self.x, self.y
        right = LEFT + (points[:, 0] - x0) / (x1 - x0) * (WIDTH - LEFT - RIGHT)
        down = HEIGHT - BOTTOM - (points[:, 1] - y0) / (y1 - y0) * (HEIGHT - TOP - BOTTOM)
        return np.clip(np.column_stack([right, down]), -10 * WIDTH, 10 * WIDTH)

    def contours(self) -> list[str]:
        """Return the contours as SVG paths, the lowest first."""
        big = np.nanmax(np.where(np.isfinite(self.values), self.values, np.nan))
        values = np.where(np.isfinite(self.values), self.values, big)
        rows, columns = values.shape
        scale = np.array([(self.x[1] - self.x[0]) / (columns - 1), (self.y[1] - self.y[0]) / (rows - 1)])
        paths = []
        for level in levels(values, self.least).tolist():
            lines = [self.places(line * scale + [self.x[0], self.y[0]]) for line in isolines(values, level)]
            paths.append(" ".join("M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in line) for line in lines))
        return paths

    def svg(self, until: int | None = None, *, alone: bool = True) -> str:
        """Return the picture.

        Args:
            until: the last step that is shown; all of them if not given.
            alone: with paths, a legend and colours of its own; else for the page, which brings these.
        """
        if not hasattr(self, "_ground"):
            object.__setattr__(self, "_ground", "".join(self._background()))
        ground: str = self._ground  # type: ignore[attr-defined]
        if not alone:
            return (
                f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" id="picture" aria-hidden="true">{ground}<g id="paths"/></svg>'
            )
        height = HEIGHT + 30 + 19 * (len(self.lines) + 1) // 2
        parts = [_head(height), f'<text class="head" x="{LEFT}" y="20">{escape(self.title)}</text>']
        parts.append(f'<g transform="translate(0 24)">{ground}{"".join(self._paths(until))}</g>')
        for i, line in enumerate(self.lines):
            x, y = LEFT + (i % 2) * 320, HEIGHT + 38 + 19 * (i // 2)
            parts.append(
                f'<path d="M{x} {y - 4}h22" {_stroke(i)}/><text x="{x + 28}" y="{y}">{escape(line.name)}</text>'
            )
        if self.lines:
            told = f"{self.counted} {self.steps if until is None else min(until, self.steps)}"
            parts.append(f'<text x="{WIDTH - RIGHT}" y="20" text-anchor="end">{told}</text>')
        return "".join([*parts, "</svg>"])

    def _background(self) -> list[str]:
        box = f'x="{LEFT}" y="{TOP}" width="{WIDTH - LEFT - RIGHT}" height="{HEIGHT - TOP - BOTTOM}"'
        parts = [f'<clipPath id="inside"><rect {box}/></clipPath><g clip-path="url(#inside)">']
        paths = self.contours()
        for i, path in enumerate(paths):
            share = i / max(1, len(paths) - 1)
            parts.append(f'<path class="level" d="{path}" stroke-opacity="{0.95 - 0.55 * share:.2f}"/>')
        for x, y in self.places(np.array(self.marks).reshape(-1, 2)).tolist():
            parts.append(f'<path class="mark" d="M{x - 5:.1f} {y:.1f}h10M{x:.1f} {y - 5:.1f}v10"/>')
        parts.append(f'</g><rect class="frame" {box}/>')
        for value, (x, _) in self._ticks(0):
            parts.append(
                f'<text class="tick" x="{x:.1f}" y="{HEIGHT - BOTTOM + 17}" text-anchor="middle">{value}</text>'
            )
        for value, (_, y) in self._ticks(1):
            parts.append(f'<text class="tick" x="{LEFT - 7}" y="{y + 4:.1f}" text-anchor="end">{value}</text>')
        middle = (TOP + HEIGHT - BOTTOM) / 2
        parts.append(
            f'<text class="tick" x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 6}" text-anchor="middle">'
            f'{escape(self.axes[0])}</text><text class="tick" text-anchor="middle" '
            f'transform="translate(13 {middle}) rotate(-90)">{escape(self.axes[1])}</text>'
        )
        return parts

    def _ticks(self, axis: int) -> list[tuple[str, tuple[float, float]]]:
        low, high = (self.x, self.y)[axis]
        power = 10.0 ** math.floor(math.log10(high - low))
        gap = next(g for g in (power / 5, power / 2, power, 2 * power, 5 * power) if (high - low) / g <= 7)
        values = np.arange(math.ceil(low / gap - 1e-9), math.floor(high / gap + 1e-9) + 1) * gap
        points = np.full((len(values), 2), [self.x[0], self.y[0]], dtype=float)
        points[:, axis] = values
        found = self.places(points).tolist()
        return [(f"{v + 0.0:.6g}".replace("-", "−"), (p[0], p[1])) for v, p in zip(values, found, strict=True)]

    def _paths(self, until: int | None) -> list[str]:
        parts = ['<g clip-path="url(#inside)">']
        for i, line in enumerate(self.lines):
            points = line.points[: None if until is None else until + 1]
            there = self.places(points[np.isfinite(points).all(axis=1)]).tolist()
            if not there:
                continue
            told = " ".join(f"{x:.1f},{y:.1f}" for x, y in there)
            parts.append(f'<polyline points="{told}" {_stroke(i)}/>')
            x, y = there[-1]
            parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4.5" fill="{COLOURS[i % 7]}" stroke="#fff"/>')
        return [*parts, "</g>"]

    def page(self) -> str:
        """Return the page: it moves, stands alone and asks nothing of the network."""
        import jinja2

        from thalweg.report.writing import escaped, style

        environment = jinja2.Environment(
            loader=jinja2.PackageLoader("thalweg.inspect._landscape"), autoescape=True, trim_blocks=True,
            lstrip_blocks=True, undefined=jinja2.StrictUndefined,
        )  # fmt: skip
        payload = {
            "counted": self.counted,
            "steps": self.steps,
            "lines": [
                {"points": _rounded(self.places(line.points), 1), "losses": _rounded(line.losses)}
                for line in self.lines
            ],
        }
        script = (
            resources.files("thalweg.inspect._landscape").joinpath("templates", "landscape.js").read_text("utf-8")
        )
        return environment.get_template("landscape.html.j2").render(
            drawing=self, style=style(), payload=escaped(payload), picture=self.svg(alone=False), script=script,
            legend=[
                {"name": line.name, "colour": i % len(COLOURS), "dash": DASHES[i // len(COLOURS) % len(DASHES)]}
                for i, line in enumerate(self.lines)
            ],
        )  # fmt: skip

    def gif(self) -> bytes:
        """Return the picture as it moves: at most 48 frames, twelve a second, the last for two seconds.

        Raises:
            InputError: Pillow is not there.
        """
        import vl_convert

        _pillow()
        from PIL import Image

        stops = np.unique(np.linspace(0, self.steps, min(FRAMES, self.steps + 1)).round().astype(int)).tolist()
        frames = [Image.open(BytesIO(vl_convert.svg_to_png(self.svg(until), 1.0))).convert("RGB") for until in stops]
        palette = frames[-1].quantize(64)
        flat = [frame.quantize(palette=palette, dither=Image.Dither.NONE) for frame in frames]
        file = BytesIO()
        times = [80] * (len(flat) - 1) + [2000]
        flat[0].save(file, "GIF", save_all=True, append_images=flat[1:], duration=times, loop=0, optimize=True)
        return file.getvalue()


class Drawn:
    """What has a drawing of itself."""

    def drawing(self) -> Drawing:
        """Return the picture."""
        raise NotImplementedError

    def save(self, path: Path | str) -> None:
        """Write the picture: ``.html`` and ``.gif`` move, ``.png`` and ``.svg`` show whole paths.

        Raises:
            InputError: another ending, a GIF without Pillow, or a file that cannot be written.
        """
        import vl_convert

        path, drawing = checked_path(path), self.drawing()
        makers: dict[str, Any] = {
            ".html": lambda: drawing.page().encode(),
            ".gif": drawing.gif,
            ".png": lambda: vl_convert.svg_to_png(drawing.svg(), 2.0),
            ".svg": lambda: drawing.svg().encode(),
        }
        content = makers[path.suffix]()
        try:
            write_whole(path, content)
        except OSError as error:
            raise InputError(f"{path} cannot be written: {error.strerror}") from error


def checked_path(path: Path | str, endings: Sequence[str] = ENDINGS) -> Path:
    """Return a path that can be written, as far as can be said beforehand.

    Raises:
        InputError: another ending, no such folder, or a GIF without Pillow.
    """
    path = Path(path)
    if path.suffix not in endings:
        known = f"{', '.join(endings[:-1])} or {endings[-1]}"
        raise InputError(f'a landscape is saved as {known}, not "{path.name}"')
    if not path.parent.is_dir():
        raise InputError(f"{path} cannot be written: there is no folder {path.parent}")
    if path.suffix == ".gif":
        _pillow()
    return path


def _pillow() -> None:
    if find_spec("PIL") is None:
        raise InputError("GIFs are written by Pillow; install it with pip install 'thalweg[gif]'")


def _head(height: int) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}">'
        f"<style>text{{font:13px {FONT};fill:#1c1f23}} .head{{font-weight:600;font-size:15px}} .tick{{fill:#5b636d}} "
        ".level{fill:none;stroke:#7d95ab} .mark{stroke:#1c1f23;stroke-width:2} "
        ".frame{fill:none;stroke:#dfe3e8}</style>"
        f'<rect width="{WIDTH}" height="{height}" fill="#fff"/>'
    )


def _stroke(i: int) -> str:
    dash = DASHES[i // len(COLOURS) % len(DASHES)]
    dashed = f' stroke-dasharray="{dash}"' if dash else ""
    return f'fill="none" stroke="{COLOURS[i % len(COLOURS)]}" stroke-width="2.2" stroke-linejoin="round"{dashed}'


def _rounded(values: np.ndarray, decimals: int | None = None) -> list[Any]:
    """Return numbers as JSON takes them: None where there is none."""
    if values.ndim > 1:
        return [_rounded(row, decimals) for row in values]
    return [
        None if not math.isfinite(x) else round(x, decimals) if decimals is not None else float(f"{x:.5g}")
        for x in values.tolist()
    ]
