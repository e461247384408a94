"""A study that an older thalweg began is read as it is, brought up to date where it is written to, and kept whole."""

import sqlite3

import numpy as np
import pytest
from test_store import run

from thalweg.record import BaselineRecord, RecipeRow, Store, StoreError


def fit(name="knn", setting=0, **more):
    values = {
        "name": name, "setting": setting, "repeat": 0, "declared": "KNeighborsClassifier()", "reason": "",
        "cpu_seconds": 0.1, "train": 0.9, "valid": 0.8, "test": 0.75,
        "outcomes": np.array([1.0, 0.0, 1.0, 1.0], np.float32),
    }  # fmt: skip
    return BaselineRecord(**{**values, **more})


@pytest.fixture
def old(tmp_path):
    """A study whose file is of version 1, which had no baselines and no checksums."""
    with Store(tmp_path, write=True) as store:
        store.begin({"task": {"name": "digits"}}, [RecipeRow("adam", "x")], [run()])
    with sqlite3.connect(tmp_path / "study.db") as database:
        database.executescript("DROP TABLE baseline; DROP TABLE checksum; PRAGMA user_version = 1;")
    database.close()
    return tmp_path


def test_fits_are_read_as_they_were_written_and_the_first_record_stays(tmp_path):
    nan = float("nan")
    lost = fit("svm", 2, reason="it did not converge", train=nan, valid=nan, test=nan, outcomes=None)
    with Store(tmp_path, write=True) as store:
        for record in (lost, fit(setting=1), fit(), fit(cpu_seconds=9.0)):
            store.add_baseline(record)
    with Store(tmp_path) as store:
        found = store.baselines()
    assert [(one.name, one.setting, one.cpu_seconds) for one in found] == [
        ("knn", 0, 0.1),
        ("knn", 1, 0.1),
        ("svm", 2, 0.1),
    ]
    assert found[0].outcomes.tolist() == [1.0, 0.0, 1.0, 1.0]
    assert (found[2].outcomes, found[2].reason) == (None, "it did not converge")
    assert np.isnan([found[2].train, found[2].valid, found[2].test]).all()


def test_a_file_without_the_table_is_read_as_one_without_baselines(old):
    before = (old / "study.db").read_bytes()
    with Store(old) as store:
        assert store.baselines() == []
        assert store.finished() == {"a"}
    assert (old / "study.db").read_bytes() == before


def test_a_file_without_the_table_gets_it_when_it_is_written_to_and_keeps_its_runs(old):
    with Store(old, write=True) as store:
        store.add_baseline(fit())
        store.add_run(run("b"))
    with Store(old, write=True) as store:
        assert [one.name for one in store.baselines()] == ["knn"]
        assert store.finished() == {"a", "b"}
        assert store.get("task") == {"name": "digits"}


def test_a_file_of_a_later_version_is_refused(old):
    with sqlite3.connect(old / "study.db") as database:
        database.execute("PRAGMA user_version = 4")
    database.close()
    for write in (False, True):
        with pytest.raises(StoreError, match="its tables are version 4, these are 3"):
            Store(old, write=write)


def test_what_an_older_file_holds_has_checksums_once_it_was_written_to(old):
    Store(old, write=True).close()
    with sqlite3.connect(old / "study.db") as database:
        assert database.execute("PRAGMA user_version").fetchone() == (3,)
        database.execute("UPDATE study SET value = '2'")
    database.close()
    with pytest.raises(StoreError, match=r"is damaged \(fact task\)"):
        Store(old)


def test_a_version_that_a_bit_has_changed_hides_nothing(tmp_path):
    with Store(tmp_path, write=True) as store:
        store.begin({"task": 1}, [RecipeRow("adam", "x")], [run()])
        store.add_baseline(fit())
    for version in (1, 2):
        with sqlite3.connect(tmp_path / "study.db") as database:
            database.execute(f"PRAGMA user_version = {version}")
        database.close()
        with Store(tmp_path) as store:
            assert (len(store.baselines()), store.finished()) == (1, {"a"})
        with Store(tmp_path, write=True) as store:
            assert store._database.execute("PRAGMA user_version").fetchone() == (3,)
            assert (len(store.baselines()), store.finished()) == (1, {"a"})
