"""The kinds of layers of `torch.nn` that can be stacked: of a width, with inputs that fit."""

import torch
from torch import nn
from torch.nn import functional as F

TOKENS = 11


class Of(nn.Module):
    """A layer, and what is made of it and its input."""

    def __init__(self, layer, outputs):
        super().__init__()
        self.layer, self.outputs = layer, outputs

    def forward(self, x):
        return self.outputs(self.layer, x)


class Between(nn.Sequential):
    """Layers between a linear one, so that inputs have gradients, and a narrow head."""

    def __init__(self, width, *layers, after=None):
        super().__init__(nn.Linear(width, width), *layers, nn.Linear(width if after is None else after, 3))


def convolved(rank, width, *layers, kernel=1, after=True):
    """Layers behind a convolution, and another behind them."""
    kind = getattr(nn, f"Conv{rank}d")
    return nn.Sequential(kind(width, width, kernel), *layers, *([kind(width, 3, 1)] if after else []))


def recurrent(kind, layers, both):
    def make(width):
        dropout = 0.3 if layers > 1 else 0.0
        rnn = kind(width, width, layers, batch_first=True, bidirectional=both, dropout=dropout)
        return Of(rnn, lambda layer, x: layer(x)[0])

    return make


def attention(width, **options):
    layer = nn.MultiheadAttention(width, 1, batch_first=True, **options)
    return Of(layer, lambda layer, x: layer(x, x, x, need_weights=False)[0])


class Biased(nn.Module):
    """Attention with a bias for each pair of places, which is learned."""

    def __init__(self, width):
        super().__init__()
        self.layer, self.bias = nn.Linear(width, 3 * width), nn.Parameter(torch.zeros(4, 4))

    def forward(self, x):
        q, k, v = self.layer(x)[:, None].chunk(3, -1)
        return F.scaled_dot_product_attention(q, k, v, self.bias.expand(len(x), 1, -1, -1))[:, 0]


def encoder(width, **options):
    return nn.TransformerEncoderLayer(width, 1, 2 * width, dropout=0.1, batch_first=True, **options)


def decoder(width):
    layer = nn.TransformerDecoderLayer(width, 1, width, dropout=0.1, batch_first=True)
    return Of(layer, lambda layer, x: layer(x, x.flip(1), tgt_mask=torch.ones(4, 4, dtype=torch.bool).triu(1)))


def reduced(layer, x):
    y = layer(x)
    parts = y.mean(1), y.std(1), y.logsumexp(1), y.amax(1), y.prod(1), y.cumsum(1)[:, -1], F.normalize(y[:, 0])
    return torch.cat([*parts, y.norm(dim=1), F.cosine_similarity(y, x, 1)], 1)


def activated(name):
    return lambda width: Between(width, getattr(nn, name)(**{"dim": -1} if name == "Softmin" else {}))


class Gated(nn.Module):
    """Functions of single parameters: the narrowest tensors there are."""

    def __init__(self, width):
        super().__init__()
        self.layer = nn.Linear(width, width)
        self.scale, self.gate = nn.Parameter(torch.rand(())), nn.Parameter(torch.rand(width))

    def forward(self, x):
        y = self.layer(x) * torch.sigmoid(self.gate) / F.softplus(self.scale)
        return y * self.gate.abs() ** 1.3 + torch.logaddexp(self.gate, self.scale) + F.silu(self.gate + 0, True)


ACTIVATIONS = (
    *("CELU", "ELU", "GELU", "Hardshrink", "Hardsigmoid", "Hardswish", "Hardtanh", "LeakyReLU", "LogSigmoid", "Mish"),
    *("ReLU", "ReLU6", "SELU", "SiLU", "Sigmoid", "Softmin", "Softplus", "Softshrink", "Softsign", "Tanh"),
    "Tanhshrink",
)

