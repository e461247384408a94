"""A study's records: whole or not there, written by one, readable by all, never unpickled."""

import errno
import fcntl
import itertools
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time

import numpy as np
import pytest

from thalweg.record import Curve, Entry, RecipeRow, RunRecord, Store, StoreError


def run(identity="a", **more):
    curve = Curve(np.arange(3), np.arange(3) * 5, np.array([np.nan, 0.5, np.inf]), np.array([0.1, 0.6, np.nan]))
    values = {
        "identity": identity, "recipe": "epochs = 2\n", "seed": 7, "status": "finished", "reason": "",
        "executor": "vmapped, 3 together", "steps": 10, "cpu_seconds": 0.25, "state_bytes": 8.0, "train": 0.9,
        "valid": 0.8, "test": 0.7, "curve": curve, "outcomes": np.array([1.0, 0.0, 1.0], np.float32),
    }  # fmt: skip
    return RunRecord(**{**values, **more})


def test_what_is_written_is_read(tmp_path):
    with Store(tmp_path / "new" / "study", write=True) as store:
        store.begin({"task": {"name": "digits"}}, [RecipeRow("b", "x"), RecipeRow("a", "y")])
        store.add_entries([Entry("tuning", "a", 1, 0, "a"), Entry("tuning", "b", 0, 0, "b")])
        store.add_run(run())
    with Store(tmp_path / "new" / "study") as store:
        assert store.get("task") == {"name": "digits"}
        assert store.get("nothing") is None
        assert [row.name for row in store.recipes()] == ["b", "a"]
        assert [entry.recipe for entry in store.entries("tuning")] == ["b", "a"]
        kept = store.runs(curves=True, outcomes=True)["a"]
        assert kept.outcomes.tolist() == [1.0, 0.0, 1.0]
        assert kept.curve.step.tolist() == [0, 5, 10]
        np.testing.assert_array_equal(kept.curve.train_loss, [np.nan, 0.5, np.nan])
        assert (kept.test, kept.seed, kept.executor) == (0.7, 7, "vmapped, 3 together")


def test_the_first_record_of_a_run_stays(tmp_path):
    with Store(tmp_path, write=True) as store:
        store.add_run(run(test=0.7))
        store.add_run(run(test=0.1))
        assert store.runs()["a"].test == 0.7


def test_a_failed_record_gives_way_to_the_next_one_which_comes_last(tmp_path):
    failed = {"status": "failed", "reason": "out of memory", "curve": None, "outcomes": None}
    with Store(tmp_path, write=True) as store:
        store.add_entries([Entry("chosen", "one", 0, at, name) for at, name in enumerate("abc")])
        for name in "abcd":
            store.add_run(run(name, **(failed if name != "b" else {})))
        assert store.failed() == {"a", "c"}
        _, place = store.runs_since(0)
        store.add_run(run("c", **{**failed, "reason": "killed"}))  # the last row, in whose place none may come
        store.add_run(run("a", test=0.3))
        store.add_run(run("b", test=0.1))
        store.add_run(run("a", test=0.1))
        new, place = store.runs_since(place)
        assert {name: (one.status, one.reason, one.test) for name, one in new.items()} == {
            "c": ("failed", "killed", 0.7),
            "a": ("finished", "", 0.3),
        }
        assert new["a"].curve.step.tolist() == [0, 5, 10]
        assert store.runs_since(place) == ({}, place)
        assert store.failed() == {"c"}, "and not d, which nothing asks for"
        assert list(store.runs_since(0)[0]) == ["b", "d", "c", "a"]
        kept = store.runs(outcomes=True)
        assert (kept["b"].test, kept["a"].outcomes.tolist()) == (0.7, [1.0, 0.0, 1.0])
    Store(tmp_path).close()


def test_a_record_is_there_whole_or_not_at_all(tmp_path):
    short = Curve(np.arange(3), np.arange(3), np.zeros(3), np.zeros(2))
    with Store(tmp_path, write=True) as store:
        with pytest.raises(ValueError, match="zip"):
            store.add_run(run(curve=short))
        assert store.finished() == set()
        assert store._database.execute("SELECT count(*) FROM curve").fetchone() == (0,)


signal.signal(signal.SIGINT, signal.default_int_handler)  # which tests in the background ignore


def interrupted(do, at):
    """Do something in which Ctrl-C comes at one of the steps of Python's own code; return whether it came."""
    seen, before = 0, sys.gettrace()

    def tracer(*_):
        nonlocal seen
        seen += 1
        if seen == at:
            signal.raise_signal(signal.SIGINT)
        return tracer

    sys.settrace(tracer)
    try:
        do()
    except KeyboardInterrupt:
        return True
    finally:
        sys.settrace(before)
    return False


def test_ctrl_c_wherever_it_comes_in_writing_is_ctrl_c_and_leaves_a_record_whole_or_not_at_all(tmp_path):
    """And nothing else, such as a fault of the file."""
    for at in itertools.count(1):
        with Store(tmp_path, write=True) as store:  # which looks at checksums
            assert not store.forgotten
            there = store.runs(curves=True, outcomes=True).values()
            assert all(one.curve.step.tolist() == [0, 5, 10] and one.outcomes is not None for one in there)
            if not interrupted(lambda name=str(at): store.add_run(run(name)), at):
                break
    assert at > 100, "it came in many places"
    with Store(tmp_path) as store:
        assert str(at) in store.runs()


