"""Torch's operations written so that many models can be stacked: quick under ``vmap``, and the same bits in each row.

Each function takes the arguments of torch's own and returns ``NotImplemented`` where it leaves them to torch.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.func import debug_unwrap

from thalweg.train.stacked.alone import ALONE
from thalweg.train.stacked.attention import multi_head_attention_forward, scaled_dot_product_attention
from thalweg.train.stacked.convolution import conv1d, conv2d
from thalweg.train.stacked.data import DATA
from thalweg.train.stacked.embedding import embedding
from thalweg.train.stacked.narrow import FILLED_UP
from thalweg.train.stacked.norms import batch_norm
from thalweg.train.stacked.pooling import avg_pool2d, max_pool2d
from thalweg.train.stacked.recurrent import gru, lstm, rnn_relu, rnn_tanh

__all__ = ["REPLACED", "TAKES_DROPOUT", "pays"]

REPLACED: dict[Callable[..., Any], Callable[..., Any]] = {
    F.conv1d: conv1d,
    F.conv2d: conv2d,
    F.max_pool2d: max_pool2d,
    torch.max_pool2d: max_pool2d,
    F.avg_pool2d: avg_pool2d,
    F.batch_norm: batch_norm,
    F.embedding: embedding,
    F.scaled_dot_product_attention: scaled_dot_product_attention,
    F.multi_head_attention_forward: multi_head_attention_forward,
    torch._VF.lstm: lstm,  # noqa: SLF001
    torch._VF.gru: gru,  # noqa: SLF001
    torch._VF.rnn_tanh: rnn_tanh,  # noqa: SLF001
    torch._VF.rnn_relu: rnn_relu,  # noqa: SLF001
    **ALONE,
    **FILLED_UP,
    **DATA,
}
"""From torch's function to ours."""

TAKES_DROPOUT = {
    scaled_dot_product_attention,
    multi_head_attention_forward,
    lstm,
    gru,
    rnn_tanh,
    rnn_relu,
}
"""Those that may drop, and then take a keyword ``dropout``: a function of a tensor and a probability."""


def pays(ours: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], compiled: bool) -> bool:
    """Return whether to call a replacement: always in a step that will be compiled, else if it is quicker or needed.

    Needed is attention that drops, or whose mask is learned, where vmap takes one of torch's that is not
    differentiable in it; convolution, batch norm and functions of narrow tensors, for their bits; and padding, whose
    vector is not to be trained.
    """
    if compiled:
        return True
    if ours is scaled_dot_product_attention:
        mask = kwargs.get("attn_mask", args[3] if len(args) > 3 else None)
        return bool(kwargs.get("dropout_p", args[4] if len(args) > 4 else 0.0) > 0 or _is_learned(mask))
    return ours not in (max_pool2d, avg_pool2d)


def _is_learned(mask: Tensor | None) -> bool:
    """Return whether a gradient of a mask is wanted; a tensor that vmap has in hand does not say so itself."""
    if mask is None or not torch.is_grad_enabled():
        return False
    return mask.requires_grad or debug_unwrap(mask).requires_grad
