# ruff: noqa: F401, I001, N801, RUF100
"""Made by ``python -m thalweg.stubs`` from the declarations in `thalweg.init`."""

from collections.abc import Sequence

from thalweg.init._apply import Filled as Filled
from thalweg.init._technique import Init as Init
from thalweg.init._technique import InitTechnique as InitTechnique
from thalweg.technique import Choice, LogUniform, Uniform

CATALOGUE: dict[str, InitTechnique]

class _zeros(InitTechnique):
    def __call__(
        self,
    ) -> Init: ...

zeros: _zeros

class _small_random(InitTechnique):
    def __call__(
        self,
        std: float | Uniform | LogUniform | Choice = 0.01,
    ) -> Init: ...

small_random: _small_random

class _truncated_normal(InitTechnique):
    def __call__(
        self,
        std: float | Uniform | LogUniform | Choice = 0.02,
        cut: float | Uniform | LogUniform | Choice = 2.0,
    ) -> Init: ...

truncated_normal: _truncated_normal

class _lecun(InitTechnique):
    def __call__(
        self,
    ) -> Init: ...

lecun: _lecun

class _glorot_uniform(InitTechnique):
    def __call__(
        self,
        gain: float | Uniform | LogUniform | Choice | None = None,
    ) -> Init: ...

glorot_uniform: _glorot_uniform

class _glorot_normal(InitTechnique):
    def __call__(
        self,
        gain: float | Uniform | LogUniform | Choice | None = None,
    ) -> Init: ...

glorot_normal: _glorot_normal

class _he_uniform(InitTechnique):
    def __call__(
        self,
        gain: float | Uniform | LogUniform | Choice | None = None,
    ) -> Init: ...

he_uniform: _he_uniform

class _he_normal(InitTechnique):
    def __call__(
        self,
        gain: float | Uniform | LogUniform | Choice | None = None,
    ) -> Init: ...

he_normal: _he_normal

class _orthogonal(InitTechnique):
    def __call__(
        self,
        gain: float | Uniform | LogUniform | Choice | None = None,
    ) -> Init: ...

orthogonal: _orthogonal

class _sparse(InitTechnique):
    def __call__(
        self,
        sparsity: float | Uniform | LogUniform | Choice = 0.9,
        std: float | Uniform | LogUniform | Choice = 0.01,
    ) -> Init: ...

sparse: _sparse

class _dirac(InitTechnique):
    def __call__(
        self,
    ) -> Init: ...

dirac: _dirac

class _identity(InitTechnique):
    def __call__(
        self,
    ) -> Init: ...

identity: _identity

class _lsuv(InitTechnique):
    def __call__(
        self,
        tolerance: float | Uniform | LogUniform | Choice = 0.1,
        passes: int | Uniform | LogUniform | Choice = 10,
    ) -> Init: ...

lsuv: _lsuv

class _fixup(InitTechnique):
    def __call__(
        self,
    ) -> Init: ...

fixup: _fixup
