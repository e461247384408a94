"""Laws of pruning: a new way to prune is covered at once; and so is every optimizer under held masks."""

import copy
import inspect

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from thalweg import Key, average, optim, prune, wrapper
from thalweg.errors import InputError
from thalweg.prune import remaining
from thalweg.technique import Choice

# That a layer is lost whole is said, and shown by a test of its own.
pytestmark = pytest.mark.filterwarnings("ignore:.* leaves nothing of")

TECHNIQUES = list(prune.CATALOGUE.values())
WEIGHTS = [technique for technique in TECHNIQUES if not technique.units]
each = pytest.mark.parametrize("technique", TECHNIQUES, ids=lambda technique: technique.name)
each_of_weights = pytest.mark.parametrize("technique", WEIGHTS, ids=lambda technique: technique.name)


def network():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(2, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.Dropout(0.5), nn.Flatten(),
        nn.Linear(96, 20), nn.ReLU(), nn.Linear(20, 10), nn.ReLU(), nn.Linear(10, 3),
    )  # fmt: skip


BATCH = (torch.randn(16, 2, 6, 6, generator=torch.Generator().manual_seed(0)), torch.arange(16) % 3)
SIZES = {"0.weight": 108, "5.weight": 1920, "7.weight": 200, "9.weight": 30}
TOTAL = sum(SIZES.values())


def masks(technique, net, keep, **more):
    quick = {"rounds": 5} if "rounds" in technique.hyperparameters else {}
    return technique(**quick).masks(net, keep, batch=BATCH, loss=F.cross_entropy, key=Key(0), **more)


def counts(found):
    return {name: int(mask.sum()) for name, mask in found.items()}


@each
def test_it_says_what_it_takes(technique):
    assert technique.takes[0] == "w"
    assert set(technique.takes) <= {"w", "g", "u"}
    assert ("g" in technique.takes) == (technique.gradient in ("loss", "flow"))


@each_of_weights
@pytest.mark.parametrize("keep", [1.0, 0.5, 0.02, 1e-9])
def test_so_many_weights_stay(technique, keep):
    """To the weight, whatever the scope; one at least."""
    net = network()
    if technique.gradient == "flow" and keep < 4 / TOTAL:  # nothing flows through less than a weight of each layer
        with pytest.raises(InputError, match="gives all weights the score 0"):
            masks(technique, net, keep)
        return
    found = masks(technique, net, keep)
    assert counts(found).keys() == SIZES.keys()
    assert sum(counts(found).values()) == max(1, round(keep * TOTAL))
    by_layer = masks(technique, net, keep, scope="layer")
    assert counts(by_layer) == {name: max(1, round(keep * size)) for name, size in SIZES.items()}
    for name, mask in found.items():
        assert mask.dtype == torch.bool
        assert mask.shape == net.get_parameter(name).shape


@each
def test_the_model_and_torchs_generator_are_left_as_they_are(technique):
    net = network()
    net[0].weight.grad = torch.ones_like(net[0].weight)
    net[5].eval()
    state, modes = copy.deepcopy(net.state_dict()), [module.training for module in net.modules()]
    generator = torch.get_rng_state()
    masks(technique, net, 0.5)
    assert all(torch.equal(value, state[name]) for name, value in net.state_dict().items())
    assert [module.training for module in net.modules()] == modes
    assert torch.equal(torch.get_rng_state(), generator)
    assert torch.equal(net[0].weight.grad, torch.ones_like(net[0].weight))
    assert all(p.grad is None for name, p in net.named_parameters() if name != "0.weight")
    assert all(p.requires_grad for p in net.parameters())


@each
def test_the_same_again(technique):
    net = network()
    one, other = masks(technique, net, 0.3), masks(technique, copy.deepcopy(net), 0.3)
    assert all(torch.equal(mask, other[name]) for name, mask in one.items())


@each
def test_what_is_gone_stays_gone_round_after_round(technique):
    net = network()
    among = None
    for _ in range(4):
        found = masks(technique, net, 0.7, among=among)
        if among is not None:
            assert all(bool((among[name] | ~mask).all()) for name, mask in found.items())
            assert sum(counts(found).values()) < sum(counts(among).values())
        if not technique.units:
            expected = 0.7 * (sum(counts(among).values()) if among else TOTAL)
            assert sum(counts(found).values()) == round(expected)
        among = found


