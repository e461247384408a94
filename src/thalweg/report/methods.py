"""How a study was measured: a paragraph that can stand in a paper, with its numbers and what it cites."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from thalweg.report import ablation, lines
from thalweg.report.citations import Bibliography
from thalweg.report.scale import thousands

if TYPE_CHECKING:
    from markupsafe import Markup

    from thalweg.report.reading import Study
    from thalweg.report.scale import Scale

__all__ = ["Methods", "methods", "written"]

MANY = 8
"""More recipes than these are counted rather than named."""


@dataclass(frozen=True)
class Methods:
    """The paragraph, to print and to copy: ``copies`` has it as text and as LaTeX, and what it cites as BibTeX."""

    html: Markup
    references: list[str]
    copies: dict[str, str]


def written(sentences: list[str], works: Bibliography) -> Methods:
    """Return sentences with marks of citations as a paragraph."""
    text = " ".join(sentences)
    listed = [str(work) for work in works.references]
    below = "\n".join(f"[{i}] {work}" for i, work in enumerate(listed, 1))
    copies = {
        "methods": works.plain(text) + (f"\n\n{below}" if below else ""),
        "methods-latex": works.latex(text),
        "methods-bibtex": works.bibtex(),
    }
    return Methods(works.html(text), listed, {name: copy for name, copy in copies.items() if copy})


def methods(study: Study, scale: Scale) -> Methods:
    """Return the paragraph on how a study of recipes was measured."""
    works = Bibliography()
    sentences = [*_opening(study, scale, works), *_task(study)]
    if study.compares:
        sentences += _protocol(study, scale)
        sentences += ablation.methods(study)
        if study.verdict:
            sentences += _intervals(study, works)
        sentences += _failures(study)
        sentences += _rates(study)
        sentences += _baselines(study)
    return written(sentences, works)


def _opening(study: Study, scale: Scale, works: Bibliography) -> list[str]:
    facts, name = study.environment, study.task.get("name") or study.directory.name
    count = len(study.recipes)
    named = f" ({', '.join(study.names)})" if 1 < count <= MANY else ""
    what = f"{count} training recipes{named}" if count > 1 else f"the training recipe {study.names[0]}"
    verb = "compared" if count > 1 else "tuned" if study.tuned else "trained"
    tool = f"thalweg {facts['thalweg']}" if facts.get("thalweg") else "thalweg"
    torch = (
        f" (PyTorch {facts['torch']}{works.cite('Paszke et al. 2019, PyTorch: An Imperative Style, High-Performance Deep Learning Library')})"  # noqa: E501
        if facts.get("torch")
        else ""
    )
    better = "higher" if study.higher_is_better else "lower"
    sentences = [
        f"We {verb} {what} on the task {name} with {tool}{torch}, by {scale.name} ({better} is better)."
    ]  # fmt: skip
    return sentences + _techniques(study, works)


def _techniques(study: Study, works: Bibliography) -> list[str]:
    """Return which published techniques the recipes are made of, by role."""
    by_role: dict[str, list[str]] = {}
    for one in study.techniques:
        cited = f"{one.get('name', '')}{works.cite(one.get('source') or '')}"
        by_role.setdefault(one.get("role") or "technique", []).append(cited)
    told = [
        f"{_PLURALS.get(role, role + 's') if len(few) > 1 else role} {_and(few)}" for role, few in by_role.items()
    ]
    return (
        [f"Of published techniques, {'they use' if len(study.recipes) > 1 else 'it uses'} the {'; the '.join(told)}."]
        if told
        else []
    )


_PLURALS = {"penalty": "penalties", "loss": "losses", "init": "initialisations", "activation": "activations"}


def _and(texts: list[str]) -> str:
    return texts[0] if len(texts) == 1 else f"{', '.join(texts[:-1])} and {texts[-1]}"


def _task(study: Study) -> list[str]:
    sentences = []
    if sizes := study.task.get("sizes") or {}:
        parts = ", ".join(f"{thousands(size)} for {_SPLITS.get(split, split)}" for split, size in sizes.items())
        sentences.append(f"The task’s examples were split once, by its key: {parts}.")
    if study.task.get("parameters"):
        sentences.append(f"The model has {thousands(study.task['parameters'])} parameters.")
    return sentences


_SPLITS = {"train": "training", "valid": "validation", "test": "testing"}


def _protocol(study: Study, scale: Scale) -> list[str]:
    protocol, sentences = study.protocol, []
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
            f"Every recipe was trained at its one setting with {counted(protocol['seeds'], 'seed')}, the same for "
            "all: equal initial weights where shapes allow, equal batches in equal order."
        )
    elif protocol.get("seeds"):
        sentences.append(
            f"The chosen setting and the defaults were then trained anew with {counted(protocol['seeds'], 'seed')} "
            "that tuning had not used, the same for all recipes: equal initial weights where shapes allow, equal "
            "batches in equal order."
        )
    return [*sentences, "They were judged on the test split, which tuning never saw."]


def counted(number: int, word: str) -> str:
    """Return a number with its word.

    >>> counted(1, "seed"), counted(12, "seed")
    ('1 seed', '12 seeds')
    """
    return f"{thousands(number)} {word}{'' if number == 1 else 's'}"


def _intervals(study: Study, works: Bibliography) -> list[str]:
    verdict: dict[str, Any] = study.verdict or {}
    level = f"{100 * verdict.get('level', 0.95):g}\u00a0%"
    pairs, examples = verdict.get("pairs") or [], verdict.get("examples")
    sentences = []
    if study.ablation:
        sentences.append(
            f"Differences are paired by seed, and their {level} intervals hold for all comparisons of a quantity at "
            "once."
        )
    elif len(pairs) > 1:
        max_t = works.cite("Westfall & Young 1993, Resampling-Based Multiple Testing")
        sentences.append(
            f"Differences are paired by seed, and their {level} intervals hold for all pairs at once: the critical "
            f"value is that of the largest of all pairs’ t statistics (max-T){max_t}."
        )
    elif pairs:
        sentences.append(f"The difference is paired by seed, and has a {level} interval.")
    effects = [
        part.get(way, {}).get("test") or {}
        for part in (study.ablation or {}).get("parts") or []
        for way in ablation.FAMILIES
    ]
    judged = pairs or effects
    if examples and any(one.get("crossed") for one in judged):
        crossed = works.cite(
            "Satterthwaite 1946, An Approximate Distribution of Estimates of Variance Components",
            "Cramér 1946, Mathematical Methods of Statistics",
        )
        sentences.append(
            "One interval varies the seeds alone; the other, called crossed, varies the seeds and the "
            f"{thousands(examples)} test examples together, so that what it claims would survive another "
            "test set as well as another seed. Its variance is the unbiased estimate of the two-way random-effects "
            "model, with Satterthwaite’s degrees of freedom, in which the kurtosis of the examples’ effects is "
            f"counted{crossed}. The verdict uses the crossed one."
        )
    elif judged:
        sentences.append("This metric has no value for a single example, so the intervals vary seeds alone.")
    if verdict.get("gains"):
        sentences.append(
            f"A recipe’s own mean has a plain {level} interval; what tuning bought over the defaults is claimed for "
            "all recipes at once (Bonferroni)."
        )
    if verdict.get("tuning") and study.protocol.get("trials", 0) > 1:
        bands = works.cite(
            "Lourie, Cho & He 2023, Show Your Work with Confidence: Confidence Bands for Tuning Curves"
        )
        sentences.append(f"The best of n trials to be expected has an exact {level} band{bands}.")
    return sentences


def _failures(study: Study) -> list[str]:
    found = (
        "A run that diverged counts as a failure, is never dropped, and is scored as the untrained model it began as."
    )
    runs = {m.entry.run: m.run.status for arm in study.members.values() for few in arm.values() for m in few}
    if not runs:
        return [found]
    told = Counter(runs.values())
    lost = [f"{thousands(told[word])} {word}" for word in ("diverged", "failed") if told[word]]
    were = "was" if len(runs) == 1 else "were"
    return [
        found,
        f"In all, {counted(len(runs), 'run')} {were} trained, of which {' and '.join(lost) or 'none failed'}.",
    ]


def _baselines(study: Study) -> list[str]:
    first, *rest = lines.notes(study) or [""]
    names = _and([row["name"] for row in (study.baselines or {}).get("rows") or []] or [""])
    return [f"The baselines ({names}) were {first[0].lower()}{first[1:]}", *rest] if first else []


def _rates(study: Study) -> list[str]:
    if not study.protocol.get("rates"):
        return []
    seeds = counted(study.protocol.get("rate_seeds", 1), "seed")
    measured = (
        f"Sensitivity to the learning rate was measured apart, at {study.protocol['rates']} rates with {seeds} each"
    )
    return [f"{measured}, all else at its defaults."]
