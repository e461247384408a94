"""Norms as modules: torch's arguments, and one sentence for layers that a norm can do nothing for."""

import pytest
import torch
from torch import nn

from thalweg import norm
from thalweg.errors import InputError


@pytest.mark.parametrize(
    ("made", "torchs"),
    [
        (norm.batch().module(8), nn.BatchNorm1d(8)),
        (norm.batch(0.3).module(8, 2), nn.BatchNorm2d(8, momentum=0.3)),
        (norm.batch(momentum=None).module(8, 2), nn.BatchNorm2d(8, momentum=None)),
        (norm.batch(track_running_stats=False).module(8, 3), nn.BatchNorm3d(8, track_running_stats=False)),
        (
            norm.batch(momentum=None, eps=0.1, track_running_stats=False).module(8),
            nn.BatchNorm1d(8, eps=0.1, track_running_stats=False),
        ),
        (norm.batch(track_running_stats=True).module(8, affine=False), nn.BatchNorm1d(8, affine=False)),
        (norm.layer().module(8, bias=False), nn.LayerNorm(8, bias=False)),
        (norm.layer(eps=0.1).module(8, 2), nn.GroupNorm(1, 8, eps=0.1)),
        (norm.group(4).module(8, 1, affine=False), nn.GroupNorm(4, 8, affine=False)),
        (norm.instance().module(8, 1, affine=True), nn.InstanceNorm1d(8, affine=True)),
        (norm.rms(0.1).module(8), nn.RMSNorm(8, eps=0.1)),
        (norm.removed().module(8, 2), nn.Identity()),
    ],
    ids=repr,
)
def test_it_is_torchs_module_with_torchs_arguments(made, torchs):
    assert type(made) is type(torchs)
    assert repr(made) == repr(torchs)
    assert made.state_dict().keys() == torchs.state_dict().keys()


def test_torchs_arguments_select_the_formula():
    assert norm.batch(momentum=None) == norm.batch_cumulative()
    assert norm.batch(eps=0.1, track_running_stats=False) == norm.batch_untracked(eps=0.1)
    assert norm.batch(momentum=0.5, track_running_stats=True) == norm.batch(momentum=0.5)


def test_after_a_convolution_rms_norm_is_torchs_over_all_axes_of_an_example():
    x = torch.randn(4, 6, 3, 5)
    made = norm.rms().module(6, 2)
    torch.testing.assert_close(made(x), nn.RMSNorm((6, 3, 5))(x))
    with torch.no_grad():
        made.weight.copy_(torch.arange(6.0))
    torch.testing.assert_close(made(x)[:, 2], 2 * nn.RMSNorm((6, 3, 5))(x)[:, 2])
    assert not list(norm.rms().module(6, 2, elementwise_affine=False).parameters())


@pytest.mark.parametrize(
    ("ask", "sentence"),
    [
        (
            lambda: norm.layer().module(1),
            "layer norm of a layer of one unit leaves nothing of what it says; leave the layer without one, or give",
        ),
        (lambda: norm.rms().check(1), "rms norm of a layer of one unit leaves nothing of what it says"),
        (lambda: norm.group(1).check(1), "group norm of a layer of one unit leaves nothing of what it says"),
        (lambda: norm.group(4).module(10), "group(groups=4) does not divide 10 features; 1, 2 or 5 groups would"),
        (lambda: norm.group(4).module(10, 2), "does not divide 10 features; 1, 2, 5 or 10 groups would"),
        (lambda: norm.group().module(7), "group(groups=8) does not divide 7 features; 1 group would"),
        (
            lambda: norm.group(8).module(8),
            "group(groups=8) leaves nothing of 8 features, one in a group; 1, 2 or 4 groups would",
        ),
        (
            lambda: norm.batch().check(4, batch=1),
            "batch norm has nothing to take a variance over in a batch of one; take batches of at least 2, or layer",
        ),
        (lambda: norm.batch(momentum=None).check(4, batch=1), "batch_cumulative norm has nothing to take"),
        (
            lambda: norm.instance().module(4),
            "instance norm needs axes behind the features, such as an image's; without them, take layer",
        ),
        (lambda: norm.batch().module(0), "features takes a whole number from 1 up, not 0"),
        (lambda: norm.batch().module(True), "features takes a whole number from 1 up, not True"),
        (lambda: norm.batch().module(4, 4), "dims takes the number of axes behind the features, 0 to 3, not 4"),
        (
            lambda: norm.batch().module(4, afine=False),
            'unknown argument of BatchNorm1d "afine"; did you mean "affine"?',
        ),
        (lambda: norm.layer().module(4, 1, num_groups=2), 'unknown argument of GroupNorm "num_groups"'),
        (lambda: norm.batch(momentum=1.5), "momentum of batch takes a number from 0 up to 1, not 1.5"),
        (lambda: norm.batch(eps=0.0), "eps of batch takes a number above 0, not 0.0"),
        (lambda: norm.group(2.5), "groups of group takes a whole number, not 2.5"),
        (lambda: norm.batch(affine=False), 'unknown hyperparameter of batch "affine"'),
    ],
)
def test_what_cannot_be_gets_one_sentence(ask, sentence):
    with pytest.raises(InputError) as error:
        ask()
    assert sentence in str(error.value)
    assert "\n" not in str(error.value)


def test_what_can_be_is_not_refused():
    norm.layer().check(1, dims=2)
    norm.rms().check(1, dims=1)
    norm.group(8).check(8, dims=2)
    norm.batch().check(1, batch=2)
    norm.batch().check(4, dims=2, batch=1)
    norm.instance().check(1, dims=1, batch=1)
    norm.removed().check(1, batch=1)


@pytest.mark.parametrize("name", ["layer", "rms", "group"])
def test_what_is_refused_would_say_nothing(name):
    """The output of a norm over one unit is the same whatever comes in, its sign aside."""
    x = torch.logspace(0, 3, 50, dtype=torch.float64)[:, None] * torch.tensor([1.0, -1.0]).repeat(25)[:, None]
    torchs = {"layer": nn.LayerNorm(1), "rms": nn.RMSNorm(1), "group": nn.GroupNorm(1, 1)}[name].double()
    assert torchs(x).abs().std() < 1e-6
    with pytest.raises(InputError, match="leaves nothing"):
        norm.CATALOGUE[name](**({"groups": 1} if name == "group" else {})).module(1)


def test_precise_statistics_are_lent_by_averages():
    from thalweg.average import precise_batch_norm

    assert norm.precise_batch_norm is precise_batch_norm
