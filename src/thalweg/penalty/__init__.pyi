# ruff: noqa: F401, I001, N801, RUF100
"""Made by ``python -m thalweg.stubs`` from the declarations in `thalweg.penalty`."""

from collections.abc import Sequence

from thalweg.penalty._places import Place as Place
from thalweg.penalty._places import places as places
from thalweg.penalty._rows import constrained as constrained
from thalweg.penalty._rows import gradients as gradients
from thalweg.penalty._technique import Penalty as Penalty
from thalweg.penalty._technique import PenaltyTechnique as PenaltyTechnique
from thalweg.technique import Choice, LogUniform, Uniform

CATALOGUE: dict[str, PenaltyTechnique]

class _l1(PenaltyTechnique):
    def __call__(
        self,
        strength: float | Uniform | LogUniform | Choice = 1e-05,
    ) -> Penalty: ...

l1: _l1

class _l2(PenaltyTechnique):
    def __call__(
        self,
        strength: float | Uniform | LogUniform | Choice = 0.0001,
    ) -> Penalty: ...

l2: _l2

class _elastic_net(PenaltyTechnique):
    def __call__(
        self,
        strength: float | Uniform | LogUniform | Choice = 1e-05,
        beta: float | Uniform | LogUniform | Choice = 1.0,
    ) -> Penalty: ...

elastic_net: _elastic_net

class _max_norm(PenaltyTechnique):
    def __call__(
        self,
        limit: float | Uniform | LogUniform | Choice = 3.0,
    ) -> Penalty: ...

max_norm: _max_norm
