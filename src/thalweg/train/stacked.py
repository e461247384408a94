"""Torch's operations written so that many models can be stacked: quick under ``vmap``, and the same bits in each row.

Each function takes the arguments of torch's own and returns ``NotImplemented`` where it leaves them to torch.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from itertools import product
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.fx.experimental.proxy_tensor import get_proxy_mode

__all__ = ["REPLACED", "TAKES_DROPOUT", "pays"]

Dropout = Callable[[Tensor, float], Tensor]
"""From a tensor and the probability to drop an element to the tensor after dropout."""


# Convolution and pooling keep the batch innermost, (channel, …, example): every slice of a window is then a run of
# whole batches, whatever the image's size, and what stands between two layers stays in that order.


_MOST = 2**18
"""Numbers in one model's windows beyond which they leave the cache, and torch's own convolution is quicker."""


def conv1d(
    input: Tensor,  # noqa: A002
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Any:
    """See `torch.nn.functional.conv1d`; shapes ``(N, C, L)`` or ``(C, L)``. Costs what `conv2d` costs."""
    return _convolve(1, input, weight, bias, stride, padding, dilation, groups)


def conv2d(
    input: Tensor,  # noqa: A002
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Any:
    """See `torch.nn.functional.conv2d`; shapes ``(N, C, H, W)`` or ``(C, H, W)``.

    One matrix product over the input's windows. They are kept for the backward pass, and twice for a moment in it:
    ``kh × kw / (stride_h × stride_w)`` times the input's memory. Where that is more than a megabyte a model, torch's
    own is quicker and is left to do it.
    """
    return _convolve(2, input, weight, bias, stride, padding, dilation, groups)


def _convolve(
    rank: int, x: Tensor, weight: Tensor, bias: Tensor | None, stride: Any, padding: Any, dilation: Any, groups: int
) -> Any:
    if x.dim() not in (rank + 1, rank + 2) or weight.dim() != rank + 2 or not x.is_floating_point():
        return NotImplemented
    out, per_group, *kernel = weight.shape
    strides, dilations = _each(rank, stride), _each(rank, dilation)
    pads = _pads(rank, padding, kernel, strides, dilations)
    if pads is None or x.shape[-rank - 1] != per_group * groups or out % groups or x.dtype != weight.dtype:
        return NotImplemented
    single = x.dim() == rank + 1
    x = (x.unsqueeze(0) if single else x).movedim(0, -1)
    if any(map(any, pads)):
        x = F.pad(x, [0, 0, *(side for pad in reversed(pads) for side in pad)])
    spans = _spans(x.shape[1:-1], kernel, strides, dilations)
    if spans is None or x.shape[-1] == 0:
        return NotImplemented
    if len(spans) * x[(slice(None), *spans[0])].numel() > _MOST:
        return NotImplemented
    columns = _windows(torch.unflatten(x, 0, (groups, per_group)), spans)
    sizes = columns.shape[3:]
    columns = columns.flatten(1, 2).flatten(2)
    # (groups, out / groups, kernel × per_group): in the windows' order, the kernel's places first.
    rows = weight.flatten(2).transpose(1, 2).reshape(groups, out // groups, -1)
    y = torch.matmul(rows, columns).flatten(0, 1)
    if bias is not None:
        y = y + bias.unsqueeze(-1)
    y = torch.unflatten(y, -1, sizes).movedim(-1, 0)
    return y.squeeze(0) if single else y


def _each(rank: int, value: Any) -> list[int]:
    """Return a number for each axis, from one number, a tuple of one, or one number an axis."""
    values = [value] if isinstance(value, int) else list(value)
    return values * rank if len(values) == 1 else values


def _pads(
    rank: int, padding: Any, kernel: Sequence[int], strides: Sequence[int], dilations: Sequence[int]
) -> list[tuple[int, int]] | None:
    if padding == "valid":
        return [(0, 0)] * rank
    if padding == "same":
        if any(stride != 1 for stride in strides):
            return None
        wholes = [d * (k - 1) for k, d in zip(kernel, dilations, strict=True)]
        return [(whole // 2, whole - whole // 2) for whole in wholes]
    if isinstance(padding, str):
        return None
    return [(p, p) for p in _each(rank, padding)]


Spans = list[tuple[slice, ...]]
"""For each place of the kernel, in order, the slice along each axis on which it falls."""


def _spans(
    sizes: Sequence[int], kernel: Sequence[int], strides: Sequence[int], dilations: Sequence[int]
) -> Spans | None:
    axes = []
    for size, k, s, d in zip(sizes, kernel, strides, dilations, strict=True):
        number = (size - d * (k - 1) - 1) // s + 1
        if number < 1:
            return None
        axes.append([slice(i * d, i * d + s * (number - 1) + 1, s) for i in range(k)])
    return list(product(*axes))


def _windows(x: Tensor, spans: Spans) -> Tensor:
    """Return the windows of ``(groups, channels, *sizes, N)``, shape ``(groups, places, channels, *numbers, N)``."""
    if len(spans) == 1:
        return x[(slice(None), slice(None), *spans[0])].unsqueeze(1)
    windows: Tensor = _Windows.apply(x, spans)  # type: ignore[no-untyped-call]
    return windows


class _Windows(torch.autograd.Function):
    """Windows by slices, with a backward pass that adds into one buffer: autograd's own makes one a slice."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, spans: Spans) -> Tensor:
        return torch.stack([x[(slice(None), slice(None), *span)] for span in spans], 1)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Spans], output: Tensor) -> None:  # noqa: ARG004
        x, ctx.spans = inputs
        ctx.shape = x.shape

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        parts = zip(ctx.spans, gradient.unbind(1), strict=True)
        if get_proxy_mode() is not None and all(s.step == 1 for s in ctx.spans[0]):
            # To the compiler a sum is one loop; writes into slices are as many as there are slices.
            return sum(_padded(part, span, ctx.shape) for span, part in parts), None  # type: ignore[return-value]
        total = gradient.new_zeros(ctx.shape)
        for span, part in parts:
            total[(slice(None), slice(None), *span)].add_(part)
        return total, None


