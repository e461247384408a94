"""Every class of ours, with arguments that select each of its formulas."""

import pytest
import torch
from torch import nn

import thalweg as tw


def _found():
    for name in tw.optim.__all__:
        face = getattr(getattr(tw.optim, name), "face", None)
        for options, technique in face.formulas.items() if face is not None else ():
            chosen = "-".join([name, *options])
            yield pytest.param(
                getattr(tw.optim, name), _on(options, face.arguments()), id=f"{chosen}-{technique.name}"
            )


def _on(options, defaults):
    found = {}
    for option in options:
        name, _, word = option.partition("=")
        found[name] = word or defaults[name] or (True if isinstance(defaults[name], bool) else 0.5)
    return found


every_class = pytest.mark.parametrize(("kind", "arguments"), list(_found()))


def loss(model, step):
    """Return a loss of a linear model of 8 inputs and 4 classes at a step."""
    generator = torch.Generator().manual_seed(step)
    x, y = torch.randn(16, 8, generator=generator), torch.randint(4, (16,), generator=generator)
    return nn.functional.cross_entropy(model(x), y)


def apart(one, other):
    """Return the largest difference of two models' weights."""
    pairs = zip(one.parameters(), other.parameters(), strict=True)
    return max((a - b).abs().max().item() for a, b in pairs)
