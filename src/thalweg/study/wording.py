"""A verdict in plain English, most important first: who cannot be told apart comes before who is ahead."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from thalweg.report.scale import least_of

__all__ = ["FEW", "Face", "claims", "joined", "sentences"]

FEW = 4
"""Up to so many recipes are told one by one; of more, the nearest and the farthest."""


def sentences(verdict: Mapping[str, Any], task: str = "") -> list[str]:
    """Return what the study may claim, as sentences.

    Args:
        verdict: as `thalweg.study.verdict.verdict` makes it.
        task: what the task is called.
    """
    words = _Words(verdict)
    found = [words.first(f"On {task}" if task else "Here")]
    if words.rows:
        rest = (
            words.lost,
            words.seen,
            words.best,
            words.behind,
            words.among_first,
            words.tuning,
            words.failures,
            words.scope,
        )
        found += [text for part in rest if (text := part())]
    return found


def claims(verdict: Mapping[str, Any]) -> set[tuple[str, str]]:
    """Return every (better, worse) that is claimed."""
    turned = _Words(verdict).turned
    return {turned(pair)[:2] for pair in verdict["pairs"] if pair["claimed"]}


def joined(names: Sequence[str]) -> str:
    """Write a list as in a sentence.

    >>> joined(["adam", "adamw", "nadam"])
    'adam, adamw and nadam'
    """
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


class Face:
    r"""How a metric's values are written: fractions as percent where its unit is ``"%"``, else as they are.

    >>> percent = Face("%")
    >>> percent.value(0.9742, [0.969, 0.978]), percent.difference(0.021, [0.012, 0.030])
    ('97.4\xa0% (96.9 to 97.8)', '2.1 points (1.2 to 3.0)')
    >>> Face("bits").difference(0.0213)
    '0.021 bits'
    >>> Face("", least=0.0).value(1.2, [-0.3, 2.7])
    '1.2 (0.0 to 2.7)'

    Args:
        unit: the metric's.
        least: what no value is below, if there is such; of shares it is 0.
    """

    def __init__(self, unit: str, least: float | None = None) -> None:
        self.least = 0.0 if unit == "%" else -math.inf if least is None else least
        self.factor = 100.0 if unit == "%" else 1.0
        self.unit = "\u00a0%" if unit == "%" else f" {unit}".rstrip()
        self.steps = " points" if unit == "%" else self.unit

    @classmethod
    def of(cls, metric: Mapping[str, Any]) -> Face:
        """Return the face of a metric as a study's store or verdict has it; see `thalweg.report.scale.least_of`."""
        return cls(str(metric.get("unit") or ""), least_of(metric))

    def value(self, value: float, ends: Sequence[float] | None = None) -> str:
        """Write a mean, with its interval."""
        return self._write(value, self._possible(ends, self.least) if value >= self.least else ends, self.unit)

    def difference(self, value: float, ends: Sequence[float] | None = None) -> str:
        """Write a difference, with its interval."""
        return self._write(value, self._possible(ends, -1.0 if self.factor != 1.0 else -math.inf), self.steps)

    def is_possible(self, difference: float) -> bool:
        """Return whether two values can be so far apart."""
        return self.factor == 1.0 or difference < 1.0

    def _possible(self, ends: Sequence[float] | None, least: float) -> Sequence[float] | None:
        """Cut an interval where values end: from few seeds it may reach beyond."""
        if ends is None or self.least == -math.inf:
            return ends
        most = math.inf if self.factor == 1.0 else 1.0
        return [min(max(end, least), most) for end in ends]

    def _write(self, value: float, ends: Sequence[float] | None, unit: str) -> str:
        decimals = _decimals(self.factor * ((ends[1] - ends[0]) / 2 if ends else abs(value) / 2.5))
        if ends and ends[0] * ends[1] > 0:  # an end that is not 0 does not look like it
            decimals = max(decimals, -math.floor(math.log10(self.factor * min(map(abs, ends)))))
        text = self._number(value, decimals)
        if unit == " points" and text in ("1", "\u22121"):
            unit = " point"
        low_high = f" ({self._number(ends[0], decimals)} to {self._number(ends[1], decimals)})" if ends else ""
        return f"{text}{unit}{low_high}"

    def _number(self, value: float, decimals: int) -> str:
        scaled = value * self.factor
        text = f"{scaled:.3g}" if decimals > 5 or abs(scaled) >= 1e6 else f"{scaled:.{decimals}f}"
        return (text if float(text) else text.lstrip("-")).replace("-", "−")