def _padded(part: Tensor, span: tuple[slice, ...], shape: Sequence[int]) -> Tensor:
    """Return a tensor of ``shape`` that is ``part`` on ``span``, of steps of one, and zero elsewhere."""
    sides = [(s.start, size - s.stop) for s, size in zip(span, shape[2:-1], strict=True)]
    return F.pad(part, [0, 0, *(side for pair in reversed(sides) for side in pair)])


def max_pool2d(
    input: Tensor,  # noqa: A002
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """See `torch.nn.functional.max_pool2d`; only for images that lie as `conv2d` here lays them, the batch innermost.

    Windows that overlap or reach beyond the image are left to torch too. As there, the first of equal
    maxima has the whole gradient.
    """
    kernel = _each(2, kernel_size)
    if input.dim() != 4 or return_indices or not _tiles(input, kernel, stride, padding, ceil_mode):
        return NotImplemented
    if _each(2, dilation) != [1, 1]:
        return NotImplemented
    return _pooled(input, kernel, lambda x, spans: _Maximum.apply(x, spans)[0])  # type: ignore[no-untyped-call]


def avg_pool2d(
    input: Tensor,  # noqa: A002
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,  # noqa: ARG001
    divisor_override: int | None = None,
) -> Any:
    """See `torch.nn.functional.avg_pool2d`; what `max_pool2d` leaves to torch is left here too."""
    kernel = _each(2, kernel_size)
    if input.dim() != 4 or not _tiles(input, kernel, stride, padding, ceil_mode):
        return NotImplemented
    scale = 1.0 / (divisor_override or math.prod(kernel))
    return _pooled(input, kernel, lambda x, spans: _Mean.apply(x, spans, scale))  # type: ignore[no-untyped-call]


def _tiles(x: Tensor, kernel: list[int], stride: Any, padding: Any, ceil_mode: bool) -> bool:
    strides = kernel if stride is None or stride == [] else _each(2, stride)
    sizes = x.shape[-2:]
    # Torch's own is quicker for images that lie as torch lays them.
    if x.stride(0) != 1 and x.shape[0] > 1:
        return False
    whole = all(size >= k and (not ceil_mode or size % k == 0) for size, k in zip(sizes, kernel, strict=True))
    return whole and strides == kernel and _each(2, padding) == [0, 0] and x.is_floating_point()


def _pooled(x: Tensor, kernel: list[int], pool: Callable[[Tensor, Spans], Tensor]) -> Tensor:
    x = x.movedim(0, -1)
    spans = _spans(x.shape[1:-1], kernel, kernel, [1, 1])
    assert spans is not None
    return pool(x, spans).movedim(-1, 0)


class _Maximum(torch.autograd.Function):
    """The largest of each window of ``(C, H, W, N)``, and it again for the backward pass."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, spans: Spans) -> tuple[Tensor]:
        first, *others = (x[(slice(None), *span)] for span in spans)
        largest = first.clone() if not others else first
        for other in others:
            largest = torch.maximum(largest, other)
        return (largest,)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Spans], output: tuple[Tensor]) -> None:
        x, ctx.spans = inputs
        ctx.save_for_backward(x, output[0])

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        x, largest = ctx.saved_tensors
        left, parts = gradient, []
        for span in ctx.spans[:-1]:
            # Products, not choices: where the gradient is not a number, it is nowhere one.
            part = left * (x[(slice(None), *span)] == largest)
            left = left - part
            parts.append(part)
        return _spread(x.shape, ctx.spans, [*parts, left]), None


class _Mean(torch.autograd.Function):
    """The sum of each window of ``(C, H, W, N)`` times a number."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, spans: Spans, scale: float) -> Tensor:
        total = x[(slice(None), *spans[0])]
        for span in spans[1:]:
            total = total + x[(slice(None), *span)]
        return total * scale

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Spans, float], output: Tensor) -> None:  # noqa: ARG004
        x, ctx.spans, ctx.scale = inputs
        ctx.shape = x.shape

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        part = gradient * ctx.scale
        return _spread(ctx.shape, ctx.spans, [part] * len(ctx.spans)), None, None


