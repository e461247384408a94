"""A lottery's verdict in plain English: at which sizes a ticket beats its controls, and which is the smallest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from thalweg.study.before import counted
from thalweg.study.wording import Face, joined

__all__ = ["CONTROLS", "levels", "sentences", "warned"]

CONTROLS = ("random mask", "fresh weights")
BASIN = 0.02
"""A barrier below this share counts as none (Frankle et al. 2020)."""


def sentences(verdict: Mapping[str, Any], task: str) -> list[str]:
    """Return what may be claimed, as sentences, the answer first."""
    words = _Words(verdict, task)
    parts = (words.first, words.others, words.means, words.basin, words.smaller)
    return [text for part in parts if (text := part())]


def levels(verdict: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> str:
    """Return at which sizes some levels of a verdict are, in words."""
    return _Words(verdict, "").where(rows)


class _Words:
    def __init__(self, verdict: Mapping[str, Any], task: str) -> None:
        self.verdict, self.task = verdict, task
        self.face = Face.of(verdict)
        self.levels = [row for row in verdict["levels"] if row["level"]]
        self.wins = [row for row in self.levels if row["pairs"] and all(_ahead(pair) for pair in row["pairs"])]

    def first(self) -> str:
        where = f"On {self.task}"
        judged = [row for row in self.levels if row["pairs"]]
        if self.verdict["seeds"] < 2:
            return f"{where}, one seed tells a ticket from no control: any difference may be the seed's."
        if not judged:
            return f"{where}, no level could be judged: runs have no scores."
        if self.wins:
            most = max(self.wins, key=lambda row: min(pair["difference"] for pair in row["pairs"]))
            by = " and ".join(f"{_THE[p['control']]} by {self._size(p)}" for p in most["pairs"])
            how_many = f"at {len(self.wins)} of {len(judged)} levels"
            if len(self.wins) > 1:
                how_many += f", {self.where(self.wins)}"
                by = f"most at {_share(most)}, {by}"
            else:
                by = f"at {_share(most)} of the weights, {by}"
            return f"{where}, the winning ticket beats both controls {how_many}: {by}."
        beaten = {control: len(self._levels(judged, control)) for control in CONTROLS}
        if any(beaten.values()):
            told = [f"{_THE[control]} at {count or 'none'}" for control, count in beaten.items()]
            at_once = ", but never both at once" if all(beaten.values()) else ""
            return f"{where}, of {counted(len(judged), 'level')} the ticket beats {joined(told)}{at_once}."
        if any(pair["claimed"] for row in judged for pair in row["pairs"]):
            return f"{where}, the ticket beats neither control at any level, and is behind one at some."
        which = f" at any of {len(judged)} levels" if len(judged) > 1 else ""
        return f"{where}, the ticket and its controls cannot be told apart{which}."

    def _levels(self, rows: Sequence[Mapping[str, Any]], control: str) -> list[Mapping[str, Any]]:
        """Return the levels at which the ticket beats a control."""
        return [row for row in rows if any(_is(pair, control) and _ahead(pair) for pair in row["pairs"])]

    def others(self) -> str | None:
        """Where it beats one control alone, or is behind, and how far apart they were seen to be."""
        judged = [row for row in self.levels if row["pairs"]]
        if not judged or self.verdict["seeds"] < 2:
            return None
        found = []
        for control in CONTROLS:
            alone = [row for row in self._levels(judged, control) if row not in self.wins]
            row, pair = _largest(alone or judged, control)
            size, at = self._size(pair), f"at {_share(row)}"
            if alone:
                most = f"most {at}, by" if len(alone) > 1 else "by"
                found.append(f"It beats {_THE[control]} alone {self.where(alone)}: {most} {size}.")
            elif not self.wins and pair["difference"] <= 0:
                found.append(f"At no level is it ahead of {_THE[control]}.")
            elif not self.wins:
                found.append(f"It is ahead of {_THE[control]} by {size} at most, {at}, and that may be chance.")
        behind = [row for row in judged if any(pair["claimed"] and pair["difference"] < 0 for pair in row["pairs"])]
        if behind:
            found.append(f"It is behind a control {self.where(behind)}.")
        return " ".join(found) or None

    def means(self) -> str | None:
        first, last = self.verdict["levels"][0], self.verdict["levels"][-1]
        kinds = {"the whole model": first["kinds"].get("ticket")}
        kinds |= {name: last["kinds"].get(kind) for kind, name in _SHOWN.items()}
        told = {name: self.face.value(arm["mean"], arm["seeds"]) for name, arm in kinds.items() if _known(arm)}
        if len(told) < 2:
            return None
        whole, *rest = [f"{name} {value}" for name, value in told.items()]
        return (
            f"Mean test {self.verdict['metric']}, with intervals over seeds: {whole}; with {_share(last)} of the "
            f"weights {joined(rest)}."
        )

    def basin(self) -> str | None:
        """How far down tickets that see their data in two orders end in one basin."""
        rows = [row for row in self.verdict["levels"] if row["barrier"]]
        if not rows:
            return None
        two = "two tickets trained on the same data in different orders"
        line = f"on the straight line between their weights the test {self.verdict['metric']} gets worse by"
        if self.verdict["unit"] != "%":
            worst = max(rows, key=lambda row: row["barrier"]["mean"])
            size = self.face.difference(worst["barrier"]["mean"])
            return f"Of {two}: {line} {size} at most, at {_share(worst)} of the weights."
        linked = [row for row in rows if row["barrier"]["mean"] < BASIN]
        if len(linked) == len(rows):
            return f"At every level {two} end in one basin: {line} less than 2 points."
        if not linked:
            least = min(rows, key=lambda row: row["barrier"]["mean"])
            size = self.face.difference(least["barrier"]["mean"])
            return (
                f"At no level do {two} end in one basin: {line} {size} or more; rewinding to a later step may change "
                "that."
            )
        where = self.where(linked)
        return f"{where[0].upper()}{where[1:]}, {two} end in one basin: {line} less than 2 points there alone."

    def smaller(self) -> str | None:
        facts = self.verdict["smaller"]
        if not facts:
            return None
        (before, after), (slow, fast) = facts["parameters"], facts["seconds"]
        what = "ticket" if facts["kind"] == "ticket" else "model with whole units taken out"
        held = "no worse than its whole model" if facts["held"] else "nearest to its whole model"
        head = (
            f"The smallest {what} that is {held} in validation has {100 * facts['share']:.3g}\u00a0% of the weights"
        )
        if not facts["held"]:
            head = head.replace("smallest ", "", 1)
        if before == after:
            why = next(iter(facts["left"].items()), None)
            because = f" ({why[0]}: {why[1]})" if why else ""
            return f"{head}, but every unit still does something, so that the model is no smaller{because}."
        sizes = f"{before:,} to {after:,} parameters, {_kilo(facts['bytes'][0])} to {_kilo(facts['bytes'][1])}"
        pace = f"{slow / fast:.1f} times as fast" if slow > 1.05 * fast else "no faster"
        return (
            f"{head}; without the units that no longer do anything it shrinks from {sizes}, and is {pace} on a batch "
            f"of {facts['batch']} ({1e6 * slow:.0f} to {1e6 * fast:.0f} µs); its test {self.verdict['metric']} is "
            f"{self.face.value(facts['test'][1])}."
        )

    def _size(self, pair: Mapping[str, Any]) -> str:
        return self.face.difference(pair["difference"], pair["crossed"] or pair["seeds"])

    def where(self, rows: Sequence[Mapping[str, Any]]) -> str:
        """Say where levels lie, by their weights; those that follow each other as a range."""
        groups: list[list[Mapping[str, Any]]] = []
        for row in rows:
            if groups and groups[-1][-1]["level"] + 1 == row["level"]:
                groups[-1].append(row)
            else:
                groups.append([row])
        told = [
            f"from {_share(group[0])} down to {_share(group[-1])}" if len(group) > 1 else f"at {_share(group[0])}"
            for group in groups
        ]
        if len(told) > 3:
            told = [*told[:2], f"at {sum(map(len, groups[2:]))} levels more"]
        return f"{joined(told)} of the weights" if "more" not in told[-1] else joined(told)


_SHOWN = {
    "ticket": "the ticket", "random mask": "the random mask", "fresh weights": "fresh weights",
    "one-shot": "pruning all at once",
}  # fmt: skip


_THE = {"random mask": "the random mask", "fresh weights": "fresh weights"}


def _largest(rows: Sequence[Mapping[str, Any]], control: str) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """Return the level at which the ticket is farthest ahead of a control, and the pair."""
    every = [(row, pair) for row in rows for pair in row["pairs"] if _is(pair, control)]
    return max(every, key=lambda both: both[1]["difference"])


def _ahead(pair: Mapping[str, Any]) -> bool:
    return bool(pair["claimed"] and pair["difference"] > 0)


def _is(pair: Mapping[str, Any], control: str) -> bool:
    return bool(pair["control"] == control)


def _known(arm: Mapping[str, Any] | None) -> bool:
    return arm is not None and arm["mean"] is not None


def _share(row: Mapping[str, Any]) -> str:
    return f"{100 * row['share']:.3g}\u00a0%"


def _kilo(number: int) -> str:
    return f"{number / 1000:,.3g} kB" if number < 1e6 else f"{number / 1e6:,.3g} MB"


def warned(verdict: Mapping[str, Any]) -> list[str]:
    """Return what to beware of, as sentences."""
    found = []
    failed = sum(arm["failures"] for row in verdict["levels"] for arm in row["kinds"].values())
    if failed:
        found.append(
            f"{failed} run{'s' * (failed != 1)} diverged, and {'is' if failed == 1 else 'are'} scored as the "
            "untrained model; where a ticket did, the whole model's weights say what goes next."
        )
    if 1 < verdict["seeds"] < 5:
        found.append(
            f"{verdict['seeds']} seeds are few: intervals from them are wide, and 5 or more would tell more apart."
        )
    exported = (verdict["smaller"] or {}).get("exported")
    if exported:
        found.append(f"The smaller model has no ticket.pt2: {exported}.")
    return found
