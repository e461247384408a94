"""A checksum of every record, made of what SQLite reads: one bit that flips in a file is found, and said where.

SQLite itself looks at a file's structure, and not at what its rows hold.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np

__all__ = ["Record", "can_be_made_again", "damaged", "described", "forget", "opened", "sign", "unsign"]

Record = tuple[str, bytes | None]
"""A record's kind, and its name: the columns that it is found by, as SQLite writes them."""

KEYS = {
    "table": ("name",),
    "study": ("name",),
    "recipe": ("name",),
    "run": ("identity",),
    "entry": ("arm", "recipe", "setting", "repeat"),
    "baseline": ("name", "setting", "repeat"),
}
"""By which columns a record of each kind is found. A run's record is its curve and its outcomes too."""

TABLES = ("baseline", "checksum", "curve", "entry", "outcome", "recipe", "run", "study")

MADE_AGAIN = (b"verdict", b"progress", b"costs")
"""Facts that a study writes anew where they are not there."""

MOST = 5
"""Records that a sentence names."""


def opened(path: Path | str, *, uri: bool = False) -> sqlite3.Connection:
    """Open a database, each statement by itself unless a transaction is begun.

    SQLite is given no function of ours to call: Ctrl-C inside one would reach us as an error of the file.
    """
    return sqlite3.connect(path, isolation_level=None, uri=uri)


def sign(database: sqlite3.Connection, kind: str, key: tuple[Any, ...] = ()) -> None:
    """Write the checksum of one record, in place of what it had; without a key, of all of a kind that have none."""
    how = "REPLACE" if key else "IGNORE"
    rows = [(kind, name, crc) for name, crc in _sums(database, kind, key).items()]
    database.executemany(f"INSERT OR {how} INTO checksum VALUES (?, ?, ?)", rows)


def unsign(database: sqlite3.Connection, kind: str) -> None:
    """Forget the checksums of records of a kind that were taken away."""
    database.execute(
        f"DELETE FROM checksum WHERE kind = ? AND name NOT IN (SELECT {_name(*KEYS[kind])} FROM {kind})", (kind,)
    )


def damaged(database: sqlite3.Connection) -> list[Record]:
    """Return the records that are not what was written, that are no longer there, or that nobody wrote.

    The caller holds a transaction, so that nobody writes meanwhile.
    """
    found = {(kind, name): crc for kind in KEYS for name, crc in _sums(database, kind).items()}
    with _any_text(database):
        rows = database.execute("SELECT kind, CAST(name AS BLOB), crc FROM checksum")
        kept = {(kind, name): crc for kind, name, crc in rows}
    return [record for record in found | kept if found.get(record) != kept.get(record)]


def can_be_made_again(database: sqlite3.Connection, records: Iterable[Record]) -> bool:
    """Return whether a study makes such records again when it goes on without them.

    A run that was trained alone is not among them: it is written together with what says which one it was.
    """
    planned = bool(database.execute("SELECT count(*) FROM entry").fetchone()[0])
    return all(
        name in MADE_AGAIN if kind == "study" else planned and kind in ("run", "entry", "baseline")
        for kind, name in records
    )


def described(database: sqlite3.Connection, records: Iterable[Record]) -> str:
    """Return which records these are, in words: runs by recipe and seed."""
    with _any_text(database):
        words = list(dict.fromkeys(_words(database, *record) for record in records))
    more = f"; and {len(words) - MOST} more" if len(words) > MOST else ""
    return "; ".join(words[:MOST]) + more


def forget(database: sqlite3.Connection, records: Iterable[Record]) -> None:
    """Remove records with all that belongs to them, and the verdict, which was made of them."""
    for kind, name in (*records, ("study", b"verdict")):
        if kind in KEYS:
            database.execute(f"DELETE FROM {kind} WHERE {_name(*KEYS[kind])} IS ?", (name,))
        if kind == "run":
            for table in ("curve", "outcome"):
                database.execute(f"DELETE FROM {table} WHERE {_name('run')} IS ?", (name,))
        database.execute("DELETE FROM checksum WHERE kind = ? AND CAST(name AS BLOB) IS ?", (kind, name))


