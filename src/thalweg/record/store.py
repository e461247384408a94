"""One study's records: a SQLite file with a lock, read by anyone and written by one process.

Nothing here knows what a recipe or a model is, and nothing is ever unpickled.
"""

from __future__ import annotations

import json
import os
import sqlite3
from contextlib import contextmanager, suppress
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from thalweg.record.lock import Lock, StoreError
from thalweg.record.rows import BaselineRecord, Curve, Entry, RecipeRow, RunRecord

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from types import TracebackType

__all__ = ["SCHEMA", "BaselineRecord", "Curve", "Entry", "RecipeRow", "RunRecord", "Store", "StoreError"]

SCHEMA = 1
"""Version of what is kept of a run; part of every run's identity."""

TABLES = 2
"""Version of the tables; kept in SQLite's ``user_version``. A file of version 1 lacks the table ``baseline``."""

INSTEAD = "put a copy of it back, or begin anew with another --out"
"""What to do about a file that cannot be read."""


class Store:
    """The records in ``directory/study.db``.

    Args:
        directory: the study's directory.
        write: take the directory's lock and create what is missing; otherwise only read.
        checked: look first whether the file is whole, which takes about 5 ms for 600 runs.

    Attributes:
        anew: whether there was a file, but nothing in it, so that what is written begins a study.

    Raises:
        StoreError: there is no study to read, another process is writing, the file is damaged, is not a study or is
            of another version, or the directory cannot be written.
    """

    def __init__(self, directory: Path | str, *, write: bool = False, checked: bool = True) -> None:
        self.directory = Path(directory)
        self.path = self.directory / "study.db"
        self.anew = False
        self._lock: Lock | None = None
        try:
            if write and self._is_there():
                # What is no study is refused before anything is written beside it.
                self._connect(checked=checked).close()
            self._lock = Lock(self.directory) if write else None
            self._database = self._open_to_write() if write else self._open_to_read(checked)
        except BaseException as error:
            self._unlock()
            if isinstance(error, sqlite3.OperationalError):  # the system's fault, such as a full disk, not the file's
                raise StoreError(f"{self.path} cannot be opened: {error}") from error
            if isinstance(error, sqlite3.DatabaseError):
                torn = error.sqlite_errorcode == sqlite3.SQLITE_CORRUPT
                what = "is damaged" if torn else f"cannot be used as a study: {error}"
                raise StoreError(f"{self.path} {what}; {INSTEAD}") from error
            raise

    def _open_to_read(self, checked: bool) -> sqlite3.Connection:
        if not self._is_there():
            raise StoreError(f"{self.directory} holds no study: there is no study.db in it")
        database = sqlite3.connect(self.path, isolation_level=None)
        try:
            database.execute("PRAGMA query_only = 1")
            if not self._is_anything(database):
                raise StoreError(
                    f"{self.directory} holds no study yet: its study.db is empty; the command that made it begins it"
                )
            self._check_version(database)
            if checked:
                self._check_whole(database)
        except BaseException:
            database.close()
            raise
        return database

    def _is_there(self) -> bool:
        return os.path.exists(self.path)  # noqa: PTH110 – Path.exists raises for names that are too long

    @staticmethod
    def _is_anything(database: sqlite3.Connection) -> bool:
        return bool(database.execute("SELECT count(*) FROM sqlite_master").fetchone()[0])

    def _connect(self, *, checked: bool = False) -> sqlite3.Connection:
        """Open the file, which is a study or still empty."""
        database = sqlite3.connect(self.path, isolation_level=None)
        try:
            if self._is_anything(database):
                self._check_version(database)
                if checked:
                    self._check_whole(database)
            elif checked:
                self.anew = True
        except BaseException:
            database.close()
            raise
        return database

    def _open_to_write(self) -> sqlite3.Connection:
        database = self._connect()
        try:
            database.execute("PRAGMA journal_mode = WAL")
            version = database.execute("PRAGMA user_version").fetchone()[0]
            if version != TABLES:
                script = resources.files("thalweg.record").joinpath("schema.sql").read_text()
                if version == 1:
                    script = script[script.index("CREATE TABLE baseline") :]
                database.executescript(f"BEGIN; {script} PRAGMA user_version = {TABLES}; COMMIT;")
        except BaseException:
            database.close()
            raise
        return database

    def _check_whole(self, database: sqlite3.Connection) -> None:
        """Refuse a file that was cut short or written over."""
        if database.execute("PRAGMA integrity_check(1)").fetchone()[0] != "ok":
            raise StoreError(f"{self.path} is damaged; {INSTEAD}")

    def _check_version(self, database: sqlite3.Connection) -> None:
        version = database.execute("PRAGMA user_version").fetchone()[0]
        if version == 0:
            raise StoreError(f"{self.path} is not a study of thalweg")
        if version not in (1, TABLES):
            other = "a newer" if version > TABLES else "another"
            raise StoreError(
                f"{self.path} was written by {other} version of thalweg "
                f"(its tables are version {version}, these are {TABLES})"
            )

    def _unlock(self) -> None:
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def close(self) -> None:
        """Close the file and give back the lock."""
        self._database.close()
        self._unlock()

    def __enter__(self) -> Store:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
        if isinstance(error, sqlite3.DatabaseError):
            instead = "" if isinstance(error, sqlite3.OperationalError) else f"; {INSTEAD}"
            raise StoreError(f"{self.path} could not be read or written: {error}{instead}") from error

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        """Write all that is written inside, or nothing; a disk that is full or fails gives a StoreError."""
        try:
            self._database.execute("BEGIN IMMEDIATE")
            yield
            self._database.execute("COMMIT")  # where most of it reaches the disk, so that it fails here too
        except BaseException as error:
            with suppress(sqlite3.Error):  # a full disk may have ended it already
                self._database.execute("ROLLBACK")
            if isinstance(error, sqlite3.OperationalError):
                refused = error.sqlite_errorcode in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_WRITE)
                intact = "; what was recorded before is intact" if refused else ""
                raise StoreError(f"{self.path} cannot be written: {error}{intact}") from error
            raise

    # -- the study -----------------------------------------------------------------------------------

    def put(self, name: str, value: Any) -> None:
        """Write one of the study's facts (anything JSON can hold), replacing the one of that name."""
        with self._transaction():
            self._put(name, value)

    def _put(self, name: str, value: Any) -> None:
        text = json.dumps(value, allow_nan=False)
        self._database.execute("INSERT OR REPLACE INTO study VALUES (?, ?)", (name, text))

    def get(self, name: str) -> Any:
        """Return one of the study's facts, or None."""
        row = self._database.execute("SELECT value FROM study WHERE name = ?", (name,)).fetchone()
        return None if row is None else json.loads(row[0])

    def begin(self, facts: dict[str, Any], recipes: Sequence[RecipeRow], runs: Iterable[RunRecord] = ()) -> None:
        """Write a new study's facts and recipes, and the runs that it begins with, all or nothing."""
        with self._transaction():
            for name, value in facts.items():
                self._put(name, value)
            self._database.executemany(
                "INSERT INTO recipe VALUES (?, ?, ?)",
                [(row.name, position, row.declared) for position, row in enumerate(recipes)],
            )
            for run in runs:
                self._insert(run)

    def recipes(self) -> list[RecipeRow]:
        """Return the compared recipes in the order in which they were named."""
        rows = self._database.execute("SELECT name, declared FROM recipe ORDER BY position")
        return [RecipeRow(*row) for row in rows]

    # -- runs ----------------------------------------------------------------------------------------

    def add_entries(self, entries: Iterable[Entry]) -> None:
        """Write why runs are made; an entry that is there already stays as it is."""
        with self._transaction():
            self._database.executemany(
                "INSERT OR IGNORE INTO entry VALUES (?, ?, ?, ?, ?)",
                [(e.arm, e.recipe, e.setting, e.repeat, e.run) for e in entries],
            )

    def drop_entries(self, arm: str) -> None:
        """Forget why the runs of an arm are made; the runs stay."""
        with self._transaction():
            self._database.execute("DELETE FROM entry WHERE arm = ?", (arm,))

    def entries(self, arm: str | None = None) -> list[Entry]:
        """Return the entries of one arm, or all, ordered by recipe, setting and repeat."""
        query = "SELECT entry.* FROM entry JOIN recipe ON recipe.name = entry.recipe"
        order = " ORDER BY arm, position, setting, repeat"
        if arm is None:
            return [Entry(*row) for row in self._database.execute(query + order)]
        return [Entry(*row) for row in self._database.execute(f"{query} WHERE arm = ?{order}", (arm,))]

    def add_run(self, run: RunRecord) -> None:
        """Write a run with its curve and outcomes, all or nothing; the first record stays, unless it says failed."""
        with self._transaction():
            self._insert(run)

    def _insert(self, run: RunRecord) -> None:
        row = (
            run.identity, run.recipe, run.seed, run.status, run.reason, run.executor, run.steps,
            run.cpu_seconds, run.state_bytes, _real(run.train), _real(run.valid), _real(run.test),
        )  # fmt: skip
        # Behind all others, also behind what it takes the place of: see `runs_since`.
        (last,) = self._database.execute("SELECT coalesce(max(rowid), 0) FROM run").fetchone()
        self._database.execute("DELETE FROM run WHERE identity = ? AND status = 'failed'", (run.identity,))
        cursor = self._database.execute(
            "INSERT OR IGNORE INTO run (rowid, identity, recipe, seed, status, reason, executor, steps, cpu_seconds, "
            f"state_bytes, train, valid, test) VALUES ({'?,' * 12}?)",
            (last + 1, *row),
        )
        if cursor.rowcount == 0:
            return
        if run.curve is not None:
            self._database.executemany(
                "INSERT INTO curve VALUES (?, ?, ?, ?, ?)",
                [
                    (run.identity, int(epoch), int(step), _real(train_loss), _real(valid))
                    for epoch, step, train_loss, valid in zip(
                        run.curve.epoch,
                        run.curve.step,
                        run.curve.train_loss,
                        run.curve.valid,
                        strict=True,
                    )
                ],
            )
        if run.outcomes is not None:
            blob = run.outcomes.astype("<f4").tobytes()
            self._database.execute("INSERT INTO outcome VALUES (?, ?)", (run.identity, blob))

    def finished(self) -> set[str]:
        """Return the identities of the runs that are there."""
        return {row[0] for row in self._database.execute("SELECT identity FROM run")}

    def failed(self) -> set[str]:
        """Return the identities of the runs that failed: whose next record, if there is one, takes its place."""
        return {row[0] for row in self._database.execute("SELECT identity FROM run WHERE status = 'failed'")}

    def runs(self, *, curves: bool = False, outcomes: bool = False) -> dict[str, RunRecord]:
        """Return all runs by identity, with their curves and outcomes if asked for."""
        curve_of = self._curves() if curves else {}
        outcome_of: dict[str, np.ndarray] = {}
        if outcomes:
            for identity, blob in self._database.execute("SELECT run, test FROM outcome"):
                outcome_of[identity] = np.frombuffer(blob, "<f4")
        records = {}
        for row in self._database.execute("SELECT * FROM run"):
            scores = [float("nan") if value is None else value for value in row[9:12]]
            record = RunRecord(*row[:9], *scores)
            records[row[0]] = replace(record, curve=curve_of.get(row[0]), outcomes=outcome_of.get(row[0]))
        return records

    def runs_since(self, place: int) -> tuple[dict[str, RunRecord], int]:
        """Return the runs that came after a place, with their curves, by identity, and the place to go on from.

        Args:
            place: 0, or what an earlier call returned; rows are never changed, and what takes a place comes last.
        """
        found = {}
        for row in self._database.execute("SELECT rowid, * FROM run WHERE rowid > ? ORDER BY rowid", (place,)):
            place, fields = row[0], row[1:]
            scores = [float("nan") if value is None else value for value in fields[9:12]]
            curve = self._curves("WHERE run = ?", (fields[0],)).get(fields[0])
            found[fields[0]] = replace(RunRecord(*fields[:9], *scores), curve=curve)
        return found, place

    # -- baselines -----------------------------------------------------------------------------------

    def add_baseline(self, fit: BaselineRecord) -> None:
        """Write what a fit left behind; the first record of one stays."""
        scores = map(_real, (fit.train, fit.valid, fit.test))
        blob = None if fit.outcomes is None else fit.outcomes.astype("<f4").tobytes()
        row = (fit.name, fit.setting, fit.repeat, fit.declared, fit.reason, fit.cpu_seconds, *scores, blob)
        with self._transaction():
            self._database.execute(f"INSERT OR IGNORE INTO baseline VALUES ({'?,' * 9}?)", row)

    def baselines(self) -> list[BaselineRecord]:
        """Return all fits, ordered by name, setting and repeat; none from a file that is older than they are."""
        if self._database.execute("PRAGMA user_version").fetchone()[0] == 1:
            return []
        found = []
        for row in self._database.execute("SELECT * FROM baseline ORDER BY name, setting, repeat"):
            scores = [float("nan") if value is None else value for value in row[6:9]]
            record = BaselineRecord(*row[:6], *scores)
            found.append(record if row[9] is None else replace(record, outcomes=np.frombuffer(row[9], "<f4")))
        return found

    def _curves(self, which: str = "", values: Sequence[Any] = ()) -> dict[str, Curve]:
        query = f"SELECT run, epoch, step, train_loss, valid FROM curve {which} ORDER BY run, epoch"
        points: dict[str, list[tuple[Any, ...]]] = {}
        for run, *point in self._database.execute(query, values):
            points.setdefault(run, []).append(tuple(point))
        curves = {}
        for run, rows in points.items():
            epoch, step, train_loss, valid = np.array(rows, dtype=float).T
            curves[run] = Curve(epoch.astype(int), step.astype(int), train_loss, valid)
        return curves


def _real(value: float) -> float | None:
    value = float(value)
    return value if np.isfinite(value) else None
