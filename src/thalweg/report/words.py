"""The page's prose: what is said on top, how it was measured, and what each picture shows, in one sentence."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from thalweg.report import ablation
from thalweg.report.scale import thousands
from thalweg.report.tables import BAND

if TYPE_CHECKING:
    from thalweg.report.reading import Study
    from thalweg.report.scale import Scale
    from thalweg.report.tables import Table

__all__ = ["alternatives", "headline", "methods", "particulars", "summary"]


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
    return [f"Unfinished: {thousands(study.finished)} of {thousands(study.planned)} runs.", go_on]


def summary(study: Study) -> list[str]:
    """Return the few facts that stand above the headline."""
    facts = [str(study.task.get("name") or study.directory.name)]
    facts.append(_count(len(study.recipes), "recipe"))
    if study.compares:
        facts += [
            _count(study.protocol[key], word)
            for key, word in (("trials", "trial"), ("seeds", "reporting seed"))
            if study.protocol.get(key)
        ]
    facts.append(_count(study.finished, "run"))
    return facts


def methods(study: Study, scale: Scale) -> list[str]:
    """Return the paragraph on how it was measured, as sentences."""
    task, protocol, verdict = study.task, study.protocol, study.verdict or {}
    sizes = task.get("sizes") or {}
    sentences = []
    if sizes:
        parts = ", ".join(f"{thousands(size)} for {_SPLITS.get(split, split)}" for split, size in sizes.items())
        sentences.append(f"The task’s examples were split once, by its key: {parts}.")
    if task.get("parameters"):
        sentences.append(f"The model has {thousands(task['parameters'])} parameters.")
    if not study.compares:
        return sentences
    if protocol.get("trials"):
        sentences.append(
            f"Every recipe was tuned with the same number of trials, {protocol['trials']}: its defaults, and "
            "independent draws from its declared space; the setting with the best validation "
            f"{scale.name} at the end of training was chosen."
        )
        if protocol["trials"] > 1 and any(len(study.arm("tuning", name)) == 1 for name in study.names):
            sentences.append("A recipe with nothing to search has its one setting alone.")
    if protocol.get("seeds") and not study.tuned:
        sentences.append(
            f"Every recipe was trained at its one setting with {_count(protocol['seeds'], 'seed')}, the same for "
            "all: equal initial weights where shapes allow, equal batches in equal order."
        )
    elif protocol.get("seeds"):
        sentences.append(
            f"The chosen setting and the defaults were then trained anew with {protocol['seeds']} seeds that "
            "tuning had not used, the same for all recipes: equal initial weights where shapes allow, equal "
            "batches in equal order."
        )
    sentences.append("They were judged on the test split, which tuning never saw.")
    sentences += ablation.methods(study)
    if verdict:
        sentences += _intervals(verdict)
    sentences.append(
        "A run that diverged counts as a failure, is never dropped, and is scored as the untrained model it began as."
    )
    if protocol.get("rates"):
        sentences.append(
            f"Sensitivity to the learning rate was measured apart, at {protocol['rates']} rates "
            f"with {_count(protocol.get('rate_seeds', 1), 'seed')} each, all else at its defaults."
        )
    return sentences


_SPLITS = {"train": "training", "valid": "validation", "test": "testing"}


def _intervals(verdict: dict[str, Any]) -> list[str]:
    level = f"{100 * verdict.get('level', 0.95):g}\u00a0%"
    examples = verdict.get("examples")
    among = "all pairs" if not verdict.get("ablation") else "all comparisons of a quantity"
    sentences = [f"Differences are paired by seed, and their {level} intervals hold for {among} at once."]
    if any(pair.get("crossed") for pair in verdict.get("pairs") or []) and examples:
        sentences.append(
            "One interval varies the seeds alone; the other, called crossed, varies the seeds and the "
            f"{thousands(examples)} test examples together, so that what it claims would survive another "
            "test set as well as another seed. The verdict uses the crossed one."
        )
    else:
        sentences.append("This metric has no value for a single example, so the intervals vary seeds alone.")
    return sentences


def particulars(study: Study) -> list[tuple[str, str]]:
    """Return the environment as (term, value), in the order of a methods section."""
    facts = study.environment
    found = [(term, str(facts[key])) for key, term in _ENVIRONMENT.items() if facts.get(key) is not None]
    known = {*_ENVIRONMENT}
    return found + [(key, str(value)) for key, value in facts.items() if key not in known]


_ENVIRONMENT = {
    "thalweg": "thalweg", "torch": "PyTorch", "python": "Python", "numpy": "NumPy", "platform": "platform",
    "processor": "processor", "cores": "cores", "processes": "processes", "threads": "threads a process",
    "started": "started",
}  # fmt: skip


def alternatives(study: Study, scale: Scale, data: dict[str, Table]) -> dict[str, str]:
    """Return what each chart shows, in a sentence for those who cannot see it."""
    told = {}
    if "ranks" in data:
        best = "; ".join(
            f"{name} {text}" for name, text in zip(data["ranks"]["recipe"], data["ranks"]["text"], strict=True)
        )
        told["ranks"] = f"Test {scale.axis} of each recipe with its intervals, best first: {best}."
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


def _last(table: Table, scale: Scale) -> str:
    last = dict(zip(table["recipe"], table["mid"], strict=True))
    return "At the end: " + "; ".join(f"{name} {value:.{scale.decimals}f}" for name, value in last.items()) + "."


def _best_rates(study: Study, table: Table) -> str:
    sign = 1.0 if study.higher_is_better else -1.0
    best: dict[str, tuple[float, float]] = {}
    for name, rate, value in zip(table["recipe"], table["rate"], table["mid"], strict=True):
        best[name] = max(best.get(name, (-float("inf"), 0.0)), (sign * value, rate))
    return "The best of the rates tried: " + "; ".join(f"{n} {r:.2g}" for n, (_, r) in best.items()) + "."


def _count(number: int, word: str) -> str:
    return f"{thousands(number)} {word}{'' if number == 1 else 's'}"