VECTORS = {
    "linear": lambda w: nn.Linear(w, w),
    "linear, one output": lambda w: nn.Linear(w, 1),
    "linear, no bias": lambda w: nn.Linear(w, w, bias=False),
    "bilinear": lambda w: Of(nn.Bilinear(w, w, 5), lambda layer, x: layer(x, x.flip(0))),
    "batch norm": lambda w: Between(w, nn.BatchNorm1d(w)),
    "batch norm, not affine": lambda w: Between(w, nn.BatchNorm1d(w, affine=False)),
    "batch norm 2d of one place": lambda w: Between(w, nn.Unflatten(1, (w, 1, 1)), nn.BatchNorm2d(w), nn.Flatten()),
    "batch norm of few places": lambda w: nn.Sequential(
        nn.Linear(w, 12), nn.Unflatten(1, (3, 4)), nn.BatchNorm1d(3), nn.Flatten(), nn.Linear(12, 3)
    ),
    "group norm": lambda w: Between(w, nn.GroupNorm(1, w)),
    "layer norm": lambda w: Between(w, nn.LayerNorm(w)),
    "dropout": lambda w: Between(w, nn.Dropout(0.3)),
    "alpha dropout": lambda w: Between(w, nn.SELU(), nn.AlphaDropout(0.3)),
    "rrelu": lambda w: Between(w, nn.RReLU()),
    "gaussian noise": lambda w: Of(nn.Linear(w, w), lambda layer, x: layer(x + torch.randn_like(x))),
    "stochastic depth": lambda w: Of(nn.Linear(w, w), lambda layer, x: x + layer(x) * torch.rand(len(x), 1).round()),
    "noise written into its place": lambda w: Of(
        nn.Linear(w, w), lambda layer, x: x + layer(x) * x.new_empty(len(x), 1).bernoulli_(0.7)
    ),
    "noise of the old form": lambda w: Of(
        nn.Linear(w, w), lambda layer, x: layer(x) + x.data.new(x.size()).normal_()
    ),
    "a distribution": lambda w: Of(
        nn.Linear(w, w), lambda layer, x: torch.distributions.Normal(layer(x), 0.5).rsample()
    ),
    "gumbel softmax": lambda w: Of(nn.Linear(w, w), lambda layer, x: F.gumbel_softmax(layer(x))),
    "shuffled": lambda w: Of(nn.Linear(w, w), lambda layer, x: layer(x + x[torch.randperm(len(x))])),
    "prelu": lambda w: Between(w, nn.PReLU(w)),
    "glu": lambda w: Between(w, nn.Linear(w, 2 * w), nn.GLU()),
    "softmax": lambda w: Between(w, nn.Softmax(-1)),
    "weight norm": lambda w: nn.utils.parametrizations.weight_norm(nn.Linear(w, w)),
    "gru cell": lambda w: nn.GRUCell(w, w),
    "rnn cell": lambda w: nn.RNNCell(w, w),
    "single parameters": Gated,
    **{name: activated(name) for name in ACTIVATIONS},
}

SEQUENCES = {
    "linear on sequences": lambda w: nn.Linear(w, w),
    "layer norm on sequences": lambda w: Between(w, nn.LayerNorm(w)),
    "rms norm": lambda w: Between(w, nn.RMSNorm(w)),
    "attention": attention,
    "attention with a learned bias": Biased,
    "attention with dropout": lambda w: attention(w, dropout=0.2),
    "transformer encoder layer": encoder,
    "transformer encoder layer, norm first": lambda w: encoder(w, norm_first=True, activation="gelu"),
    "transformer decoder layer": decoder,
    "reductions": lambda w: Of(nn.Linear(w, w), reduced),
    "lstm without biases": lambda w: Of(nn.LSTM(w, w, bias=False, batch_first=True), lambda layer, x: layer(x)[0]),
    **{
        f"{kind.__name__.lower()}, {layers} layer{'s' * (layers > 1)}{', both directions' * both}": recurrent(
            kind, layers, both
        )
        for kind in (nn.LSTM, nn.GRU, nn.RNN)
        for layers in (1, 2)
        for both in (False, True)
    },
}

WORDS = {
    "embedding": lambda w: nn.Sequential(nn.Embedding(TOKENS, w), nn.Linear(w, 3)),
    "embedding with padding": lambda w: nn.Sequential(nn.Embedding(TOKENS, w, padding_idx=2), nn.Linear(w, 3)),
    "embedding by frequency": lambda w: nn.Sequential(
        nn.Embedding(TOKENS, w, padding_idx=-2, scale_grad_by_freq=True), nn.Linear(w, 3)
    ),
    "embedding bag": lambda w: nn.EmbeddingBag(TOKENS, w, padding_idx=2),
    "embedding bag, sum": lambda w: nn.EmbeddingBag(TOKENS, w, mode="sum"),
    "embedding bag, max": lambda w: nn.EmbeddingBag(TOKENS, w, mode="max", padding_idx=2),
}

LINES = {
    "conv1d": lambda w: nn.Conv1d(w, w, 3, padding=1),
    "conv1d, of one place": lambda w: nn.Sequential(nn.Conv1d(w, 2, 9), nn.Conv1d(2, 8, 1), nn.Conv1d(8, 8, 1)),
    "conv1d, from few to many": lambda w: nn.Sequential(nn.Conv1d(w, 2, 1), nn.Conv1d(2, 8, 3), nn.Conv1d(8, 3, 1)),
    "conv transpose 1d": lambda w: nn.ConvTranspose1d(w, 5, 3),
    "conv transpose 1d, from many": lambda w: nn.Sequential(nn.Conv1d(w, 16, 1), nn.ConvTranspose1d(16, 2, 2, 2)),
    "batch norm on lines": lambda w: convolved(1, w, nn.BatchNorm1d(w), after=False),
    "instance norm 1d": lambda w: convolved(1, w, nn.InstanceNorm1d(w, track_running_stats=True)),
    "max pool 1d": lambda w: convolved(1, w, nn.MaxPool1d(2)),
    "avg pool 1d": lambda w: convolved(1, w, nn.AvgPool1d(2)),
}

