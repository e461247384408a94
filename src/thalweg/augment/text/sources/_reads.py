"""Which files each step takes words from, in words."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from thalweg.augment.text.sources import _masked, _ppdb, _translation, _vectors, _wordnet

__all__ = ["READS"]

READS: dict[str, Callable[[Mapping[str, Any]], str]] = {
    "synonym": lambda values: _wordnet.opened(values["path"]).said(),
    "ppdb": lambda values: _ppdb.said(values["path"]),
    "vectors": lambda values: _vectors.said(values["path"], values["words"]),
    "masked": lambda values: _masked.said(values["path"]),
    "masked_insertion": lambda values: _masked.said(values["path"]),
    "back_translation": lambda values: _translation.said(values["path"], values["back"]),
    "random_insertion": lambda values: _wordnet.opened(values["path"]).said(),
}
"""By name of the technique: from hyperparameters to what is read, where it lies, and its licence."""
