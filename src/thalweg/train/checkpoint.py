"""How state lies on disk: named tensors and facts in a safetensors file that says by its name whether it is whole.

Nothing here knows what is kept or why, and nothing is pickled.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save

from thalweg.files import flush_folder, write_whole
from thalweg.record import StoreError, unwritable

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Checkpoints"]

KEPT = 2
"""Generations of a checkpoint that stay: the newest, and the one to go back to if that is damaged."""

DTYPES = frozenset(
    {
        torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.complex64, torch.bool,
        torch.int64, torch.int32, torch.int16, torch.int8, torch.uint64, torch.uint32, torch.uint16, torch.uint8,
        torch.float8_e4m3fn, torch.float8_e4m3fnuz, torch.float8_e5m2, torch.float8_e5m2fnuz,
    }
)  # fmt: skip
"""What the safetensors format holds and its reader for torch gives back."""

_NAME = re.compile(r"[a-z0-9-]+")
_FILE = re.compile(rf"({_NAME.pattern})\.([0-9]+)\.([^.]*)\.safetensors(\.damaged)?")
_TEMPORARY = re.compile(rf"({_NAME.pattern})\.[0-9]+\.[0-9]+\.tmp")


class Checkpoints:
    """The checkpoints of one study, in ``directory/checkpoints/``.

    Each name has its last two generations there, ``<name>.<count>.<checksum>.safetensors``, which any reader of
    safetensors opens. A file gets such a name only once all of it is on the disk, so a kill or a power cut at any
    instant leaves the generations before it as they were. One process at a time saves and loads a name.

    Args:
        directory: the study's; what the dead left half written in it is removed. Nothing is made before something
            is saved.

    Attributes:
        damaged: a sentence for each damaged file that `load` met.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as directory:
    ...     checkpoints = Checkpoints(directory)
    ...     checkpoints.save("lane-3", {"0.weight": torch.eye(2)}, {"step": 40})
    ...     checkpoints.names(), checkpoints.load("lane-3"), checkpoints.load("lane-4")
    (['lane-3'], ({'0.weight': tensor([[1., 0.],
            [0., 1.]])}, {'step': 40}), None)
    """

    def __init__(self, directory: Path | str) -> None:
        self.directory = Path(directory)
        self.damaged: list[str] = []
        self._folder = self.directory / "checkpoints"
        with suppress(OSError):  # leftovers do no harm where nothing can be removed
            for path in self._unfinished():
                path.unlink()

    def save(self, name: str, tensors: Mapping[str, torch.Tensor], facts: Any) -> None:
        """Write a new generation; when this returns, it survives a power cut.

        Args:
            name: whose state it is; lower-case letters, digits and hyphens.
            tensors: of any shape, layout in memory and device; of any dtype that a safetensors file holds.
            facts: anything JSON holds. NaN and infinities are kept, as Python writes them; as with any JSON, a
                tuple comes back as a list and a number used as a key as text.

        Raises:
            StoreError: the directory cannot be written; the generations before are as they were.
            ValueError: ``name``, or a tensor's, cannot be used.
            TypeError: a tensor's dtype or one of the facts cannot be kept.
        """
        if not _NAME.fullmatch(name):
            raise ValueError(f"a checkpoint's name is made of lower-case letters, digits and hyphens, not {name!r}")
        there = self._files(name)
        count = 1 + max((file.generation for file in there), default=0)
        label = f"{name}.{count}"
        content = _encoded(label, tensors, facts)
        try:
            try:
                self._write(label, content)
            except FileNotFoundError:  # another process began here, and took the temporary file for a leftover
                self._write(label, content)
        except OSError as error:
            raise unwritable(self.directory, error) from error
        for file in [file for file in there if not file.damaged][KEPT - 1 :]:
            with suppress(OSError):  # the next call tries again
                file.path.unlink()

    def load(self, name: str) -> tuple[dict[str, torch.Tensor], Any] | None:
        """Return the tensors and facts of the newest undamaged generation, or None if there is none.

        Tensors come in the order in which they were given to `save`, on the CPU, and own their memory. A damaged
        file is named in `damaged` and renamed to ``*.damaged``, where the directory can be written.

        Raises:
            StoreError: a file could not be read for want of memory or file descriptors; or the directory could not.
        """
        found = None
        met = []
        for file in self._files(name):
            if file.damaged:
                continue
            try:
                found = _read(file)
                break
            except _DamagedError as reason:
                met.append(f"checkpoint {name}.{file.generation} is damaged ({reason})")
                with suppress(OSError):
                    file.path.rename(f"{file.path}.damaged")
        last = "; the one before is used" if found else "; there is none before it, and its runs begin anew"
        ends = [", and so is the one before"] * (len(met) - 1) + [last]
        sentences = [sentence + end for sentence, end in zip(met, ends, strict=False)]
        self.damaged += [sentence for sentence in sentences if sentence not in self.damaged]
        return found

    def names(self) -> list[str]:
        """Return the names that have a generation not known to be damaged.

        Raises:
            StoreError: the directory cannot be read.
        """
        return sorted({file.name for file in self._files() if not file.damaged})

    def remove(self, name: str) -> None:
        """Remove a checkpoint, if it is there; what is known to be damaged stays to be looked at.

        Raises:
            StoreError: the directory cannot be written.
        """
        # From the oldest on: a kill between two leaves the newest.
        whole = [file.path for file in reversed(self._files(name)) if not file.damaged]
        for path in (*self._unfinished(name), *whole):
            try:
                path.unlink(missing_ok=True)
            except OSError as error:
                raise StoreError(f"{self.directory} cannot be written: {error.strerror or error}") from error

    def _unfinished(self, name: str | None = None) -> list[Path]:
        """Return what the dead left half written here, of one name or all."""
        with suppress(OSError):  # there is no folder yet
            found = [(path, _TEMPORARY.fullmatch(path.name)) for path in self._folder.iterdir()]
            return [path for path, match in found if match and name in (None, match[1])]
        return []

    def _files(self, name: str | None = None) -> list[_File]:
        """Return what lies here, of one name or all, the newest first; other people's files are not looked at."""
        files = []
        try:
            with os.scandir(self._folder) as entries:
                for entry in entries:
                    match = _FILE.fullmatch(entry.name)
                    if match and name in (None, match[1]) and entry.is_file():
                        files.append(_File(int(match[2]), match[1], match[3], bool(match[4]), Path(entry.path)))
        except FileNotFoundError:
            return []
        except OSError as error:
            raise StoreError(f"{self._folder} cannot be read: {error.strerror or error}") from error
        return sorted(files, reverse=True)

    def _write(self, label: str, content: bytes) -> None:
        """Write a file whole or not at all."""
        # A process that outlives the one that began it may still be writing the same generation.
        if not self._folder.exists():
            self._folder.mkdir(exist_ok=True)
            flush_folder(self.directory)
        whole = self._folder / f"{label}.{_checksum(content)}.safetensors"
        write_whole(whole, content, beside=self._folder / f"{label}.{os.getpid()}.tmp")


