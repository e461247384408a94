"""Recipes are told apart: by their colours, whoever looks, and by their names beside the charts."""

from __future__ import annotations

import re
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from test_charts import drawn, units

from thalweg import report
from thalweg.report.labels import LONGEST, shortened
from thalweg.report.writing import style

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Build = Callable[..., Path]

SIGHTS = {
    "all cones": [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
    "protanopia": [[0.152, 1.053, -0.205], [0.115, 0.786, 0.099], [-0.004, -0.048, 1.052]],
    "deuteranopia": [[0.367, 0.861, -0.228], [0.280, 0.673, 0.047], [-0.012, 0.043, 0.969]],
}
"""What is left of linear red, green and blue (Machado, Oliveira & Fernandes 2009)."""

LMS = np.array([[0.4122, 0.5363, 0.0514], [0.2119, 0.6807, 0.1074], [0.0883, 0.2817, 0.6300]])
LAB = np.array([[0.2105, 0.7936, -0.0041], [1.9780, -2.4286, 0.4506], [0.0259, 0.7828, -0.8087]])
"""To OKLab (Ottosson 2020), in which a distance of 0.09 is plain to see in a line."""


def seen(colour: str, sight: str) -> np.ndarray:
    value = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    linear = np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)
    return LAB @ np.cbrt(LMS @ np.clip(np.array(SIGHTS[sight]) @ linear, 0, 1))


@pytest.mark.parametrize("sight", SIGHTS)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_two_colours_of_recipes_look_alike(scheme: str, sight: str) -> None:
    found = re.findall(r"--r\d: (#[0-9a-f]{6})", str(style()))
    assert len(found) == 14
    colours = found[:7] if scheme == "light" else found[7:]
    near = [(a, b) for a, b in combinations(colours, 2) if np.linalg.norm(seen(a, sight) - seen(b, sight)) < 0.09]
    assert near == []


LONG = [f"a norm of {norm} groups in every layer + dropout {rate}" for norm in ("no", "four") for rate in (0.1, 0.25)]


@pytest.mark.parametrize(
    ("names", "labels"),
    [
        (["adam", "sgd"], ["adam", "sgd"]),
        (["adam + flip + cosine", "sgd + flip + cosine"], ["adam", "sgd"]),
        (["adam + flip", "adam + flip + cosine"], ["adam + flip", "adam + flip + cosine"]),
        (["the same"], ["the same"]),
    ],
)
def test_names_beside_charts_leave_out_what_all_share(names: list[str], labels: list[str]) -> None:
    assert shortened(names) == labels


def test_names_that_are_too_long_keep_what_tells_them_apart() -> None:
    short = shortened(LONG)
    assert len(set(short)) == len(LONG)
    assert max(map(len, short)) <= LONGEST
    assert [label[-4:] for label in short] == [name[-4:] for name in LONG], "the end is there"
    assert all("…" in label for label in short)
    alike = ["x" * 40 + "a" + "x" * 40, "x" * 40 + "b" + "x" * 40]
    assert shortened(alike) == alike, "no cut tells these apart"


def test_every_chart_of_lines_names_its_recipes_at_the_side(study: Build) -> None:
    specifications, data = drawn(study(("adam", "sgd", "lion"), trials=4, rates=4))
    for name in ("valid", "loss", "rates", "trials"):
        ends = data[f"{name}_ends"]
        assert ends["recipe"] == ["adam", "sgd", "lion"]
        assert ends["label"] == ["adam", "sgd", "lion"]
        shown = [unit for unit in units(specifications[name]) if unit["data"]["name"] == f"{name}_ends"]
        assert len(shown) == 1
        assert "label" in str(shown[0]["encoding"]["text"])


TICKS = """() => [...document.querySelectorAll('[data-chart] .role-axis .role-axis-label')].map((one) =>
  [...one.querySelectorAll('text')].filter((text) => text.getAttribute('opacity') !== '0').map((text) => {
    const box = text.getBoundingClientRect();
    return [box.left, box.right, box.top, box.bottom];
  }))"""


def test_a_wide_table_takes_the_room_beside_the_page_before_it_scrolls(study: Build, opened: Any) -> None:
    names = [f"a recipe of many words {i}" for i in range(4)]
    page = opened(report.write(study(names)), viewport={"width": 1400, "height": 800}).page
    table = """(width) => {
      const one = document.querySelector('#results .scroll');
      one.firstElementChild.style.minWidth = width;
      return [one.scrollWidth - one.clientWidth, document.documentElement.scrollWidth];
    }"""
    for width, wanted in ((1400, 1200), (1900, 1450)):  # the page's own are at most 1120
        page.set_viewport_size({"width": width, "height": 800})
        assert page.evaluate(table, f"{wanted}px") == [0, width]
    page.set_viewport_size({"width": 900, "height": 800})
    over, whole = page.evaluate(table, "1200px")
    assert (over > 0, whole) == (True, 900)


def test_ticks_that_would_touch_are_left_out_and_what_scrolls_shows_it(study: Build, opened: Any) -> None:
    names = [f"a recipe of many words {i}" for i in range(4)]  # which leave the order of recipes little room
    page = opened(report.write(study(names, rates=7)), viewport={"width": 400, "height": 800}).page
    for width in (400, 380, 360, 340):
        page.set_viewport_size({"width": width, "height": 800})
        page.wait_for_timeout(150)
        axes = page.evaluate(TICKS)
        assert sum(map(len, axes)) > 10
        for axis in axes:
            for a, b in combinations(axis, 2):
                assert a[1] + 6 < b[0] or b[1] + 6 < a[0] or a[3] <= b[2] or b[3] <= a[2], (width, a, b)
    for place in (".legend", ".scroll", "nav ul"):
        found = page.locator(place).first
        assert found.evaluate("(one) => one.scrollWidth > one.clientWidth"), place
        assert found.evaluate("(one) => getComputedStyle(one).backgroundAttachment").startswith(
            "local, local, scroll"
        )
    over = page.locator("#table-results .over").first.bounding_box()
    assert over["x"] < 400, "the upper row of headings is not blank"
