"""Held masks in anyone's own loop, and the traps of public lottery code."""

import copy
import gc
import io
import weakref

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils import prune as torchs
from torch.optim.optimizer import register_optimizer_step_post_hook

from thalweg import Key, optim, prune
from thalweg.errors import InputError
from thalweg.prune import _held


def small():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 3))


X, Y = torch.randn(30, 6, generator=torch.Generator().manual_seed(0)), torch.arange(30) % 3


def train(net, optimizer, steps):
    for _ in range(steps):
        optimizer.zero_grad()
        F.cross_entropy(net(X), Y).backward()
        optimizer.step()


def off(net, found):
    return torch.cat([net.get_parameter(name)[~mask].detach() for name, mask in found.items()])


def test_held_is_training_the_smaller_network():
    """Bit for bit what masking the weights inside the forward pass gives, as ``torch.nn.utils.prune`` does."""
    net, theirs = small(), small()
    found = prune.magnitude().masks(net, 0.3)
    for name, mask in found.items():
        torchs.custom_from_mask(theirs[int(name[0])], "weight", mask)
    mine, other = (torch.optim.Adam(m.parameters(), lr=0.05) for m in (net, theirs))
    with prune.held(net, found):
        train(net, mine, 20)
    train(theirs, other, 20)
    assert torch.equal(net(X), theirs(X))


def test_clipping_by_norm_sees_the_kept_weights_alone():
    net = small()
    with prune.held(net, {name: torch.zeros_like(p, dtype=torch.bool) for name, p in net.named_parameters()}):
        F.cross_entropy(net(X), Y).backward()
        assert torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0) == 0.0


def test_a_gradient_from_before_is_masked_too():
    net = small()
    F.cross_entropy(net(X), Y).backward()
    found = prune.magnitude().masks(net, 0.3)
    with prune.held(net, found):
        assert off_gradients(net, found) == 0
        F.cross_entropy(net(X), Y).backward()
        assert off_gradients(net, found) == 0


def off_gradients(net, found):
    return sum(int(net.get_parameter(name).grad[~mask].count_nonzero()) for name, mask in found.items())


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("how", ["state dict", "copy_", "data"])
def test_what_was_written_from_outside_is_0_when_it_is_used(how, training):
    net, other = small(), small()
    found = prune.magnitude().masks(net, 0.3)
    with prune.held(net, found):
        net.train(training)
        expected = net(X)
        match how:
            case "state dict":
                net.load_state_dict(other.state_dict())
            case "copy_":
                with torch.no_grad():
                    for p, value in zip(net.parameters(), other.parameters(), strict=True):
                        p.copy_(value)
            case "data":  # as averages of other libraries do; it leaves no trace that training would look for
                net.eval()
                for p, value in zip(net.parameters(), other.parameters(), strict=True):
                    p.data.copy_(value.data)
        assert off(net, found).count_nonzero() > 0
        assert torch.equal(net(X), expected)
        assert off(net, found).count_nonzero() == 0


def test_a_part_of_the_model_that_is_called_by_itself_is_seen_to():
    net = nn.ModuleDict({"encoder": nn.Linear(6, 4), "head": nn.Linear(4, 2)})
    found = prune.magnitude().masks(net, 0.3)
    with prune.held(net, found):
        net.load_state_dict(nn.ModuleDict({"encoder": nn.Linear(6, 4), "head": nn.Linear(4, 2)}).state_dict())
        net["encoder"](X)
        assert net["encoder"].weight[~found["encoder.weight"]].count_nonzero() == 0


def test_a_weight_that_its_layer_does_not_use_itself_is_seen_to():
    """Attention reads its output layer's weight past that layer's forward."""
    torch.manual_seed(0)
    net = nn.MultiheadAttention(8, 2)
    found = prune.magnitude().masks(net, 0.3)
    x = torch.randn(5, 1, 8)
    with prune.held(net, found):
        expected = net(x, x, x)[0]
        with torch.no_grad():
            net.out_proj.weight.add_(~found["out_proj.weight"] * 1.0)
        torch.testing.assert_close(net(x, x, x)[0], expected, rtol=0, atol=0)


