"""How a study's file is opened: looked at, made, brought up to date; or why not, in a sentence."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing, suppress
from importlib import resources
from pathlib import Path

from thalweg.record import checksums
from thalweg.record.checksums import Record
from thalweg.record.lock import INTACT, StoreError
from thalweg.record.mending import copied, is_whole

__all__ = [
    "AGAIN", "INSTEAD", "TABLES", "check_version", "has", "is_anything", "looked_at", "made", "refusal", "to_read",
]  # fmt: skip

TABLES = 3
"""Version of the tables; kept in SQLite's ``user_version``.

A file of version 1 lacks the table ``baseline``, and both it and one of version 2 the table ``checksum``: what they
hold is taken as it is."""

INSTEAD = "put a copy of it back, or begin anew with another --out"
"""What to do about a file that cannot be read."""

AGAIN = "repeat the study's command, which makes that anew, or put a copy of it back"
"""What to do about records that can be made again."""

ROOM = 1 << 16
"""Bytes; a disk with less than that is full: SQLite asks for half of it to open a file."""


def to_read(path: Path) -> sqlite3.Connection:
    """Open a file that is there; also where nothing can be written beside it, if nobody was writing."""
    database = checksums.opened(path)
    try:
        is_anything(database)
    except sqlite3.DatabaseError as error:
        database.close()
        log = Path(f"{path}-wal")
        beside = error.sqlite_errorcode in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_IOERR_SHMSIZE)
        if not beside or (log.exists() and log.stat().st_size):
            raise
        database = checksums.opened(f"{path.resolve().as_uri()}?immutable=1", uri=True)
    database.execute("PRAGMA query_only = 1")
    return database


def made(path: Path) -> sqlite3.Connection:
    """Open a file to write, with all tables in it; what an older one holds gets checksums as it is."""
    database = checksums.opened(path)
    try:
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = FULL")  # what is recorded survives a power cut
        unsigned = not has(database, "checksum")
        if unsigned or database.execute("PRAGMA user_version").fetchone()[0] != TABLES:
            script = resources.files("thalweg.record").joinpath("schema.sql").read_text()
            database.executescript(f"BEGIN IMMEDIATE; {script} PRAGMA user_version = {TABLES};")
            for kind in checksums.KEYS if unsigned else ():
                checksums.sign(database, kind)
            database.execute("COMMIT")
    except BaseException:
        database.close()
        raise
    return database


def is_anything(database: sqlite3.Connection) -> bool:
    """Return whether there is anything in a file."""
    return bool(database.execute("SELECT count(*) FROM sqlite_master").fetchone()[0])


def has(database: sqlite3.Connection, table: str) -> bool:
    """Return whether there is such a table in a file."""
    return database.execute("SELECT 1 FROM sqlite_master WHERE name = ?", (table,)).fetchone() is not None


def check_version(database: sqlite3.Connection, path: Path) -> None:
    """Refuse a file that is no study, or of a version that this one cannot read."""
    version = database.execute("PRAGMA user_version").fetchone()[0]
    if version == 0:
        raise StoreError(f"{path} is not a study of thalweg")
    if not 1 <= version <= TABLES:
        other = "a newer" if version > TABLES else "another"
        raise StoreError(
            f"{path} was written by {other} version of thalweg (its tables are version {version}, these are {TABLES})"
        )


def looked_at(database: sqlite3.Connection, path: Path) -> tuple[list[Record], str]:
    """Return the records that are damaged but can be made again, and a sentence that names them; empty without any.

    Rows that are out of order are records that are lost only where checksums say so. Takes about 35 ms for 600 runs.

    Raises:
        StoreError: the file was cut short or written over, or records are damaged that cannot be made again.
    """
    whole = not database.in_transaction
    try:
        if whole:
            database.execute("BEGIN")  # to see one state of it, whoever writes meanwhile
        unsigned = not has(database, "checksum")
        if unsigned and database.execute("PRAGMA user_version").fetchone()[0] == TABLES:
            raise StoreError(f"{path} is damaged; {INSTEAD}")
        if not is_whole(database):
            if unsigned:  # so that nobody knows what of it is right
                raise StoreError(f"{path} is damaged; {INSTEAD}")
            with closing(copied(path)) as copy:
                records, said = looked_at(copy, path)
                return records, said or f"{path} is damaged (the order of its rows)"
        records = [] if unsigned else checksums.damaged(database)
        if not records:
            return [], ""
        said = f"{path} is damaged ({checksums.described(database, records)})"
        if not checksums.can_be_made_again(database, records):
            raise StoreError(f"{said}; {INSTEAD}")
        return records, said
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode == sqlite3.SQLITE_ERROR:  # a table is not what is asked for
            raise StoreError(f"{path} is damaged; {INSTEAD}") from error
        raise
    finally:
        if whole and database.in_transaction:
            database.execute("ROLLBACK")


def refusal(path: Path, error: sqlite3.OperationalError, what: str, *, held: bool) -> StoreError:
    """Return in a sentence why a file could not be opened or written: the system's fault, not the file's.

    Args:
        path: the file's.
        error: SQLite's.
        what: was to be done with it: "opened", "written".
        held: whether anything was recorded in it before.
    """
    code, full = error.sqlite_errorcode, False
    if code & 0xFF == sqlite3.SQLITE_IOERR:
        with suppress(OSError):
            disk = os.statvfs(path.parent)
            full = disk.f_bavail * disk.f_frsize < ROOM
    for_room = full or code in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_WRITE)
    intact = INTACT if held and for_room else ""
    return StoreError(f"{path} cannot be {what}: {error}{' (the disk is full)' if full else ''}{intact}")
