"""Where every random number comes from.

A `Key` is a path from a seed to a purpose: ``Key(7) / "order" / epoch``. The same path always gives
the same numbers, whoever asks, in whatever order, in whatever process; so there is no generator
state to save, and nothing to restore after a kill.
"""

from __future__ import annotations

import hashlib
import random
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Key"]


class Key:
    """A place in the tree of random numbers; ``/`` goes one step down.

    Args:
        seed: any integer.

    >>> (Key(7) / "order" / 3).permutation(5).tolist() == (Key(7) / "order" / 3).permutation(5).tolist()
    True
    >>> Key(7) / "order" / 3 == Key(7) / "order" / "3"
    False
    """

    __slots__ = ("digest",)
    _brief = threading.local()

    def __init__(self, seed: int) -> None:
        self.digest = hashlib.blake2b(f"thalweg:{int(seed)}".encode(), digest_size=16).digest()

    def __truediv__(self, part: int | str) -> Key:
        child = Key.__new__(Key)
        label = f"i:{int(part)}" if not isinstance(part, str) else f"s:{part}"
        child.digest = hashlib.blake2b(self.digest + label.encode(), digest_size=16).digest()
        return child

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Key) and self.digest == other.digest

    def __hash__(self) -> int:
        return hash(self.digest)

    def __repr__(self) -> str:
        return f"<Key {self.digest.hex()[:12]}>"

    def generator(self) -> np.random.Generator:
        """Return a numpy generator (Philox) that starts here."""
        return np.random.Generator(np.random.Philox(key=int.from_bytes(self.digest, "little")))

    def permutation(self, n: int) -> np.ndarray:
        """Return a random order of ``range(n)``, int64, shape ``(n,)``."""
        return self._generator_for_now().permutation(n)

    def _generator_for_now(self) -> np.random.Generator:
        """Return a generator that starts here, until the next is asked for: to make one takes five times as long."""
        if not hasattr(self._brief, "generator"):
            self._brief.generator = np.random.Generator(np.random.Philox(key=0))
        nothing = np.zeros(4, np.uint64)
        found: np.random.Generator = self._brief.generator
        found.bit_generator.state = {
            "bit_generator": "Philox", "state": {"counter": nothing, "key": np.frombuffer(self.digest, "<u8")},
            "buffer": nothing, "buffer_pos": 4, "has_uint32": 0, "uinteger": 0,
        }  # fmt: skip
        return found

    def integer(self, bits: int = 31) -> int:
        """Return a uniform integer in ``[0, 2**bits)``; at most 63 bits."""
        return int.from_bytes(self.digest[:8], "little") >> (64 - bits)

    @contextmanager
    def seeded(self) -> Iterator[None]:
        """Seed the global generators of torch, numpy and random from here; put them back afterwards.

        For code that draws from them and takes no generator, such as a module's own initialisation. Of torch's, those
        of the CPU, and of CUDA devices where they are in use.
        """
        import torch

        python_state, numpy_state = random.getstate(), np.random.get_state()  # noqa: NPY002
        torch_state, on_cuda = torch.get_rng_state(), bool(torch.cuda.is_initialized())  # type: ignore[no-untyped-call]
        cuda_states = torch.cuda.get_rng_state_all() if on_cuda else []
        try:
            random.seed(self.integer(63))
            np.random.seed(self.integer(32))  # noqa: NPY002
            # torch.manual_seed would, where CUDA is not in use, note a whole stack each time for when it is.
            torch.default_generator.manual_seed(self.integer(63))
            if on_cuda:
                torch.cuda.manual_seed_all(self.integer(63))
            yield
        finally:
            random.setstate(python_state)
            np.random.set_state(numpy_state)  # noqa: NPY002
            torch.set_rng_state(torch_state)
            if on_cuda:
                torch.cuda.set_rng_state_all(cuda_states)
