"""The page of a lottery from its records alone: what it says, and what it says of gaps."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from test_page import Page

from thalweg import report
from thalweg.record import Curve, Entry, RecipeRow, RunRecord, Store
from thalweg.report.lottery_words import KINDS
from thalweg.study.tickets import verdict as lottery_verdict

if TYPE_CHECKING:
    from pathlib import Path

SEEDS, EXAMPLES, ROUNDS = 3, 100, 3


def lottery(directory: Path, *, verdict: bool = True) -> Path:
    """Write a lottery of invented runs, and return its directory."""
    facts = {
        "task": {
            "name": "some task", "metric": {"name": "accuracy", "higher_is_better": True, "unit": "%"},
            "sizes": {"train": 10, "valid": 10, "test": EXAMPLES},
        },
        "lottery": {
            "rounds": ROUNDS, "rate": 0.5, "rewind": 0, "scope": "layer", "seeds": SEEDS, "seed": 0,
            "left": [800, 400, 200, 100], "barriers": [[[0.9, 0.8, 0.9]] * (ROUNDS + 1)] * SEEDS,
            "units_left": [[300, 90, 30]] * SEEDS, "smaller": None,
        },
        "protocol": {"seeds": SEEDS, "seed": 0, "command": "thalweg lottery task.py:task"},
        "environment": {"thalweg": "0.1.0"}, "plan": {},
    }  # fmt: skip
    random = np.random.default_rng(0)
    with Store(directory, write=True) as store:
        store.begin(facts, [RecipeRow(kind, "epochs = 1\n") for kind in KINDS])
        for level in range(ROUNDS + 1):
            for kind in KINDS if level else KINDS[:1]:
                for repeat in range(SEEDS):
                    right = random.random(EXAMPLES) < (0.9 if kind == "ticket" else 0.5)
                    curve = Curve(np.arange(4), 10 * np.arange(4), np.full(4, 1.0), np.array([0.1, 0.5, 0.9, 0.7]))
                    name = f"{kind} {level} {repeat}"
                    store.add_entries([Entry("chosen", kind, level, repeat, name)])
                    store.add_run(
                        RunRecord(
                            name, "epochs = 1\n", repeat, "finished", "", "one by one", 30, 1.0, 8.0, 1.0, 0.7,
                            float(right.mean()), curve, right.astype(np.float32),
                        )
                    )  # fmt: skip
        if verdict:
            store.put("verdict", lottery_verdict.from_store(store))
    return directory


def test_the_page_says_what_was_done_and_cites_it(tmp_path: Path) -> None:
    page = Page(report.write(lottery(tmp_path)))
    assert page.charts() == {"remaining", "step", "barrier"}
    assert "Frankle & Carbin (2019). The Lottery Ticket Hypothesis." in page.text
    assert "thalweg lottery task.py:task" in page.text
    assert page.payload["copies"]["methods-latex"].startswith(r"We looked for lottery tickets~\cite{frankle2019}")


def test_an_unfinished_lottery_has_a_page_that_says_so(tmp_path: Path) -> None:
    page = Page(report.write(lottery(tmp_path, verdict=False)))
    assert "Unfinished: 48 of 48 runs." in page.text
    assert page.charts() == set()
