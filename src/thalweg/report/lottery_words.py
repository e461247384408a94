"""The prose and the table of a lottery's page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from thalweg.report.citations import Bibliography
from thalweg.report.methods import written
from thalweg.report.rows import spread
from thalweg.report.scale import MISSING

if TYPE_CHECKING:
    from thalweg.report.methods import Methods
    from thalweg.report.reading import Study
    from thalweg.report.scale import Scale

__all__ = ["KINDS", "methods", "rows", "sentences", "smaller", "summary", "told"]

KINDS = ("ticket", "random mask", "fresh weights", "one-shot", "whole units")
"""What is shown, in the order of the colours."""


def sentences(study: Study) -> list[str]:
    """Return the sentences on top of the page: the verdict's, or how far it is."""
    if study.verdict is not None:
        return list(study.verdict["sentences"])
    go_on = "The command at the end of this page, given again, goes on where the lottery stopped."
    return [f"Unfinished: {study.finished:,} of {study.planned:,} runs.", go_on]


def summary(study: Study, said: dict[str, Any]) -> list[str]:
    """Return the few facts that stand above the headline."""
    counted = [(said["rounds"], "round"), (said["seeds"], "seed"), (study.finished, "run")]
    return [str(study.task.get("name")), "lottery", *(f"{n:,} {word}{'s' * (n != 1)}" for n, word in counted)]


def methods(study: Study, said: dict[str, Any]) -> Methods:
    """Return the paragraph on how it was measured."""
    works = Bibliography()
    ticket = works.cite("Frankle & Carbin 2019, The Lottery Ticket Hypothesis")
    late = works.cite(
        "Frankle, Dziugaite, Roy & Carbin 2020, Linear Mode Connectivity and the Lottery Ticket Hypothesis"
    )
    max_t = works.cite("Westfall & Young 1993, Resampling-Based Multiple Testing")
    sizes = study.task.get("sizes") or {}
    within = "of each layer" if said["scope"] == "layer" else "over all layers together"
    rewound = f"its values at step {said['rewind']}" if said["rewind"] else "its first values"
    rest = ", as the optimizer’s state was," if said["rewind"] else ""
    split = ", ".join(f"{sizes.get(name, 0):,} for {word}" for name, word in _SPLITS.items())
    rounds, rate = said["rounds"], f"{100 * said['rate']:g}\u00a0%"
    tool = f"thalweg {study.environment['thalweg']}" if study.environment.get("thalweg") else "thalweg"
    text = f"""We looked for lottery tickets{ticket} on the task {study.task.get("name")} with {tool}.
The task’s examples were split once: {split}. A model is trained; the smallest {rate} of the weights
{within}, and half that share in the output layer, are pruned; what is left goes back to
{rewound}{rest} and is trained again, {rounds} times. Biases and what belongs to norms are not
pruned. Random mask: as many weights of each layer, by lot, from the same weights. Fresh weights:
the ticket’s mask, from first weights of another seed. One-shot: as many weights, all pruned at once
by the whole model’s trained weights. Whole units: output units with the smallest norms, as large a
share of them in each round, from the same weights. All see the same batches in the same order, seed
by seed. Differences are paired by seed and test example; their 95\u00a0% intervals hold for all
pairs of a level at once (max-T){max_t} and for all levels (Bonferroni). A level is won where both of the
ticket’s intervals lie above 0. The barrier{late} is that of the test metric on the straight line, in 30
steps, between the trained weights of a ticket and of the same ticket trained on its data in another
order. A run that diverged is scored as the untrained model."""
    return written([text.replace("\n", " ")], works)


_SPLITS = {"train": "training", "valid": "validation", "test": "testing"}


def told(verdict: dict[str, Any], scale: Scale) -> dict[str, str]:
    """Return what each picture shows, in words."""
    first, last = verdict["levels"][0], verdict["levels"][-1]

    def means(row: dict[str, Any]) -> str:
        known = [f"{kind} {scale.value(arm['mean'])}" for kind in KINDS if (arm := row["kinds"].get(kind))]
        return ", ".join(known)

    told = {
        "remaining": f"Test {scale.name} by weights that are left. Whole model: {scale.value(_mean(first))}. "
        f"At {100 * last['share']:.3g} %: {means(last)}.",
        "step": "Step of the best validation metric by weights that are left, for each kind.",
    }
    if any(row["barrier"] for row in verdict["levels"]):
        told["barrier"] = "Barrier between two data orders by weights that are left."
    return told


def _mean(row: dict[str, Any]) -> float | None:
    arm = row["kinds"].get("ticket")
    return arm["mean"] if arm else None


def rows(verdict: dict[str, Any], scale: Scale) -> list[dict[str, Any]]:
    """Return the table's rows, a level each."""
    found = []
    for row in verdict["levels"]:
        cells = []
        for pair in row["pairs"]:
            kind = "open" if not pair["claimed"] else "ahead" if pair["difference"] > 0 else "behind"
            ends = spread(scale, pair["crossed"] or pair["seeds"], 1.0)
            cells.append({"text": scale.difference(pair["difference"]), "ends": ends, "kind": kind})
        step = (row["kinds"].get("ticket") or {}).get("step")
        found.append(
            {
                "share": f"{100 * row['share']:.3g}\u00a0%", "weights": f"{row['weights']:,}",
                "means": [scale.number((row["kinds"].get(kind) or {}).get("mean")) for kind in KINDS],
                "pairs": cells, "step": MISSING if step is None else f"{step:,.0f}",
                "barrier": scale.number(row["barrier"]["mean"]) if row["barrier"] else MISSING,
            }
        )  # fmt: skip
    return found


def smaller(verdict: dict[str, Any], scale: Scale) -> dict[str, Any] | None:
    """Return the facts of the smaller model, if there is one."""
    facts = verdict.get("smaller")
    if not facts:
        return None
    (before, after), (slow, fast), size = facts["parameters"], facts["seconds"], facts["bytes"]
    terms = [
        ("drawn with", f"seed {facts['seed'] + 1}, {100 * facts['share']:.3g}\u00a0% of the weights"),
        ("parameters", f"{after:,} in place of {before:,}; {facts['kept']:,} of them are not 0"),
        ("size", f"{size[1] / 1000:,.1f} kB in place of {size[0] / 1000:,.1f} kB"),
        (
            f"time for a batch of {facts['batch']}",
            f"{1e6 * fast:,.0f} µs in place of {1e6 * slow:,.0f} µs, one thread of the machine below",
        ),
        (
            f"test {scale.name}",
            f"{scale.value(facts['test'][1])}; with the units that do nothing {scale.value(facts['test'][0])}",
        ),
    ]
    units = [(name, f"{one['after']:,} of {one['before']:,} units") for name, one in facts["units"].items()]
    left = [(name, f"stays as it is; {why}") for name, why in facts["left"].items()]
    return {
        "terms": terms,
        "layers": units + left,
        "exported": not facts["exported"],
        "held": facts["held"],
        "kind": "a ticket" if facts["kind"] == "ticket" else "a model whose whole units were taken",
    }
