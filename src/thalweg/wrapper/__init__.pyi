# ruff: noqa: F401, I001, N801, RUF100
"""Made by ``python -m thalweg.stubs`` from the declarations in `thalweg.wrapper`."""

from collections.abc import Sequence

from thalweg.technique import Ingredient as Ingredient
from thalweg.wrapper._classes import Lookahead as Lookahead
from thalweg.wrapper._classes import SAM as SAM
from thalweg.wrapper._technique import WrapperTechnique as WrapperTechnique
from thalweg.technique import Choice, LogUniform, Uniform

CATALOGUE: dict[str, WrapperTechnique]

class _lookahead(WrapperTechnique):
    def __call__(
        self,
        k: int | Uniform | LogUniform | Choice = 5,
        alpha: float | Uniform | LogUniform | Choice = 0.5,
    ) -> Ingredient: ...

lookahead: _lookahead

class _sam(WrapperTechnique):
    def __call__(
        self,
        rho: float | Uniform | LogUniform | Choice = 0.05,
        eps: float | Uniform | LogUniform | Choice = 1e-12,
    ) -> Ingredient: ...

sam: _sam
