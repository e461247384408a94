"""The page of an ablation, and the lines to beat on any page: what they show is what the verdict says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import altair as alt
import pytest
from test_charts import drawn, fields, units
from test_page import Page

from thalweg import report
from thalweg.record import Store

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Study = Callable[..., Path]

NAMES = ("full", "full without norm layer", "plain", "plain with norm layer")


def effect(test: float | None, *, claimed: bool = True, ratio: float = 1.5) -> dict[str, Any]:
    """One ingredient tried one way: intervals of two points to either side."""
    told = None
    if test is not None:
        ends = [test - 0.02, test + 0.02]
        told = {"difference": test, "seeds": ends, "crossed": ends, "claimed": claimed, "detectable": 0.03}
    gap = {"difference": 0.01, "seeds": [-0.01, 0.03], "crossed": None, "claimed": False, "detectable": None}
    cost = {"ratio": ratio, "rounds": [0.9 * ratio, 1.1 * ratio], "claimed": claimed, "seconds": [1.0, 1.5]}
    return {"with": "full", "without": "plain", "test": told, "gap": gap, "cost": cost, "state": [8.0, 4.0]}


PARTS = [
    {"label": "gradient clip_norm", "said": "clip_norm(threshold=1.0)", "instead": "",
     "out": effect(0.001, claimed=False), "in": effect(None)},
    {"label": "norm layer", "said": "layer", "instead": "", "out": effect(0.031), "in": effect(0.05, ratio=12.0)},
    {"label": "optimizer momentum", "said": "momentum", "instead": "adam", "out": effect(-0.04), "in": effect(0.02)},
]  # fmt: skip


@pytest.fixture
def ablation(study: Study) -> Callable[..., Path]:
    """Write an ablation; returns its directory."""

    def build(parts: list[dict[str, Any]] = PARTS, **more: Any) -> Path:
        directory = study(NAMES, trials=1, rates=0, **more)
        with Store(directory, write=True) as store:
            verdict, protocol = store.get("verdict"), store.get("protocol")
            families = sum(family in part for part in parts for family in ("out", "in"))
            verdict |= {"ablation": {"comparisons": families, "parts": parts}, "pairs": [], "tuning": [], "gains": []}
            store.put("verdict", verdict)
            store.put("protocol", protocol | {"trials": 0, "rates": 0, "command": "thalweg ablate digits"})
        return directory

    return build


def test_three_pictures_and_a_table_show_what_each_ingredient_is_worth(ablation: Study) -> None:
    page = Page(report.write(ablation()))
    assert page.charts() == {"ablation_test", "ablation_gap", "ablation_cost", "valid", "loss"}
    for words in ("What each ingredient is worth", "taken out of the full recipe", "put into the plain recipe",
                  "+3.1", "+1.1 to +5.1", "× 12", "8", "4 → 8", "That makes 6 comparisons"):  # fmt: skip
        assert words in page.text
    for words in ("Who is ahead of whom", "Chosen setting", "With defaults", "tuned with the same number"):
        assert words not in page.text
    assert 'class="first"' not in page.source


def test_what_is_worth_most_comes_first_and_the_marks_are_the_numbers(ablation: Study) -> None:
    specifications, data = drawn(ablation())
    table = data["ablation_test"]
    assert list(dict.fromkeys(table["ingredient"])) == ["norm layer", "gradient clip_norm", "optimizer momentum"]
    rows = dict(zip(zip(table["ingredient"], table["family"], strict=True), table["mid"], strict=True))
    assert rows["norm layer", "taken out of the full recipe"] == pytest.approx(3.1)
    assert rows["optimizer momentum", "put into the plain recipe"] == pytest.approx(2.0)
    assert ("gradient clip_norm", "put into the plain recipe") not in rows  # it could not be judged
    filled = list(units(specifications["ablation_test"]))[-1]
    (hidden,) = filled["encoding"]["opacity"]["condition"]
    assert hidden["test"].startswith("!datum.claimed ||")
    assert hidden["value"] == 0.0
    low, high = next(units(specifications["ablation_cost"]))["encoding"]["x"]["scale"]["domain"]
    assert low < 1 < 13.2 < high


@pytest.mark.parametrize("higher", [True, False])
@pytest.mark.parametrize("parts", [PARTS, [{key: PARTS[1][key] for key in ("label", "said", "instead", "out")}]])
def test_the_pictures_are_valid_and_fit_their_data(
    ablation: Study, parts: list[dict[str, Any]], higher: bool
) -> None:
    directory = ablation(parts, higher=higher)
    specifications, data = drawn(directory)
    assert len([name for name in specifications if name.startswith("ablation")]) == 3
    for specification in specifications.values():
        if higher:  # validating is slow, and the other way differs in numbers alone
            alt.LayerChart.from_dict(specification)
        for unit in units(specification):
            made = {step["as"] for step in unit.get("transform", []) if "as" in step}
            assert set(fields(unit["encoding"])) <= data[unit["data"]["name"]].keys() | made
    assert len({len(column) for column in data["ablation_gap"].values()}) == 1
    page = Page(report.write(directory))
    assert ("put into the plain recipe" in page.text) == (len(parts) > 1)
    assert ("test − train, more by" in page.text) == (not higher)
    assert ("train − test, more by" in page.text) == higher
    assert (
        "Optimizer bytes a parameter" in page.source[page.source.index('id="table-effects"') :].split("</thead>")[0]
    )


def test_an_effect_far_larger_than_the_others_stands_at_the_edge(ablation: Study) -> None:
    vast, alike = effect(0.9, claimed=True), {**effect(0.002, claimed=False), "state": [8.0, 8.0]}
    names = ("penalty l2", "dropout", "average ema", "norm batch")
    small = [{"label": name, "said": "", "instead": "", "out": alike} for name in names]
    directory = ablation([{"label": "optimizer adam", "said": "", "instead": "sgd", "out": vast}, *small])
    with Store(directory, write=True) as store:
        verdict = store.get("verdict")
        verdict["ablation"]["parts"][0]["out"]["state"] = [8.0, 8.0]
        store.put("verdict", verdict)
    specifications, data = drawn(directory)
    low, high = next(units(specifications["ablation_test"]))["encoding"]["x"]["scale"]["domain"]
    assert high < 10
    assert max(data["ablation_test"]["mid"]) == 90.0  # it is told as it is
    points = [unit for unit in units(specifications["ablation_test"]) if unit["mark"]["type"] == "point"]
    assert points
    for unit in points:
        assert {"as": "at", "calculate": f"clamp(datum.mid, {low!r}, {high!r})"} in unit["transform"]
        assert unit["encoding"]["shape"]["condition"][0] == {
            "test": f"datum.mid > {high!r}",
            "value": "triangle-right",
        }
    page = Page(report.write(directory))
    table = page.source[page.source.index('id="table-effects"') :]
    assert "Optimizer bytes a parameter" not in table[: table.index("</thead>")]  # where none differ
    assert "a triangle there: the effect lies beyond" in page.text
    assert "a triangle there" not in Page(report.write(ablation())).text


def test_an_interval_far_wider_than_the_others_does_not_press_them_together(ablation: Study) -> None:
    wild = effect(0.01, claimed=False)
    wild["test"] |= {"crossed": [-0.9, 9.0]}
    part = {"label": "penalty l2", "said": "l2", "instead": "", "out": wild, "in": effect(0.0, claimed=False)}
    specifications, data = drawn(ablation([*PARTS, part]))
    low, high = next(units(specifications["ablation_test"]))["encoding"]["x"]["scale"]["domain"]
    assert -10 < low < -6
    assert 7 < high < 10
    assert max(data["ablation_test"]["high"]) == 100.0  # accuracies cannot be farther apart
    assert min(data["ablation_test"]["low"]) == -90.0  # it is told as it is


def test_an_unfinished_ablation_shows_the_runs_that_are_there(study: Study) -> None:
    directory = study(NAMES, stop=12)
    with Store(directory, write=True) as store:
        store.put("ablation", {"parts": [{"label": "norm layer"}]})
    page = Page(report.write(directory))
    assert "Unfinished: 12 of" in page.text
    assert "What each ingredient is worth" not in page.text


# -- lines to beat -------------------------------------------------------------------------------------


def line(name: str, mean: float | None, **more: Any) -> dict[str, Any]:
    row = {"name": name, "shown": name, "what": f"what {name} is", "grid_seconds": 1.5, "mean": mean, "reason": ""}
    if mean is None:
        return row | {"reason": "it had no memory"}
    return row | {"declared": f"{name.upper()}(C=10)", "fits": 1, "interval": [mean - 0.02, mean + 0.02], "gap": 0.01,
                  "cpu_seconds": 0.25, **more}  # fmt: skip


@pytest.fixture
def beside(study: Study) -> Callable[..., Path]:
    """Write a study with baselines; returns its directory."""

    def build(*rows: dict[str, Any], **more: Any) -> Path:
        directory = study(**more)
        with Store(directory, write=True) as store:
            verdict = store.get("verdict")
            pairs = [
                {"recipe": recipe, "baseline": row["name"], "difference": 0.005, "seeds": [0.002, 0.008],
                 "crossed": [0.001, 0.009], "claimed": recipe == verdict["best"]}
                for recipe in ("adam", "sgd") for row in rows if row["mean"] is not None
            ]  # fmt: skip
            verdict["baselines"] = {
                "settings": 8, "seen": "64 numbers", "version": "1.9", "rows": list(rows), "pairs": pairs,
                "lead": verdict["best"],
            }  # fmt: skip
            store.put("verdict", verdict)
        return directory

    return build


def test_lines_to_beat_stand_in_a_table_best_first_and_the_best_in_the_picture(beside: Study) -> None:
    directory = beside(line("knn", 0.95), line("svm", 0.991, fits=3), line("trees", None))
    page = Page(report.write(directory))
    for words in ("Lines to beat", "SVM(C=10)", "97.1 to 100.0", "+0.50", "+0.10 to +0.90", "it had no memory",
                  "hold for all 4 pairs", "fitted anew for each reporting seed"):  # fmt: skip
        assert words in page.text, words
    table = page.text[page.text.index("Lines to beat") :]
    assert table.index("what svm is") < table.index("what knn is") < table.index("what trees is")
    specifications, data = drawn(directory)
    assert data["line"] == {"at": [99.1], "label": ["baseline svm"]}
    rule = next(unit for unit in units(specifications["ranks"]) if unit["data"]["name"] == "line")
    low, high = rule["encoding"]["x"]["scale"]["domain"]
    assert low < 99.1 < high


def test_a_line_far_from_all_recipes_does_not_press_them_together(beside: Study) -> None:
    near, _ = drawn(beside(line("svm", 0.97)))
    far, _ = drawn(beside(line("svm", 0.2)))
    assert any(unit["data"]["name"] == "line" for unit in units(near["ranks"]))
    assert not any(unit["data"]["name"] == "line" for unit in units(far["ranks"]))
    for mean in (0.97, 0.2):
        page = Page(report.write(beside(line("svm", mean))))
        assert ("the best baseline" in page.text) == (mean == 0.97)


def test_of_errors_the_lowest_line_is_the_best(beside: Study) -> None:
    directory = beside(line("knn", 0.05), line("svm", 0.02), higher=False)
    page = Page(report.write(directory))
    assert page.text.index("what svm is") < page.text.index("what knn is")
    assert "behind" in page.text[page.text.index("what svm is") :]