def test_backward_through_two_passes_and_accumulated_gradients():
    """Nothing is written between passes that share weights, so no gradient is refused or stale."""
    net = small()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
    found = prune.magnitude().masks(net, 0.3)
    with prune.held(net, found):
        for _ in range(3):
            loss = F.cross_entropy(net(X), Y) + F.cross_entropy(net(2 * X), Y)
            loss.backward()
            F.cross_entropy(net(-X), Y).backward()
            optimizer.step()
            optimizer.zero_grad()
            assert off(net, found).count_nonzero() == 0


def test_sparse_gradients_frozen_weights_and_weights_that_are_not_finite():
    net = nn.ModuleDict({"words": nn.Embedding(5, 4, sparse=True), "head": nn.Linear(4, 2)})
    net["head"].weight.requires_grad_(False)
    found = {"words.weight": torch.rand(5, 4) < 0.5, "head.weight": torch.tensor([[True, False] * 2] * 2)}
    with torch.no_grad():
        net["head"].weight.fill_(float("inf"))
    optimizer = torch.optim.SGD(net["words"].parameters(), lr=0.1)
    with prune.held(net, found):
        assert net["head"].weight[~found["head.weight"]].tolist() == [0.0] * 4
        net["words"](torch.tensor([0, 3])).sum().backward()
        optimizer.step()
        assert off(net, found).count_nonzero() == 0


def test_copies_are_masked_and_checkpoints_are_plain():
    net = small()
    names = list(net.state_dict())
    found = prune.magnitude().masks(net, 0.3)
    handle = prune.held(net, found)
    assert list(net.state_dict()) == names
    copied = copy.deepcopy(net)
    file = io.BytesIO()
    torch.save(net, file)
    file.seek(0)
    for other in (copied, torch.load(file, weights_only=False)):
        other.load_state_dict(small().state_dict())
        other(X)
        assert off(other, found).count_nonzero() == 0
        assert torch.equal(other(X), net(X))
    handle.remove()
    plain = small()
    plain.load_state_dict(net.state_dict())
    assert torch.equal(plain(X), net(X))
    exported = torch.export.export(net.eval(), (X,)).module()
    torch.testing.assert_close(exported(X), net(X))


def test_removed_is_removed():
    net = small()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    found = prune.magnitude().masks(net, 0.3)
    handle = prune.held(net, found)
    assert handle.__enter__() is handle
    handle.remove()
    train(net, optimizer, 1)
    assert off(net, found).count_nonzero() > 0
    assert not net._forward_pre_hooks
    assert not net[0]._forward_pre_hooks


def test_a_model_that_is_gone_takes_its_masks_along():
    before = len(_held._ALL)
    net = small()
    prune.held(net, prune.magnitude().masks(net, 0.3))  # no one keeps the handle, and it holds all the same
    found = prune.magnitude().masks(net, 0.3)
    train(net, torch.optim.SGD(net.parameters(), lr=0.1), 2)
    assert off(net, found).count_nonzero() == 0
    assert len(_held._ALL) == before + 1
    gone = weakref.ref(net)
    del net
    gc.collect()
    assert gone() is None
    assert len(_held._ALL) == before


def test_a_model_may_go_while_hooks_of_a_step_are_called():
    """Garbage is collected whenever Python likes, and no hook may go while torch goes through them."""
    net, other = small(), small()
    optimizer = torch.optim.SGD(other.parameters(), lr=0.1)
    prune.held(net, prune.magnitude().masks(net, 0.3))
    hooks = [register_optimizer_step_post_hook(lambda *_: gc.collect()) for _ in range(2)]
    net.ring, gone = [net], weakref.ref(net)
    gc.disable()
    try:
        del net
        train(other, optimizer, 1)
    finally:
        gc.enable()
        for hook in hooks:
            hook.remove()
    assert gone() is None


def test_functional_calls_have_weights_of_their_own():
    net = small()
    found = prune.magnitude().masks(net, 0.3)
    other = dict(small().named_parameters())
    with prune.held(net, found):
        expected = small()(X)
        assert torch.equal(torch.func.functional_call(net, other, (X,)), expected)
        stacked = {name: torch.stack([p.detach()] * 3) for name, p in other.items()}
        many = torch.func.vmap(lambda w: torch.func.functional_call(net, w, (X,)))(stacked)
        torch.testing.assert_close(many[1], expected)