IMAGES = {
    "conv2d": lambda w: convolved(2, w, kernel=3),
    "conv2d, depthwise": lambda w: nn.Sequential(nn.Conv2d(w, w, 3, groups=w), nn.Conv2d(w, 3, 1, stride=2)),
    "conv2d, in groups of eight": lambda w: nn.Conv2d(w, 3 * (g := w // 8 if w % 8 == 0 else 1), 3, groups=g),
    "conv2d, one channel": lambda w: nn.Sequential(nn.Conv2d(w, 1, 1), nn.Conv2d(1, 8, 3)),
    "conv2d, from few to many": lambda w: nn.Sequential(nn.Conv2d(w, 2, 1), nn.Conv2d(2, 8, 3, padding=1)),
    "conv2d, from many to few": lambda w: nn.Sequential(nn.Conv2d(w, 16, 3), nn.Conv2d(16, 2, 2, 2)),
    "squeeze and excitation": lambda w: Of(
        nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(w, 2, 1), nn.ReLU(), nn.Conv2d(2, w, 1), nn.Sigmoid()),
        lambda layer, x: x * layer(x),
    ),
    "conv2d, circular": lambda w: nn.Conv2d(w, w, 3, padding=1, padding_mode="circular"),
    "conv2d, reflected": lambda w: nn.Conv2d(w, w, 3, padding=1, padding_mode="reflect"),
    "conv transpose 2d": lambda w: nn.Sequential(nn.ConvTranspose2d(w, 5, 2, 2), nn.ConvTranspose2d(5, 3, 2)),
    "conv transpose 2d, from many": lambda w: nn.Sequential(nn.Conv2d(w, 16, 1), nn.ConvTranspose2d(16, 2, 2, 2)),
    "batch norm 2d": lambda w: convolved(2, w, nn.BatchNorm2d(w)),
    "instance norm 2d": lambda w: convolved(2, w, nn.InstanceNorm2d(w, affine=True)),
    "group norm on images": lambda w: convolved(2, w, nn.GroupNorm(w, w)),
    "local response norm": lambda w: convolved(2, w, nn.LocalResponseNorm(2), after=False),
    "dropout 2d": lambda w: convolved(2, w, nn.Dropout2d(0.3)),
    "max pool 2d": lambda w: convolved(2, w, nn.MaxPool2d(2)),
    "max pool 2d, overlapping": lambda w: convolved(2, w, nn.MaxPool2d(3, 2, 1), after=False),
    "avg pool 2d": lambda w: convolved(2, w, nn.AvgPool2d(2)),
    "avg pool 2d, overlapping": lambda w: convolved(2, w, nn.AvgPool2d(3, 2, 1), after=False),
    "adaptive avg pool 2d": lambda w: convolved(2, w, nn.AdaptiveAvgPool2d(2), nn.AdaptiveAvgPool2d(1)),
    "adaptive max pool 2d": lambda w: convolved(2, w, nn.AdaptiveMaxPool2d(2), after=False),
    "prelu on images": lambda w: convolved(2, w, nn.PReLU(), nn.PReLU(w), after=False),
    "softmax over channels": lambda w: convolved(2, w, nn.Softmax2d()),
    "upsample, bilinear": lambda w: convolved(2, w, nn.Upsample(scale_factor=2, mode="bilinear"), after=False),
    "upsample, nearest": lambda w: convolved(2, w, nn.Upsample(scale_factor=2), after=False),
    "pixel shuffle": lambda w: nn.Sequential(nn.Conv2d(w, 8, 1), nn.PixelShuffle(2)),
    "unfold": lambda w: convolved(2, w, nn.Unfold(2), after=False),
}

VOLUMES = {
    "conv3d": lambda w: nn.Sequential(nn.Conv3d(w, 4, 2), nn.Conv3d(4, 3, 1)),
    "conv3d, from few to many": lambda w: nn.Sequential(nn.Conv3d(w, 2, 1), nn.Conv3d(2, 8, 2), nn.Conv3d(8, 8, 3)),
    "conv transpose 3d": lambda w: nn.ConvTranspose3d(w, 3, 2),
    "batch norm 3d": lambda w: convolved(3, w, nn.BatchNorm3d(w), after=False),
    "max pool 3d": lambda w: nn.Sequential(nn.Conv3d(w, 4, 1), nn.MaxPool3d(2)),
    "avg pool 3d": lambda w: nn.Sequential(nn.Conv3d(w, 4, 1), nn.AvgPool3d(2)),
}

_SHAPES = [(VECTORS, ()), (SEQUENCES, (4, "width")), (LINES, (9,)), (IMAGES, (6, 6)), (VOLUMES, (4, 4, 4))]

KINDS = {name: (make, sizes) for kinds, sizes in [*_SHAPES, (WORDS, "words")] for name, make in kinds.items()}
"""From a name to what makes a module of a width, and how its inputs look."""


def inputs(kind, width, count):
    """Return so many inputs for a kind of layer, float32, or int64 where they are words."""
    sizes, generator = KINDS[kind][1], torch.Generator().manual_seed(width)
    if sizes == "words":
        return torch.randint(0, TOKENS, (count, 6), generator=generator)
    shape = (4, width) if sizes == (4, "width") else (width, *sizes)
    return torch.randn(count, *shape, generator=generator)
