# ruff: noqa: F401, I001, N801, RUF100
"""Made by ``python -m thalweg.stubs`` from the declarations in `thalweg.prune`."""

from collections.abc import Sequence

from thalweg.prune._connectivity import Connectivity as Connectivity
from thalweg.prune._connectivity import connectivity as connectivity
from thalweg.prune._held import Held as Held
from thalweg.prune._held import held as held
from thalweg.prune._held import rewind as rewind
from thalweg.prune._smaller import Smaller as Smaller
from thalweg.prune._smaller import smaller as smaller
from thalweg.prune._technique import Prune as Prune
from thalweg.prune._technique import PruneTechnique as PruneTechnique
from thalweg.prune._weights import remaining as remaining
from thalweg.prune._weights import shuffled as shuffled
from thalweg.technique import Choice, LogUniform, Uniform

CATALOGUE: dict[str, PruneTechnique]

class _magnitude(PruneTechnique):
    def __call__(
        self,
        keep: float | Uniform | LogUniform | Choice = 0.2,
    ) -> Prune: ...

magnitude: _magnitude

class _random(PruneTechnique):
    def __call__(
        self,
        keep: float | Uniform | LogUniform | Choice = 0.2,
    ) -> Prune: ...

random: _random

class _snip(PruneTechnique):
    def __call__(
        self,
        keep: float | Uniform | LogUniform | Choice = 0.2,
    ) -> Prune: ...

snip: _snip

class _synflow(PruneTechnique):
    def __call__(
        self,
        rounds: int | Uniform | LogUniform | Choice = 100,
        keep: float | Uniform | LogUniform | Choice = 0.2,
    ) -> Prune: ...

synflow: _synflow

class _unit_magnitude(PruneTechnique):
    def __call__(
        self,
        keep: float | Uniform | LogUniform | Choice = 0.2,
    ) -> Prune: ...

unit_magnitude: _unit_magnitude
