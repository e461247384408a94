"""Batch norms folded into the layers before them."""

import copy
import warnings

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils import parametrizations

from thalweg import norm
from thalweg.errors import InputError


def lived(model, *shape):
    """Return a model whose norms have seen something, and inputs; float64."""
    torch.manual_seed(0)
    model = model.double().train()
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and module.affine:
            nn.init.normal_(module.weight)
            nn.init.normal_(module.bias)
    for _ in range(3):
        model(2 * torch.randn(shape, dtype=torch.float64) + 1)
    return model, torch.randn(shape, dtype=torch.float64)


def quietly(model):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return norm.fold(model)


LAYERS = {
    "linear": (nn.Linear(5, 6), nn.BatchNorm1d(6), (8, 5)),
    "linear without bias": (nn.Linear(5, 6, bias=False), nn.BatchNorm1d(6), (8, 5)),
    "convolution 1d": (nn.Conv1d(4, 6, 3), nn.BatchNorm1d(6), (8, 4, 7)),
    "convolution 2d": (nn.Conv2d(4, 6, 3, padding=1, bias=False), nn.BatchNorm2d(6), (4, 4, 5, 5)),
    "reflecting convolution": (
        nn.Conv2d(4, 6, 3, padding=1, padding_mode="reflect"),
        nn.BatchNorm2d(6),
        (4, 4, 5, 5),
    ),
    "convolution in groups": (nn.Conv2d(4, 6, 3, groups=2), nn.BatchNorm2d(6), (4, 4, 5, 5)),
    "convolution 3d": (nn.Conv3d(2, 3, 2), nn.BatchNorm3d(3), (3, 2, 4, 4, 4)),
    "transposed": (nn.ConvTranspose2d(4, 6, 3, stride=2), nn.BatchNorm2d(6), (4, 4, 3, 3)),
    "transposed in groups": (nn.ConvTranspose2d(4, 6, 3, groups=2, bias=False), nn.BatchNorm2d(6), (4, 4, 3, 3)),
    "plain norm": (nn.Conv1d(4, 6, 3), nn.BatchNorm1d(6, affine=False), (8, 4, 7)),
    "cumulative": (nn.Linear(5, 6), nn.BatchNorm1d(6, momentum=None), (8, 5)),
}


@pytest.mark.parametrize("name", LAYERS)
def test_outputs_are_equal_to_rounding(name):
    layer, batch_norm, shape = LAYERS[name]
    model, x = lived(nn.Sequential(copy.deepcopy(layer), copy.deepcopy(batch_norm), nn.Tanh()), *shape)
    before = copy.deepcopy(model.state_dict())
    folded = norm.fold(model)
    torch.testing.assert_close(folded(x), model.eval()(x), rtol=1e-12, atol=1e-12)
    assert isinstance(folded[1], nn.Identity)
    assert not folded.training
    assert folded[0] is not model[0]
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    single = norm.fold(copy.deepcopy(model).float())
    torch.testing.assert_close(single(x.float()), model.float()(x.float()), rtol=1e-4, atol=1e-5)


class Block(nn.Module):
    """A residual block that writes its forward out."""

    def __init__(self, width):
        super().__init__()
        self.first, self.norm1 = nn.Conv2d(width, width, 3, padding=1), nn.BatchNorm2d(width)
        self.second, self.norm2 = nn.Conv2d(width, width, 3, padding=1), nn.BatchNorm2d(width)

    def forward(self, x):
        y = F.relu(self.norm1(self.first(x)))
        return F.relu(self.norm2(self.second(y)) + x)


