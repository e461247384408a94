"""What a forward pass draws by torch's own functions, as stochastic depth and variational models do, has keys too.

As masks of dropout have: numbers are a function of run, step, place and of what was drawn before, and so the same
alone, in any population and in compiled code. Where one of torch's own generators is given, it answers.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from thalweg.train.counter import hashed, normals
from thalweg.train.dropout import ANSWERS, KeyedDropout

__all__ = ["NOISE"]

_DIGITS = {torch.float64: 53, torch.float16: 11, torch.bfloat16: 8}
"""How many binary digits a uniform number has, by its type; 24 in float32."""

_ALPHA = 1.7580993408473766
"""SELU goes down to minus this; see Klambauer et al. 2017, "Self-normalizing neural networks"."""


def _uniforms(masks: KeyedDropout, shape: Sequence[int], dtype: torch.dtype) -> Tensor:
    """Return numbers from 0 up to, but not, 1."""
    digits = _DIGITS.get(dtype, 24)
    whole: Tensor = hashed(masks.following(), shape) & (2**digits - 1)
    return whole.to(dtype) * 2.0**-digits


def _between(masks: KeyedDropout, shape: Sequence[int], dtype: torch.dtype) -> Tensor:
    """Return numbers between 0 and 1, and neither, of which there are logarithms."""
    wide = torch.promote_types(dtype, torch.float32)
    digits = _DIGITS.get(wide, 24) - 1
    whole: Tensor = hashed(masks.following(), shape) & (2**digits - 1)
    return (whole.to(wide) + 0.5) * 2.0**-digits


def _exponentials(masks: KeyedDropout, shape: Sequence[int], dtype: torch.dtype) -> Tensor:
    return (-_between(masks, shape, dtype).log()).to(dtype)


def _normals(masks: KeyedDropout, shape: Sequence[int], dtype: torch.dtype) -> Tensor:
    return normals(masks.following(), shape, dtype)


def _integers(masks: KeyedDropout, shape: Sequence[int], low: int, high: int) -> Tensor:
    """Return int64 from ``low`` up to, but not, ``high``."""
    whole: Tensor = (hashed(masks.following(), shape) >> 1) & (2**62 - 1)
    return whole % (high - low) + low


def _is_left(more: dict[str, Any]) -> bool:
    """Return whether a call asks for what has no key: a generator's numbers, a place for them, or to be trained."""
    asked = (more.get(name) for name in ("generator", "out", "requires_grad", "names"))
    return any(value is not None and value is not False for value in asked)


def _is_real(dtype: torch.dtype) -> bool:
    """Return whether a type is of real numbers; of others torch draws in another way, or says that it does not."""
    return torch.empty(0, dtype=dtype).is_floating_point()


def _sized(size: tuple[Any, ...], more: dict[str, Any]) -> list[int]:
    """Return a shape that was given as numbers, numpy's too, or as a list of them, or by name."""
    whole = size or (more["size"],)
    return list(torch.Size(whole[0] if len(whole) == 1 and isinstance(whole[0], Sequence) else whole))


# -- functions that make a tensor --------------------------------------------------------------------------------


def _makes(draw: Callable[..., Tensor]) -> Callable[..., Any]:
    """Return what answers as ``torch.rand`` does."""

    def made(masks: KeyedDropout, *size: Any, **more: Any) -> Any:
        dtype = more.get("dtype") or torch.get_default_dtype()
        if _is_left(more) or not (size or "size" in more) or not _is_real(dtype):
            return NotImplemented
        found = draw(masks, _sized(size, more), dtype)
        return found.to(more.get("device") or torch.get_default_device())

    return made


def _makes_like(draw: Callable[..., Tensor]) -> Callable[..., Any]:
    """Return what answers as ``torch.rand_like`` does."""

    def made(masks: KeyedDropout, input: Tensor, **more: Any) -> Any:  # noqa: A002
        dtype = more.get("dtype") or input.dtype
        if _is_left(more) or not _is_real(dtype):
            return NotImplemented
        found = draw(masks, list(input.shape), dtype)
        return found.to(more.get("device") or input.device)

    return made


def _randint(masks: KeyedDropout, *given: Any, **more: Any) -> Any:
    *bounds, size = (*given, more["size"]) if "size" in more else given
    low, high = more.get("low", 0), more.get("high")
    if bounds:
        low, high = (low, bounds[0]) if len(bounds) == 1 else bounds
    if _is_left(more) or high is None or not 0 < high - low < 2**62:
        return NotImplemented
    found = _integers(masks, _sized((size,), {}), int(low), int(high))
    return found.to(more.get("device") or torch.get_default_device(), more.get("dtype") or torch.int64)


def _randint_like(masks: KeyedDropout, input: Tensor, *bounds: int, **more: Any) -> Any:  # noqa: A002
    given = {"device": input.device, "dtype": input.dtype, **more}
    return _randint(masks, *bounds, size=input.shape, **given)


