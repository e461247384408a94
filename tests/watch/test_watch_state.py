"""What the page is told of a study in every state."""

import json
import sqlite3
import subprocess
import sys

import pytest

from thalweg.record import Store, is_held
from thalweg.study.live import Live
from thalweg.study.progress import Quiet
from thalweg.watch.reader import Reader
from thalweg.watch.state import POINTS, SHOWN, state_of


def told(directory, now=1010.0):
    reader = Reader(directory)
    reader.read()
    state = state_of(reader, now)
    json.dumps(state, allow_nan=False)
    return state


def test_before_there_is_anything_it_waits(tmp_path):
    for place in (tmp_path, tmp_path / "not" / "there"):
        state = told(place)
        assert (state["phase"], state["there"], state["finished"]) == ("waiting", False, 0)
    assert list(tmp_path.iterdir()) == []


def test_a_study_that_only_begins(tmp_path):
    with Store(tmp_path, write=True):
        assert told(tmp_path)["phase"] == "starting"
    assert told(tmp_path)["phase"] == "waiting", "an empty store that nobody writes"


def test_a_lock_is_seen_and_not_touched(tmp_path):
    assert is_held(tmp_path) is False
    with Store(tmp_path / "a", write=True):
        assert is_held(tmp_path / "a") is True
    assert is_held(tmp_path / "a") is False


