"""The page's prose: what is said on top, and what each picture shows, in one sentence."""

from __future__ import annotations

from typing import TYPE_CHECKING

from thalweg.report.methods import counted
from thalweg.report.scale import thousands
from thalweg.report.tables import BAND

if TYPE_CHECKING:
    from thalweg.report.reading import Study
    from thalweg.report.scale import Scale
    from thalweg.report.tables import Table

__all__ = ["alternatives", "headline", "particulars", "ranks_told", "summary"]


def headline(study: Study, scale: Scale) -> list[str]:
    """Return the sentences on top of the page: the verdict's, or what there is instead."""
    if study.verdict is not None:
        return list(study.verdict.get("sentences") or ["This study has a verdict without words."])
    name = study.names[0]
    if not study.compares:
        value = study.mean(name)
        failed = [m.run for m in study.arm("chosen", name) if m.run.status != "finished"]
        if failed:
            reason = f": {failed[0].reason}" if failed[0].reason else ""
            return [f"{name} {failed[0].status}{reason}"]
        if value is None:
            return [f"{name} has not been trained to the end."]
        return [f"{name} reaches a test {scale.name} of {scale.value(value)}.", "One run says nothing of luck."]
    go_on = (
        "There is no verdict yet; what follows shows the runs that are there. The command at the end of "
        "this page, given again, goes on where the study stopped."
    )
    unfinished = f"Unfinished: {thousands(study.finished)} of {thousands(study.planned)} runs."
    return [unfinished, *_failed(study), go_on]


def _failed(study: Study) -> list[str]:
    """Return how many runs failed so far, and why the first did."""
    failed = {
        member.entry.run: member
        for recipes in study.members.values()
        for members in recipes.values()
        for member in members
        if member.run.status == "failed"
    }
    if not failed:
        return []
    first = next(iter(failed.values()))
    reason = f": {first.run.reason.rstrip('.')}" if first.run.reason else ""
    return [f"{counted(len(failed), 'run')} failed, the first of {first.entry.recipe}{reason}."]


def summary(study: Study) -> list[str]:
    """Return the few facts that stand above the headline."""
    facts = [str(study.task.get("name") or study.directory.name)]
    facts.append(counted(len(study.recipes), "recipe"))
    if study.compares:
        facts += [
            counted(study.protocol[key], word)
            for key, word in (("trials", "trial"), ("seeds", "reporting seed"))
            if study.protocol.get(key)
        ]
    facts.append(counted(study.finished, "run"))
    return facts


def particulars(study: Study) -> list[tuple[str, str]]:
    """Return the environment as (term, value), in the order of a methods section."""
    facts = study.environment
    found = [(term, str(facts[key])) for key, term in _ENVIRONMENT.items() if facts.get(key) is not None]
    known = {*_ENVIRONMENT}
    return found + [(key, str(value)) for key, value in facts.items() if key not in known]


_ENVIRONMENT = {
    "thalweg": "thalweg", "torch": "PyTorch", "python": "Python", "numpy": "NumPy", "platform": "platform",
    "processor": "processor", "cores": "cores", "processes": "processes at once", "threads": "threads a process",
    "started": "started",
}  # fmt: skip


def alternatives(study: Study, scale: Scale, data: dict[str, Table]) -> dict[str, str]:
    """Return what each chart shows, in a sentence for those who cannot see it."""
    told = {}
    if "ranks" in data:
        told["ranks"] = ranks_told(data["ranks"], scale)
    middle = round(100 * (BAND[1] - BAND[0]))
    if "valid" in data:
        told["valid"] = (
            f"Validation {scale.axis} by epoch: each recipe’s median over seeds and the middle {middle} % of seeds. "
            f"{_last(data['valid'], scale)}"
        )
    if "loss" in data:
        told["loss"] = "Training loss by epoch: each recipe’s median over seeds and the middle of its seeds."
    if "rates" in data:
        told["rates"] = f"Validation {scale.axis} by learning rate. {_best_rates(study, data['rates'])}"
    if "trials" in data:
        told["trials"] = f"The best validation {scale.axis} to be expected of a number of trials, by recipe."
    return told


def ranks_told(table: Table, scale: Scale) -> str:
    """Return what a rank picture shows, in a sentence."""
    best = "; ".join(f"{name} {text}" for name, text in zip(table["recipe"], table["text"], strict=True))
    return f"Test {scale.axis} of each recipe with its intervals, best first: {best}."


def _last(table: Table, scale: Scale) -> str:
    last = dict(zip(table["recipe"], table["mid"], strict=True))
    return "At the end: " + "; ".join(f"{name} {value:.{scale.decimals}f}" for name, value in last.items()) + "."


def _best_rates(study: Study, table: Table) -> str:
    sign = 1.0 if study.higher_is_better else -1.0
    best: dict[str, tuple[float, float]] = {}
    for name, rate, value in zip(table["recipe"], table["rate"], table["mid"], strict=True):
        best[name] = max(best.get(name, (-float("inf"), 0.0)), (sign * value, rate))
    return "The best of the rates tried: " + "; ".join(f"{n} {r:.2g}" for n, (_, r) in best.items()) + "."
