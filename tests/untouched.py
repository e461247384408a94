"""What inspection has to leave as it was, taken down bit by bit."""

import copy
import random

import numpy as np
import torch


def facts(model, optimizer=None, generator=None):
    """Return everything of a model, an optimizer and the generators that could have been changed."""
    found = {f"state {name}": x.clone() for name, x in model.state_dict().items()}
    found |= {f"mode {name}": module.training for name, module in model.named_modules()}
    found |= {f"hooks {name}": len(module._forward_pre_hooks) for name, module in model.named_modules()}
    found |= {f"gradient {name}": id(p.grad) for name, p in model.named_parameters()}
    found |= {f"trained {name}": p.requires_grad for name, p in model.named_parameters()}
    found |= {f"where {name}": id(p) for name, p in model.named_parameters()}
    found["torch"], found["python"] = torch.get_rng_state(), str(random.getstate())
    found["numpy"] = str(np.random.get_state())  # noqa: NPY002
    if optimizer is not None:
        found["optimizer"] = copy.deepcopy(optimizer.state_dict())
    if generator is not None:
        found["generator"] = generator.get_state()
    return found


def same(one, other):
    """Return whether two such lists, or what is in them, are equal to the bit."""
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(same, one, other))
    return torch.equal(one, other) if isinstance(one, torch.Tensor) else one == other
