# ruff: noqa: F401, I001, N801, RUF100
"""Made by ``python -m thalweg.stubs`` from the declarations in `thalweg.loss`."""

from collections.abc import Sequence

from thalweg.loss._technique import Loss as Loss
from thalweg.loss._technique import LossTechnique as LossTechnique
from thalweg.loss._technique import kind_of as kind_of
from thalweg.technique import Choice, LogUniform, Uniform

CATALOGUE: dict[str, LossTechnique]

class _cross_entropy(LossTechnique):
    def __call__(
        self,
        smoothing: float | Uniform | LogUniform | Choice = 0.0,
    ) -> Loss: ...

cross_entropy: _cross_entropy

class _hinge(LossTechnique):
    def __call__(
        self,
    ) -> Loss: ...

hinge: _hinge

class _squared_error(LossTechnique):
    def __call__(
        self,
    ) -> Loss: ...

squared_error: _squared_error

class _absolute_error(LossTechnique):
    def __call__(
        self,
    ) -> Loss: ...

absolute_error: _absolute_error

class _huber(LossTechnique):
    def __call__(
        self,
        delta: float | Uniform | LogUniform | Choice = 1.0,
    ) -> Loss: ...

huber: _huber

class _trimmed(LossTechnique):
    def __call__(
        self,
        share: float | Uniform | LogUniform | Choice = 0.1,
    ) -> Loss: ...

trimmed: _trimmed
