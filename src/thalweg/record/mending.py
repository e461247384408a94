"""A file whose rows are there but out of order, as one bit can leave it: what can be read of it is written anew."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from thalweg.record.checksums import TABLES, opened

__all__ = ["copied", "is_whole", "mend"]


def is_whole(database: sqlite3.Connection) -> bool:
    """Return whether SQLite finds a file's pages, indexes and order as they should be."""
    return bool(database.execute("PRAGMA integrity_check(1)").fetchone()[0] == "ok")


def copied(path: Path) -> sqlite3.Connection:
    """Return a copy in memory, row by row, in which keys are in order and indexes complete.

    What has the key of another row, or holds what its table does not allow, is left out; checksums tell.

    Raises:
        sqlite3.DatabaseError: not all of the file can be read.
    """
    copy = opened(":memory:")
    try:
        copy.execute("ATTACH ? AS harmed", (str(path),))
        copy.execute("BEGIN")
        tables = f"SELECT name, sql FROM harmed.sqlite_master WHERE type = 'table' AND name IN {TABLES}"
        for name, sql in copy.execute(tables).fetchall():
            copy.execute(sql)
            # With a condition, or SQLite would take whole pages over.
            copy.execute(f"INSERT OR IGNORE INTO main.{name} SELECT * FROM harmed.{name} NOT INDEXED WHERE +1")
        (version,) = copy.execute("PRAGMA harmed.user_version").fetchone()
        copy.execute(f"PRAGMA main.user_version = {version}")
        copy.execute("COMMIT")
        copy.execute("DETACH harmed")
    except BaseException:
        copy.close()
        raise
    return copy


def mend(path: Path) -> bool:
    """Put such a copy in the place of a file that is not whole, and return whether it was not.

    The caller holds the directory's lock.
    """
    with closing(opened(path)) as database:
        if is_whole(database):
            return False
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")  # or a kill below could lose what is in the log alone
    anew = path.with_name(f".{path.name}.anew")
    try:
        anew.unlink(missing_ok=True)
        with closing(copied(path)) as copy, closing(sqlite3.connect(anew)) as target:
            copy.backup(target)
        for beside in ("-wal", "-shm"):  # of the file that goes
            Path(f"{path}{beside}").unlink(missing_ok=True)
        anew.replace(path)
        return True
    except BaseException:
        anew.unlink(missing_ok=True)
        raise
