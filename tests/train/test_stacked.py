"""Replacements give torch's values and gradients, alone and stacked, and the same bits in every row."""

import itertools

import numpy as np
import pytest
import torch
from torch import nn
from torch.func import functional_call, grad, vmap
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from thalweg.train.stacked import REPLACED, TAKES_DROPOUT, pays


class Stacked(TorchFunctionMode):
    """Calls the replacements, and counts how often."""

    def __init__(self, dropout=None):
        super().__init__()
        self.dropout = dropout
        self.calls = 0

    def __torch_function__(self, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        ours = REPLACED.get(function)
        if ours is not None:
            more = {"dropout": self.dropout} if ours in TAKES_DROPOUT else {}
            result = ours(*args, **kwargs, **more)
            if result is not NotImplemented:
                self.calls += 1
                return result
        return function(*args, **kwargs)


def double(*shape, seed=0):
    return torch.from_numpy(np.random.default_rng([seed, *shape]).standard_normal(shape))


def flat(results):
    return [r for r in torch.utils._pytree.tree_leaves(results) if isinstance(r, torch.Tensor)]


def with_gradients(f, tensors):
    """Return the results of ``f`` and the gradients of a weighted sum of them."""
    tensors = [t.clone().requires_grad_() for t in tensors]
    results = flat(f(*tensors))
    total = sum((r * double(*r.shape, seed=7)).sum() for r in results)
    gradients = torch.autograd.grad(total, tensors, allow_unused=True)
    return [r.detach() for r in results], [torch.zeros(()) if g is None else g for g in gradients]


def agrees(f, tensors, bound=1e-12, count=1):
    """Assert that ``f`` has the same values and gradients with the replacements, alone and under vmap."""
    theirs = with_gradients(f, tensors)
    with Stacked() as mode:
        ours = with_gradients(f, tensors)
    assert mode.calls == count
    for a, b in zip(itertools.chain(*theirs), itertools.chain(*ours), strict=True):
        assert a.shape == b.shape
        assert (a - b).abs().max() <= bound * max(1, a.abs().max())
    several = [torch.stack([t, t + 0.25, t * 2]) for t in tensors]

    def loss(*args):
        with Stacked():
            return sum((r * double(*r.shape, seed=7)).sum() for r in flat(f(*args)))

    stacked = vmap(grad(loss, argnums=tuple(range(len(tensors)))))(*several)
    for row in range(3):
        alone = with_gradients(f, [t[row] for t in several])[1]
        for a, b in zip(alone, stacked, strict=True):
            assert (a - b[row]).abs().max() <= 10 * bound * max(1, a.abs().max())


CONVOLUTIONS = [
    {},
    {"stride": 2},
    {"stride": 3, "padding": 2},
    {"padding": 1},
    {"padding": "same"},
    {"padding": "same", "dilation": 2},
    {"padding": "valid", "stride": 2},
    {"dilation": 2, "padding": 2},
    {"groups": 2, "padding": 1},
    {"groups": 4, "stride": 2, "dilation": 2, "padding": 3},
]


@pytest.mark.filterwarnings("ignore:Using padding='same'")
@pytest.mark.parametrize("options", CONVOLUTIONS, ids=str)
@pytest.mark.parametrize("kernel", [(1, 1), (3, 3), (2, 4)])
def test_conv2d(options, kernel):
    x, w, b = double(3, 4, 9, 11), double(8, 4 // options.get("groups", 1), *kernel), double(8)
    agrees(lambda x, w, b: F.conv2d(x, w, b, **options), [x, w, b])


def test_conv2d_takes_a_pair_for_each_axis_and_one_image_and_no_bias():
    w = double(5, 2, 3, 2)
    agrees(lambda x, w: F.conv2d(x, w, None, (2, 1), (0, 1), (1, 2)), [double(2, 2, 7, 6), w])
    agrees(lambda x, w: F.conv2d(x, w), [double(2, 7, 6), w])


@pytest.mark.parametrize("options", CONVOLUTIONS, ids=str)
def test_conv1d(options):
    w = double(8, 4 // options.get("groups", 1), 3)
    agrees(lambda x, w, b: F.conv1d(x, w, b, **options), [double(3, 4, 11), w, double(8)])


@pytest.mark.parametrize("module", [nn.Conv2d(2, 3, 3, padding=1, padding_mode="circular"), nn.Conv1d(2, 3, 2)])
def test_convolutions_are_caught_in_modules(module):
    module.double()
    x = double(2, 2, 6, 6) if isinstance(module, nn.Conv2d) else double(2, 2, 6)
    agrees(lambda x: module(x), [x])


@pytest.mark.parametrize("size", [(8, 8), (7, 9)])
@pytest.mark.parametrize("kernel", [2, (2, 3), (1, 2), 3])
def test_pooling(size, kernel):
    x = double(2, *size, 3)
    agrees(lambda x: F.max_pool2d(x.movedim(-1, 0), kernel), [x])
    agrees(lambda x: F.avg_pool2d(x.movedim(-1, 0), kernel), [x])
    agrees(lambda x: nn.MaxPool2d(kernel)(x.movedim(-1, 0)), [x])
    agrees(lambda x: F.avg_pool2d(x.movedim(-1, 0), kernel, divisor_override=5), [x])


def test_the_first_of_equal_maxima_has_the_gradient():
    x = torch.randint(0, 2, (4, 3, 8, 8), generator=torch.Generator().manual_seed(1)).double()
    for a in (x, torch.zeros_like(x)):
        theirs = with_gradients(lambda x: F.max_pool2d(x.movedim(-1, 0), 2), [a])
        with Stacked() as mode:
            ours = with_gradients(lambda x: F.max_pool2d(x.movedim(-1, 0), 2), [a])
        assert mode.calls == 1
        assert torch.equal(theirs[1][0], ours[1][0])


@pytest.mark.parametrize("shape", [(6, 3), (6, 3, 5), (4, 3, 5, 2), (3, 2, 2, 3, 2), (2, 1)])
@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("training", [True, False])
def test_batch_norm(shape, affine, training):
    x, c = double(*shape), shape[1]
    scale = [double(c), double(c, seed=1)] if affine else []
    written = []

    def f(x, *scale):
        mean, variance = torch.linspace(-1, 1, c).double(), torch.linspace(0.5, 2, c).double()
        mean, variance = x.detach().sum() * 0 + mean, x.detach().sum() * 0 + variance
        y = F.batch_norm(x, mean, variance, *scale, training=training, momentum=0.3, eps=1e-3)
        written.append((mean, variance))
        return y

    agrees(f, [x, *scale], bound=1e-11)
    assert all(torch.allclose(a, b, rtol=1e-12) for a, b in zip(written[0], written[1], strict=True))
    if training:
        agrees(lambda x: F.batch_norm(x, None, None, training=True), [x], bound=1e-11)


MASKS = {
    "none": None,
    "bool": torch.tensor([[True, False, True, True]] * 4 + [[False] * 4]),
    "float": double(5, 4),
    "wide": double(2, 1, 5, 4),
}


@pytest.mark.parametrize("mask", MASKS.values(), ids=MASKS)
@pytest.mark.parametrize("scale", [None, 0.3])
def test_attention(mask, scale):
    q, k, v = double(2, 3, 5, 6), double(2, 3, 4, 6), double(2, 3, 4, 7)
    agrees(lambda q, k, v: F.scaled_dot_product_attention(q, k, v, mask, scale=scale), [q, k, v])


def test_attention_with_a_mask_that_is_learned():
    q, k, v = double(2, 3, 5, 6), double(2, 3, 4, 6), double(2, 3, 4, 7)
    agrees(
        lambda q, k, v, m: F.scaled_dot_product_attention(q, k, v, m.expand(2, -1, -1, -1)),
        [q, k, v, double(3, 5, 4)],
    )


def test_causal_attention():
    q, k, v = double(2, 5, 6), double(2, 4, 6), double(2, 4, 7)
    agrees(lambda q, k, v: F.scaled_dot_product_attention(q, k, v, is_causal=True), [q, k, v])


@pytest.mark.parametrize("need_weights", [True, False])
@pytest.mark.parametrize("masked", ["no", "padding", "causal", "both", "per head"])
@pytest.mark.parametrize("options", [{}, {"bias": False}, {"kdim": 4, "vdim": 6}, {"batch_first": True}], ids=str)
def test_multihead_attention(need_weights, masked, options):
    torch.manual_seed(0)
    module = nn.MultiheadAttention(8, 2, **options).double()
    q = double(5, 5, 8)
    k, v = double(5, 5, options.get("kdim", 8), seed=1), double(5, 5, options.get("vdim", 8), seed=2)
    more = {"need_weights": need_weights}
    if masked in ("padding", "both"):
        more["key_padding_mask"] = torch.arange(5)[None, :] >= torch.tensor([[5], [3], [4], [1], [2]])
    if masked in ("causal", "both"):
        more["attn_mask"] = torch.ones(5, 5, dtype=torch.bool).triu(1)
    if masked == "per head":
        more["attn_mask"] = double(10, 5, 5)
    agrees(lambda q, k, v: module(q, k, v, **more), [q, k, v])
    if not options:
        agrees(lambda q: module(q, q, q, **more), [q])
        agrees(lambda q: module(q[:, 0], q[:, 0], q[:, 0], need_weights=need_weights), [q])
        more["average_attn_weights"] = False
        agrees(lambda q: module(q, q, q, **more), [q])


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU, nn.RNN, lambda *a, **k: nn.RNN(*a, nonlinearity="relu", **k)])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("bidirectional", [True, False])
@pytest.mark.parametrize("batch_first", [True, False])
def test_recurrent_layers(kind, bias, layers, bidirectional, batch_first):
    torch.manual_seed(0)
    module = kind(3, 4, layers, bias=bias, bidirectional=bidirectional, batch_first=batch_first).double()
    h = double(layers * (1 + bidirectional), 2, 4)
    names = [name for name, _ in module.named_parameters()]

    def f(x, h, *weights):
        start = (h, h * 0.5) if isinstance(module, nn.LSTM) else h
        return functional_call(module, dict(zip(names, weights, strict=True)), (x, start))

    x = double(2, 5, 3) if batch_first else double(5, 2, 3)
    agrees(f, [x, h, *(p.detach() for p in module.parameters())])
    agrees(lambda x: module(x), [x])
    agrees(lambda x: module(x[:, 0]), [x])


@pytest.mark.parametrize("padding", [0, 3, -1])
@pytest.mark.parametrize("by_frequency", [True, False])
def test_the_vector_of_padding_has_no_gradient_in_any_row(padding, by_frequency):
    tables, words = double(4, 6, 3), torch.arange(4 * 24).view(4, 12, 2) % 7 % 6

    def looked_up(table, words):
        return F.embedding(words, table, padding, scale_grad_by_freq=by_frequency).sin()

    alone = [with_gradients(lambda x, w=w: looked_up(x, w), [x])[1][0] for x, w in zip(tables, words, strict=True)]
    with Stacked() as mode:
        found = tables.clone().requires_grad_()
        y = vmap(looked_up)(found, words)
        (y * double(12, 2, 3, seed=7)).sum().backward()
    assert mode.calls == 1
    torch.testing.assert_close(found.grad, torch.stack(alone), rtol=1e-12, atol=1e-12)
    assert not found.grad[:, padding].any()


def test_what_is_left_to_torch():
    x, w = double(2, 3, 8, 8), double(4, 3, 3, 3)
    packed = nn.utils.rnn.pack_padded_sequence(double(5, 2, 3), torch.tensor([5, 3]))
    with Stacked() as mode:
        F.conv2d(double(8, 4, 32, 32), double(2, 4, 3, 3), padding=1)  # windows of more than a megabyte
        F.max_pool2d(x, 2)  # as torch lays it
        x = x.permute(1, 2, 3, 0).contiguous().movedim(-1, 0)
        F.max_pool2d(x, 3, 2)
        F.max_pool2d(x, 2, padding=1)
        F.max_pool2d(x, 3, ceil_mode=True)
        F.max_pool2d(x, 2, return_indices=True)
        F.avg_pool2d(x, 3, 1)
        F.scaled_dot_product_attention(double(1, 4, 3, 2), double(1, 2, 3, 2), double(1, 2, 3, 2), enable_gqa=True)
        nn.LSTM(3, 4, proj_size=2).double()(double(5, 2, 3))
        nn.LSTM(3, 4).double()(packed)
        nn.GRU(3, 4).double()(packed)
        nn.MultiheadAttention(8, 2, add_bias_kv=True).double()(*(double(3, 2, 8),) * 3)
        with pytest.raises(ValueError, match="more than 1 value per channel"):
            F.batch_norm(double(1, 3), None, None, training=True)
        with pytest.raises(RuntimeError, match=r"[Gg]iven groups"):
            F.conv2d(x, double(4, 2, 3, 3))
        with pytest.raises(RuntimeError, match=r"[Kk]ernel size"):
            F.conv2d(x[..., :2], w)
    assert mode.calls == 0


def test_dropout_inside_is_seen():
    seen = []

    def dropout(x, p):
        seen.append((tuple(x.shape), p))
        return x * 2

    q = double(3, 2, 8)
    attention = nn.MultiheadAttention(8, 2, dropout=0.25).double()
    with Stacked(dropout) as mode:
        attention(q, q, q)
        F.scaled_dot_product_attention(q, q, q, dropout_p=0.5)
        nn.LSTM(8, 4, 3, dropout=0.75).double()(q)
        nn.GRU(8, 4, 2, dropout=0.125, bidirectional=True).double()(q)
        assert mode.calls == 4
        attention.eval()(q, q, q)
        nn.LSTM(8, 4, 3, dropout=0.75).double().eval()(q)
    assert seen == [
        ((2, 2, 3, 3), 0.25),
        ((3, 2, 2), 0.5),
        ((3, 2, 4), 0.75),
        ((3, 2, 4), 0.75),
        ((3, 2, 8), 0.125),
    ]
    with Stacked() as mode:
        attention.train()(q, q, q)
        nn.LSTM(8, 4, 3, dropout=0.75).double()(q)
    assert mode.calls == 0


@pytest.mark.parametrize("channels", [1, 3, 10, 16, 33, 64])
@pytest.mark.parametrize("rest", [(64,), (63,), (16, 5, 5), (32, 8, 8), (2, 3)], ids=str)
def test_batch_norm_has_the_same_bits_in_every_row_of_every_population(channels, rest):
    n, *space = rest
    one = [double(n, channels, *space).float(), double(channels).float(), double(channels, seed=1).float()]
    weights = double(n, channels, *space, seed=2).float()

    def loss(x, *scale):
        mean, variance = x.detach()[0].flatten(1).sum(1) * 0 if space else x.detach()[0] * 0, None
        with Stacked():
            y = F.batch_norm(x, mean, variance, *scale, training=True)
        return (y * weights).sum(), (y, mean)

    assert_same_bits(grad(loss, argnums=(0, 1, 2), has_aux=True), one)


def test_what_pays_uncompiled():
    def paid(function, *args, compiled=False, **kwargs):
        return pays(REPLACED[function], args, kwargs, compiled)

    x, q = double(2, 3, 4, 4), double(2, 3, 4)
    assert paid(F.conv2d, x, double(4, 3, 2, 2), compiled=True)
    assert paid(F.conv2d, x, double(4, 3, 2, 2))
    assert paid(F.max_pool2d, x, 2, compiled=True)
    assert not paid(F.max_pool2d, x, 2)
    assert paid(F.scaled_dot_product_attention, q, q, q, dropout_p=0.1)
    assert paid(F.scaled_dot_product_attention, q, q, q, None, 0.1)
    assert not paid(F.scaled_dot_product_attention, q, q, q)
    mask = double(3, 3).requires_grad_()
    assert paid(F.scaled_dot_product_attention, q, q, q, mask)
    assert paid(F.scaled_dot_product_attention, q, q, q, attn_mask=mask[None].expand(2, -1, -1))
    assert not paid(F.scaled_dot_product_attention, q, q, q, mask.detach())
    with torch.no_grad():
        assert not paid(F.scaled_dot_product_attention, q, q, q, mask)
    found = []
    vmap(lambda m: found.append(paid(F.scaled_dot_product_attention, q, q, q, m.view(3, 3))) or m)(mask[None])
    assert found == [True]


def assert_same_bits(f, one, populations=(3, 4, 7, 8, 33, 64)):
    """Assert that every row of every population has the bits of the first row of three."""
    first = None
    for size in populations:
        results = flat(vmap(f)(*(t.expand(size, *t.shape).clone() for t in one)))
        first = [r[0].clone() for r in results] if first is None else first
        for r, row in zip(results, first, strict=True):
            assert torch.equal(r, row.expand_as(r))
