"""Several studies on one page: what each says, who is first where, and no claim across tasks."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import altair as alt
import pytest
from test_page import Page

from thalweg import cli, report
from thalweg.record import Store
from thalweg.report import several
from thalweg.report.reading import read
from thalweg.report.scale import scale_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Study = Callable[..., Path]


def changed(directory: Path, **facts: Any) -> Path:
    """Change facts of a study, and return its directory."""
    with Store(directory, write=True) as store:
        for name, values in facts.items():
            store.put(name, store.get(name) | values)
    return directory


def grid(page: Page) -> list[str]:
    """Return the grid's rows, each as its text."""
    table = page.source[page.source.index('id="table-grid"') :]
    body = table[table.index("<tbody>") : table.index("</tbody>")]
    return [" ".join(Text(row.replace("<", " <")).text.split()) for row in body.split("</tr>")[:-1]]


class Text(Page):
    """The text of a piece of a page."""

    def __init__(self, source: str) -> None:
        super(Page, self).__init__()
        self.elements, self.text, self.payload, self._within = [], "", None, None
        self.feed(source)


def test_each_study_keeps_its_task_its_scale_and_its_verdict(study: Study, tmp_path: Path) -> None:
    wine = changed(study(("adam", "sgd")), task={"name": "wine"}, verdict={"best": "sgd", "tied": ["sgd"]})
    error = changed(study(("adam", "yogi"), higher=False), task={"name": "boston"})
    error = changed(error, verdict={"best": "adam", "tied": ["adam"], "sentences": ["On boston, adam leads."]})
    page = Page(report.write_several([wine, error], tmp_path / "all.html"))
    assert page.charts() == {"ranks-0", "ranks-1"}
    for words in ("wine: test accuracy (%)", "boston: test squared error", "On boston, adam leads.", "2 studies"):
        assert words in page.text
    rows = grid(page)
    assert [row.split()[0] for row in rows] == ["adam", "sgd", "yogi"]
    found = {row.split()[0]: row for row in rows}
    scales = [scale_of(read(directory)) for directory in (wine, error)]
    assert found["sgd"].startswith("sgd 1 of 1")
    assert found["adam"].startswith("adam 1 of 2")
    assert found["sgd"].endswith("not compared")
    assert found["yogi"].startswith("yogi 0 of 1 not compared")
    assert scales[0].number(read(wine).mean("sgd")) in found["sgd"]
    assert scales[1].number(read(error).mean("yogi")) in found["yogi"]
    assert "nothing is claimed across tasks" in page.text


def test_who_is_first_most_often_is_named_on_top(study: Study, tmp_path: Path) -> None:
    tied = {"best": "adam", "tied": ["adam", "sgd"]}
    two = [changed(study(), verdict=tied), changed(study(), verdict={"best": "adam", "tied": ["adam"]})]
    page = Page(report.write_several(two, tmp_path / "all.html"))
    assert "adam is the best, or cannot be told apart from it, in 2 of 2 studies." in page.text
    page = Page(report.write_several([two[0], study(stop=4)], tmp_path / "all.html"))
    assert "adam and sgd are each the best, or cannot be told apart from it, in 1 of 1 study." in page.text
    assert "1 has no verdict on who is best." in page.text
    page = Page(report.write_several([study(stop=3), study(stop=4)], tmp_path / "all.html"))
    assert "None of these studies has a verdict yet." in page.text
    assert page.charts() == set()


def test_tasks_of_one_name_are_told_apart_by_their_directories(study: Study, tmp_path: Path) -> None:
    page = Page(report.write_several([study(), study()], tmp_path / "all.html"))
    assert "digits (study 0): test accuracy (%)" in page.text
    assert "digits (study 1): test accuracy (%)" in page.text


def test_a_name_that_stands_for_two_recipes_is_warned_of(study: Study, tmp_path: Path) -> None:
    same = Page(report.write_several([study(), study()], tmp_path / "all.html"))
    assert "one and the same recipe" not in same.text
    other = Page(report.write_several([study(), study(epochs=9)], tmp_path / "all.html"))
    assert (
        "adam is not one and the same recipe: on digits (study 3) not as on digits (study 2) (epochs)." in other.text
    )


def test_the_charts_are_what_vega_lite_takes(study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found: dict[str, Any] = {}
    monkeypatch.setattr(several, "rendered", lambda _, **more: found.update(more) or "")
    several.write([study(), study(("adam", "yogi"), higher=False)], tmp_path / "all.html")
    assert set(found["charts"]) == set(found["data"]) == set(found["told"])
    for chart in found["charts"].values():
        alt.LayerChart.from_dict(chart)


def test_the_command_takes_one_directory_or_several(
    study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = str(study()), str(study())
    monkeypatch.chdir(tmp_path)
    for arguments, page in (
        ([first], f"{first}/report.html"),
        ([first, "--out", "one.html"], "one.html"),
        ([first, second], "studies.html"),
        ([first, second, "--out", "all.html"], "all.html"),
    ):
        monkeypatch.setattr(sys, "argv", ["thalweg", "report", *arguments])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        assert ended.value.code == 0
        assert capsys.readouterr().out == f"report: {page}\n"
        assert (tmp_path / page).read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
    monkeypatch.setattr(sys, "argv", ["thalweg", "report", first, first])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 2
    assert capsys.readouterr().err == f"thalweg: {first} is named twice; name every study once\n"
