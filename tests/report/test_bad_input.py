"""What bad input gets: one sentence, or a page that says what is missing."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

import pytest
from test_lottery_page import lottery
from test_page import Page

from thalweg import report
from thalweg.record import Entry, RecipeRow, RunRecord, Store, StoreError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Study = Callable[..., Path]


def sentence(directory: Path) -> str:
    """Return why there is no page; one line, and nothing was written."""
    before = sorted(directory.iterdir()) if directory.is_dir() else []
    with pytest.raises(StoreError) as refused:
        report.write(directory)
    text = str(refused.value)
    assert "\n" not in text
    assert (sorted(directory.iterdir()) if directory.is_dir() else []) == before
    return text


def test_a_directory_without_records_and_a_file_that_is_none(study: Study, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert sentence(tmp_path / "empty").endswith("empty holds no study: there is no study.db in it")
    assert "holds no study" in sentence(study() / "study.db")


@pytest.mark.parametrize("share", [0.0, 0.02, 0.5, 0.9])
def test_a_file_that_was_cut_off_is_one_sentence(study: Study, share: float) -> None:
    directory = study()
    with sqlite3.connect(directory / "study.db") as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    database.close()
    content = (directory / "study.db").read_bytes()
    (directory / "study.db").write_bytes(content[: int(share * len(content))])
    for path in directory.glob("study.db-*"):
        path.unlink()
    text = sentence(directory)
    assert "study.db" in text


def test_a_study_of_a_newer_version_says_so(study: Study) -> None:
    directory = study()
    with sqlite3.connect(directory / "study.db") as database:
        database.execute("PRAGMA user_version = 99")
    database.close()
    assert "written by a newer version of thalweg (its tables are version 99" in sentence(directory)


def test_one_run_of_a_comparison_is_shown_and_what_is_missing_said(study: Study) -> None:
    page = Page(report.write(study(stop=1)))
    assert "Unfinished: 1 of 36 runs." in page.text
    assert "The command at the end of this page" in page.text
    assert "thalweg compare digits" in page.text
    assert not any("#pairs" in (attrs.get("href") or "") for _, attrs in page.elements)


def test_a_study_whose_runs_all_failed_says_why(tmp_path: Path) -> None:
    nan = float("nan")
    names = ("adam", "sgd")
    with Store(tmp_path, write=True) as store:
        facts = {
            "task": {"name": "mine"},
            "protocol": {"trials": 1, "seeds": 2, "command": "thalweg compare mine.py:t"},
        }
        store.begin(facts, [RecipeRow(name, "epochs = 1\n") for name in names])
        for name in names:
            for arm in ("tuning", "defaults", "chosen"):
                identity = f"{arm} {name}"
                store.add_entries([Entry(arm, name, 0, 0, identity)])
                reason = "RuntimeError: mat1 and mat2 shapes cannot be multiplied"
                store.add_run(
                    RunRecord(identity, "epochs = 1\n", 0, "failed", reason, "one by one", 0, 0, 0, nan, nan, nan)
                )
        rows = [{"name": name, "arm": "chosen", "mean": None, "failures": 1, "runs": 1} for name in names]
        said = {"sentences": ["No recipe could be judged."], "recipes": rows, "pairs": [], "tuning": []}
        store.put("verdict", {**said, "warnings": [f"{name} could not be judged: {reason}" for name in names]})
    page = Page(report.write(tmp_path))
    assert "No recipe could be judged." in page.text
    assert reason in page.text
    assert page.text.count("1 of 1") == 2
    assert "6 runs were trained, of which 6 failed." in page.text
    assert page.charts() == set()


def test_runs_that_failed_are_told_with_their_reason_before_there_is_a_verdict(study: Study) -> None:
    directory = study(stop=3)
    nan = float("nan")
    with Store(directory, write=True) as store:
        missing = next(entry for entry in store.entries() if entry.run not in store.finished())
        store.add_run(
            RunRecord(missing.run, "", 0, "failed", "MemoryError: no room", "", 0, 0.0, 0.0, nan, nan, nan)
        )  # fmt: skip
    assert "1 run failed, the first of adam: MemoryError: no room" in Page(report.write(directory)).text


def test_several_studies_are_refused_by_the_one_that_is_none(study: Study, tmp_path: Path) -> None:
    first = study()
    out = tmp_path / "all.html"
    for others, message in (
        ([first], "is named twice"),
        ([tmp_path / "nowhere"], "nowhere holds no study"),
        ([lottery(tmp_path / "lottery")], "holds a lottery, which has no recipes to set beside others'"),
    ):
        with pytest.raises(StoreError, match=message):
            report.write_several([first, *others], out)
    assert not out.exists()
    (tmp_path / "no").touch()
    with pytest.raises(StoreError, match="cannot be written"):
        report.write_several([first, study()], tmp_path / "no" / "all.html")
