"""The ways to take a training step, by name."""

from __future__ import annotations

from thalweg.train.compiled import Compiled
from thalweg.train.step import OneByOne
from thalweg.train.vmapped import Vmapped

__all__ = ["EXECUTORS"]

EXECUTORS: dict[str, type[OneByOne] | type[Vmapped]] = {
    "one by one": OneByOne, "vmapped": Vmapped, "compiled": Compiled,
}  # fmt: skip
