"""Dropout: ``dropout.gaussian(0.2).module()`` is an ``nn.Module``; in a recipe it is the role ``dropout``.

In anyone's own loop the masks come from torch's generator; in thalweg's training they are a function of run and step.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from thalweg.dropout._dropout import dropout
from thalweg.dropout._dropout_scaled_at_test import dropout_scaled_at_test
from thalweg.dropout._embedding import embedding
from thalweg.dropout._gaussian import gaussian
from thalweg.dropout._mc import mc
from thalweg.dropout._rnn import rnn
from thalweg.dropout._sparse_variational import sparse_variational
from thalweg.dropout._spatial import spatial
from thalweg.dropout._technique import Dropout, DropoutTechnique
from thalweg.dropout._variational import variational

if TYPE_CHECKING:
    from thalweg.dropout._layers import (
        SparseVariationalConv2d,
        SparseVariationalLinear,
        VariationalConv2d,
        VariationalLinear,
        kl,
        pruned,
        sparsity,
        warm_up,
    )
    from thalweg.dropout._modules import Thinning
    from thalweg.dropout._recurrent import RecurrentDropout
    from thalweg.dropout._words import EmbeddingDropout

CATALOGUE: dict[str, DropoutTechnique] = {
    technique.name: technique
    for technique in (
        dropout, dropout_scaled_at_test, gaussian, spatial, rnn, embedding, mc, variational, sparse_variational,
    )
}  # fmt: skip
"""Every dropout by name."""

__all__ = [
    "CATALOGUE", "Dropout", "DropoutTechnique", "EmbeddingDropout", "RecurrentDropout", "SparseVariationalConv2d",
    "SparseVariationalLinear", "Thinning", "VariationalConv2d", "VariationalLinear", "dropout",
    "dropout_scaled_at_test", "embedding", "gaussian", "kl", "mc", "predict", "pruned", "rnn", "sparse_variational",
    "sparsity", "spatial", "variational", "warm_up",
]  # fmt: skip

_LAYERS = (
    "SparseVariationalConv2d", "SparseVariationalLinear", "VariationalConv2d", "VariationalLinear", "kl", "pruned",
    "sparsity", "warm_up",
)  # fmt: skip
_LATER = {
    **dict.fromkeys(_LAYERS, "thalweg.dropout._layers"),
    "EmbeddingDropout": "thalweg.dropout._words",
    "RecurrentDropout": "thalweg.dropout._recurrent",
    "Thinning": "thalweg.dropout._modules",
    "predict": "thalweg.inspect",
}


def __dir__() -> list[str]:
    return __all__


def __getattr__(name: str) -> Any:
    """Load what needs torch, or keyed masks, when it is first asked for."""
    if name not in _LATER:
        raise AttributeError(f"module 'thalweg.dropout' has no attribute {name!r}")
    return getattr(import_module(_LATER[name]), name)
