"""The charts are valid, hold no data, and ask for no source or field that the page does not give."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import altair as alt
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from thalweg.record import Store
from thalweg.report import layout
from thalweg.report.charts import charts
from thalweg.report.reading import differences, read
from thalweg.report.rows import matrix, pairs, rows
from thalweg.report.scale import scale_of, short
from thalweg.report.tables import tables

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    Build = Callable[..., Path]


def drawn(directory: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    study = read(directory)
    scale = scale_of(study)
    data = tables(study, scale)
    return charts(study, scale, data), data


def units(specification: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for layer in specification.get("layer", []):
        yield from units({"data": specification.get("data"), **layer})
    if "mark" in specification:
        yield specification


def fields(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("field"), str):
            yield value["field"]
        for child in value.values():
            yield from fields(child)
    elif isinstance(value, list):
        for child in value:
            yield from fields(child)


@pytest.mark.parametrize("state", [{}, {"stop": 20}, {"all_diverge": True}, {"higher": False}])
def test_charts_are_valid_and_fit_their_data(study: Build, state: dict[str, Any]) -> None:
    specifications, data = drawn(study(**state))
    assert specifications
    for specification in specifications.values():
        alt.LayerChart.from_dict(specification)
        assert "datasets" not in specification
        for unit in units(specification):
            source = data[unit["data"]["name"]]
            assert "values" not in unit["data"]
            made = {step["as"] for step in unit.get("transform", []) if "as" in step}
            assert set(fields(unit["encoding"])) <= source.keys() | made


@pytest.mark.parametrize("state", [{}, {"stop": 20}, {"all_diverge": True}, {"higher": False}])
def test_columns_are_equally_long_and_hold_no_nan(study: Build, state: dict[str, Any]) -> None:
    _, data = drawn(study(**state))
    for table in data.values():
        assert len({len(column) for column in table.values()}) == 1
        numbers = [value for column in table.values() for value in column if isinstance(value, float)]
        assert np.isfinite(numbers).all()


def test_every_recipe_keeps_its_colour_and_dash_in_every_chart(study: Build) -> None:
    names = [f"recipe {i}" for i in range(15)]
    specifications, _ = drawn(study(names, trials=2, seeds=1, rates=1))
    looks = set()
    for name in ("valid", "loss", "rates", "trials"):
        line = next(unit for unit in units(specifications[name]) if unit["mark"]["type"] == "line")
        colour, dash = (line["encoding"][channel]["scale"] for channel in ("color", "strokeDash"))
        assert colour["domain"] == dash["domain"] == names
        looks.add(tuple(zip(colour["range"], map(tuple, dash["range"]), strict=True)))
    assert len(looks) == 1
    assert len(set(looks.pop())) == 15


def test_the_usual_rate_is_marked(study: Build) -> None:
    specifications, data = drawn(study())
    assert data["usual"] == {"rate": [3e-4], "label": ["3e-4"]}
    low, high = next(units(specifications["rates"]))["encoding"]["x"]["scale"]["domain"]
    assert low < 3e-4 < high


def test_rates_where_runs_diverged_are_marked(study: Build) -> None:
    _, data = drawn(study(rates=7))
    assert {0, 3} == set(data["rates"]["diverged"])


def test_a_line_goes_on_while_most_of_its_seeds_do_and_ends_with_them(study: Build) -> None:
    _, data = drawn(study(("adam", "yogi"), seeds=4, epochs=9))  # one of yogi's four diverges
    assert {name: row[0] for name, row in layout.ends(data["valid"]).items()} == {"adam": 9, "yogi": 9}
    _, data = drawn(study(all_diverge=True, epochs=9))
    assert {name: row[0] for name, row in layout.ends(data["valid"]).items()} == {"adam": 5, "sgd": 5}


def test_an_unknown_side_of_a_band_closes_on_the_line(study: Build) -> None:
    _, data = drawn(study(trials=6))
    rows = zip(data["trials"]["trials"], data["trials"]["best"], data["trials"]["high"], strict=True)
    for n, best, high in rows:
        assert high == best if n > 4 else high > best


def test_decimals_follow_the_intervals(study: Build) -> None:
    directory = study()
    with Store(directory, write=True) as store:
        verdict = store.get("verdict")
        for row in verdict["recipes"]:
            row["mean"], row["crossed"] = 0.97421, [0.97376, 0.97466]
        verdict["pairs"] = verdict["gains"] = []
        store.put("verdict", verdict)
    scale = scale_of(read(directory))
    assert scale.value(0.97421) == "97.42\u00a0%"
    assert scale.interval([0.97376, 0.97466]) == "97.38 to 97.47"
    assert scale.difference(-0.001) == "−0.10"
    assert scale.difference(-1e-9) == "0.00"
    assert scale.value(None) == scale.value(float("nan")) == "–"


def test_a_setting_is_what_differs_by_the_shortest_clear_name() -> None:
    plain = '[optimizer]\nname = "sgd"\nlr = 0.1\n[loss]\nname = "hinge"'
    other = '[optimizer]\nname = "adam"\nlr = 0.1\n[loss]\nname = "hinge"'
    assert differences(other, plain) == [("optimizer.name", "adam")]
    assert differences("not toml [", plain) == []
    assert short(0.99871) == "0.9987"


@given(
    st.lists(st.floats(-2, 3), min_size=1, max_size=20),
    st.sampled_from([200.0, 320.0]),
)
def test_labels_stay_apart_in_order_and_inside(values: list[float], height: float) -> None:
    placed = np.array(layout.spaced(values, (0.0, 1.0), height, 10.0)) * height
    order = np.argsort(np.clip(values, 0, 1), kind="stable")
    assert (np.diff(placed[order]) >= 10 - 1e-4).all()
    if 10 * (len(values) - 1) <= height:
        assert placed.min() >= -1e-4
        assert placed.max() <= height + 1e-4


def test_stragglers_do_not_press_the_others_together() -> None:
    near = [(0.97 - 0.001 * i, 0.965 - 0.001 * i, 0.975 - 0.001 * i) for i in range(6)]
    low, high = layout.window([*near, (0.5, 0.4, 0.6)], higher=True)
    assert 0.95 < low < 0.96
    assert 0.975 < high < 0.98
    assert layout.window([(0.9, None, None)], higher=True) == (0.855, 0.945)


def test_what_one_trial_found_is_no_course_and_no_chart(study: Build) -> None:
    assert "trials" in drawn(study(trials=2, seeds=1, rates=1))[0]
    assert "trials" not in drawn(study(trials=1, seeds=1, rates=1))[0]


def test_an_interval_of_shares_ends_where_shares_end(study: Build) -> None:
    directory = study()
    with Store(directory, write=True) as store:
        verdict = store.get("verdict")
        verdict["recipes"][0] |= {"mean": 0.99, "crossed": [0.95, 1.03], "seeds": [0.98, 1.01]}
        store.put("verdict", verdict)
    found = read(directory)
    scale = scale_of(found)
    row = next(row for row in rows(found, scale) if row.recipe == verdict["recipes"][0]["name"])
    assert row.crossed.endswith("to 100.0")
    assert row.seeds.endswith("to 100.0")
    assert max(tables(found, scale)["ranks"]["high"]) == 100.0


def regression(directory: Path) -> Path:
    """Give a study of errors one recipe whose interval is far wider than the others', and reaches below 0."""
    with Store(directory, write=True) as store:
        verdict = store.get("verdict")
        for row, mean, half in zip(verdict["recipes"][::2], (0.553, 0.612, 0.793), (0.12, 0.15, 3.3), strict=True):
            row |= {"mean": mean, "crossed": [mean - half, mean + half], "seeds": [mean - half, mean + half]}
        for pair, size, half in zip(verdict["pairs"], (-0.059, -0.24, -0.181), (0.1, 3.2, 3.2), strict=True):
            pair |= {"difference": size, "crossed": [size - half, size + half]}
        verdict["gains"] = []
        store.put("verdict", verdict)
    return directory


