"""Laws of norms: a new one is covered at once."""

import copy
import inspect
import pickle

import numpy as np
import pytest
import torch
from torch import nn
from torch.func import functional_call, vmap
from torch.fx.experimental.proxy_tensor import make_fx

from thalweg import norm
from thalweg.errors import InputError
from thalweg.technique import Choice, LogUniform

TECHNIQUES = list(norm.CATALOGUE.values())
by_name = pytest.mark.parametrize("technique", TECHNIQUES, ids=lambda technique: technique.name)
every_shape = pytest.mark.parametrize("shape", [(6, 16), (5, 16, 7), (3, 16, 4, 5), (2, 16, 3, 2, 4)], ids=str)

OTHERS = {"group": {"groups": 2, "eps": 0.1}, "batch": {"momentum": 0.3, "eps": 0.1}, "removed": {}}
"""Hyperparameters other than the defaults."""


def other(technique):
    return OTHERS.get(technique.name, {"eps": 0.1})


def inputs(shape, seed=0):
    """Features of several sizes and means, float64."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(shape, dtype=torch.float64, generator=generator)
    size = torch.linspace(0.1, 3.0, shape[1], dtype=torch.float64).view(-1, *[1] * (len(shape) - 2))
    return x * size + 2 * size


def module_for(technique, shape, **values):
    """Return the technique's module for inputs of a shape, its parameters drawn; None where it has none."""
    dims = len(shape) - 2
    if not technique.modules[dims]:
        return None
    torch.manual_seed(1)
    made = technique(**values).module(shape[1], dims, like=torch.zeros(1, dtype=torch.float64))
    for p in made.parameters():
        nn.init.normal_(p)
    return made


def kept_by(technique):
    """Return the names of the formula's arguments that a batch leaves for evaluation."""
    return [name for name in inspect.signature(technique.formula).parameters if name.endswith("_kept")]


def arguments(technique, module, shape):
    """Return the formula's arguments beside x, from the module's parameters and buffers."""
    places = {"gamma": "weight", "beta": "bias", "mean_kept": "running_mean", "variance_kept": "running_var"}
    names = [name for name in inspect.signature(technique.formula).parameters if name in places]
    tensors = [getattr(module, places[name]) for name in names]
    return [x.detach().clone().view(1, -1, *[1] * (len(shape) - 2)) for x in tensors]


@by_name
def test_a_range_makes_no_module(technique):
    for name in technique.hyperparameters:
        with pytest.raises(InputError, match=f"{name} of {technique.name} is a range to search"):
            technique(**{name: LogUniform(0.1, 0.2) if name != "groups" else Choice((1, 2))}).module(16)


@by_name
@every_shape
@pytest.mark.parametrize("which", ["defaults", "others"])
def test_its_module_is_the_formula_in_value_and_gradient(technique, shape, which):
    values = other(technique) if which == "others" else {}
    module = module_for(technique, shape, **values)
    if module is None:
        pytest.skip("it needs places")
    given = {**technique.hyperparameters, **values, **({"t": 1} if "t" in technique.given else {})}
    x = inputs(shape)
    ours, theirs = x.clone().requires_grad_(), x.clone().requires_grad_()
    found = technique.formula(ours, *arguments(technique, module, shape), **given)
    y, *kept = found if isinstance(found, tuple) else (found,)
    torchs = module(theirs)
    torch.testing.assert_close(y, torchs, rtol=1e-10, atol=1e-10)
    weights = torch.randn(shape, dtype=torch.float64)
    (y * weights).sum().backward()
    (torchs * weights).sum().backward()
    torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-9, atol=1e-9)
    for name, value in zip(kept_by(technique), kept, strict=True):
        buffer = {"mean_kept": "running_mean", "variance_kept": "running_var"}[name]
        torch.testing.assert_close(value.flatten(), getattr(module, buffer), rtol=1e-10, atol=1e-12)


@by_name
@every_shape
def test_evaluation_is_its_formula_too_after_several_batches(technique, shape):
    """With what training kept, where it keeps something; else as in training."""
    module = module_for(technique, shape)
    if module is None:
        pytest.skip("it needs places")
    given = dict(technique.hyperparameters)
    tensors = arguments(technique, module, shape)
    count = len(kept_by(technique))
    first, kept = tensors[: len(tensors) - count], tensors[len(tensors) - count :]
    for t in range(1, 4):
        x = inputs(shape, seed=t)
        module(x)
        if count:
            _, *kept = technique.formula(x, *first, *kept, **given, **({"t": t} if "t" in technique.given else {}))
    x = inputs(shape, seed=9)
    if technique.evaluated is not None:
        expected = technique.evaluated(x, *first, *kept, eps=given["eps"])
        assert not torch.allclose(expected, copy.deepcopy(module)(x))
    else:
        expected = technique.formula(x, *first, **given)
    torch.testing.assert_close(module.eval()(x), expected, rtol=1e-10, atol=1e-10)


@by_name
@every_shape
def test_what_it_gives_has_the_size_that_it_says(technique, shape):
    """By numpy, over what its statistics are taken: mean 0, and mean square 1 to within ε's share."""
    axes = {"batch": (0, *range(2, len(shape))), "example": tuple(range(1, len(shape))), "space": (2, 3, 4)}
    module = module_for(technique, shape)
    if module is None or technique.over == "nothing":
        pytest.skip("it leaves what comes in")
    for name, p in module.named_parameters():
        nn.init.constant_(p, float(name == "weight"))
    y = module(inputs(shape)).detach().numpy()
    if technique.over == "group":
        y = y.reshape(shape[0], technique.hyperparameters["groups"], -1)
    over = {"group": (2,)}.get(technique.over) or tuple(a for a in axes[technique.over] if a < len(shape))
    mean, square = y.mean(over), (y**2).mean(over)
    np.testing.assert_allclose(square, 1, rtol=0.02)
    if technique.name != "rms":
        np.testing.assert_allclose(mean, 0, atol=1e-7)