def _words(database: sqlite3.Connection, kind: str, name: bytes | None) -> str:
    said = (name or b"").decode(errors="replace")
    if kind != "run":
        return f"{'fact' if kind == 'study' else kind} {said}"
    alone = "SELECT name FROM recipe WHERE (SELECT count(*) FROM recipe) = 1"
    (recipe, seed) = database.execute(
        f"SELECT (SELECT coalesce((SELECT recipe FROM entry WHERE run = ?1), ({alone}))), "
        "(SELECT seed FROM run WHERE identity = ?1)",
        (said,),
    ).fetchone()
    return f"run {recipe or said[:12]}{'' if seed is None else f', seed {seed}'}"


# -- sums ----------------------------------------------------------------------------------------------


def _sums(database: sqlite3.Connection, kind: str, key: tuple[Any, ...] = ()) -> dict[bytes | None, int]:
    """Return the checksum of every record of a kind, or of the one with a key, by name."""
    with _any_text(database):
        rows = {name: row for name, *row in database.execute(_query(kind, bool(key)), key)}
        more = _of_runs(database, key) if kind == "run" else {}
        return {name: _crc((rows.get(name), more.get(name))) for name in rows | more}


def _query(kind: str, one: bool) -> str:
    name = _name(*KEYS[kind])
    if kind == "table":
        return f"SELECT {name}, name, sql FROM sqlite_master WHERE type = 'table' AND name IN {TABLES}"
    where = " WHERE " + " AND ".join(f"{column} = ?" for column in KEYS[kind]) if one else ""
    return f"SELECT {name}, * FROM {kind}{where}"


def _name(*columns: str) -> str:
    expression = " || ', ' || ".join(columns)
    return f"CAST({expression} AS BLOB)"


def _of_runs(database: sqlite3.Connection, key: tuple[Any, ...]) -> dict[bytes, list[int]]:
    """Return checksums of the curve and the outcomes of each run, or of one, by its name.

    Rows are told apart by what their run's identity is, down to its type, and not by the name alone.
    """
    where = " WHERE run = ?" if key else ""
    found: dict[bytes, list[int]] = {}
    # A text that is none in UTF-8 cannot be handed over.
    numbers = [f"iif(typeof({x}) = 'text', CAST({x} AS BLOB), {x})" for x in ("epoch", "step", "train_loss", "valid")]
    points = database.execute(f"SELECT {', '.join(numbers)} FROM curve{where} ORDER BY run, epoch", key).fetchall()
    end = 0
    for run, count in database.execute(f"SELECT run, count(*) FROM curve{where} GROUP BY run ORDER BY run", key):
        begin, end = end, end + count
        found.setdefault(_bytes(run), []).append(_crc((run, _of_points(points[begin:end]))))
    for run, blob in database.execute(f"SELECT run, test FROM outcome{where}", key):
        found.setdefault(_bytes(run), []).append(_crc((run, crc32(blob) if isinstance(blob, bytes) else blob)))
    return found


def _of_points(points: list[tuple[Any, ...]]) -> int:
    try:
        return crc32(np.array(points, dtype="<f8").tobytes())
    except (ValueError, TypeError, OverflowError):  # texts among numbers
        return _crc(points)


def _crc(value: Any) -> int:
    return crc32(ascii(value).encode())


def _bytes(value: Any) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode(errors="surrogateescape")


@contextmanager
def _any_text(database: sqlite3.Connection) -> Iterator[None]:
    """Have texts read whatever their bytes are."""
    database.text_factory = partial(str, encoding="utf-8", errors="surrogateescape")
    try:
        yield
    finally:
        database.text_factory = str