def test_a_lock_of_another_process_is_seen(tmp_path):
    code = (
        "import sys; from thalweg.record import Store; s = Store(sys.argv[1], write=True); print(flush=True); input()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path / "a")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        other.stdout.readline()
        assert is_held(tmp_path / "a") is True
        assert told(tmp_path / "a")["phase"] == "starting"
        with pytest.raises(ValueError, match="in use by another process"):
            Store(tmp_path / "a", write=True)
        other.kill()
    assert is_held(tmp_path / "a") is False


def test_a_running_study_and_the_time_that_is_left(written):
    study = written(runs=10)
    for repeat in range(3):
        study.add("adam", repeat=repeat)
    study.progress(runs=4, runs_done=1, epochs=12, epochs_done=5)
    state = told(study.directory)
    assert (state["phase"], state["finished"], state["planned"]) == ("running", 3, 10)
    # 7 epochs are left of this part, and of 10 − 3 − 3 runs after it 3 each; 5 took 6 s.
    assert state["progress"]["left"] == pytest.approx((7 + 4 * 3) * 6 / 5)
    assert state["progress"]["share"] == pytest.approx((2 * 3 + 5) / (2 * 3 + 5 + 7 + 12))
    assert state["progress"]["age"] == 4


def test_a_study_that_was_killed_and_goes_on(written):
    study = written()
    study.add("adam")
    study.progress()
    reader = Reader(study.directory)
    reader.read(0)
    assert state_of(reader)["phase"] == "running"
    study.store.close()
    reader.read(0)
    state = state_of(reader)
    assert (state["phase"], state["progress"]["left"], state["command"]) == ("stopped", None, "thalweg compare x")
    with Store(study.directory, write=True) as again:
        again.put("progress", {})
        reader.read(0)
        assert state_of(reader)["phase"] == "running"
        again.put("verdict", {"sentences": ["adam is ahead."], "warnings": ["few seeds"]})
    reader.read(0)
    state = state_of(reader)
    assert (state["phase"], state["verdict"], state["warnings"]) == ("finished", ["adam is ahead."], 1)


def test_another_study_in_the_same_place_is_read_anew(written, tmp_path):
    study = written()
    study.add("adam")
    reader = Reader(study.directory)
    reader.read(0)
    assert len(reader.runs) == 1
    study.store.close()
    for file in study.directory.iterdir():
        file.unlink()
    reader.read(0)
    assert (reader.runs, reader.there) == ({}, False)


@pytest.mark.parametrize("number", ["the same file", "another file"])
def test_another_study_is_not_taken_for_the_one_before(written, number, monkeypatch):
    study = written()
    study.store.put("environment", {"started": "yesterday"})
    study.add("adam")
    reader = Reader(study.directory)
    reader.read(0)
    if number == "the same file":  # its rows are gone all the same
        study.store._database.execute("DELETE FROM run")
        study.store._database.execute("DELETE FROM entry")
        study.store.put("environment", {"started": "today"})
    else:
        study.store.close()
        study.directory.rename(study.directory.with_name("before"))
        study = type(study)(study.directory)
    study.add("sgd", repeat=3)
    reader.read(0)
    study.store.close()
    assert [entry.recipe for entry in reader.entries] == ["sgd"]
    assert list(reader.runs) == ["chosen/sgd/3"]


def test_what_is_there_is_read_once(written, monkeypatch):
    study = written()
    study.add("adam")
    reader = Reader(study.directory)
    reader.read(0)
    asked = []
    whole = Store.runs_since
    monkeypatch.setattr(Store, "runs_since", lambda self, place: asked.append(whole(self, place)) or asked[-1])
    study.add("sgd")
    reader.read(0)
    assert [list(found) for found, _ in asked] == [["chosen/sgd/0"]]
    assert len(reader.runs) == 2
    assert reader.runs["chosen/sgd/0"].curve.valid[-1] == pytest.approx(0.9)
    reader.read(60)
    assert len(asked) == 1, "not yet due"


def test_who_is_ahead_is_said_of_the_same_seeds_and_of_validation(written):
    study = written(names=("sgd", "adam", "none yet"))
    study.add("sgd", repeat=0, valid=0.8)
    study.add("sgd", repeat=1, valid=0.99)
    study.add("adam", repeat=0, valid=0.9)
    study.add("adam", repeat=2, valid=0.1)
    found = told(study.directory)["ahead"]
    assert found["paired"]
    assert [(row["recipe"], row["value"], row["runs"]) for row in found["rows"]] == [(1, 0.9, 1), (0, 0.8, 1)]
    study.add("none yet", repeat=5, valid=0.7)
    found = told(study.directory)["ahead"]
    assert not found["paired"], "no seed that all have done"
    assert [(row["recipe"], row["runs"]) for row in found["rows"]] == [(0, 2), (2, 1), (1, 2)]


def test_who_is_ahead_where_less_is_better_and_in_tuning(written):
    study = written(metric={"name": "error", "higher_is_better": False, "unit": ""})
    for repeat, valid in enumerate((0.5, 0.2)):
        study.add("sgd", "tuning", repeat, valid=valid)
        study.add("adam", "tuning", repeat, valid=valid + 0.1)
    found = told(study.directory)["ahead"]
    assert (found["arm"], [row["recipe"] for row in found["rows"]]) == ("tuning", [0, 1])
    assert [row["value"] for row in found["rows"]] == pytest.approx([0.2, 0.3])


def test_courses_are_medians_by_epoch(written):
    study = written()
    for repeat, valid in enumerate((0.3, 0.6, 0.9)):
        study.add("adam", repeat=repeat, valid=valid)
    study.add("sgd", repeat=0, valid=0.9, epochs=1)
    (sgd, adam) = told(study.directory)["arms"]["chosen"]
    assert adam["epoch"] == [0, 1, 2, 3]
    assert adam["valid"] == pytest.approx([0, 0.2, 0.4, 0.6], abs=1e-4)
    assert (adam["low"][-1], adam["high"][-1], adam["runs"]) == (0.3, 0.9, 3)
    assert adam["train_loss"][0] is None
    assert "low" not in sgd


def test_courses_are_made_anew_when_a_run_is_added(written):
    study = written()
    reader = Reader(study.directory)
    for repeat, valid in enumerate((0.3, 0.6, 0.9)):
        study.add("adam", repeat=repeat, valid=valid)
        reader.read(0)
        state_of(reader)
        again = state_of(reader)["arms"]["chosen"]
        fresh = Reader(study.directory)
        fresh.read(0)
        assert again == state_of(fresh)["arms"]["chosen"]
        assert again[0]["runs"] == repeat + 1


def test_long_courses_are_thinned_and_keep_their_ends(written):
    study = written()
    study.add("adam", epochs=1000)
    (course,) = told(study.directory)["arms"]["chosen"]
    assert len(course["epoch"]) == POINTS
    assert (course["epoch"][0], course["epoch"][-1], course["valid"][-1]) == (0, 1000, 0.9)


def test_runs_in_training_are_shown_until_they_are_done(written):
    study = written()
    study.plan("adam", repeat=4)
    course = {
        "run": "chosen/adam/4", "seed": 4, "done": 5, "of": 30, "epoch": [0, 1], "valid": [0.1, float("inf")],
        "train_loss": [None, 2.0],
    }  # fmt: skip
    study.progress(courses=[{**course, "valid": [0.1, None]}])
    (run,) = told(study.directory)["now"]
    assert (run["recipe"], run["arm"], run["done"], run["valid"]) == (1, "chosen", 5, [0.1, None])
    study.add("adam", repeat=4)
    assert told(study.directory)["now"] == []
    study.store.close()


def test_failures_are_told_with_their_reasons(written):
    study = written()
    study.add("sgd", repeat=0, status="diverged", reason="the loss was not finite in epoch 1", valid=float("nan"))
    study.add("adam", repeat=0, status="failed", reason="MemoryError: …", valid=float("nan"))
    state = told(study.directory)
    assert state["failed"] == 2
    assert [(f["recipe"], f["status"], f["reason"][:8]) for f in state["failures"]] == [
        (0, "diverged", "the loss"), (1, "failed", "MemoryEr"),
    ]  # fmt: skip
    for repeat in range(1, SHOWN + 5):
        study.add("sgd", repeat=repeat, status="failed", reason="x", valid=float("nan"))
    assert len(told(study.directory)["failures"]) == SHOWN


def test_one_recipe_trained_has_no_rivals(tmp_path):
    with Store(tmp_path, write=True) as store:
        live = Live(Quiet(), store)
        live.begin("adam on wine", 1, 3)
        live.courses(
            [{"run": "a", "seed": 0, "done": 1, "of": 3, "epoch": [0], "valid": [0.5], "train_loss": [None]}]
        )
        live.write()
        state = told(tmp_path)
        assert (state["phase"], state["task"], state["names"], len(state["now"])) == (
            "running", "adam on wine", ["the run"], 1,
        )  # fmt: skip
        assert state["ahead"] is None


def test_records_that_cannot_be_read_are_told(written, tmp_path):
    study = written()
    study.store.close()
    with sqlite3.connect(study.directory / "study.db") as database:
        database.execute("PRAGMA user_version = 99")
    database.close()
    state = told(study.directory)
    assert state["phase"] == "broken"
    assert "version 99, these are" in state["problem"]
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "study.db").write_bytes(b"not a database, whatever its name says" * 10)
    assert "cannot be used as a study" in told(tmp_path / "x")["problem"]


