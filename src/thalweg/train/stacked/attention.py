"""Attention of stacked models, whose dropout is asked for and not hidden."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["Dropout", "multi_head_attention_forward", "scaled_dot_product_attention"]

Dropout = Callable[[Tensor, float], Tensor]
"""From a tensor and the probability to drop an element to the tensor after dropout."""


def scaled_dot_product_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
    *,
    dropout: Dropout | None = None,
) -> Any:
    """See `torch.nn.functional.scaled_dot_product_attention`; shapes ``(…, L, E)``, ``(…, S, E)``, ``(…, S, V)``.

    Args:
        dropout: what drops attention weights; without it, a ``dropout_p`` above zero is left to torch.
    """
    if enable_gqa or (dropout_p > 0 and dropout is None) or (is_causal and attn_mask is not None):
        return NotImplemented
    scores = (query * (query.shape[-1] ** -0.5 if scale is None else scale)) @ key.transpose(-2, -1)
    if is_causal:
        attn_mask = torch.ones(scores.shape[-2:], dtype=torch.bool, device=query.device).tril()
    if attn_mask is not None:
        scores = scores.masked_fill(~attn_mask, -math.inf) if attn_mask.dtype == torch.bool else scores + attn_mask
    weights = torch.softmax(scores, -1)
    if attn_mask is not None:
        # A query that may look at nothing sees zeros.
        weights = weights.masked_fill((scores == -math.inf).all(-1, keepdim=True), 0.0)
    if dropout_p > 0 and dropout is not None:
        weights = dropout(weights, dropout_p)
    return weights @ value


def multi_head_attention_forward(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    embed_dim_to_check: int,
    num_heads: int,
    in_proj_weight: Tensor | None,
    in_proj_bias: Tensor | None,
    bias_k: Tensor | None,
    bias_v: Tensor | None,
    add_zero_attn: bool,
    dropout_p: float,
    out_proj_weight: Tensor,
    out_proj_bias: Tensor | None,
    training: bool = True,
    key_padding_mask: Tensor | None = None,
    need_weights: bool = True,
    attn_mask: Tensor | None = None,
    use_separate_proj_weight: bool = False,
    q_proj_weight: Tensor | None = None,
    k_proj_weight: Tensor | None = None,
    v_proj_weight: Tensor | None = None,
    static_k: Tensor | None = None,
    static_v: Tensor | None = None,
    average_attn_weights: bool = True,
    is_causal: bool = False,
    *,
    dropout: Dropout | None = None,
) -> Any:
    """See `torch.nn.functional.multi_head_attention_forward`: its dropout is not hidden from ``dropout``."""
    dropout_p = dropout_p if training else 0.0
    refused = (bias_k, bias_v, static_k, static_v) != (None,) * 4 or add_zero_attn
    if refused or (dropout_p > 0 and dropout is None) or (is_causal and attn_mask is None):
        return NotImplemented
    if query.dim() not in (2, 3) or query.shape[-1] != embed_dim_to_check or embed_dim_to_check % num_heads:
        return NotImplemented
    single = query.dim() == 2
    same = query is key and key is value
    if single:
        query, key, value = query.unsqueeze(1), key.unsqueeze(1), value.unsqueeze(1)
        key_padding_mask = None if key_padding_mask is None else key_padding_mask.unsqueeze(0)
    biases = (None,) * 3 if in_proj_bias is None else in_proj_bias.chunk(3)
    if use_separate_proj_weight:
        weights: Any = (q_proj_weight, k_proj_weight, v_proj_weight)
        if None in weights:
            return NotImplemented
        projected = [F.linear(*each) for each in zip((query, key, value), weights, biases, strict=True)]
    elif in_proj_weight is None:
        return NotImplemented
    elif same:
        projected = list(F.linear(query, in_proj_weight, in_proj_bias).chunk(3, -1))
    else:
        weights = in_proj_weight.chunk(3)
        projected = [F.linear(*each) for each in zip((query, key, value), weights, biases, strict=True)]
    length, n = query.shape[:2]
    # (length, N, E) to (N, heads, length, E / heads)
    q, k, v = (torch.unflatten(x, -1, (num_heads, -1)).permute(1, 2, 0, 3) for x in projected)
    scores = (q * q.shape[-1] ** -0.5) @ k.transpose(-2, -1)
    if attn_mask is not None:
        mask = _added(attn_mask, scores.dtype)
        scores = scores + (mask if mask.dim() == 2 else torch.unflatten(mask, 0, (n, num_heads)))
    if key_padding_mask is not None:
        scores = scores + _added(key_padding_mask, scores.dtype)[:, None, None, :]
    attention = torch.softmax(scores, -1)
    if not need_weights and (attn_mask is not None or key_padding_mask is not None):
        # Torch goes through `scaled_dot_product_attention` then, and its rule for those who may look at nothing.
        attention = attention.masked_fill((scores == -math.inf).all(-1, keepdim=True), 0.0)
    if dropout_p > 0 and dropout is not None:
        attention = dropout(attention, dropout_p)
    heads = (attention @ v).permute(2, 0, 1, 3).reshape(length, n, embed_dim_to_check)
    y = F.linear(heads, out_proj_weight, out_proj_bias)
    seen = None if not need_weights else attention.mean(1) if average_attn_weights else attention
    return (y.squeeze(1), None if seen is None else seen.squeeze(0)) if single else (y, seen)


def _added(mask: Tensor, dtype: torch.dtype) -> Tensor:
    """Return a mask as what is added to scores: in a mask of truth values, True hides."""
    if mask.dtype != torch.bool:
        return mask
    return torch.zeros(mask.shape, dtype=dtype, device=mask.device).masked_fill(mask, -math.inf)
