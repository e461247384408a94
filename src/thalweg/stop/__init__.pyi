# ruff: noqa: F401, I001, N801, RUF100
"""Made by ``python -m thalweg.stubs`` from the declarations in `thalweg.stop`."""

from collections.abc import Sequence

from thalweg.stop._technique import Seen as Seen
from thalweg.stop._technique import Stop as Stop
from thalweg.stop._technique import StopTechnique as StopTechnique
from thalweg.technique import Choice, LogUniform, Uniform

CATALOGUE: dict[str, StopTechnique]

class _never(StopTechnique):
    def __call__(
        self,
    ) -> Stop: ...

never: _never

class _patience(StopTechnique):
    def __call__(
        self,
        epochs: int | Uniform | LogUniform | Choice = 10,
        min_delta: float | Uniform | LogUniform | Choice = 0.0,
    ) -> Stop: ...

patience: _patience