class _File(NamedTuple):
    generation: int
    name: str
    checksum: str
    damaged: bool
    path: Path


class _DamagedError(Exception):
    """Why a file is not used."""


def _checksum(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:32]


def _encoded(label: str, tensors: Mapping[str, torch.Tensor], facts: Any) -> bytes:
    for name, tensor in tensors.items():
        if name == "__metadata__":
            raise ValueError(
                'a tensor of a checkpoint cannot be called "__metadata__", which safetensors uses itself'
            )
        if tensor.dtype not in DTYPES:
            kind = str(tensor.dtype).removeprefix("torch.")
            raise TypeError(f'tensor "{name}" is {kind}, which a safetensors file cannot hold')
    # One copy makes any tensor contiguous, and tied ones and views of one memory independent.
    copies = {
        name: torch.empty(tensor.shape, dtype=tensor.dtype).copy_(tensor.detach()) for name, tensor in tensors.items()
    }
    # The label tells a file that was given another's name; safetensors itself forgets the order.
    return save(copies, {"checkpoint": label, "facts": json.dumps(facts), "order": json.dumps(list(tensors))})


def _read(file: _File) -> tuple[dict[str, torch.Tensor], Any]:
    try:
        content = file.path.read_bytes()
    except OSError as error:
        if error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOMEM):  # no fault of the file's
            raise StoreError(f"{file.path} cannot be read: {error.strerror}") from error
        raise _DamagedError(f"it cannot be read: {error.strerror or error}") from error
    if _checksum(content) != file.checksum:
        raise _DamagedError("its checksum does not hold")
    try:
        # A file begins with the length of its header, in 8 bytes, and the header, in JSON.
        header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])["__metadata__"]
        label, facts, order = header["checkpoint"], json.loads(header["facts"]), json.loads(header["order"])
        tensors = load(content)
        # Cloned into torch's own memory: the last bits of some kernels depend on where memory is aligned.
        found = {name: tensors[name].clone() for name in order}
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise _DamagedError("it is no checkpoint") from error
    if label != f"{file.name}.{file.generation}":
        raise _DamagedError(f"it is {label} under another name")
    return found, facts
