"""Several studies on one page: what each says, who is first where, and no claim across tasks."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import altair as alt
import pytest
from test_page import Page

from thalweg import cli, report
from thalweg.record import Store, StoreError
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
    wine = judged(study(("adam", "sgd")), "wine", ("sgd", "adam", True))
    error = judged(study(("adam", "yogi"), higher=False), "boston", ("yogi", "adam", True))  # less is better
    error = changed(error, verdict={"best": "adam", "tied": ["adam"], "sentences": ["On boston, adam leads."]})
    page = Page(report.write_several([wine, error], tmp_path / "all.html"))
    assert page.charts() == {"ranks-0", "ranks-1"}
    for words in ("wine: test accuracy (%)", "boston: test squared error", "On boston, adam leads.", "2 studies"):
        assert words in page.text
    rows = grid(page)
    assert [row.split()[0] for row in rows] == ["sgd", "adam", "yogi"]
    found = {row.split()[0]: row for row in rows}
    scales = [scale_of(read(directory)) for directory in (wine, error)]
    assert found["sgd"].startswith("sgd 1 of 1 0 of 1")
    assert found["adam"].startswith("adam 1 of 2 1 of 2")
    assert found["sgd"].endswith("not compared")
    assert found["yogi"].startswith("yogi 0 of 1 1 of 1 not compared")
    assert scales[0].number(read(wine).mean("sgd")) in found["sgd"]
    assert scales[1].number(read(error).mean("yogi")) in found["yogi"]
    assert "nothing is claimed across tasks" in page.text


def claims(*pairs: tuple[str, str, bool]) -> list[dict[str, Any]]:
    """Return the verdict's pairs (better, worse, claimed), of which higher is better."""
    return [{"a": a, "b": b, "difference": 0.02, "crossed": [0.01, 0.03], "claimed": sure} for a, b, sure in pairs]


def judged(directory: Path, name: str, *pairs: tuple[str, str, bool]) -> Path:
    """Give a study a task's name and claims, and the best and those tied with it that follow from them."""
    best = pairs[0][0]
    behind = {worse for better, worse, sure in pairs if sure and better == best}
    names = {one for better, worse, _ in pairs for one in (better, worse)}
    tied = [best, *sorted(names - behind - {best})]
    return changed(directory, task={"name": name}, verdict={"best": best, "tied": tied, "pairs": claims(*pairs)})


def said(directories: list[Path], page: Path) -> list[str]:
    """Return the sentences on top of the page of several studies."""
    source = Page(report.write_several(directories, page)).source
    header = source[source.index("<h1") : source.index("</header>")]
    return [
        " ".join(Text(line).text.split()) for line in header.splitlines() if line.strip().startswith(("<p", "<h1"))
    ]


def test_who_is_ahead_is_named_on_top_with_the_studies_that_have_it(study: Study, tmp_path: Path) -> None:
    sure, open_ = ("adam", "sgd", True), ("adam", "sgd", False)
    wine, bread = judged(study(), "wine", sure), judged(study(), "bread", open_)
    other = judged(study(("yogi", "nadam")), "cheese", ("yogi", "nadam", False))
    page = tmp_path / "all.html"
    assert said([wine, bread, other], page)[:2] == [
        "adam is ahead of sgd in 1 of the 2 studies that have it (wine).",
        "No two recipes can be told apart on bread and cheese.",
    ]
    three = judged(
        study(("adam", "sgd", "yogi")), "rice", sure, ("adam", "yogi", True), ("sgd", "yogi", False)
    )  # fmt: skip
    assert said([three, bread], page)[0] == "adam is ahead of sgd and yogi in 1 of the 2 studies that have it (rice)."
    assert said([three, wine], page)[0] == "adam is ahead of all others in both studies that have it (rice, wine)."
    beer = judged(study(), "beer", sure)
    assert said([wine, beer], page)[0] == "adam is ahead of sgd in both studies that have it (wine, beer)."
    turned = judged(study(), "milk", ("sgd", "adam", True))
    assert said([wine, beer, turned], page)[0] == (
        "adam is ahead of sgd in 2 of the 3 studies that have it (wine, beer); "
        "sgd is ahead of adam in 1 of the 3 studies that have it (milk)."
    )
    assert "1 has no verdict on who is best." in said([wine, study(stop=4)], page)
    assert said([wine, study(stop=4)], page)[0] == "adam is ahead of sgd on wine."
    assert said([study(stop=3), study(stop=4)], page)[0] == "None of these studies has a verdict yet."


def test_what_cannot_be_told_apart_is_never_called_first(study: Study, tmp_path: Path) -> None:
    pictures = [judged(study(("none", "flip")), name, ("flip", "none", False)) for name in ("cats", "dogs")]
    wine = judged(study(("adam", "sgd")), "wine", ("adam", "sgd", True))
    sentences = said([*pictures, wine], tmp_path / "all.html")
    assert sentences[0] == "adam is ahead of sgd on wine."
    assert not any("none" in sentence for sentence in sentences)
    assert said(pictures, tmp_path / "all.html")[0] == "No two recipes can be told apart in either study."
    rows = grid(Page(tmp_path / "all.html"))
    assert all("0 of 2 0 of 2" in row for row in rows)


def test_a_recipe_ahead_of_some_is_told_with_those_it_is_not_ahead_of(study: Study, tmp_path: Path) -> None:
    names = ("adam", "sgd", "yogi")
    some = judged(
        study(names), "wine", ("adam", "sgd", True), ("adam", "yogi", False), ("yogi", "sgd", False)
    )  # fmt: skip
    bread = judged(study(names), "bread", ("adam", "sgd", True), ("adam", "yogi", False), ("yogi", "sgd", True))
    page = tmp_path / "all.html"
    assert said([some, bread], page)[:2] == [
        "On wine, adam is ahead of sgd, and cannot be told apart from yogi.",
        "On bread, adam and yogi are ahead of sgd, and not of each other.",
    ]
    assert [" ".join(row.split()[:7]) for row in grid(Page(page))] == [
        "adam 2 of 2 0 of 2", "yogi 1 of 2 0 of 2", "sgd 0 of 2 2 of 2",
    ]  # fmt: skip


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
        ([first, second, "--out", "all"], "all/report.html"),
        ([first, "--out", "pages/of.today"], "pages/of.today/report.html"),
        ([first, "--out", first], f"{first}/report.html"),
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


def test_a_page_of_several_does_not_take_the_place_of_a_study_s_own(study: Study) -> None:
    first, second = study(), study()
    own = report.write(first).read_bytes()
    for path in (first, first / "report.html"):
        with pytest.raises(StoreError, match="is the report of the study in"):
            report.write_several([first, second], path)
    assert (first / "report.html").read_bytes() == own