class Depends(nn.Module):
    """Its course depends on what it is given, so that it cannot be traced; a part of it can."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(2, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(inplace=True))
        self.blocks = nn.ModuleList([Block(4) for _ in range(2)])
        self.last, self.norm = nn.Linear(4, 3), nn.BatchNorm1d(3)

    def forward(self, x):
        x = self.stem(x)
        for block in self.blocks:
            if x.abs().sum() > 0:
                x = block(x)
        return self.norm(self.last(x.mean((2, 3))))


def test_residual_blocks_are_folded_by_what_they_compute():
    model, x = lived(nn.Sequential(nn.Conv2d(2, 4, 1), Block(4), Block(4)), 4, 2, 5, 5)
    assert norm.folding(model).pairs == tuple(
        (f"{i}.{layer}", f"{i}.{bn}") for i in (1, 2) for layer, bn in (("first", "norm1"), ("second", "norm2"))
    )
    folded = norm.fold(model)
    torch.testing.assert_close(folded(x), model.eval()(x), rtol=1e-12, atol=1e-12)
    kept = {key for key in model.state_dict() if "norm" not in key}
    assert folded.state_dict().keys() == kept


def test_where_a_model_cannot_be_traced_its_parts_are():
    model, x = lived(Depends(), 4, 2, 5, 5)
    found = norm.folding(model)
    assert [bn for _, bn in found.pairs] == ["stem.1", *(f"blocks.{i}.norm{j}" for i in range(2) for j in (1, 2))]
    assert found.left == (("norm", "what it is called with cannot be told by tracing the model"),)
    with pytest.warns(UserWarning, match="norm: what it is called with cannot be told by tracing the model"):
        folded = norm.fold(model)
    torch.testing.assert_close(folded(x), model.eval()(x), rtol=1e-12, atol=1e-12)
    assert isinstance(folded.norm, nn.BatchNorm1d)


class Uses(nn.Module):
    """What a convolution puts out goes two ways."""

    def __init__(self):
        super().__init__()
        self.conv, self.norm = nn.Conv1d(3, 3, 1), nn.BatchNorm1d(3)

    def forward(self, x):
        y = self.conv(x)
        return self.norm(y) + y


class Shared(nn.Module):
    """One batch norm behind two layers."""

    def __init__(self):
        super().__init__()
        self.one, self.two, self.norm = nn.Conv1d(3, 3, 1), nn.Conv1d(3, 3, 1), nn.BatchNorm1d(3)

    def forward(self, x):
        return self.norm(self.two(self.norm(self.one(x))))


class Again(nn.Module):
    """The same layer and norm, one after the other, twice: that can be folded."""

    def __init__(self):
        super().__init__()
        self.conv, self.norm = nn.Conv1d(3, 3, 1), nn.BatchNorm1d(3)

    def forward(self, x):
        for _ in range(2):
            x = self.norm(self.conv(x)).tanh()
        return x


class Between(nn.Module):
    """Something happens between layer and norm."""

    def __init__(self, change):
        super().__init__()
        self.conv, self.norm, self.change = nn.Conv1d(3, 3, 1), nn.BatchNorm1d(3), change

    def forward(self, x):
        return self.norm(self.change(self.conv(x)))


def tied():
    model = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3), nn.Linear(3, 3))
    model[2].weight = model[0].weight
    return model


def hooked():
    model = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3))
    model[0].register_forward_hook(lambda module, inputs, output: None)
    return model


class Aside(nn.Module):
    """What cannot be traced may call the convolution by itself."""

    def __init__(self):
        super().__init__()
        self.both = nn.Sequential(nn.Conv1d(3, 3, 1), nn.BatchNorm1d(3))
        self.conv = self.both[0]

    def forward(self, x):
        return self.both(x) + self.conv(x) if x.sum() > 0 else x


LEFT = {
    "untracked": (
        nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3, track_running_stats=False)),
        "keeps no statistics",
    ),
    "after an activation": (nn.Sequential(nn.Linear(3, 3), nn.ReLU(), nn.BatchNorm1d(3)), "does not follow a linear"),
    "first": (nn.Sequential(nn.BatchNorm1d(3), nn.Linear(3, 3)), "does not follow a linear or convolution layer"),
    "two users": (Uses(), "what conv puts out is used elsewhere too"),
    "shared norm": (Shared(), "it is called in several places"),
    "in place": (Between(torch.relu_), "does not follow"),
    "tied weights": (tied(), "0 shares its weights with another layer"),
    "hook": (hooked(), "0 or it has a hook"),
    "layer that stands twice": (Aside(), "both.0 or it stands in several places"),
    "weight norm": (
        nn.Sequential(parametrizations.weight_norm(nn.Linear(3, 3)), nn.BatchNorm1d(3)),
        "the weight of 0 is computed from others",
    ),
}


@pytest.mark.parametrize("name", LEFT)
def test_what_cannot_be_told_for_sure_is_left_and_named(name):
    model, reason = LEFT[name]
    found = norm.folding(model)
    assert not found.pairs
    ((bn, why),) = found.left
    assert isinstance(model.get_submodule(bn), nn.BatchNorm1d)
    assert reason in why
    assert str(found) == f"{bn} is left: {why}"
    with pytest.raises(InputError, match="no batch norm can be folded") as error:
        norm.fold(model)
    assert reason in str(error.value)


def test_a_layer_and_norm_that_are_called_twice_together_are_folded():
    model, x = lived(Again(), 4, 3, 5)
    torch.testing.assert_close(norm.fold(model)(x), model.eval()(x), rtol=1e-12, atol=1e-12)


def test_some_are_folded_and_others_left_with_the_same_outputs():
    parts = nn.Sequential(nn.Conv1d(3, 3, 1), nn.BatchNorm1d(3), nn.ReLU(), nn.BatchNorm1d(3), Uses(), Shared())
    model, x = lived(parts, 4, 3, 5)
    folded = quietly(model)
    assert [name for name, module in folded.named_modules() if isinstance(module, nn.Identity)] == ["1"]
    torch.testing.assert_close(folded(x), model.eval()(x), rtol=1e-12, atol=1e-12)


def test_a_lazy_layer_is_left():
    assert "has no shape yet" in norm.folding(nn.Sequential(nn.LazyLinear(3), nn.BatchNorm1d(3))).left[0][1]


def test_frozen_layers_stay_frozen():
    model, _ = lived(nn.Sequential(nn.Linear(3, 3, bias=False).requires_grad_(False), nn.BatchNorm1d(3)), 8, 3)
    assert not any(p.requires_grad for p in norm.fold(model).parameters())


def test_a_model_without_batch_norm_is_refused():
    with pytest.raises(InputError, match="the model has no batch norm to fold"):
        norm.fold(nn.Linear(2, 2))


def test_a_folded_model_is_copied_saved_and_exported_like_any():
    model, x = lived(nn.Sequential(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3), nn.ReLU()), 4, 2, 6, 6)
    folded = norm.fold(model)
    torch.testing.assert_close(torch.export.export(folded, (x,)).module()(x), folded(x))
    plain = nn.Sequential(nn.Conv2d(2, 3, 3), nn.Identity(), nn.ReLU()).double()
    plain.load_state_dict(folded.state_dict())
    assert torch.equal(plain(x), folded(x))
