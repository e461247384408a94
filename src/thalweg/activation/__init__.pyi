# ruff: noqa: F401, I001, N801, RUF100
"""Made by ``python -m thalweg.stubs`` from the declarations in `thalweg.activation`."""

from collections.abc import Sequence

from thalweg.activation._gain import gain as gain
from thalweg.activation._technique import Activation as Activation
from thalweg.activation._technique import ActivationTechnique as ActivationTechnique
from thalweg.technique import Choice, LogUniform, Uniform

CATALOGUE: dict[str, ActivationTechnique]

class _sigmoid(ActivationTechnique):
    def __call__(
        self,
    ) -> Activation: ...

sigmoid: _sigmoid

class _tanh(ActivationTechnique):
    def __call__(
        self,
    ) -> Activation: ...

tanh: _tanh

class _relu(ActivationTechnique):
    def __call__(
        self,
    ) -> Activation: ...

relu: _relu

class _softplus(ActivationTechnique):
    def __call__(
        self,
        beta: float | Uniform | LogUniform | Choice = 1.0,
        threshold: float | Uniform | LogUniform | Choice = 20.0,
    ) -> Activation: ...

softplus: _softplus

class _leaky_relu(ActivationTechnique):
    def __call__(
        self,
        slope: float | Uniform | LogUniform | Choice = 0.01,
    ) -> Activation: ...

leaky_relu: _leaky_relu

class _elu(ActivationTechnique):
    def __call__(
        self,
        alpha: float | Uniform | LogUniform | Choice = 1.0,
    ) -> Activation: ...

elu: _elu

class _gelu(ActivationTechnique):
    def __call__(
        self,
    ) -> Activation: ...

gelu: _gelu

class _silu(ActivationTechnique):
    def __call__(
        self,
    ) -> Activation: ...

silu: _silu
