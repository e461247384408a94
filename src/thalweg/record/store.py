"""One study's records: a SQLite file with a lock, read by anyone and written by one process.

Nothing here knows what a recipe or a model is, and nothing is ever unpickled.
"""

from __future__ import annotations

import json
import os
import sqlite3
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from thalweg.record.checksums import forget, sign, unsign
from thalweg.record.lock import Lock, StoreError
from thalweg.record.mending import mend
from thalweg.record.opening import AGAIN, INSTEAD, check_version, has, is_anything, looked_at, made, refusal, to_read
from thalweg.record.rows import BaselineRecord, Curve, Entry, RecipeRow, RunRecord

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from types import TracebackType

__all__ = ["SCHEMA", "BaselineRecord", "Curve", "Entry", "RecipeRow", "RunRecord", "Store", "StoreError"]

SCHEMA = 1
"""Version of what is kept of a run; part of every run's identity."""


class Store:
    """The records in ``directory/study.db``.

    Args:
        directory: the study's directory.
        write: take the directory's lock and create what is missing; otherwise only read.
        checked: look first whether the file is whole and its records are what was written, which takes about 35 ms
            for 600 runs of 30 epochs.

    Attributes:
        anew: whether there was a file, but nothing in it, so that what is written begins a study.
        forgotten: a sentence on records that were damaged, and that are made again when the study goes on: a writer
            begins without them; empty where there were none.

    Raises:
        StoreError: there is no study to read, another process is writing, the file is damaged, is not a study or is
            of another version, or the directory cannot be written.
    """

    def __init__(self, directory: Path | str, *, write: bool = False, checked: bool = True) -> None:
        self.directory = Path(directory)
        self.path = self.directory / "study.db"
        self.anew, self.forgotten = False, ""
        self._lock: Lock | None = None
        held = self._is_there() and self.path.stat().st_size > 0
        try:
            if not write:
                self._database = self._open_to_read(checked)
                return
            # What is no study, or cannot be gone on with, is refused before anything is written beside it.
            damaged = self._is_there() and self._looked_at(checked)
            self._lock = Lock(self.directory)
            mended = damaged and mend(self.path)
            self._database = made(self.path)
            if damaged:
                self._forget_damaged(mended)
        except BaseException as error:
            self._unlock()
            if isinstance(error, sqlite3.OperationalError):  # the system's fault, such as a full disk, not the file's
                raise refusal(self.path, error, "opened", held=held) from error
            if isinstance(error, sqlite3.DatabaseError | UnicodeDecodeError):  # also of what SQLite says itself
                whole = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT) != sqlite3.SQLITE_CORRUPT
                what = f"cannot be used as a study: {error}" if whole else "is damaged"
                raise StoreError(f"{self.path} {what}; {INSTEAD}") from error
            raise

    def _open_to_read(self, checked: bool) -> sqlite3.Connection:
        if not self._is_there():
            raise StoreError(f"{self.directory} holds no study: there is no study.db in it")
        database = to_read(self.path)
        try:
            if not is_anything(database):
                raise StoreError(
                    f"{self.directory} holds no study yet: its study.db is empty; the command that made it begins it"
                )
            check_version(database, self.path)
            said = looked_at(database, self.path)[1] if checked else ""
            if said:
                raise StoreError(f"{said}; {AGAIN}")
        except BaseException:
            database.close()
            raise
        return database

    def _is_there(self) -> bool:
        return os.path.exists(self.path)  # noqa: PTH110 – Path.exists raises for names that are too long

    def _looked_at(self, checked: bool) -> bool:
        """Return whether a file holds damaged records that can be made again; refuse it if it holds others."""
        with closing(to_read(self.path)) as database:
            if is_anything(database):
                check_version(database, self.path)
                return checked and bool(looked_at(database, self.path)[1])
        self.anew = checked
        return False

    def _forget_damaged(self, mended: bool) -> None:
        with self._transaction():
            records, said = looked_at(self._database, self.path)  # once more: now nobody else writes
            if records:
                forget(self._database, records)
        if records:
            self.forgotten = f"{said}; what is damaged is forgotten and made again"
        elif mended:
            self.forgotten = f"{self.path} was damaged (the order of its rows) and is written anew; nothing is lost"

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
                raise refusal(self.path, error, "written", held=True) from error
            raise

    # -- the study -----------------------------------------------------------------------------------

    def put(self, name: str, value: Any) -> None:
        """Write one of the study's facts (anything JSON can hold), replacing the one of that name."""
        with self._transaction():
            self._put(name, value)

    def _put(self, name: str, value: Any) -> None:
        text = json.dumps(value, allow_nan=False)
        self._database.execute("INSERT OR REPLACE INTO study VALUES (?, ?)", (name, text))
        sign(self._database, "study", (name,))

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
            sign(self._database, "recipe")
            for run in runs:
                self._insert(run)
        # Of a harmed log SQLite leaves out the end without a word; what all else hangs on is not to be there alone.
        with suppress(sqlite3.Error):
            self._database.execute("PRAGMA wal_checkpoint(TRUNCATE)")

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
            sign(self._database, "entry")

    def drop_entries(self, arm: str) -> None:
        """Forget why the runs of an arm are made; the runs stay."""
        with self._transaction():
            self._database.execute("DELETE FROM entry WHERE arm = ?", (arm,))
            unsign(self._database, "entry")

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
        failed = "SELECT identity FROM run WHERE identity = ? AND status = 'failed'"
        for table, column in (("curve", "run"), ("outcome", "run"), ("run", "identity")):
            self._database.execute(f"DELETE FROM {table} WHERE {column} IN ({failed})", (run.identity,))
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
        sign(self._database, "run", (run.identity,))

    def finished(self) -> set[str]:
        """Return the identities of the runs that are there."""
        return {row[0] for row in self._database.execute("SELECT identity FROM run")}

    def failed(self) -> set[str]:
        """Return the runs that failed and are still asked for, by identity: the next record takes their place."""
        query = "SELECT identity FROM run WHERE status = 'failed' AND identity IN (SELECT run FROM entry)"
        return {row[0] for row in self._database.execute(query)}

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
            sign(self._database, "baseline")

    def baselines(self) -> list[BaselineRecord]:
        """Return all fits, ordered by name, setting and repeat; none from a file that is older than they are."""
        if not has(self._database, "baseline"):
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
