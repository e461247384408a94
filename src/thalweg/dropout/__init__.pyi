# ruff: noqa: F401, I001, N801, RUF100
"""Made by ``python -m thalweg.stubs`` from the declarations in `thalweg.dropout`."""

from collections.abc import Sequence

from thalweg.dropout._layers import SparseVariationalConv2d as SparseVariationalConv2d
from thalweg.dropout._layers import SparseVariationalLinear as SparseVariationalLinear
from thalweg.dropout._layers import VariationalConv2d as VariationalConv2d
from thalweg.dropout._layers import VariationalLinear as VariationalLinear
from thalweg.dropout._layers import kl as kl
from thalweg.dropout._layers import pruned as pruned
from thalweg.dropout._layers import sparsity as sparsity
from thalweg.dropout._layers import warm_up as warm_up
from thalweg.dropout._modules import Thinning as Thinning
from thalweg.dropout._recurrent import RecurrentDropout as RecurrentDropout
from thalweg.dropout._technique import Dropout as Dropout
from thalweg.dropout._technique import DropoutTechnique as DropoutTechnique
from thalweg.dropout._words import EmbeddingDropout as EmbeddingDropout
from thalweg.inspect._predict import predict as predict
from thalweg.technique import Choice, LogUniform, Uniform

CATALOGUE: dict[str, DropoutTechnique]

class _dropout(DropoutTechnique):
    def __call__(
        self,
        p: float | Uniform | LogUniform | Choice = 0.5,
    ) -> Dropout: ...

dropout: _dropout

class _dropout_scaled_at_test(DropoutTechnique):
    def __call__(
        self,
        p: float | Uniform | LogUniform | Choice = 0.5,
    ) -> Dropout: ...

dropout_scaled_at_test: _dropout_scaled_at_test

class _gaussian(DropoutTechnique):
    def __call__(
        self,
        p: float | Uniform | LogUniform | Choice = 0.5,
    ) -> Dropout: ...

gaussian: _gaussian

class _spatial(DropoutTechnique):
    def __call__(
        self,
        p: float | Uniform | LogUniform | Choice = 0.5,
    ) -> Dropout: ...

spatial: _spatial

class _rnn(DropoutTechnique):
    def __call__(
        self,
        p: float | Uniform | LogUniform | Choice = 0.25,
    ) -> Dropout: ...

rnn: _rnn

class _embedding(DropoutTechnique):
    def __call__(
        self,
        p: float | Uniform | LogUniform | Choice = 0.1,
    ) -> Dropout: ...

embedding: _embedding

class _mc(DropoutTechnique):
    def __call__(
        self,
        p: float | Uniform | LogUniform | Choice = 0.1,
    ) -> Dropout: ...

mc: _mc

class _variational(DropoutTechnique):
    def __call__(
        self,
        alpha: float | Uniform | LogUniform | Choice = 0.5,
        weight: float | Uniform | LogUniform | Choice = 1.0,
    ) -> Dropout: ...

variational: _variational

class _sparse_variational(DropoutTechnique):
    def __call__(
        self,
        threshold: float | Uniform | LogUniform | Choice = 3.0,
        weight: float | Uniform | LogUniform | Choice = 1.0,
        start: float | Uniform | LogUniform | Choice = 5.0,
        end: float | Uniform | LogUniform | Choice = 20.0,
    ) -> Dropout: ...

sparse_variational: _sparse_variational