def test_one_wide_interval_decides_neither_decimals_nor_the_picture(study: Build) -> None:
    found = read(regression(study(("adam", "adamw", "sgd"), higher=False)))
    scale = scale_of(found)
    assert [row.mean for row in rows(found, scale)] == ["0.55", "0.61", "0.79"]
    assert [cell.text for cell in matrix(found, scale)[0][2]] == ["", "−0.06", "−0.24"]
    low, high = layout.window(
        [(0.553, 0.43, 0.67), (0.612, 0.46, 0.76), (0.793, -2.5, 4.1)], higher=False
    )  # fmt: skip
    assert (round(low, 1), round(high, 1)) == (0.4, 0.8)
    table = tables(found, scale)["ranks"]
    assert table["low_on"][:2] == table["high_on"][:2] == [None, None]
    assert table["low_on"][2] == table["low"][2]
    assert table["high_on"][2] == table["high"][2] < 0.9
    two = regression(study(("adam", "adamw", "sgd"), higher=False))
    with Store(two, write=True) as store:
        verdict = store.get("verdict")
        store.put("verdict", verdict | {"recipes": verdict["recipes"][2:], "pairs": verdict["pairs"][2:]})
    assert scale_of(read(two)).decimals == 2  # of two, the narrower


def test_errors_end_at_0_unless_one_was_less(study: Build) -> None:
    found = read(regression(study(("adam", "adamw", "sgd"), higher=False)))
    scale = scale_of(found)
    assert rows(found, scale)[2].crossed == "0.00 to 4.09"
    assert "over seeds 0.00 to 4.09" in tables(found, scale)["ranks"]["told"][2]
    assert min(end for end in tables(found, scale)["ranks"]["low"] if end is not None) >= 0
    assert scale.possible_difference([-3.4, 3.0]) == [-3.4, 3.0]
    own = replace(
        found, task={**found.task, "metric": {"name": "negative log-likelihood", "higher_is_better": False}}
    )
    assert scale_of(own).possible([-0.5, 1.5]) == [-0.5, 1.5], "a density may be above 1"
    for least, low in ((0.0, 0.0), (None, -0.5)):  # what it says itself, whatever it is called
        metric = {"name": "error" if least is None else "regret", "higher_is_better": False, "least": least}
        assert scale_of(replace(found, task={**found.task, "metric": metric})).possible([-0.5, 1.5]) == [low, 1.5]
    run = replace(found.arm("chosen", "adam")[0].run, test=-0.1)
    less = replace(found, members={"chosen": {"adam": [replace(found.arm("chosen", "adam")[0], run=run)]}})
    assert scale_of(less).possible([-0.5, 1.5]) == [-0.5, 1.5]


