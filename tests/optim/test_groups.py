"""Parameter groups made from a model: what is decayed, at which rate each layer goes, and that nothing is lost."""

import pytest
import torch
from torch import nn

from thalweg import optim
from thalweg.errors import InputError


class Block(nn.Module):
    """A layer of a transformer, as most are written."""

    def __init__(self, width):
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.mlp = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))


class Transformer(nn.Module):
    def __init__(self, blocks=3, width=4, tied=False):
        super().__init__()
        self.place = nn.Parameter(torch.zeros(1, 7, width))
        self.embedding = nn.Embedding(11, width)
        self.first = nn.Sequential(nn.Linear(width, width), nn.LayerNorm(width))
        self.blocks = nn.ModuleList(Block(width) for _ in range(blocks))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, 11, bias=False)
        if tied:
            self.head.weight = self.embedding.weight


def _names(model, groups):
    """Return each group's name with the names of its parameters."""
    names = {id(p): name for name, p in model.named_parameters()}
    return {group["name"]: sorted(names[id(p)] for p in group["params"]) for group in groups}


NORMS = [
    nn.BatchNorm1d(4), nn.BatchNorm2d(4), nn.BatchNorm3d(4), nn.SyncBatchNorm(4), nn.InstanceNorm1d(4, affine=True),
    nn.InstanceNorm2d(4, affine=True), nn.InstanceNorm3d(4, affine=True), nn.GroupNorm(2, 4), nn.LayerNorm(4),
    nn.LayerNorm((2, 3)), nn.LayerNorm((2, 3, 4)), nn.RMSNorm(4), nn.RMSNorm((2, 3)),
]  # fmt: skip


@pytest.mark.parametrize("norm", NORMS, ids=str)
def test_norms_and_biases_are_not_decayed(norm):
    """Those whose weights are matrices too."""
    model = nn.Sequential(nn.Linear(4, 4), norm, nn.Conv1d(4, 4, 3))
    decayed, not_decayed = optim.groups(model, weight_decay=0.1)
    assert (decayed["name"], not_decayed["name"]) == ("decay", "no decay")
    assert (decayed["weight_decay"], not_decayed["weight_decay"]) == (0.1, 0.0)
    assert _names(model, [decayed])["decay"] == ["0.weight", "2.weight"]
    assert len(not_decayed["params"]) == 2 + len(list(norm.parameters()))


def test_every_norm_of_torch_is_known():
    """A norm that torch adds is to be added above; those without parameters are left out."""
    found = {name for name in dir(nn) if name.endswith("Norm") or (name.startswith("Lazy") and "Norm" in name)} | {
        name for name in dir(nn) if "Norm" in name and name[-2:] in ("1d", "2d", "3d")
    }
    mine = {type(norm).__name__ for norm in NORMS}
    lazy = {name for name in found if name.startswith("Lazy")}
    assert found - lazy - {"LocalResponseNorm", "CrossMapLRN2d"} == mine
    assert all(issubclass(getattr(nn, name), nn.modules.batchnorm._NormBase) for name in lazy)


def test_embeddings_are_decayed_unless_asked():
    model = nn.ModuleDict({"a": nn.Embedding(3, 2), "b": nn.EmbeddingBag(3, 2), "c": nn.Linear(2, 2, bias=False)})
    (only,) = optim.groups(model, weight_decay=0.1)
    assert len(only["params"]) == 3
    decayed, kept = optim.groups(model, weight_decay=0.1, decay_embeddings=False)
    assert _names(model, [decayed, kept]) == {"decay": ["c.weight"], "no decay": ["a.weight", "b.weight"]}


@pytest.mark.parametrize("decay", [None, 0.3])
def test_what_is_not_given_is_the_optimizers(decay):
    found = optim.groups(nn.Linear(2, 2), weight_decay=decay)
    optimizer = optim.AdamW(found, lr=0.5)
    assert [group["weight_decay"] for group in optimizer.param_groups] == [0.01 if decay is None else decay, 0.0]
    assert [group["lr"] for group in optimizer.param_groups] == [0.5, 0.5]
    assert [group["name"] for group in optimizer.state_dict()["param_groups"]] == ["decay", "no decay"]


def test_frozen_parameters_are_left_out():
    model = Transformer()
    for p in model.blocks[0].parameters():
        p.requires_grad_(False)
    found = optim.groups(model, lr=1.0, layer_decay=0.5)
    given = [id(p) for group in found for p in group["params"]]
    assert sorted(given) == sorted(id(p) for p in model.parameters() if p.requires_grad)
    assert "layer 1, decay" not in _names(model, found)
    assert found[0]["lr"] == 0.5**4  # the layers above count as before