def test_a_second_writer_is_refused_and_a_reader_is_not(tmp_path):
    code = "import sys; from thalweg.record import Store; Store(sys.argv[1], write=True); print('in')"
    with Store(tmp_path, write=True):
        there = subprocess.run(
            [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=False
        )
        assert "is in use by another process" in there.stderr
        with Store(tmp_path) as reader:
            assert reader.finished() == set()
    assert subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, check=True).stdout


def test_a_file_system_without_locks_is_said_to_have_none(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "lockf", refuse)
    with pytest.raises(StoreError, match="cannot be locked against a second process: No locks available; keep the"):
        Store(tmp_path / "study", write=True)


def test_what_a_study_begins_with_is_in_the_file_itself_and_not_in_its_log_alone(tmp_path):
    with Store(tmp_path / "study", write=True) as store:
        store.begin({"plan": {"by_kind": 1}}, [RecipeRow("a", "")])
        (tmp_path / "copy").mkdir()
        shutil.copyfile(store.path, tmp_path / "copy" / store.path.name)
    with Store(tmp_path / "copy") as copy:
        assert copy.get("plan") == {"by_kind": 1}
        assert [row.name for row in copy.recipes()] == ["a"]


def test_a_lock_left_by_the_dead_is_no_lock(tmp_path):
    """Killed outright, and with a child process that lives on."""
    code = (
        "import sys, os, time; from thalweg.record import Store, RecipeRow; s = Store(sys.argv[1], write=True);"
        "s.begin({'task': 1}, [RecipeRow('a', '')]);"
        "os.fork() or time.sleep(60); print('in', flush=True); time.sleep(60)"
    )
    process = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, process_group=0)
    try:
        assert process.stdout.readline() == b"in\n"
        process.send_signal(signal.SIGKILL)
        process.wait()
        with Store(tmp_path, write=True) as store:
            assert store.get("task") == 1
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.stdout.close()
        time.sleep(0.05)


def test_directories_that_are_no_study_are_named(tmp_path):
    with pytest.raises(StoreError, match="holds no study"):
        Store(tmp_path)
    (tmp_path / "study.db").write_bytes(b"not a database at all, but long enough to be looked at" * 50)
    for write in (False, True):
        with pytest.raises(StoreError, match=r"cannot be used as a study: file is not a database"):
            Store(tmp_path, write=write)
    other = tmp_path / "other"
    other.mkdir()
    sqlite3.connect(other / "study.db").execute("CREATE TABLE t (x)").connection.close()
    for write in (False, True):
        with pytest.raises(StoreError, match="is not a study of thalweg"):
            Store(other, write=write)


def test_a_study_of_another_version_is_named(tmp_path):
    Store(tmp_path, write=True).close()
    database = sqlite3.connect(tmp_path / "study.db")
    database.execute("PRAGMA user_version = 99")
    database.close()
    with pytest.raises(StoreError, match="its tables are version 99"):
        Store(tmp_path)


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot be written: Not a directory"):
        Store(tmp_path / "file" / "study", write=True)


def kept(directory, runs=60):
    """Write a study's file, all of it, and return it."""
    with Store(directory, write=True) as store:
        store.begin({}, [RecipeRow("a", "x")], [run(f"{i:064d}", recipe="t" * 400) for i in range(runs)])
    return directory / "study.db"


@pytest.mark.parametrize("write", [False, True])
@pytest.mark.parametrize("harm", ["cut", "zeros", "garbage"])
def test_a_file_that_was_cut_short_or_written_over_is_refused_with_what_to_do(tmp_path, harm, write):
    path = kept(tmp_path)
    content, middle = path.read_bytes(), len(path.read_bytes()) // 2
    rest = {"cut": b"", "zeros": bytes(3000) + content[middle + 3000 :], "garbage": b"?" * (len(content) - middle)}
    path.write_bytes(content[:middle] + rest[harm])
    before = sorted(tmp_path.iterdir())
    with pytest.raises(StoreError, match=r"study\.db is damaged; put a copy of it back, or begin anew with another"):
        Store(tmp_path, write=write)
    assert sorted(tmp_path.iterdir()) == before


def test_whoever_reads_again_and_again_need_not_look_whether_the_file_is_whole(tmp_path):
    path = kept(tmp_path)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2 // 4096 * 4096] + bytes(4096) + content[len(content) // 2 :])
    Store(tmp_path, checked=False).close()


@pytest.mark.slow
def test_looking_whether_a_file_is_whole_costs_less_than_30_ms_for_600_runs(tmp_path):
    kept(tmp_path, 600)

    def seconds(checked):
        began = time.process_time()
        Store(tmp_path, checked=checked).close()
        return time.process_time() - began

    assert min(seconds(True) for _ in range(5)) - min(seconds(False) for _ in range(5)) < 0.03


def test_an_empty_file_is_no_study_yet_and_begins_one(tmp_path):
    (tmp_path / "study.db").touch()
    with pytest.raises(StoreError, match=r"holds no study yet: its study\.db is empty; the command that made it"):
        Store(tmp_path)
    with Store(tmp_path, write=True) as store:
        assert store.anew
    with Store(tmp_path, write=True) as store:
        assert not store.anew
    Store(tmp_path).close()