@each
def test_the_sign_of_a_weight_is_nothing_to_it(technique):
    """A threshold on the signed weight, as in public code, would take away every negative one."""
    if technique.gradient == "loss":
        g = torch.randn(50)
        w = torch.randn(50)
        assert torch.equal(technique.formula(w, g), technique.formula(-w, g))
        assert torch.equal(technique.formula(w, g), technique.formula(w, -g))
        return
    net = network()
    turned = copy.deepcopy(net)
    with torch.no_grad():
        for name in SIZES:
            signs = torch.randn(turned.get_parameter(name).shape, generator=torch.Generator().manual_seed(1)).sign()
            turned.get_parameter(name).mul_(signs)
    one, other = masks(technique, net, 0.3), masks(technique, turned, 0.3)
    assert all(torch.equal(mask, other[name]) for name, mask in one.items())


@each_of_weights
def test_the_output_layer_loses_half_the_share(technique):
    net = network()
    found = masks(technique, net, 0.2, half_output=True)
    assert counts(found)["9.weight"] == round(0.6 * 30)
    assert sum(counts(found).values()) == round(0.2 * (TOTAL - 30)) + round(0.6 * 30)
    found = masks(technique, net, 0.2, half_output="7.weight", scope="layer")
    halves = {name: round((0.6 if name == "7.weight" else 0.2) * size) for name, size in SIZES.items()}
    assert counts(found) == halves


@each
def test_names_choose_and_frozen_weights_are_left(technique):
    net = network()
    net[9].requires_grad_(False)
    chosen = masks(technique, net, 0.5)
    assert set(chosen) == set(SIZES) - {"9.weight"}
    if not technique.units:
        assert counts(masks(technique, net, 0.5, names="7.*ght")) == {"7.weight": 100}
        assert counts(masks(technique, net, 0.5, names=["9.weight"])) == {"9.weight": 15}


@each
def test_where_a_layer_is_registered_is_nothing_to_it(technique):
    """What a parameter's lots are follows from its name, and what its score is from the model."""

    class Turned(nn.Module):
        def __init__(self, layers):
            super().__init__()
            self.order = list(layers)
            for name in reversed(self.order):
                self.add_module(name, layers[name])

        def forward(self, x):
            for name in self.order:
                x = getattr(self, name)(x)
            return x

    net = network()
    turned = Turned(dict(net.named_children()))
    one, other = masks(technique, net, 0.3), masks(technique, turned, 0.3)
    assert all(torch.equal(mask, other[name]) for name, mask in one.items())


TIED = nn.ModuleDict({"a": nn.Linear(3, 3), "b": nn.Linear(3, 3)})
TIED["b"].weight = TIED["a"].weight
SHARED = nn.Linear(3, 3)
WRONG = [
    (nn.BatchNorm1d(3), {}, "NAME found nothing in BatchNorm1d: it has no trained weights beside biases and norms"),
    (TIED, {}, "NAME prunes no tied weights, and a.weight is b.weight too; leave it out by not_weights"),
    (nn.Sequential(SHARED, SHARED), {}, "NAME prunes no tied weights, and 0.weight is 1.weight too"),
    (network(), {"names": "1.weight"}, "NAME prunes no biases and nothing of a norm, and 1.weight is one of these"),
    (network(), {"names": "5.wieght"}, 'NAME "5.wieght"; did you mean "5.weight"?'),
    (network(), {"keep": 0.0}, "NAME keeps a share above 0 up to 1, not 0.0"),
    (network(), {"keep": 20}, "NAME keeps a share above 0 up to 1, not 20"),
    (network(), {"scope": "layers"}, 'unknown scope of NAME "layers"; did you mean "layer"?'),
    (
        network(), {"among": {"5.weight": torch.ones(96, 20, dtype=torch.bool)}},
        "the mask of 5.weight for NAME has the shape (96, 20), not (20, 96)",
    ),
    (
        network(), {"among": {"5.weight": torch.ones(20, 96)}},
        "NAME takes masks of torch.bool, and that of 5.weight is of torch.float32",
    ),
    (
        network(), {"among": {"5.wieght": torch.ones(20, 96, dtype=torch.bool)}},
        'in the masks for NAME "5.wieght"; did you mean "5.weight"?',
    ),
    (
        nn.utils.parametrizations.weight_norm(nn.Linear(3, 3)), {},
        "NAME prunes weights themselves, and parametrizations.weight.original0 is what one is computed from",
    ),
    (list(network().parameters()), {}, "NAME takes a model, a torch.nn.Module, not list"),
]  # fmt: skip


