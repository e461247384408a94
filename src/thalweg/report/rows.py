"""The page's tables as rows of text: results by recipe, and who is claimed ahead of whom."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import mean
from typing import TYPE_CHECKING, Any

from thalweg.report.reading import average, differences
from thalweg.report.scale import MISSING, short, thousands

if TYPE_CHECKING:
    from thalweg.report.reading import Member, Study
    from thalweg.report.scale import Scale

__all__ = ["Cell", "Row", "figures", "matrix", "pairs", "rows", "spread"]

TOLD = 40
"""With more recipes than these, cells of the table of pairs are not told in words too: the page would double."""


@dataclass(frozen=True)
class Row:
    """One recipe's line in the table of results; texts, ready to print."""

    recipe: str
    position: int
    group: str
    setting: str
    mean: str
    crossed: str
    seeds: str
    defaults: str
    defaults_interval: str
    gain: str
    gain_interval: str
    gained: bool
    gap: str
    failures: str
    failed: bool
    steps: str
    seconds: str
    state: str


def rows(study: Study, scale: Scale) -> list[Row]:
    """Return the table of results, best first."""
    return [_row(study, scale, name) for name in study.order]


def _row(study: Study, scale: Scale, name: str) -> Row:
    chosen, defaults = study.arm("chosen", name), study.arm("defaults", name)
    judged = study.judged.get((name, "chosen"), {})
    plain = study.judged.get((name, "defaults"), {})
    gain = _gain(study, name)
    failed = judged.get("failures", sum(member.run.status != "finished" for member in chosen))
    runs = judged.get("runs", len(chosen))
    return Row(
        recipe=name,
        position=study.names.index(name),
        group=study.group[name],
        setting=setting(chosen, defaults),
        mean=scale.number(study.mean(name)),
        crossed=scale.interval(scale.possible(judged.get("crossed"))),
        seeds=scale.interval(scale.possible(judged.get("seeds"))),
        defaults=scale.number(study.mean(name, "defaults")),
        defaults_interval=scale.interval(scale.possible(plain.get("crossed") or plain.get("seeds"))),
        gain=scale.difference(gain["difference"]) if gain else "",
        gain_interval=spread(scale, gain.get("crossed") or gain.get("seeds"), 1.0),
        gained=bool(gain.get("claimed")),
        gap=_gap(study, scale, chosen),
        failures=f"{failed} of {runs}" if runs else MISSING,
        failed=bool(failed),
        steps=thousands(average(float(member.run.steps) for member in chosen)),
        seconds=figures(average(member.run.cpu_seconds for member in chosen)),
        state=figures(average(member.run.state_bytes for member in chosen)),
    )


def setting(chosen: list[Member], defaults: list[Member]) -> str:
    """Return what the chosen setting changes about the defaults, in a few words."""
    if not chosen or not defaults:
        return MISSING
    changed = differences(chosen[0].run.recipe, defaults[0].run.recipe)
    return ", ".join(f"{name} {short(value)}" for name, value in changed) or "the defaults"


def _gain(study: Study, name: str) -> dict[str, Any]:
    """What the verdict says of chosen − defaults; empty where the defaults were chosen."""
    found = (gain for gain in (study.verdict or {}).get("gains") or [] if gain.get("name") == name)
    return next(found, {})


def _gap(study: Study, scale: Scale, members: list[Member]) -> str:
    """How much better a recipe does on what it was trained on, in the metric's steps."""
    sign = 1.0 if study.higher_is_better else -1.0
    gaps = [sign * (m.run.train - m.run.test) for m in members if m.run.train == m.run.train]
    gaps = [gap for gap in gaps if gap == gap]
    return scale.difference(mean(gaps)) if gaps else MISSING


def figures(value: float | None) -> str:
    """Write a cost in two figures."""
    if value is None:
        return MISSING
    return f"{value:.2g}" if value < 10 else thousands(value)


# -- pairs ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Cell:
    """Row against column: ``kind`` is ahead, behind, open (cannot be told apart), self or none."""

    kind: str
    text: str = ""
    told: str = ""


def matrix(study: Study, scale: Scale) -> list[tuple[str, int, list[Cell]]]:
    """Return who is claimed ahead of whom, rows (name, place, cells) and columns best first; empty without pairs."""
    found: dict[tuple[str, str], Cell] = {}
    for pair in _measured(study):
        a, b, difference = pair["a"], pair["b"], float(pair["difference"])
        found[a, b] = _cell(study, scale, a, b, difference, pair)
        found[b, a] = _cell(study, scale, b, a, -difference, pair)
    if not found:
        return []
    place = {name: i for i, name in enumerate(study.names)}
    table = []
    for a in study.order:
        cells = [Cell("self") if a == b else found.get((a, b), Cell("none")) for b in study.order]
        table.append((a, place[a], cells))
    return table


def _cell(study: Study, scale: Scale, a: str, b: str, difference: float, pair: dict[str, Any]) -> Cell:
    text = scale.difference(difference)
    better = (difference > 0) == study.higher_is_better
    if len(study.names) > TOLD:
        return Cell("open" if not pair.get("claimed") else "ahead" if better else "behind", text)
    if not pair.get("claimed"):
        return Cell("open", text, f"{a} and {b} cannot be told apart: {text} {scale.steps}".strip())
    where = "ahead of" if better else "behind"
    told = f"{a} is {where} {b}: {text} {scale.steps}".strip()
    return Cell("ahead" if better else "behind", text, told)


def pairs(study: Study, scale: Scale) -> list[dict[str, str]]:
    """Return every difference with both its intervals, the better recipe first, widest apart on top."""
    lines = []
    place = {name: i for i, name in enumerate(study.names)}
    for pair in _measured(study):
        a, b, difference = pair["a"], pair["b"], float(pair["difference"])
        sign = 1.0
        if (difference < 0) == study.higher_is_better and difference:
            a, b, sign = b, a, -1.0
        lines.append(
            (
                abs(difference),
                {
                    "a": a,
                    "b": b,
                    "places": f"{place.get(a, '')} {place.get(b, '')}",
                    "difference": scale.difference(sign * difference),
                    "crossed": spread(scale, pair.get("crossed"), sign),
                    "seeds": spread(scale, pair.get("seeds"), sign),
                    "claimed": "ahead" if pair.get("claimed") else "cannot be told apart",
                },
            )
        )
    return [line for _, line in sorted(lines, key=lambda item: -item[0])]


def _measured(study: Study) -> list[dict[str, Any]]:
    return [p for p in (study.verdict or {}).get("pairs") or [] if p.get("difference") is not None]


def spread(scale: Scale, ends: list[Any] | None, sign: float) -> str:
    """Write both ends of a difference's interval, turned over where ``sign`` is −1."""
    found = scale.possible_difference(ends)
    if found is None:
        return ""
    low, high = sorted(sign * end for end in found)
    return f"{scale.difference(low)} to {scale.difference(high)}"