def _spread(shape: Sequence[int], spans: Spans, parts: list[Tensor]) -> Tensor:
    """Return a tensor that is each part on its span; the spans are a tiling, but for what stays of the image."""
    tiled = all(s.stop - s.start + len(axis) - 1 >= size for s, size, axis in _axes(spans, shape))
    whole = parts[0].new_empty(shape) if tiled else parts[0].new_zeros(shape)
    for span, part in zip(spans, parts, strict=True):
        whole[(slice(None), *span)].copy_(part)
    return whole


def _axes(spans: Spans, shape: Sequence[int]) -> Iterator[tuple[slice, int, set[int]]]:
    for axis, size in enumerate(shape[1:-1]):
        yield spans[0][axis], size, {span[axis].start for span in spans}


def batch_norm(
    input: Tensor,  # noqa: A002
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Any:
    """See `torch.nn.functional.batch_norm`; input ``(N, C, …)``, running statistics ``(C,)``, written in place.

    Torch's own gives bits that depend on the number of models and on a model's row.
    """
    if input.dim() < 2 or not input.is_floating_point() or input.dtype != (input if weight is None else weight).dtype:
        return NotImplemented
    axes = [0, *range(2, input.dim())]
    shape = [1, -1] + [1] * (input.dim() - 2)
    n = math.prod(input.shape[axis] for axis in axes)
    if training:
        if n < 2 or eps <= 0:
            return NotImplemented
        mean = input.mean(axes)
        centred = input - mean.view(shape)
        variance = (centred * centred).mean(axes)
        with torch.no_grad():
            if running_mean is not None:
                running_mean.mul_(1 - momentum).add_(mean.detach() * momentum)
            if running_var is not None:
                running_var.mul_(1 - momentum).add_(variance.detach() * (momentum * n / (n - 1)))
    else:
        if running_mean is None or running_var is None or eps < 0:
            return NotImplemented
        centred, variance = input - running_mean.view(shape), running_var
    scale = torch.rsqrt(variance + eps)
    if weight is not None:
        scale = scale * weight
    y = centred * scale.view(shape)
    return y if bias is None else y + bias.view(shape)


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


# Recurrent layers: cells of (inputs' share, hidden, weights), one after the other in time.


def lstm(*args: Any, dropout: Dropout | None = None) -> Any:
    """See `torch.nn.LSTM`, which calls this ``(input, (h, c), weights, has_biases, num_layers, dropout, train, …)``.

    Packed sequences and projections are left to torch.
    """
    return _recurrent(_lstm_layer, 2, args, dropout)


def gru(*args: Any, dropout: Dropout | None = None) -> Any:
    """See `torch.nn.GRU`; packed sequences are left to torch."""
    return _recurrent(_gru_layer, 1, args, dropout)


def rnn_tanh(*args: Any, dropout: Dropout | None = None) -> Any:
    """See `torch.nn.RNN` with tanh; packed sequences are left to torch."""
    return _recurrent(_rnn_layer(torch.tanh), 1, args, dropout)


def rnn_relu(*args: Any, dropout: Dropout | None = None) -> Any:
    """See `torch.nn.RNN` with relu; packed sequences are left to torch."""
    return _recurrent(_rnn_layer(torch.relu), 1, args, dropout)


def _sum(biases: list[Tensor]) -> Tensor | None:
    return biases[0] + biases[1] if biases else None


Layer = Callable[[Tensor, list[Tensor], list[Tensor]], tuple[Tensor, list[Tensor]]]
"""From inputs ``(T, N, I)``, states ``(N, H)`` and weights to outputs ``(T, N, H)`` and last states."""


def _recurrent(layer: Layer, states: int, args: tuple[Any, ...], dropout: Dropout | None) -> Any:
    if len(args) != 9 or isinstance(args[3], (list, tuple)):
        return NotImplemented  # a packed sequence
    x, start, weights, has_biases, layers, p, train, bidirectional, batch_first = args
    starts = list(start) if states == 2 else [start]
    directions = 2 if bidirectional else 1
    each = 4 if has_biases else 2
    drops = train and p > 0 and layers > 1
    if len(weights) != each * layers * directions or x.dim() != 3 or (drops and dropout is None):
        return NotImplemented  # with a projection there are more
    if starts[0].shape[-1] != starts[-1].shape[-1] or x.dtype != weights[0].dtype:
        return NotImplemented
    x = x.transpose(0, 1) if batch_first else x
    ends: list[list[Tensor]] = []
    for depth in range(layers):
        if depth and drops and dropout is not None:
            x = dropout(x, p)
        outputs = []
        for direction in range(directions):
            at = depth * directions + direction
            own = weights[at * each : (at + 1) * each]
            y, end = layer(x.flip(0) if direction else x, [s[at] for s in starts], own)
            outputs.append(y.flip(0) if direction else y)
            ends.append(end)
        x = torch.cat(outputs, -1) if bidirectional else outputs[0]
    return x.transpose(0, 1) if batch_first else x, *(
        torch.stack(each_state) for each_state in zip(*ends, strict=True)
    )


def _lstm_layer(x: Tensor, start: list[Tensor], weights: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
    w_in, w_hidden, *biases = weights
    h, c = start
    outputs = []
    wide = F.linear(x, w_in, _sum(biases))
    for part in wide.unbind(0):
        gates = part + h @ w_hidden.t()
        i, f, g, o = gates.chunk(4, -1)
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        h = torch.sigmoid(o) * torch.tanh(c)
        outputs.append(h)
    return torch.stack(outputs), [h, c]


def _gru_layer(x: Tensor, start: list[Tensor], weights: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
    w_in, w_hidden, *biases = weights
    (h,) = start
    outputs = []
    wide = F.linear(x, w_in, biases[0] if biases else None)
    for part in wide.unbind(0):
        mine = F.linear(h, w_hidden, biases[1] if biases else None)
        r_in, z_in, n_in = part.chunk(3, -1)
        r_mine, z_mine, n_mine = mine.chunk(3, -1)
        z = torch.sigmoid(z_in + z_mine)
        n = torch.tanh(n_in + torch.sigmoid(r_in + r_mine) * n_mine)
        h = n + z * (h - n)
        outputs.append(h)
    return torch.stack(outputs), [h]


def _rnn_layer(activation: Callable[[Tensor], Tensor]) -> Layer:
    def layer(x: Tensor, start: list[Tensor], weights: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        w_in, w_hidden, *biases = weights
        (h,) = start
        outputs = []
        for part in F.linear(x, w_in, _sum(biases)).unbind(0):
            h = activation(part + h @ w_hidden.t())
            outputs.append(h)
        return torch.stack(outputs), [h]

    return layer


REPLACED: dict[Callable[..., Any], Callable[..., Any]] = {
    F.conv1d: conv1d,
    F.conv2d: conv2d,
    F.max_pool2d: max_pool2d,
    torch.max_pool2d: max_pool2d,
    F.avg_pool2d: avg_pool2d,
    F.batch_norm: batch_norm,
    F.scaled_dot_product_attention: scaled_dot_product_attention,
    F.multi_head_attention_forward: multi_head_attention_forward,
    torch._VF.lstm: lstm,  # noqa: SLF001
    torch._VF.gru: gru,  # noqa: SLF001
    torch._VF.rnn_tanh: rnn_tanh,  # noqa: SLF001
    torch._VF.rnn_relu: rnn_relu,  # noqa: SLF001
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

    Needed is attention that drops, and batch norm of ``(N, C)``, for its bits.
    """
    if compiled:
        return True
    if ours is scaled_dot_product_attention:
        return bool(kwargs.get("dropout_p", args[4] if len(args) > 4 else 0.0) > 0)
    if ours is batch_norm:
        return bool(args[0].dim() == 2)
    return ours not in (conv1d, conv2d, max_pool2d, avg_pool2d)
