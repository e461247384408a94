"""Blocks that are computed again give the same bits, and leave less in memory."""

import random
import weakref

import numpy as np
import pytest
import torch
from test_dropout import Hidden
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from small import small_digits
from thalweg import optim, wrapper
from thalweg.recipe import Recipe
from thalweg.task import apply
from thalweg.train import Member, train
from thalweg.train.dropout import KeyedDropout
from thalweg.train.recompute import blocks, recomputed


class Block(nn.Module):
    def __init__(self, width=32):
        super().__init__()
        self.norm = nn.BatchNorm1d(width)
        self.inner = nn.Sequential(
            nn.Linear(width, 4 * width), nn.GELU(), nn.Dropout(0.2), nn.Linear(4 * width, width)
        )

    def forward(self, x, scale=1.0):
        return x + scale * nn.functional.dropout(self.inner(self.norm(x)), 0.1, self.training)


class Deep(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Linear(64, 32)
        self.layers = nn.ModuleList(Block() for _ in range(6))
        self.drop = nn.Dropout(0.3)
        self.head = nn.Linear(32, 10)

    def forward(self, x):
        x = self.first(x)
        for layer in self.layers:
            x = layer(x, scale=0.5)
        return self.head(self.drop(x))


def chain():
    return nn.Sequential(
        nn.Linear(64, 32), nn.Dropout(0.2), nn.ReLU(), nn.Linear(32, 32), nn.BatchNorm1d(32), nn.Dropout(0.2),
        nn.ReLU(), nn.Linear(32, 32), nn.Dropout(0.1), nn.Linear(32, 10),
    )  # fmt: skip


class Drawing(nn.Module):
    """Draws by torch, numpy and Python, in every block."""

    class Part(nn.Sequential):
        def forward(self, x):
            some = np.random.rand() * random.random()  # noqa: NPY002
            noise = torch.randn_like(x) * some if self.training else 0.0
            return super().forward(x + noise)

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(*(self.Part(nn.Linear(64, 64), nn.Tanh()) for _ in range(3)), nn.Linear(64, 10))

    def forward(self, x):
        return self.layers(x)


def turned():
    """Spectral norms, whose buffers go on with every forward pass, and say what the weights are."""
    norm = nn.utils.parametrizations.spectral_norm
    return nn.Sequential(*(nn.Sequential(norm(nn.Linear(64, 64)), nn.ReLU()) for _ in range(3)), nn.Linear(64, 10))


def run(task, **roles):
    recipe = Recipe(optim.adam(lr=0.01), **{"epochs": 2, **roles}).resolved()
    return train(task, [Member(recipe, 5)], keep_weights=True)[0]


@pytest.mark.parametrize("model", [Deep, chain, Drawing, turned, lambda: nn.Sequential(Hidden(), nn.Identity())])
@pytest.mark.parametrize(
    "roles",
    [{}, {"accumulate": 3, "precision": "bf16"}, {"wrapper": wrapper.sam(0.1), "freeze": "*weight*"}],
    ids=["plain", "in parts", "twice"],
)
def test_the_bits_are_those_of_a_run_that_keeps_everything(model, roles):
    """With dropout in modules and functions, inside torch's own attention, and with batch norm's statistics."""
    task = small_digits(model)
    kept, again = run(task, **roles), run(task, **roles, recompute="blocks")
    assert np.array_equal(kept.curve.train_loss, again.curve.train_loss, equal_nan=True)
    assert np.array_equal(kept.outcomes, again.outcomes)
    for name, x in kept.weights.items():
        assert torch.equal(x, again.weights[name]), name


def test_blocks_pass_twice_in_training_and_once_in_evaluation():
    seen = {True: 0, False: 0}

    class Counting(nn.Sequential):
        def forward(self, x):
            seen[self.training] += 1
            return super().forward(x)

    task = small_digits(lambda: nn.Sequential(*(Counting(nn.Linear(64, 64), nn.Tanh()) for _ in range(2))))
    run(task, epochs=1)  # after which what the model draws is known
    counts = []
    for how in ("none", "blocks"):
        seen.update({True: 0, False: 0})
        run(task, recompute=how, epochs=1)
        counts.append(dict(seen))
    assert counts[1] == {True: 2 * counts[0][True], False: counts[0][False]}


class Alive(TorchDispatchMode):
    """Knows the bytes of what was made inside it and is still there."""

    def __init__(self):
        super().__init__()
        self.made = {}

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        out = function(*args, **(kwargs or {}))
        for x in out if isinstance(out, tuple | list) else [out]:
            if isinstance(x, torch.Tensor):
                place = x.untyped_storage()
                self.made[place.data_ptr()] = (weakref.ref(place), place.nbytes())
        return out

    def bytes(self):
        return sum(size for place, size in self.made.values() if place() is not None)


@pytest.mark.parametrize(("model", "share"), [(Deep, 0.3), (chain, 0.75)])
def test_less_stays_in_memory_between_forward_and_backward(model, share):
    task = small_digits(model)
    left = []
    for how in (False, True):
        module = task.model(0).train()
        masks = KeyedDropout(torch.tensor(1))
        batch = task.train.at(slice(0, 64))
        with masks, recomputed(blocks(module) if how else [], masks, draws=False), Alive() as alive:
            loss = task.loss(apply(module, batch.inputs), batch.targets)
        left.append(alive.bytes())
        assert loss.requires_grad
    assert left[1] < share * left[0]


def test_blocks_are_the_children_of_the_container_with_most_of_the_parameters():
    deep = Deep()
    assert [module for module, _ in blocks(deep)] == list(deep.layers)
    inside = nn.Sequential(nn.Flatten(), Deep(), nn.Linear(10, 10))
    assert [module for module, _ in blocks(inside)] == list(inside[1].layers)
    plain = chain()
    assert [module for module, _ in blocks(plain)] == [plain]


def test_the_users_module_is_afterwards_as_it_was():
    module = Deep()
    module.layers[0].forward = own = module.layers[0].forward
    masks = KeyedDropout(torch.tensor(1))
    with masks, recomputed(blocks(module), masks, draws=False):
        assert module.layers[1].__dict__["forward"] is not None
    assert module.layers[0].__dict__["forward"] is own
    assert "forward" not in module.layers[1].__dict__


def test_vmap_says_why_not():
    recipe = Recipe(epochs=1, recompute="blocks").resolved()
    with pytest.raises(RuntimeError, match=r"vmap cannot compute blocks again"):
        train(small_digits(Deep), [Member(recipe, seed) for seed in range(3)], "vmapped")