def test_shares_are_at_most_a_hundred_points_apart(study: Build) -> None:
    directory = study()
    with Store(directory, write=True) as store:
        verdict = store.get("verdict")
        verdict["pairs"][0]["crossed"], verdict["gains"] = [-1.47, 1.84], []
        store.put("verdict", verdict)
    found = read(directory)
    (pair,) = pairs(found, scale_of(found))
    assert pair["crossed"] == "−100.0 to +100.0"


def test_a_rate_at_which_training_went_astray_does_not_press_the_others_together(study: Build) -> None:
    found = read(study(("adam", "sgd"), higher=False, rates=7))
    scale = scale_of(found)
    data = tables(found, scale)
    table = data["rates"]
    table["mid"][-1] = table["high"][-1] = 1e6
    middle = sorted(table["mid"])[len(table["mid"]) // 2]
    made = charts(found, scale, data)["rates"]
    bottom, top = next(unit for unit in units(made) if unit["mark"]["type"] == "line")["encoding"]["y"]["scale"][
        "domain"
    ]
    assert bottom < min(table["mid"])
    assert middle < top < 5
    assert all(unit["mark"].get("clip") for unit in units(made) if unit["mark"]["type"] == "line")
    points = [unit for unit in units(made) if unit["mark"]["type"] == "point"]
    assert points
    for unit in points:  # what is beyond is marked at the edge
        assert unit["encoding"]["y"]["field"] == "at"
        assert {"as": "at", "calculate": f"clamp(datum.mid, {bottom!r}, {top!r})"} in unit["transform"]


def test_a_loss_that_ends_far_above_does_not_press_the_others_together(study: Build) -> None:
    found = read(study(("adam", "sgd", "yogi"), higher=False))
    scale = scale_of(found)
    data = tables(found, scale)
    wild = [name == "yogi" for name in data["loss"]["recipe"]]
    for column in ("mid", "low", "high"):
        near = [v for v, far in zip(data["loss"][column], wild, strict=True) if not far]
        data["loss"][column] = [1e9 * v if far else v for v, far in zip(data["loss"][column], wild, strict=True)]
    made = charts(found, scale, data)["loss"]
    scaled = next(unit for unit in units(made) if unit["mark"]["type"] == "line")["encoding"]["y"]["scale"]
    assert scaled["type"] == "log"
    assert max(near) < scaled["domain"][1] < 10 * max(near)


def test_where_all_values_are_one_an_axis_has_more_than_one_tick(study: Build) -> None:
    directory = study()
    with Store(directory, write=True) as store:
        verdict = store.get("verdict")
        for row in verdict["recipes"]:
            row |= {"mean": 0.94, "crossed": None, "seeds": None}
        store.put("verdict", verdict)
    low, high = next(units(drawn(directory)[0]["ranks"]))["encoding"]["x"]["scale"]["domain"]
    assert low < 93
    assert high > 95