@by_name
def test_gradients_are_slopes(technique):
    module = module_for(technique, (3, 8, 2))
    names = [name for name, _ in module.named_parameters()]
    module.eval() if technique.evaluated is None else module.train()
    buffers = dict(module.named_buffers())

    def call(x, *weights):
        return functional_call(
            module, dict(zip(names, weights, strict=True)) | {n: b.clone() for n, b in buffers.items()}, (x,)
        )

    x = inputs((3, 8, 2)).requires_grad_()
    assert torch.autograd.gradcheck(call, (x, *(p.detach().requires_grad_() for p in module.parameters())))


@by_name
@every_shape
def test_it_is_copied_saved_exported_and_traced_like_any_module(technique, shape):
    module = module_for(technique, shape)
    if module is None:
        pytest.skip("it needs places")
    x = inputs(shape)
    module(x)
    module.eval()
    y = module(x)
    for again in (copy.deepcopy(module), pickle.loads(pickle.dumps(module))):
        assert torch.equal(again(x), y)
        assert repr(again) == repr(module)
    fresh = technique().module(shape[1], len(shape) - 2).double().eval()
    fresh.load_state_dict(module.state_dict())
    assert torch.equal(fresh(x), y)
    torch.testing.assert_close(torch.export.export(module, (x,)).module()(x), y)
    torch.testing.assert_close(make_fx(module)(x)(x), y)


@by_name
def test_stacked_models_agree_with_one_alone(technique):
    shape = (4, 8, 3)
    module = module_for(technique, shape)
    if technique.evaluated is not None:
        module.eval()  # running statistics are written in place, which vmap leaves to `thalweg.train`
    state = {name: torch.stack([value, value + 1, value]) for name, value in module.state_dict().items()}
    x = torch.stack([inputs(shape, seed) for seed in range(3)])
    together = vmap(lambda state, x: functional_call(module, state, (x,)))(state, x)
    for i in range(3):
        alone = functional_call(module, {name: value[i] for name, value in state.items()}, (x[i],))
        torch.testing.assert_close(together[i], alone)


@by_name
def test_parameters_begin_as_a_plain_norm_on_the_device_and_in_the_type_of_a_tensor(technique):
    module = technique().module(8, 2, like=torch.zeros(1, dtype=torch.float64, device="meta"))
    for name, value in (*module.named_parameters(), *module.named_buffers()):
        assert value.device.type == "meta"
        assert value.dtype in (torch.float64, torch.int64), name
        assert value.numel() in (1, 8)
    made = technique().module(8, 2)
    assert all((p == float(name == "weight")).all() for name, p in made.named_parameters())


def test_batch_norm_can_represent_the_identity():
    """Ioffe & Szegedy 2015, section 3: with the deviation as scale and the mean as shift, y is x."""
    x = inputs((6, 8, 5))
    mean, variance = x.mean((0, 2)), x.var((0, 2), correction=0)
    for technique in (norm.batch, norm.batch_cumulative, norm.batch_untracked):
        module = technique().module(8, 1, like=x)
        with torch.no_grad():
            module.weight.copy_((variance + module.eps).sqrt())
            module.bias.copy_(mean)
        torch.testing.assert_close(module(x), x, rtol=1e-12, atol=1e-12)
    by_formula = norm.batch_untracked.formula(
        x, (variance + 1e-5).sqrt().view(-1, 1), mean.view(-1, 1), **norm.batch_untracked.hyperparameters
    )
    torch.testing.assert_close(by_formula, x, rtol=1e-12, atol=1e-12)


def test_training_divides_by_the_biased_variance_and_keeps_the_unbiased():
    """One feature, values 1, 2 and 6: variance 14/3 over all three, 7 over one less."""
    x = torch.tensor([[1.0], [2.0], [6.0]], dtype=torch.float64)
    module = norm.batch(eps=1e-14).module(1, like=x)
    torch.testing.assert_close(module(x), (x - 3) / (14 / 3) ** 0.5)
    torch.testing.assert_close(module.running_mean.item(), 0.9 * 0 + 0.1 * 3)
    torch.testing.assert_close(module.running_var.item(), 0.9 * 1 + 0.1 * 7)
    y, mean, variance = norm.batch.formula(x, 1.0, 0.0, torch.zeros(1, 1), torch.ones(1, 1), momentum=0.1, eps=1e-14)
    torch.testing.assert_close(y, module(x))
    assert (mean.item(), variance.item()) == pytest.approx((0.3, 1.6))


def test_groups_are_layers_and_instances_at_their_ends():
    x = inputs((3, 8, 4, 5))
    values = {"gamma": 1.0, "beta": 0.0}
    layer = norm.layer.formula(x, **values, eps=1e-5)
    instance = norm.instance.formula(x, eps=1e-5)
    torch.testing.assert_close(norm.group.formula(x, **values, groups=1, eps=1e-5), layer)
    torch.testing.assert_close(norm.group.formula(x, **values, groups=8, eps=1e-5), instance)
