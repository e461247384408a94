"""Which layers begin too small or too large, for the remedies of checks that see what comes of it."""

from __future__ import annotations

from torch import Tensor, nn

from thalweg.inspect._checks.finding import listed
from thalweg.surgery._seen import LAYERS

__all__ = ["large", "small"]

SMALL, LARGE = 0.02, 8.0
"""By what a layer multiplies the root mean square of what enters: usual ones by 0.5 to 2."""

BIAS = 10.0


def small(module: nn.Module) -> str:
    """Return what to do about layers whose weights are too small to hand anything on; empty where there are none."""
    found = [name for name, gain in _gains(module).items() if 0 < gain < SMALL]
    if not found:
        return ""
    return (
        f"The initial weights of {listed(found)} are too small, and hand on less than {SMALL:.0%} of what enters: "
        "draw them for the activation (init=he_normal)."
    )


def large(module: nn.Module) -> str:
    """Return what to do about layers whose weights or biases are too large; empty where there are none."""
    gains = _gains(module)
    found = [name for name, gain in gains.items() if gain > LARGE]
    if found:
        most = max(gains[name] for name in found)
        return (
            f"The initial weights of {listed(found)} are too large, and multiply what enters by up to {most:.2g}: "
            "draw them for the activation (init=he_normal)."
        )
    far = {}
    for name, layer in module.named_modules():
        bias = getattr(layer, "bias", None)
        if isinstance(layer, LAYERS) and isinstance(bias, Tensor) and float(bias.abs().max()) > BIAS:
            far[name or "the model"] = float(bias[bias.abs().argmax()])
    if not far:
        return ""
    least = max(far.values(), key=abs)
    return f"The initial bias of {listed(list(far))} reaches {least:.3g}: begin with biases of 0."


def _gains(module: nn.Module) -> dict[str, float]:
    """Return by what each layer multiplies the root mean square of what enters it: √(fan in · E[w²])."""
    found = {}
    for name, layer in module.named_modules():
        if isinstance(layer, LAYERS):
            assert isinstance(layer.weight, Tensor)
            weight = layer.weight.detach().double()
            axis = 0 if "Transpose" in type(layer).__name__ else 1
            fan = weight[0].numel() if axis else weight.numel() / weight.shape[1]
            found[name or "the model"] = float(weight.square().mean() * fan) ** 0.5
    return found