def _randperm(masks: KeyedDropout, n: int, **more: Any) -> Any:
    if _is_left(more):
        return NotImplemented
    found: Tensor = hashed(masks.following(), _sized((n,), {})).argsort()
    return found.to(more.get("device") or torch.get_default_device(), more.get("dtype") or torch.int64)


def _normal_of(masks: KeyedDropout, mean: Any, std: Any = 1.0, size: Any = None, **more: Any) -> Any:
    """Answer as ``torch.normal``, of numbers or tensors, through which no gradient flows."""
    tensors = [x.detach() for x in (mean, std) if isinstance(x, Tensor)]
    if _is_left(more) or (not tensors and size is None) or not (isinstance(std, Tensor) or std >= 0):
        return NotImplemented
    if not tensors:
        drawn = _makes(_normals)(masks, *size, **more)
        return drawn if drawn is NotImplemented else mean + std * drawn
    if isinstance(std, Tensor):
        masks.expect(std >= 0)
    mean, std = (x.detach() if isinstance(x, Tensor) else x for x in (mean, std))
    shape = torch.broadcast_shapes(*(x.shape for x in tensors))  # type: ignore[no-untyped-call]
    return mean + std * _normals(masks, shape, tensors[0].dtype).to(tensors[0].device)


def _may_be(p: float | None, input: Tensor) -> bool:  # noqa: A002
    """Return whether a share is one, or else the shares in a tensor can be."""
    return input.is_floating_point() if p is None else 0 <= p <= 1


def _bernoulli(masks: KeyedDropout, input: Tensor, p: float | None = None, **more: Any) -> Any:  # noqa: A002
    if _is_left(more) or not _may_be(p, input):
        return NotImplemented
    share = input.to(torch.promote_types(input.dtype, torch.float32))
    if p is None:
        masks.expect((share >= 0) & (share <= 1))
    drawn = _uniforms(masks, list(input.shape), share.dtype).to(input.device)
    return (drawn < (share if p is None else p)).to(input.dtype)


def _multinomial(
    masks: KeyedDropout, input: Tensor, num_samples: int, replacement: bool = False, **more: Any  # noqa: A002
) -> Any:  # fmt: skip
    """Answer as ``torch.multinomial``: what is likely has the largest logarithm and Gumbel's noise (Gumbel 1954)."""
    fits = 1 <= input.dim() <= 2 and input.is_floating_point() and num_samples > 0
    if _is_left(more) or not fits or (num_samples > input.shape[-1] and not replacement):
        return NotImplemented
    share = input.to(torch.promote_types(input.dtype, torch.float32))
    masks.expect((share >= 0) & share.isfinite() & (share.sum(-1, keepdim=True) > 0))
    rows = [num_samples if replacement else 1]
    noise = _exponentials(masks, [*input.shape[:-1], *rows, input.shape[-1]], share.dtype).to(input.device)
    likely = share.log().unsqueeze(-2) - noise.log()
    return likely.argmax(-1) if replacement else likely.squeeze(-2).topk(num_samples).indices


# -- functions that write into a tensor ---------------------------------------------------------------------------


def _fills(
    draw: Callable[..., Tensor], then: Callable[..., Tensor], fits: Callable[..., bool], **defaults: float
) -> Callable[..., Any]:
    """Return what answers as ``Tensor.normal_`` does.

    Args:
        draw: what is drawn.
        then: makes of it, and of the values given, what is asked for.
        fits: whether the values can be.
        defaults: the values by name.
    """

    def filled(masks: KeyedDropout, input: Tensor, *values: float, generator: Any = None, **named: float) -> Any:  # noqa: A002
        whole = {**defaults, **dict(zip(defaults, values, strict=False)), **named}
        if generator is not None or not input.is_floating_point() or not fits(*whole.values()):
            return NotImplemented
        return input.copy_(then(draw(masks, list(input.shape), input.dtype).to(input.device), *whole.values()))

    return filled


def _begins(fill: Callable[..., Any]) -> Callable[..., Any]:
    """Return what answers as ``nn.init.normal_`` does, which fills parameters too."""

    def filled(masks: KeyedDropout, tensor: Tensor, *values: Any, **named: Any) -> Any:
        with torch.no_grad():
            return fill(masks, tensor, *values, **named)

    return filled


def _between_bounds(x: Tensor, low: float, high: float) -> Tensor:
    return x * (high - low) + low


def _spread(x: Tensor, mean: float, std: float) -> Tensor:
    return x * std + mean


def _ordered(low: float, high: float) -> bool:
    return low <= high


def _not_negative(_: float, scale: float) -> bool:
    return scale >= 0


def _bernoulli_(masks: KeyedDropout, input: Tensor, p: float | Tensor = 0.5, *, generator: Any = None) -> Any:  # noqa: A002
    if generator is not None or not (isinstance(p, Tensor) or 0 <= p <= 1):
        return NotImplemented
    if isinstance(p, Tensor):
        masks.expect((p >= 0) & (p <= 1))
    return input.copy_(_uniforms(masks, list(input.shape), torch.float32).to(input.device) < p)