@each
@pytest.mark.parametrize(("net", "given", "message"), WRONG, ids=range(len(WRONG)))
def test_what_cannot_be_gets_one_sentence(technique, net, given, message):
    with pytest.raises(InputError) as error:
        masks(technique, net, **{"keep": 0.5, **given})
    assert message.replace("NAME", technique.name) in str(error.value)
    assert "\n" not in str(error.value)


@each
def test_scores_that_rank_nothing_are_refused(technique):
    broken, empty = network(), network()
    nn.init.constant_(broken[5].weight, float("nan"))
    for p in empty.parameters():
        nn.init.zeros_(p)
    if technique.name == "random":
        masks(technique, broken, 0.5)
        return
    with pytest.raises(InputError, match=f"{technique.name} cannot rank .*weight: its scores are not all finite"):
        masks(technique, broken, 0.5)
    with pytest.raises(InputError, match=f"{technique.name} gives all weights the score 0"):
        masks(technique, empty, 0.5)
    nothing = {name: torch.zeros_like(network().get_parameter(name), dtype=torch.bool) for name in SIZES}
    with pytest.raises(InputError, match=f"{technique.name} finds nothing left to prune"):
        masks(technique, network(), 0.5, among=nothing)


@each
def test_what_it_needs_and_does_not_get_is_said(technique):
    net = network()
    needs = {
        "random": "random draws lots; give it key=, such as thalweg.Key(0)",
        "snip": "snip looks at the loss; give it batch=(inputs, targets) and loss=",
        "synflow": "synflow must know what an input looks like; give it batch=(inputs, targets)",
    }
    if technique.name not in needs:
        technique().masks(net, 0.5)
        return
    with pytest.raises(InputError) as error:
        technique().masks(net, 0.5)
    assert str(error.value) == needs[technique.name]


@each
def test_a_range_is_no_value(technique):
    first = next(iter(technique.hyperparameters))
    with pytest.raises(InputError, match=f"{first} of {technique.name} is a range to search; give it a value"):
        technique(**{first: Choice((1, 1))}).masks(network(), 0.5, batch=BATCH, loss=F.cross_entropy, key=Key(0))


# -- held ----------------------------------------------------------------------------------------------

CLASSES = [getattr(optim, name) for name in optim.__all__ if inspect.isclass(getattr(optim, name))]
CLASSES = [c for c in CLASSES if issubclass(c, torch.optim.Optimizer)]
TORCHS = [
    torch.optim.SGD, torch.optim.Adam, torch.optim.AdamW, torch.optim.RMSprop, torch.optim.Rprop, torch.optim.ASGD,
    torch.optim.Adamax,
]  # fmt: skip


def arguments(cls):
    """Return what makes an optimizer move weights without a gradient: momentum and decay, where it has them."""
    known = inspect.signature(cls).parameters
    return {name: 0.9 if name == "momentum" else 0.1 for name in ("momentum", "weight_decay") if name in known}


def a_step(net, optimizer, step):
    x = torch.randn(8, 6, generator=torch.Generator().manual_seed(step))

    def closure():
        optimizer.zero_grad()
        loss = net(x).square().mean() + net(x).mean()
        loss.backward()
        return loss

    optimizer.step(closure)


def small():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 8), nn.LayerNorm(8), nn.Tanh(), nn.Linear(8, 2))


def off(net, found):
    return torch.cat([net.get_parameter(name)[~mask].detach() for name, mask in found.items()])


