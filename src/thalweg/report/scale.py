"""How numbers are written: as many decimals as their intervals bear, percents for fractions, true minus signs."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from thalweg.report.reading import Study

__all__ = ["MISSING", "Scale", "least_of", "limits", "scale_of", "short", "thousands", "usual"]

MISSING = "–"


@dataclass(frozen=True)
class Scale:
    r"""A metric's face: what its values are multiplied by, how they are written, what they are called.

    >>> percent = Scale("accuracy", "%", 100.0, 1)
    >>> percent.value(0.9742), percent.interval([0.969, 0.978]), percent.difference(-0.008)
    ('97.4\xa0%', '96.9 to 97.8', '−0.8')
    >>> percent.axis, percent.steps
    ('accuracy (%)', 'points')

    ``finer`` is how many decimals differences get, where those are more: paired, they are known better than means.
    ``gap`` is the difference that is above 0 where a recipe does better on what it was trained on.
    ``least`` and ``most`` are where values end by nature, as shares do at 0 and 1, and errors at 0.
    """

    name: str
    unit: str
    factor: float
    decimals: int
    finer: int = 0
    least: float = -math.inf
    most: float = math.inf
    gap: str = "train − test"

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
        if not _known(value):
            return MISSING
        text = _fixed(float(value or 0) * self.factor, max(self.decimals, self.finer))
        return text if text.startswith("−") or not float(text) else f"+{text}"

    def possible(self, ends: Sequence[float] | None) -> list[float] | None:
        """Cut an interval where values end: from few seeds or examples it may reach beyond."""
        return _cut(ends, self.least, self.most)

    def possible_difference(self, ends: Sequence[float] | None) -> list[float] | None:
        """Cut a difference's interval at the farthest that two values can be apart."""
        return _cut(ends, self.least - self.most, self.most - self.least)

    @property
    def steps(self) -> str:
        """What differences are counted in."""
        return "points" if self.unit == "%" else self.unit

    @property
    def axis(self) -> str:
        """The metric's name with its unit in brackets."""
        return f"{self.name} ({self.unit})" if self.unit else self.name


def scale_of(study: Study) -> Scale:
    """Return the study's scale; decimals follow the narrower intervals: a wide one may not blur all others."""
    metric = study.task.get("metric") or {}
    verdict = study.verdict or {}
    unit = str(metric.get("unit") or "")
    factor = 100.0 if unit == "%" else 1.0
    widths = [_width(row, factor) for (_, arm), row in study.judged.items() if arm == "chosen"]
    found = usual(widths)
    if found is None:
        found = 0 if unit == "%" else _decimals(abs(study.mean(study.order[0]) or 1.0) / 15)
    parts = [part.get(way) or {} for part in (study.ablation or {}).get("parts") or [] for way in ("out", "in")]
    differences = [
        *(verdict.get("pairs") or []),
        *(verdict.get("gains") or []),
        *(p.get("test") or {} for p in parts),
    ]
    apart = [_width(row, factor) for row in differences]
    least, most = limits(study)
    decimals = max(found, 1 if unit == "%" else 0)
    return Scale(
        str(metric.get("name") or "metric"), unit, factor, decimals, usual(apart) or 0, least=least, most=most,
        gap="train − test" if study.higher_is_better else "test − train",
    )  # fmt: skip


def limits(study: Study) -> tuple[float, float]:
    """Return where the metric's values end by nature: shares at 0 and 1; errors at 0, unless one was less."""
    metric = study.task.get("metric") or {}
    if metric.get("unit") == "%":
        return 0.0, 1.0
    tests = [m.run.test for arm in study.members.values() for few in arm.values() for m in few]
    least = least_of(metric)
    return -math.inf if least is None or any(test < least for test in tests) else least, math.inf


def least_of(metric: Mapping[str, Any]) -> float | None:
    """Return what a metric cannot be below, as a study's store says.

    Stores from before it was kept say it by the metric's name.

    Args:
        metric: ``name``, ``higher_is_better``, ``unit`` and ``least``, None for nothing.

    >>> least_of({"name": "regret", "least": 0.0}), least_of({"name": "squared error", "least": None})
    (0.0, None)
    >>> least_of({"name": "squared error", "higher_is_better": False})
    0.0
    """
    if "least" in metric:
        return metric["least"]  # type: ignore[no-any-return]
    words = str(metric.get("name") or "").lower().replace("-", " ").split()
    errs = not metric.get("higher_is_better", True) and not _NOT_BELOW_0.isdisjoint(words)
    return 0.0 if errs else None


_NOT_BELOW_0 = {"error", "errors", "loss", "deviation", "distance", "entropy", "crossentropy", "perplexity", "bits",
                "nats", "rmse", "mse", "mae"}  # fmt: skip
"""Words in the names of metrics that are at least 0, for stores that do not say which are."""


def _width(row: dict[str, Any], factor: float) -> float:
    low, high = row.get("crossed") or row.get("seeds") or (math.nan, math.nan)
    return factor * (high - low) if _known(low) and _known(high) else math.nan


def usual(widths: Iterable[float]) -> int | None:
    """Return the decimals that the lower median of widths bears, as the verdict's words have them."""
    known = sorted(width for width in widths if width > 0)
    return _decimals(known[(len(known) - 1) // 2] / 2) if known else None


def _decimals(half: float) -> int:
    """An interval's half width gets one figure, two where the first would be below 4."""
    return min(6, max(0, -math.floor(math.log10(half / 4)))) if half > 0 else 3


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


def _cut(ends: Sequence[float] | None, least: float, most: float) -> list[float] | None:
    if not ends or not all(_known(end) for end in ends):
        return None
    return [min(max(end, least), most) for end in ends]


def _known(value: float | None) -> bool:
    return value is not None and math.isfinite(value)