def test_progress_is_written_at_most_once_a_second_and_for_a_hundredth_of_the_time(written, monkeypatch):
    study = written()
    puts = []
    monkeypatch.setattr(study.store, "put", lambda name, value: (puts.append(value), clock.append(clock[-1] + 0.05)))
    clock = [100.0]
    monkeypatch.setattr("thalweg.study.live.time.perf_counter", lambda: clock[-1])
    live = Live(Quiet(), study.store)
    live.begin("x", 10, 100)
    for _ in range(100):  # ten seconds, in which a write takes 0.05
        clock.append(clock[-1] + 0.1)
        live.epochs(1)
    assert len(puts) == 1 + 10 // 5
    assert 50 <= puts[-1]["epochs_done"] <= 100
    live.courses([{"run": "a"}])
    live.ended("a")
    live.write()
    assert puts[-1]["courses"] == []


def test_a_lottery_is_followed_and_nobody_is_ahead_in_it(written):
    study = written()
    study.store.put("lottery", {"left": [1.0, 0.8]})
    study.store.put("protocol", {"seeds": 2})
    study.add("sgd", valid=0.5)
    study.add("adam", valid=0.6)
    state = told(study.directory)
    assert (state["phase"], state["finished"], state["ahead"]) == ("running", 2, None)
    study.store.put("verdict", {"sentences": ["A tenth is enough."]})
    assert told(study.directory)["phase"] == "finished"