def _decimals(half: float) -> int:
    """As many as an interval bears: its half width gets one figure, two where the first would be below 4."""
    return max(0, -math.floor(math.log10(half / 4))) if half > 0 else 1


class _Words:
    """The sentences of one verdict, each a method; None where there is nothing to say."""

    def __init__(self, verdict: Mapping[str, Any]) -> None:
        self.verdict = verdict
        self.higher = bool(verdict["higher_is_better"])
        self.face = Face.of(verdict)
        chosen = [row for row in verdict["recipes"] if row["arm"] == "chosen" and row["mean"] is not None]
        self.rows = {row["name"]: row for row in chosen}

    def first(self, where: str) -> str:
        """Who cannot be told apart, or who is ahead of all."""
        lost = self.verdict.get("diverged") or []
        if not self.rows and lost and len(lost) == len(self.verdict["unjudged"]):
            return f"{where}, every run {self._of_what(lost)}diverged: nothing was learned{self._none_ahead(lost)}."
        if not self.rows:
            reasons = [f"{name} ({reason.rstrip('.')})" for name, reason in self.verdict["unjudged"].items()]
            return f"{where}, no recipe could be judged: {joined(reasons)}."
        best, tied, count = self.verdict["best"], self.verdict["tied"], len(self.rows)
        if count == 1 and lost:
            return f"{where}, {best} alone was judged: every run of {joined(lost)} diverged."
        if count == 1:
            return f"{where}, {best} alone was judged: there is nothing to tell it apart from."
        if self.verdict["seeds"] < 2:
            return f"{where}, one seed tells no recipes apart: any difference may be the seed's."
        if len(tied) == 1:
            others = f"all {count - 1} others" if count > 2 else next(name for name in self.rows if name != best)
            return f"{where}, {best} is ahead of {others}."
        many = len(tied) > FEW
        if self._among_first():
            who = f"{len(tied) - 1} of {count} recipes" if many else joined(tied[1:])
            return f"{where}, {who} cannot be told apart from {best}."
        if many and len(tied) == count:
            return f"{where}, none of the {count} recipes can be told apart from another."
        who = f"{len(tied)} of {count} recipes" if many else joined(tied)
        return f"{where}, {who} cannot be told apart."

    def _of_what(self, lost: Sequence[str]) -> str:
        """Name the arm in which all runs diverged, where those of the other did not."""
        plain = [row for row in self.verdict["recipes"] if row["arm"] == "defaults" and row["name"] in lost]
        return "" if all(row["failures"] == row["runs"] for row in plain) else "of the chosen settings "

    @staticmethod
    def _none_ahead(lost: Sequence[str]) -> str:
        return ", and no recipe is ahead of another" if len(lost) > 1 else ""

    def lost(self) -> str | None:
        """Of which recipes every run diverged."""
        lost = self.verdict.get("diverged") or []
        if not lost or len(self.rows) == 1:  # then the first sentence has said it
            return None
        learned = (
            "it learned nothing and is not judged" if len(lost) == 1 else "they learned nothing, and are not judged"
        )
        return f"Every run of {joined(lost)} diverged: {learned}."

    def seen(self) -> str | None:
        """What difference from the best would have been seen, whoever's, and of whom a larger one alone."""
        best, tied, size = self.verdict["best"], self.verdict["tied"], self.verdict["detectable"]
        if len(tied) == 1 or self.verdict["seeds"] < 2:
            return None
        sizes = {}
        for pair in self.verdict["pairs"]:
            other = pair["b"] if pair["a"] == best else pair["a"]
            if best in (pair["a"], pair["b"]) and other in tied:
                sizes[other] = pair["detectable"]
        larger = {name: other for name, other in sizes.items() if other > size}
        if not self.face.is_possible(size):
            return "So few seeds would have shown no difference, however large."
        text = f"A difference of {self.face.difference(size)} would have been seen in 4 studies of 5"
        if larger:
            most, who = self.face.difference(max(larger.values())), joined(list(larger))
            text += f"; between {best} and {who}, whose scores vary more, only one of {most}"
        return f"{text}."

    def best(self) -> str:
        """The best mean, with its interval; and who stands with it, where the first sentence only counts them."""
        row, tied = self.rows[self.verdict["best"]], self.verdict["tied"]
        mean = self.face.value(row["mean"], row["crossed"] or row["seeds"])
        which = "a" if len(self.rows) == 1 else "the highest" if self.higher else "the lowest"
        beside = f"; beside it stand {joined(tied[1:])}" if FEW < len(tied) < len(self.rows) else ""
        of = " of" if which == "a" else ","
        return f"{row['name']} has {which} mean test {self.verdict['metric']}{of} {mean}{beside}."

    def behind(self) -> str | None:
        """Who is behind the best, and by how much; whether behind the others at the front too."""
        behind, best, tied = self.verdict["behind"], self.verdict["best"], self.verdict["tied"]
        if not behind:
            return None
        by = [self.face.difference(row["difference"], row["crossed"] or row["seeds"]) for row in behind]
        names = [row["name"] for row in behind]
        if len(behind) > FEW:
            ends = f"the nearest, {names[0]}, by {by[0]}, the farthest, {names[-1]}, by {by[-1]}"
            text = f"{best} is ahead of {joined(names)}: {ends}"
        else:
            text = f"{best} is ahead of {joined([f'{name} by {size}' for name, size in zip(names, by, strict=True)])}"
        if len(tied) > 1:
            sure = claims(self.verdict)
            ahead = [name for name in tied[1:] if all((name, other) in sure for other in names)]
            if not ahead:
                text += f"; that is said of {best} alone"
            elif len(ahead) <= FEW:
                text += f"; {'so is' if len(ahead) == 1 else 'so are'} {joined(ahead)}"
            elif len(ahead) == len(tied) - 1:
                text += "; so are all that cannot be told apart from it"
            else:
                others = joined([name for name in tied[1:] if name not in ahead])
                text += f"; so are those that cannot be told apart from it, but for {others}"
        return f"{text}."

    def among_first(self) -> str | None:
        """Who is ahead of whom though neither can be told apart from the best: being tied is not transitive."""
        found = [
            f"{a} is ahead of {b} by {self.face.difference(size, ends)}" for a, b, size, ends in self._among_first()
        ]
        if len(found) > FEW:
            found = [*found[: FEW - 1], f"so in {len(found) - FEW + 1} more pairs"]
        return f"Yet {joined(found)}." if found else None

    def _among_first(self) -> list[tuple[str, str, float, Sequence[float]]]:
        tied = self.verdict["tied"]
        return [
            self.turned(pair)
            for pair in self.verdict["pairs"]
            if pair["claimed"] and pair["a"] in tied and pair["b"] in tied
        ]

    def turned(self, pair: Mapping[str, Any]) -> tuple[str, str, float, Sequence[float]]:
        """Return a claimed pair's better recipe, its worse one, and how far apart they are, with the interval."""
        ends, size = pair["crossed"] or pair["seeds"], pair["difference"]
        a, b = (pair["a"], pair["b"]) if (size > 0) == self.higher else (pair["b"], pair["a"])
        return a, b, abs(size), ends if size > 0 else [-ends[1], -ends[0]]

    def tuning(self) -> str | None:
        """What tuning bought: the chosen setting against the same recipe's defaults."""
        gains = self.verdict["gains"]
        if not gains:
            return None
        sides: dict[str, list[tuple[float, str]]] = {"chosen": [], "defaults": []}
        for gain in gains:
            if gain["claimed"]:
                better, _, size, ends = self.turned({**gain, "a": "chosen", "b": "defaults"})
                sides[better].append((size, f"{gain['name']} {self.face.difference(size, ends)}"))
        won, lost = ([text for _, text in sorted(side, reverse=True)] for side in sides.values())
        if not won and not lost:
            return "Tuning changed no recipe's score by a difference that could be shown."
        parts = []
        if won:
            others = f", and {len(won) - 1} others less" if len(won) > FEW else ""
            parts.append(f"Tuning bought {joined(won[:1] if others else won)} over the defaults{others}")
        if lost:
            others = f", and {len(lost) - 1} others less" if len(lost) > FEW else ""
            parts.append(f"{'it' if won else 'Tuning'} cost {joined(lost[:1] if others else lost)}{others}")
        return f"{'; '.join(parts)}."

    def failures(self) -> str | None:
        """How many runs of the chosen settings failed, and what became of them."""
        failed = [row for row in self.rows.values() if row["failures"]]
        if not failed:
            return None
        total = sum(row["failures"] for row in failed)
        counts = joined([f"{row['failures']} of {row['runs']} of {row['name']}" for row in failed])
        if total == 1:
            return f"1 run diverged ({counts}): it counts as a failure, and is scored as the untrained model it was."
        return f"{total} runs diverged ({counts}): they count as failures, scored as the untrained models they were."

    def scope(self) -> str | None:
        """What the intervals leave out."""
        if self.verdict["examples"] > 1 or self.verdict["seeds"] < 2:
            return None
        return (
            "Test examples are not resampled, since this metric has one value for all of them: "
            "what is said holds for other seeds, not for another test set."
        )
