"""Runs as TensorBoard reads them: event files, written without it.

An event file is a row of records, each with its length and two checksums around it (TFRecord); a record is an
``Event`` in protocol buffers: when, at which step, and scalars by tag.
"""

from __future__ import annotations

import math
import re
import struct
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from thalweg.errors import InputError

if TYPE_CHECKING:
    from thalweg.record import Entry, RunRecord

__all__ = ["Events", "event_file"]


class Events:
    """Writes each run that is done, once, into a folder of its own: ``LOGDIR/recipe/arm-setting-seed``.

    By epoch, at the number of steps: ``loss/train`` and the validation metric; at the end, the metric on each split.

    Args:
        directory: TensorBoard's ``--logdir``; made if it is not there.

    Raises:
        InputError: it cannot be written.
    """

    def __init__(self, directory: Path | str) -> None:
        self.directory = Path(directory)
        self._done: set[str] = set()
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"{directory} cannot be written: {error.strerror}") from error

    def write(self, runs: Mapping[str, RunRecord], entries: Sequence[Entry], metric: str) -> int:
        """Write what is not there yet, and return how many runs that were.

        Args:
            runs: by identity.
            entries: why they were made; a run that serves several is written under the first.
            metric: its name, part of the tags.

        Raises:
            InputError: the directory cannot be written.
        """
        why: dict[str, Entry] = {}
        for one in entries:
            why.setdefault(one.run, one)
        count = 0
        for identity in runs.keys() - self._done:
            run, entry = runs[identity], why.get(identity)
            folder = (
                Path(_safe(entry.recipe), f"{entry.arm}-{entry.setting}-{entry.repeat}") if entry else Path("run")
            )
            path = (
                self.directory
                / folder.with_name(f"{folder.name}-{_safe(identity[:8])}")
                / "events.out.tfevents.0.thalweg"
            )
            try:
                if not path.exists():
                    path.parent.mkdir(parents=True, exist_ok=True)
                    unfinished = path.with_name(".unfinished")
                    unfinished.write_bytes(event_file(_scalars(run, metric), time.time()))
                    unfinished.replace(path)
                    count += 1
            except OSError as error:
                raise InputError(f"{path} cannot be written: {error.strerror}") from error
            self._done.add(identity)
        return count


def _scalars(run: RunRecord, metric: str) -> Iterable[tuple[int, str, float]]:
    """Yield what a run left behind as (step, tag, value)."""
    if run.curve is not None:
        for step, loss, valid in zip(run.curve.step, run.curve.train_loss, run.curve.valid, strict=True):
            for tag, value in (("loss/train", loss), (f"{metric}/valid", valid)):
                if math.isfinite(value):
                    yield int(step), tag, float(value)
    for split in ("train", "valid", "test"):
        if math.isfinite(value := getattr(run, split)):
            yield run.steps, f"end/{metric}/{split}", value


def _safe(name: str) -> str:
    """Return a recipe's name as one folder's, whatever is in it."""
    return re.sub(r"[^\w .,=()+-]", "_", name)[:100].strip(" .") or "recipe"


def event_file(scalars: Iterable[tuple[int, str, float]], wall: float) -> bytes:
    """Return an event file's content.

    Args:
        scalars: (step, tag, value) each.
        wall: the time that is written with each, in seconds since 1970.

    >>> len(event_file([(1, "loss", 0.5)], 0.0))
    82
    """
    version = _double(1, wall) + _bytes(3, b"brain.Event:2")
    events = [version, *(_event(step, tag, value, wall) for step, tag, value in scalars)]
    return b"".join(map(_record, events))


def _event(step: int, tag: str, value: float, wall: float) -> bytes:
    scalar = _bytes(1, tag.encode()) + _key(2, 5) + struct.pack("<f", value)
    return _double(1, wall) + _key(2, 0) + _whole(step) + _bytes(5, _bytes(1, scalar))


def _record(data: bytes) -> bytes:
    length = struct.pack("<Q", len(data))
    return length + _masked(length) + data + _masked(data)


def _key(field: int, kind: int) -> bytes:
    return _whole(field << 3 | kind)


def _whole(value: int) -> bytes:
    """Return a whole number from 0 up, seven bits a byte, the lowest first."""
    found = bytearray()
    while value > 0x7F:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*found, value])


def _bytes(field: int, data: bytes) -> bytes:
    return _key(field, 2) + _whole(len(data)) + data


def _double(field: int, value: float) -> bytes:
    return _key(field, 1) + struct.pack("<d", value)


def _table() -> list[int]:
    table = []
    for byte in range(256):
        for _ in range(8):
            byte = byte >> 1 ^ (0x82F63B78 if byte & 1 else 0)
        table.append(byte)
    return table


_CRC = _table()


def _crc32c(data: bytes) -> int:
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ _CRC[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFFFFFF


def _masked(data: bytes) -> bytes:
    """Return a checksum that may itself be summed: rotated by 15 bits, plus a constant."""
    crc = _crc32c(data)
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)