@pytest.mark.parametrize(
    "cls", [*CLASSES, *TORCHS], ids=lambda cls: f"{cls.__module__.partition('.')[0]}-{cls.__name__}"
)
def test_pruned_weights_stay_0_under_every_optimizer(cls):
    """Though it has momentum from before the masks, and decay; and the other weights go on learning."""
    net = small()
    optimizer = cls(net.parameters(), **arguments(cls))
    for step in range(5):
        a_step(net, optimizer, step)
    found = prune.magnitude().masks(net, 0.4)
    before = copy.deepcopy(net.state_dict())
    with prune.held(net, found):
        for step in range(5, 15):
            a_step(net, optimizer, step)
            assert off(net, found).count_nonzero() == 0
            assert all(
                p.grad[~found[name]].count_nonzero() == 0 for name, p in net.named_parameters() if name in found
            )
    assert off(net, found).count_nonzero() == 0
    for name, p in net.named_parameters():
        kept = found.get(name, torch.ones_like(p, dtype=torch.bool))
        assert (p[kept] != before[name][kept]).any(), name


@pytest.mark.parametrize(
    "cls", [*CLASSES, *TORCHS], ids=lambda cls: f"{cls.__module__.partition('.')[0]}-{cls.__name__}"
)
def test_without_being_held_they_come_back(cls):
    """What the law above guards against: the gradient, momentum or decay moves what was set to 0 once."""
    net = small()
    optimizer = cls(net.parameters(), **arguments(cls))
    for step in range(5):
        a_step(net, optimizer, step)
    found = prune.magnitude().masks(net, 0.4)
    prune.held(net, found).remove()
    assert off(net, found).count_nonzero() == 0
    a_step(net, optimizer, 5)
    assert off(net, found).count_nonzero() > 0


@pytest.mark.parametrize("how", [t() for t in average.CATALOGUE.values()], ids=lambda how: how.name)
def test_averages_keep_them_at_0_whenever_they_began(how):
    """Before the masks or after them; in the averaged copy, and in the model that has its weights for a while."""
    net, x = small(), torch.randn(4, 6)
    early = average.Averaged(net, how)
    optimizer = optim.Adam(net.parameters(), lr=0.05)

    def train(steps, *averages):
        for step in range(steps):
            a_step(net, optimizer, step)
            for one in averages:
                one.update()

    train(3, early)
    found = prune.magnitude().masks(net, 0.4)
    holding = prune.held(net, found)
    late = average.Averaged(net, how)
    train(3, early, late)
    assert off(late.module, found).count_nonzero() == 0
    with early.swapped():
        net.eval()(x)
        assert off(net, found).count_nonzero() == 0
        net.train()(x)
        assert off(net, found).count_nonzero() == 0
    train(1)
    assert off(net, found).count_nonzero() == 0
    holding.apply(early.module)
    assert off(early.module, found).count_nonzero() == 0


@pytest.mark.parametrize("began", ["before", "after"])
def test_wrappers_keep_them_at_0(began):
    """Lookahead's slow weights may be older than the masks."""
    for wrap in (lambda o: wrapper.Lookahead(o, k=2), lambda o: wrapper.SAM(o, rho=0.5)):
        net = small()
        optimizer = wrap(optim.SGD(net.parameters(), lr=0.05, momentum=0.9, weight_decay=0.1))
        for step in range(3 * (began == "before")):
            a_step(net, optimizer, step)
        found = prune.magnitude().masks(net, 0.4)
        with prune.held(net, found):
            for step in range(6):
                a_step(net, optimizer, step)
                assert off(net, found).count_nonzero() == 0


# -- controls ------------------------------------------------------------------------------------------


@each
def test_its_control_keeps_as_much_of_each_layer_and_is_another_mask(technique):
    """A shuffle that shuffles nothing would let every ticket tie with its control."""
    found = masks(technique, network(), 0.3)
    control = prune.shuffled(found, Key(1))
    assert counts(control) == counts(found)
    assert remaining(control) == remaining(found)
    for name, mask in found.items():
        share = mask.double().mean().item()
        if mask.numel() >= 100 and share < 1:
            # Two masks that know nothing of each other have share² in common, give or take four deviations.
            common = (mask & control[name]).sum().item()
            spread = (mask.numel() * share**2 * (1 - share) ** 2) ** 0.5
            assert abs(common - mask.numel() * share**2) <= 4 * spread + 1
    assert any(not torch.equal(mask, found[name]) for name, mask in control.items())
    again, another = prune.shuffled(found, Key(1)), prune.shuffled(found, Key(2))
    assert all(torch.equal(mask, again[name]) for name, mask in control.items())
    assert any(not torch.equal(mask, another[name]) for name, mask in control.items())