@pytest.mark.parametrize("layer_decay", [None, 0.5])
@pytest.mark.parametrize("decay_embeddings", [True, False])
def test_a_tied_parameter_is_in_one_group(layer_decay, decay_embeddings):
    """With its first place's depth, and not decayed if one of its places is not."""
    model = Transformer(tied=True)
    lr = None if layer_decay is None else 1.0
    found = optim.groups(model, lr=lr, layer_decay=layer_decay, decay_embeddings=decay_embeddings)
    given = [id(p) for group in found for p in group["params"]]
    assert sorted(given) == sorted(id(p) for p in model.parameters())
    home = next(name for name, names in _names(model, found).items() if "embedding.weight" in names)
    kind = "decay" if decay_embeddings else "no decay"
    assert home == (kind if layer_decay is None else f"layer 0, {kind}")


def test_rates_fall_from_the_head_to_the_embeddings():
    model = Transformer()
    found = optim.groups(model, lr=0.8, layer_decay=0.5)
    assert _names(model, found) == {
        "layer 0, decay": ["embedding.weight", "first.0.weight", "place"],
        "layer 0, no decay": ["first.0.bias", "first.1.bias", "first.1.weight"],
        **{
            f"layer {i + 1}, {kind}": [f"blocks.{i}.{name}" for name in names]
            for i in range(3)
            for kind, names in {
                "decay": ["mlp.0.weight", "mlp.2.weight"],
                "no decay": ["mlp.0.bias", "mlp.2.bias", "norm.bias", "norm.weight"],
            }.items()
        },
        "layer 4, decay": ["head.weight"],
        "layer 4, no decay": ["norm.bias", "norm.weight"],
    }
    rates = {group["name"].partition(",")[0]: group["lr"] for group in found}
    assert rates == {"layer 0": 0.05, "layer 1": 0.1, "layer 2": 0.2, "layer 3": 0.4, "layer 4": 0.8}


def test_an_encoder_and_a_decoder_are_blocks_one_after_the_other():
    model = nn.Transformer(8, 2, num_encoder_layers=2, num_decoder_layers=3, dim_feedforward=8, batch_first=True)
    names = {id(p): name for name, p in model.named_parameters()}
    depths = {
        names[id(p)]: int(group["name"].partition(",")[0].removeprefix("layer "))
        for group in optim.groups(model, lr=1.0, layer_decay=0.9)
        for p in group["params"]
    }
    assert depths["encoder.layers.0.linear1.weight"] == 1
    assert depths["encoder.layers.1.norm2.bias"] == depths["encoder.norm.weight"] == 2
    assert depths["decoder.layers.0.linear1.weight"] == 3
    assert depths["decoder.layers.2.linear1.weight"] == 5
    assert depths["decoder.norm.weight"] == 6


def test_without_blocks_each_layer_counts():
    model = nn.Sequential(
        nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Sequential(nn.Flatten(), nn.Linear(8, 4)), nn.Linear(4, 2)
    )
    found = optim.groups(model, lr=1.0, layer_decay=0.1)
    assert {group["name"]: round(group["lr"], 9) for group in found} == {
        "layer 0, decay": 0.01, "layer 0, no decay": 0.01, "layer 1, decay": 0.1, "layer 1, no decay": 0.1,
        "layer 2, decay": 1.0, "layer 2, no decay": 1.0,
    }  # fmt: skip


def test_a_model_of_blocks_alone_has_its_last_at_the_full_rate():
    model = nn.Sequential(Block(2), nn.ReLU(), Block(2))
    assert sorted({group["lr"] for group in optim.groups(model, lr=1.0, layer_decay=0.5)}) == [0.5, 1.0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"weight_decay": -0.1}, "weight_decay of groups"),
        ({"weight_decay": float("nan")}, "weight_decay of groups"),
        ({"lr": float("inf")}, "lr of groups"),
        ({"lr": 0.1, "layer_decay": 0.0}, "layer_decay of groups takes"),
        ({"lr": 0.1, "layer_decay": 1.5}, "layer_decay of groups takes"),
        ({"layer_decay": 0.5}, "give that of the top layer as lr"),
    ],
)
def test_what_cannot_be_is_refused(arguments, message):
    with pytest.raises(InputError, match=message):
        optim.groups(nn.Linear(2, 2), **arguments)


def test_a_model_is_needed_with_something_to_train():
    with pytest.raises(InputError, match=r"a torch.nn.Module, not generator"):
        optim.groups(nn.Linear(2, 2).parameters())
    with pytest.raises(InputError, match="ReLU has no parameters to train"):
        optim.groups(nn.ReLU())
    with pytest.raises(InputError, match="Linear has no parameters to train"):
        optim.groups(nn.Linear(2, 2).requires_grad_(False))


def test_a_module_may_name_what_is_not_decayed():
    class Scaled(nn.Linear):
        not_weights = ("scale",)

        def __init__(self):
            super().__init__(4, 4)
            self.scale = nn.Parameter(torch.zeros(4, 4))

    net = Scaled()
    found = {group["name"]: {id(p) for p in group["params"]} for group in optim.groups(net, weight_decay=0.1)}
    assert found == {"decay": {id(net.weight)}, "no decay": {id(net.bias), id(net.scale)}}
