"""How numbers are written: as many decimals as their intervals bear, percents for fractions, true minus signs."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from thalweg.report.reading import Study

__all__ = ["MISSING", "Scale", "scale_of", "short", "thousands"]

MISSING = "–"


@dataclass(frozen=True)
class Scale:
    r"""A metric's face: what its values are multiplied by, how they are written, what they are called.

    >>> percent = Scale("accuracy", "%", 100.0, 1)
    >>> percent.value(0.9742), percent.interval([0.969, 0.978]), percent.difference(-0.008)
    ('97.4\xa0%', '96.9 to 97.8', '−0.8')
    >>> percent.axis, percent.steps
    ('accuracy (%)', 'points')
    """

    name: str
    unit: str
    factor: float
    decimals: int

    def number(self, value: float | None) -> str:
        """Write a value without its unit."""
        return MISSING if not _known(value) else _fixed(float(value or 0) * self.factor, self.decimals)

    def value(self, value: float | None) -> str:
        """Write a value with its unit."""
        text = self.number(value)
        return text if text == MISSING or not self.unit else f"{text}\u00a0{self.unit}"

    def interval(self, ends: Sequence[float] | None) -> str:
        """Write both ends of an interval."""
        if not ends or not all(_known(end) for end in ends):
            return ""
        return f"{self.number(ends[0])} to {self.number(ends[1])}"

    def difference(self, value: float | None) -> str:
        """Write a difference with its sign."""
        text = self.number(value)
        return text if text == MISSING or text.startswith("−") or not float(text) else f"+{text}"

    def possible(self, ends: Sequence[float] | None) -> list[float] | None:
        """Cut an interval of shares where shares end: from few examples it may reach beyond."""
        if not ends or not all(_known(end) for end in ends):
            return None
        return [min(max(end, 0.0), 1.0) for end in ends] if self.unit == "%" else list(ends)

    @property
    def steps(self) -> str:
        """What differences are counted in."""
        return "points" if self.unit == "%" else self.unit

    @property
    def axis(self) -> str:
        """The metric's name with its unit in brackets."""
        return f"{self.name} ({self.unit})" if self.unit else self.name


def scale_of(study: Study) -> Scale:
    """Return the study's scale; its decimals follow from the width of the intervals on the means."""
    metric = study.task.get("metric") or {}
    unit = str(metric.get("unit") or "")
    factor = 100.0 if unit == "%" else 1.0
    widths = _widths(study, factor)
    if not widths:
        decimals = 1 if unit == "%" else _decimals(abs(study.mean(study.order[0]) or 1.0) / 20)
    else:
        decimals = _decimals(widths[len(widths) // 2])
    return Scale(str(metric.get("name") or "metric"), unit, factor, max(decimals, 1 if unit == "%" else 0))


def _widths(study: Study, factor: float) -> list[float]:
    ends: Iterable[Any] = (
        row.get("crossed") or row.get("seeds")
        for (_, arm), row in study.judged.items()
        if arm == "chosen"
    )  # fmt: skip
    return sorted(
        width
        for low, high in filter(None, ends)
        if _known(low) and _known(high) and (width := factor * (high - low)) > 0
    )


def _decimals(width: float) -> int:
    return min(6, max(0, math.ceil(-math.log10(width / 6)))) if width > 0 else 3


def short(value: Any) -> str:
    """Write a hyperparameter in two or three figures.

    >>> short(0.0031234), short(3e-05), short(0.9), short(128), short("cosine"), short(True)
    ('0.0031', '3e-5', '0.9', '128', 'cosine', 'yes')
    """
    if isinstance(value, bool):
        return "yes" if value else "no"
    if not isinstance(value, float):
        return ", ".join(short(item) for item in value) if isinstance(value, list) else str(value)
    # Near one it is the distance from one that counts: 0.9987 is not 1.
    text = f"{value:.2g}" if abs(value - 1) > 0.02 or value == 1 else f"{value:.4g}"
    mantissa, e, exponent = text.partition("e")
    return f"{mantissa}e{int(exponent)}" if e else mantissa


def thousands(value: float | None) -> str:
    """Write a count with thin spaces between thousands."""
    return MISSING if not _known(value) else f"{round(value or 0):,}".replace(",", "\u202f")


def _fixed(value: float, decimals: int) -> str:
    text = f"{value:.{decimals}f}"
    if not float(text):  # no "-0.0"
        text = text.lstrip("-")
    return text.replace("-", "−")


def _known(value: float | None) -> bool:
    return value is not None and math.isfinite(value)
