"""Whether a text after augmentation still says what its label says."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from thalweg.errors import InputError

__all__ = ["Safety"]


@dataclass
class Safety:
    """A threshold on how alike a text and its augmentation are; counts what it rejects.

    A text that is rejected is tried again with other draws, and left as it was after the last try.

    Args:
        encoder: from a list of texts to their vectors, ``(texts, width)``: ``encode`` of a sentence-transformers
            model, or any other function.
        least: the least cosine between the vectors, -1 to 1.
        tries: how often.

    >>> def lengths(texts):
    ...     return [[len(text), 1.0] for text in texts]
    >>> safety = Safety(lengths, least=0.5)
    >>> safety.holds(["one", "two"], ["one", ""])
    [True, False]
    >>> print(safety)
    1 of 2 tries rejected (50%)
    """

    encoder: Callable[[list[str]], Any]
    least: float = 0.8
    tries: int = 3
    seen: int = field(default=0, init=False)
    rejected: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        if not -1 <= self.least <= 1:
            raise InputError(f"least is a cosine, from -1 to 1, not {self.least!r}")
        if self.tries < 1:
            raise InputError(f"tries is a whole number from 1 up, not {self.tries!r}")

    @property
    def rate(self) -> float:
        """The share of tries that were rejected."""
        return self.rejected / self.seen if self.seen else 0.0

    def __str__(self) -> str:
        return f"{self.rejected} of {self.seen} tries rejected ({self.rate:.0%})"

    def holds(self, originals: Sequence[str], texts: Sequence[str]) -> list[bool]:
        """Return which texts are enough like their originals, and count them."""
        if not texts:
            return []
        found = np.asarray(self.encoder([*originals, *texts]), dtype=np.float64)
        if found.ndim != 2 or len(found) != 2 * len(texts):
            raise InputError(f"the encoder gave shape {found.shape} for {2 * len(texts)} texts, not a row for each")
        before, after = found[: len(texts)], found[len(texts) :]
        sizes = np.linalg.norm(before, axis=1) * np.linalg.norm(after, axis=1)
        alike = np.divide((before * after).sum(1), sizes, out=np.zeros(len(texts)), where=sizes > 0)
        kept = [bool(cosine >= self.least) for cosine in alike]
        self.seen += len(kept)
        self.rejected += kept.count(False)
        return kept