@pytest.mark.parametrize(
    ("masks", "message"),
    [
        (
            {"0.weight": torch.ones(6, 8, dtype=torch.bool)},
            r"the mask of 0\.weight for held has the shape \(6, 8\), no",
        ),
        (
            {"0.weight": torch.ones(8, 6)},
            r"held takes masks of torch\.bool, and that of 0\.weight is of torch\.float32",
        ),
        ({"0.wieght": torch.ones(8, 6).bool()}, r'in the masks for held "0\.wieght"; did you mean "0\.weight"'),
        ({"0.weight": [[True]]}, r"held takes masks of torch\.bool, and that of 0\.weight is of list"),
    ],
)
def test_masks_that_do_not_fit_are_refused_before_anything_is_changed(masks, message):
    net = small()
    before = copy.deepcopy(net.state_dict())
    with pytest.raises(InputError, match=message):
        prune.held(net, {"2.weight": torch.zeros(3, 8, dtype=torch.bool), **masks})
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert not net._forward_pre_hooks


# -- traps that public implementations fell into -------------------------------------------------------


def test_every_negative_weight_is_not_frozen():
    """A threshold on the signed weight keeps no large negative one."""
    net = small()
    found = prune.magnitude().masks(net, 0.3)
    kept = torch.cat([net.get_parameter(name)[mask].detach() for name, mask in found.items()])
    gone = torch.cat([net.get_parameter(name)[~mask].detach() for name, mask in found.items()])
    assert 0.3 < (kept < 0).double().mean() < 0.7
    assert kept.abs().min() >= gone.abs().max()


def test_rewinding_is_to_the_weights_of_then():
    """And not to the trained ones, of which an alias of the tensors would be another name."""
    net = small()
    then, alias = copy.deepcopy(net.state_dict()), net.state_dict()
    train(net, torch.optim.SGD(net.parameters(), lr=0.5), 5)
    found = prune.magnitude().masks(net, 0.3)
    with pytest.raises(
        InputError, match=r"rewind got the model's own 0\.weight, which is trained with it; keep copies"
    ):
        prune.rewind(net, alias, found)
    prune.rewind(net, then, found)
    for name, value in net.state_dict().items():
        expected = then[name] * found[name] if name in found else then[name]
        assert torch.equal(value, expected)
    train(net, torch.optim.SGD(net.parameters(), lr=0.5), 1)
    assert torch.equal(then["0.bias"], small()[0].bias)  # training after it does not change what was kept


def test_rewinding_with_what_does_not_fit_is_said():
    net = small()
    then = copy.deepcopy(net.state_dict())
    with pytest.raises(InputError, match=r"rewind misses 2\.bias in the early weights"):
        prune.rewind(net, {name: value for name, value in then.items() if name != "2.bias"}, {})
    with pytest.raises(
        InputError, match=r"takes 0\.weight of the shape \(8, 6\), and the early weights have \(6, 8\)"
    ):
        prune.rewind(net, {**then, "0.weight": torch.ones(6, 8)}, {})
    with pytest.raises(InputError, match='unknown name in the early weights for rewind "more"'):
        prune.rewind(net, {**then, "more": torch.ones(1)}, {})


def test_momentum_of_the_dense_network_does_not_revive_what_was_pruned():
    """The optimizer goes on with its state; weights that are gone neither come back nor feel its pull."""
    net = small()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.99)
    train(net, optimizer, 20)
    found = prune.magnitude().masks(net, 0.3)
    buffers = [optimizer.state[net.get_parameter(name)]["momentum_buffer"][~mask] for name, mask in found.items()]
    assert torch.cat(buffers).abs().max() > 0
    with prune.held(net, found):
        train(net, optimizer, 1)
        assert off(net, found).count_nonzero() == 0


def test_the_model_that_is_left_is_masked_after_its_last_step():
    net = small()
    optimizer = optim.AdamW(net.parameters(), lr=0.1, weight_decay=0.1)
    found = prune.magnitude().masks(net, 0.3)
    with prune.held(net, found):
        train(net, optimizer, 3)
    assert off(net, found).count_nonzero() == 0
    again = prune.magnitude().masks(net, 0.3)
    assert all(torch.equal(mask, again[name]) for name, mask in found.items())


def test_shuffled_does_shuffle():
    masks = {"a": torch.arange(400).view(20, 20) < 100, "b": torch.zeros(3, 3, dtype=torch.bool)}
    other = prune.shuffled(masks, Key(0))
    assert 10 < (masks["a"] & other["a"]).sum() < 45  # 25 by chance
    assert torch.equal(other["b"], masks["b"])
    assert torch.equal(masks["a"], torch.arange(400).view(20, 20) < 100)  # left as it was
