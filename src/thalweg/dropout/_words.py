"""Embeddings that lose whole words of a sequence."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from thalweg.dropout._asked import keep
from thalweg.dropout._embedding import embedding as technique
from thalweg.dropout._rates import Rated, checked
from thalweg.errors import InputError

__all__ = ["EmbeddingDropout"]


class EmbeddingDropout(Rated):
    """An embedding of which each sequence loses words: every place where such a word stands.

    Args:
        embedding: whose vectors; it stays the same module, and may be tied to an output layer.
        p: the share of words that leave.

    Raises:
        InputError: something else than an embedding, or a rate outside [0, 1).

    >>> import torch
    >>> from torch import nn
    >>> from thalweg import dropout
    >>> layer = dropout.EmbeddingDropout(nn.Embedding(50, 4), p=0.5)
    >>> y = layer(torch.tensor([[7, 8, 7, 7]]))
    >>> bool((y[0, 0] == y[0, 2]).all() and (y[0, 0] == y[0, 3]).all())
    True
    """

    def __init__(self, embedding: nn.Embedding, p: float = 0.1) -> None:
        super().__init__()
        if not isinstance(embedding, nn.Embedding):
            raise InputError(f"embedding dropout takes an nn.Embedding, not {type(embedding).__name__}")
        self.embedding = embedding
        self.p: float | Tensor = checked("p of embedding", p)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return the words' vectors, ``(…, steps, features)``.

        Args:
            tokens: whole numbers, ``(…, steps)``; what lies along the last axis is one sequence.
        """
        vectors: Tensor = self.embedding(tokens)
        if not self.training:
            return vectors
        words = self.embedding.num_embeddings
        sequences = torch.arange(tokens[..., :1].numel(), device=tokens.device).view(tokens[..., :1].shape)
        kept = keep(vectors, self.p, tokens.shape, sequences * words + tokens).unsqueeze(-1)
        found: Tensor = technique.formula(vectors, kept, p=self.p).to(vectors.dtype)
        return found

    def extra_repr(self) -> str:
        """Return the rate."""
        return self._shown()
