"""Small models for a user's own data, one for each kind: a table, pictures, texts."""

import torch
from torch import nn
from torch.nn import functional as F


def answer(y, outputs):
    """Return scores (N, classes), or (N,) for a quantity."""
    return y if outputs else y.squeeze(-1)


class MLP(nn.Module):
    """Two hidden layers of 64; one output a class, or one number."""

    def __init__(self, features, outputs=None):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(features, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, outputs or 1)
        )
        self.outputs = outputs

    def forward(self, x):
        """Return (N, classes), or (N,) for a quantity."""
        return answer(self.layers(x), self.outputs)


class CNN(nn.Module):
    """Three convolutions, halved after each while there is something to halve, the mean over all places, one layer.

    Args:
        shape: channels, height and width of a picture.
        outputs: one a class, or None for a quantity.
        mean, deviation: of the training pictures' channels, which the model subtracts and divides by.
    """

    def __init__(self, shape, outputs, mean, deviation):
        super().__init__()
        channels, *sides = shape
        self.register_buffer("mean", torch.as_tensor(mean, dtype=torch.float32).reshape(-1, 1, 1))
        self.register_buffer("deviation", torch.as_tensor(deviation, dtype=torch.float32).reshape(-1, 1, 1))
        side = min(sides)
        layers: list[nn.Module] = []
        for width in (16, 32, 64):
            if not layers and side >= 48:  # large pictures are halved at once
                layers += [nn.Conv2d(channels, width, 5, stride=2, padding=2), nn.ReLU()]
                side //= 2
            else:
                layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU()]
            if side >= 4:
                layers.append(nn.MaxPool2d(2))
                side //= 2
            channels = width
        self.layers = nn.Sequential(*layers)
        self.out = nn.Linear(channels, outputs or 1)
        self.outputs = outputs

    def forward(self, x):
        """Return (N, classes), or (N,) for a quantity, of pictures (N, channels, height, width)."""
        x = self.layers((x - self.mean) / self.deviation)
        return answer(self.out(x.mean((-2, -1))), self.outputs)


class Windows(nn.Module):
    """Word vectors, a layer over each three neighbours, the largest of each feature, one layer; word 0 is none."""

    def __init__(self, words, outputs=None, width=32, features=64):
        super().__init__()
        self.words = nn.Embedding(words, width)
        nn.init.normal_(self.words.weight, std=0.3)  # the largest of many places is large where words are
        self.window = nn.Linear(3 * width, features)
        self.out = nn.Linear(features, outputs or 1)
        self.outputs = outputs

    def forward(self, x):
        """Return (N, classes), or (N,) for a quantity, of words (N, length)."""
        there = (x > 0).to(self.out.weight.dtype).unsqueeze(-1)
        x = F.pad(self.words(x) * there, (0, 0, 1, 1))
        x = torch.cat([x[..., :-2, :], x[..., 1:-1, :], x[..., 2:, :]], dim=-1)
        x = torch.relu(self.window(x)) * there
        return answer(self.out(x.amax(-2)), self.outputs)
