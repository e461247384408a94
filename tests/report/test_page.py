"""The page: right for every state of a study, closed to the outside, and safe from what users call things."""

from __future__ import annotations

import errno
import json
import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from thalweg import report
from thalweg.record import RecipeRow, RunRecord, Store, StoreError

if TYPE_CHECKING:
    from collections.abc import Callable

    Study = Callable[..., Path]


class Page(HTMLParser):
    """A page taken apart: its elements with their attributes, its text, and its JSON."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.payload: Any = None
        self._within: dict[str, str | None] | None = None
        self.source = path.read_text(encoding="utf-8")
        self.feed(self.source)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self._within = dict(attrs) if tag in {"script", "style"} else None

    def handle_endtag(self, tag: str) -> None:
        self._within = None

    def handle_data(self, data: str) -> None:
        if self._within is None:
            self.text += data
        elif self._within.get("id") == "payload":
            self.payload = json.loads(data)

    def charts(self) -> set[str]:
        return {value for _, attrs in self.elements if (value := attrs.get("data-chart"))}


def test_a_finished_study_says_its_verdict_first_and_shows_every_part(study: Study) -> None:
    directory = study()
    page = Page(report.write(directory))
    with Store(directory) as store:
        verdict = store.get("verdict")
    for sentence in verdict["sentences"] + verdict["warnings"]:
        assert sentence in page.text
    assert page.text.index(verdict["sentences"][0]) < page.text.index("Results")
    assert page.charts() == {"ranks", "valid", "loss", "rates", "trials"}
    for words in ("Chosen setting", "lr 0.0037, beta1 0.93", "Failures", "thalweg compare digits", "PyTorch"):
        assert words in page.text


def test_a_page_says_how_runs_were_trained_in_the_end(study: Study) -> None:
    manners = ["compiled, 32 together", "compiled, 8 together", "one by one, 2 threads", "none"]
    directory = study(["adam", "sgd"], trials=2, seeds=2, rates=0, manners=manners)
    with Store(directory) as store:
        count = len(store.runs())
    assert count % 4 == 0
    assert (
        f"in the end: {count // 2} together by compiled code, {count // 4} one by one."
        in Page(report.write(directory)).text
    )


def test_an_unfinished_study_says_how_far_it_is_and_shows_what_there_is(study: Study) -> None:
    page = Page(report.write(study(stop=9)))
    assert "Unfinished: 9 of 36 runs." in page.text
    assert "ranks" not in page.charts()
    assert "Who is ahead of whom" not in page.text


def test_a_study_without_one_finished_run_still_has_a_page(study: Study) -> None:
    page = Page(report.write(study(stop=0)))
    assert "Unfinished: 0 of 36 runs." in page.text
    assert page.charts() == set()


def test_one_recipe_trained_once_has_a_page_without_comparisons(tmp_path: Path) -> None:
    with Store(tmp_path, write=True) as store:
        metric = {"name": "accuracy", "higher_is_better": True, "unit": "%"}
        store.begin({"task": {"name": "digits", "metric": metric}}, [RecipeRow("mine", "epochs = 2\n")])
        store.add_run(
            RunRecord("a", "epochs = 2\n", 0, "finished", "", "one by one", 68, 1.5, 8.0, 0.99, 0.97, 0.9725)
        )
    page = Page(report.write(tmp_path))
    assert "mine reaches a test accuracy of 97.2\u00a0%." in page.text
    assert "Chosen setting" not in page.text
    assert "epochs = 2" in page.text


def test_a_run_that_failed_alone_gives_its_reason(tmp_path: Path) -> None:
    nan = float("nan")
    with Store(tmp_path, write=True) as store:
        store.begin({"task": {"name": "digits"}}, [RecipeRow("mine", "")])
        store.add_run(
            RunRecord("a", "", 0, "diverged", "its loss became NaN", "one by one", 3, 0.1, 8.0, nan, nan, nan)
        )
    assert "mine diverged: its loss became NaN" in Page(report.write(tmp_path)).text


@pytest.mark.parametrize("verdict", [True, False])
def test_a_study_in_which_all_runs_diverged_has_a_page(study: Study, verdict: bool) -> None:
    page = Page(report.write(study(all_diverge=True, verdict=verdict, epochs=8)))
    assert "3 of 3" in page.text
    assert "rates" in page.charts()


def test_a_metric_of_which_less_is_better_turns_everything_over(study: Study) -> None:
    page = Page(report.write(study(("adam", "adadelta"), higher=False)))
    assert "Test − train" in page.text
    assert "reversed" not in page.text
    assert "Test − train: by how much squared error is better on the training examples" in page.text
    assert "far above 0 is overfitting" in page.text
    assert page.text.index("adam") < page.text.index("adadelta")
    row = re.search(r'<th scope="row">adam</th>.*?</tr>', page.source[page.source.index("matrix") :], re.DOTALL)
    assert row is not None
    assert 'class="behind"' not in row[0]


def test_a_verdict_full_of_gaps_still_has_a_page(study: Study) -> None:
    directory = study(("adam", "sgd", "yogi"))
    with Store(directory, write=True) as store:
        verdict = store.get("verdict")
        for row in verdict["recipes"]:
            row["seeds"] = None
        verdict["recipes"][0].update(mean=None, crossed=None)
        verdict["pairs"][0].update(difference=None, crossed=None, seeds=None)
        verdict["pairs"][1].update(crossed=None, seeds=None)
        for name in ("detectable", "examples", "level", "warnings", "tuning", "behind"):
            del verdict[name]
        store.put("verdict", verdict)
    page = Page(report.write(directory))
    assert page.charts() == {"ranks", "valid", "loss", "rates"}
    with Store(directory, write=True) as store:
        store.put("verdict", {"sentences": []})
        for name in ("task", "protocol", "environment", "plan"):
            store.put(name, None)
    assert "Results" in Page(report.write(directory)).text


HOSTILE = ('<script>alert("x")</script>', "</script><img src=x onerror=alert(1)>", 'it\'s "q" & {{ 7 * 7 }}')


def test_names_full_of_markup_stay_text(study: Study) -> None:
    names = (*HOSTILE, "adam")
    page = Page(report.write(study(names)))
    assert page.payload["names"] == list(names)
    assert all(name in page.text for name in names)
    assert [tag for tag, _ in page.elements].count("script") == 3
    assert not any(tag == "img" or "onerror" in attrs for tag, attrs in page.elements)
    assert "</script><img" not in page.source


def test_nothing_is_loaded_from_anywhere(study: Study) -> None:
    page = Page(report.write(study()))
    for tag, attrs in page.elements:
        assert not {"src", "srcset", "data", "action", "background", "poster"} & attrs.keys(), tag
        assert tag not in {"link", "iframe", "object", "embed", "base"}
        assert attrs.get("href", "#").startswith("#")
    styles = re.findall(r"<style>(.*?)</style>", page.source, re.DOTALL)
    assert not any("url(" in style or "@import" in style for style in styles)
    policy = next(attrs["content"] for tag, attrs in page.elements if "http-equiv" in attrs)
    assert policy.startswith("default-src 'none';")


def test_tables_and_charts_speak_to_those_who_cannot_see_them(study: Study) -> None:
    page = Page(report.write(study()))
    assert all(attrs.get("scope") for tag, attrs in page.elements if tag == "th")
    for _, attrs in page.elements:
        if "data-chart" in attrs:
            assert attrs["role"] == "img"
            assert len(attrs["aria-label"] or "") > 40
    headings = [int(tag[1]) for tag, _ in page.elements if re.fullmatch("h[1-6]", tag)]
    assert headings.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(headings))


def test_the_page_of_many_runs_stays_small(study: Study) -> None:
    names = [f"recipe {i}" for i in range(13)]
    page = report.write(study(names, trials=2, seeds=2, rates=2, epochs=100))
    assert page.stat().st_size < 1_500_000


def test_the_page_replaces_the_old_one_and_leaves_nothing_else(study: Study) -> None:
    directory = study()
    (directory / "report.html").write_text("old")
    assert report.write(directory) == directory / "report.html"
    assert (directory / "report.html").read_text() != "old"
    assert not [path for path in directory.iterdir() if path.name.startswith(".")]


def test_a_directory_without_a_study_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"holds no study"):
        report.write(tmp_path)
    with Store(tmp_path, write=True):
        pass
    with pytest.raises(StoreError, match=r"names no recipe: the study was stopped before it began"):
        report.write(tmp_path)
    assert not (tmp_path / "report.html").exists()


def test_a_page_that_cannot_be_written_is_one_sentence(study: Study) -> None:
    directory = study()
    (directory / "report.html").mkdir()
    with pytest.raises(StoreError, match=r"report\.html cannot be written"):
        report.write(directory)


def test_a_page_where_nothing_can_be_written_or_removed_is_one_sentence(study: Study, monkeypatch) -> None:
    directory = study()

    def refused(*given, **named):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    for owner, name in ((os, "fsync"), (Path, "unlink")):
        monkeypatch.setattr(owner, name, refused)
    with pytest.raises(StoreError, match=r"report\.html cannot be written: Read-only file system$"):
        report.write(directory)


def test_the_report_imports_neither_torch_nor_the_study(study: Study) -> None:
    code = (
        "import sys; from thalweg import report; assert 'altair' not in sys.modules; "
        f"report.write({str(study())!r}); "
        "print([m for m in sys.modules if m.split('.')[0] in ('torch', 'scipy', 'pandas') "
        "or m.split('.')[:2][-1] in ('study', 'optim', 'train', 'task', 'recipe') and m.startswith('thalweg.')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_what_lies_beyond_a_picture_is_explained_where_there_is_any(study: Study, tmp_path: Path) -> None:
    directory = study(("adam", "adamw", "sgd"))
    words = "A triangle at the edge"
    for pages in (report.write(directory), report.write_several([directory, study()], tmp_path / "all.html")):
        assert words not in Page(pages).text
    with Store(directory, write=True) as store:
        verdict = store.get("verdict")
        next(row for row in verdict["recipes"] if row["name"] == "sgd")["crossed"] = [0.0, 1.0]
        store.put("verdict", verdict)
    for pages in (report.write(directory), report.write_several([directory, study()], tmp_path / "all.html")):
        assert words in Page(pages).text


def test_the_picture_of_learning_rates_explains_what_it_shows(study: Study, monkeypatch) -> None:
    crosses, edge = "A cross: at least one seed diverged there.", "What lies far beyond the others"
    text = Page(report.write(study(("nadam", "adam")))).text
    assert "Median and range over seeds" in text
    assert crosses not in text
    assert edge not in text
    assert crosses in Page(report.write(study(rates=7))).text
    monkeypatch.setitem(study.__globals__["PLATEAU"], "adagrad", -3.0)
    assert edge in Page(report.write(study(("nadam", "adam", "amsgrad", "adagrad")))).text


def test_the_key_names_the_marks_that_there_are(study: Study, tmp_path: Path) -> None:
    directory = study(("adam", "adamw"))
    defaults, behind, first = " with its defaults", " behind</span>", " best, or cannot be told apart from it</span>"
    source = Page(report.write(study(("adam", "adamw", "sgd"), seeds=10))).source
    assert all(words in source for words in (defaults, behind, first))
    with Store(directory, write=True) as store:
        verdict = store.get("verdict") | {"behind": [], "tied": ["adam", "adamw"]}
        for row in verdict["recipes"]:
            row["mean"] = row["mean"] if row["arm"] == "chosen" else None
        store.put("verdict", verdict)
    for path in (report.write(directory), report.write_several([directory], tmp_path / "all.html")):
        source = Page(path).source
        assert first in source
        assert behind not in source
        assert defaults not in source


def test_no_two_elements_of_a_page_have_one_identity(study: Study, tmp_path: Path) -> None:
    for path in (report.write(study()), report.write_several([study(), study()], tmp_path / "all.html")):
        found = [attrs["id"] for _, attrs in Page(path).elements if "id" in attrs]
        assert len(found) == len(set(found))