# -- layers ---------------------------------------------------------------------------------------------------------


def _alpha_dropout(shared: bool) -> Callable[..., Any]:
    """Return what answers as ``F.alpha_dropout``; where values are ``shared``, channels leave whole."""

    def answered(
        masks: KeyedDropout, input: Tensor, p: float = 0.5, training: bool = False, inplace: bool = False  # noqa: A002, ARG001
    ) -> Any:  # fmt: skip
        if not 0 <= p <= 1:
            return NotImplemented
        if not training or p == 0.0:
            return input
        if p == 1.0:
            return input * 0.0
        shape = [*input.shape[:2], *[1] * (input.dim() - 2)] if shared else list(input.shape)
        keep = (_uniforms(masks, shape, torch.float32) >= p).to(input)
        scale = 1.0 / math.sqrt((_ALPHA**2 * p + 1.0) * (1.0 - p))
        return input * (keep * scale) + ((keep - 1.0) * (_ALPHA * scale) + _ALPHA * scale * p)

    return answered


def _rrelu(
    masks: KeyedDropout, input: Tensor, lower: float = 1 / 8, upper: float = 1 / 3, training: bool = False,  # noqa: A002
    inplace: bool = False, **more: Any,  # noqa: ARG001
) -> Any:  # fmt: skip
    if _is_left(more):
        return NotImplemented
    if not training:
        return F.leaky_relu(input, (lower + upper) / 2)  # vmap knows no rrelu at all
    slope = _uniforms(masks, list(input.shape), input.dtype).to(input.device) * (upper - lower) + lower
    return torch.where(input > 0, input, input * slope)


def _gumbel_softmax(
    masks: KeyedDropout, logits: Tensor, tau: float = 1.0, hard: bool = False, eps: float = 1e-10, dim: int = -1  # noqa: ARG001
) -> Tensor:  # fmt: skip
    """Answer as ``F.gumbel_softmax`` (Jang, Gu & Poole 2017)."""
    noise = _exponentials(masks, list(logits.shape), logits.dtype).to(logits.device)
    soft = ((logits - noise.log()) / tau).softmax(dim)
    if not hard:
        return soft
    one = torch.zeros_like(soft).scatter(dim, soft.argmax(dim, keepdim=True), 1.0)
    return one - soft.detach() + soft


def _dropout_of_torch(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return what answers as ``torch.dropout``, by what is known as ``F.dropout``."""

    def answered(masks: KeyedDropout, input: Tensor, p: float, train: bool) -> Tensor:  # noqa: A002
        found: Tensor = masks.__torch_function__(function, (), (input, p, train))
        return found

    return answered


def _believed(masks: KeyedDropout, x: Tensor) -> Any:
    """Answer as ``torch._is_all_true``, by which ``torch.distributions`` look at values; under vmap nobody can."""
    masks.expect(x)
    return True


NOISE: dict[Callable[..., Any], Callable[..., Any]] = {
    torch.rand: _makes(_uniforms),
    torch.randn: _makes(_normals),
    torch.rand_like: _makes_like(_uniforms),
    torch.randn_like: _makes_like(_normals),
    torch.randint: _randint,
    torch.randint_like: _randint_like,
    torch.randperm: _randperm,
    torch.normal: _normal_of,
    torch.bernoulli: _bernoulli,
    Tensor.bernoulli: _bernoulli,
    torch.multinomial: _multinomial,
    Tensor.multinomial: _multinomial,
    Tensor.bernoulli_: _bernoulli_,
    Tensor.normal_: _fills(_normals, _spread, _not_negative, mean=0.0, std=1.0),
    Tensor.uniform_: _fills(_uniforms, _between_bounds, _ordered, **{"from": 0.0, "to": 1.0}),
    Tensor.exponential_: _fills(_exponentials, lambda x, rate: x / rate, lambda rate: rate > 0, lambd=1.0),
    Tensor.log_normal_: _fills(
        _normals, lambda x, *values: _spread(x, *values).exp(), _not_negative, mean=1.0, std=2.0
    ),
    Tensor.cauchy_: _fills(
        _between,
        lambda x, median, sigma: _spread((math.pi * (x - 0.5)).tan(), median, sigma),
        _not_negative,
        median=0.0,
        sigma=1.0,
    ),
    nn.init.normal_: _begins(_fills(_normals, _spread, _not_negative, mean=0.0, std=1.0)),
    nn.init.uniform_: _begins(_fills(_uniforms, _between_bounds, _ordered, a=0.0, b=1.0)),
    F.alpha_dropout: _alpha_dropout(shared=False),
    F.feature_alpha_dropout: _alpha_dropout(shared=True),
    F.rrelu: _rrelu,
    torch.rrelu: _rrelu,
    F.gumbel_softmax: _gumbel_softmax,
    torch.dropout: _dropout_of_torch(F.dropout),
    torch._is_all_true: _believed,  # noqa: SLF001
}
"""From torch's functions that draw to what answers in their place, given the mode and their arguments."""

ANSWERS.update(NOISE)
