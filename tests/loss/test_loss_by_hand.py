"""Losses against torch's own, and what they are for."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from thalweg import loss
from thalweg.errors import InputError


def classes(*more, dtype=torch.float64):
    torch.manual_seed(0)
    return 3 * torch.randn(16, 7, *more, dtype=dtype), torch.randint(7, (16, *more))


def numbers():
    torch.manual_seed(0)
    return 2 * torch.randn(16, 3, dtype=torch.float64), torch.randn(16, 3, dtype=torch.float64)


def same(ours, theirs, output, targets):
    mine, other = (output.clone().requires_grad_() for _ in range(2))
    found, expected = ours(mine, targets), theirs(other, targets)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=0)
    found.backward()
    expected.backward()
    torch.testing.assert_close(mine.grad, other.grad, rtol=1e-12, atol=1e-16)


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.9])
@pytest.mark.parametrize("more", [(), (4,), (2, 3)])
def test_cross_entropy_is_torchs(smoothing, more):
    output, targets = classes(*more)
    if more:
        targets[:5, 1] = -100
    same(
        loss.cross_entropy(smoothing), lambda o, t: F.cross_entropy(o, t, label_smoothing=smoothing), output, targets
    )


def test_a_class_that_is_ruled_out_is_no_matter():
    output, targets = classes()
    targets[targets == 6] = 0
    output[:, 6] = -float("inf")
    same(loss.cross_entropy(), F.cross_entropy, output, targets)


def test_hinge_is_torchs_times_the_classes():
    output, targets = classes()
    same(loss.hinge(), lambda o, t: 7 * F.multi_margin_loss(o, t), output, targets)


def test_hinge_is_the_lectures():
    """Cat 3.2, car 5.1, frog −1.7 for a cat: max(0, 5.1 − 3.2 + 1) + max(0, −1.7 − 3.2 + 1) = 2.9."""
    scores = torch.tensor([[3.2, 5.1, -1.7], [1.3, 4.9, 2.0], [2.2, 2.5, -3.1]], dtype=torch.float64)
    assert loss.hinge()(scores[:1], torch.tensor([0])).item() == pytest.approx(2.9)
    assert loss.hinge()(scores[1:2], torch.tensor([1])).item() == 0.0
    assert loss.hinge()(scores, torch.tensor([0, 1, 2])).item() == pytest.approx((2.9 + 0 + 12.9) / 3)


@pytest.mark.parametrize("delta", [0.1, 1.0, 50.0])
def test_numbers_losses_are_torchs(delta):
    output, targets = numbers()
    same(loss.huber(delta), lambda o, t: F.huber_loss(o, t, delta=delta), output, targets)
    same(loss.squared_error(), F.mse_loss, output, targets)
    same(loss.absolute_error(), F.l1_loss, output, targets)


def test_trimmed_discards_the_largest_and_their_pull():
    output, targets = numbers()
    output[4] += 100.0
    output[9] -= 50.0
    output.requires_grad_()
    found = loss.trimmed(share=2 / 16)(output, targets)
    found.backward()
    kept = [i for i in range(16) if i not in (4, 9)]
    torch.testing.assert_close(found, F.mse_loss(output[kept], targets[kept]))
    assert output.grad[[4, 9]].abs().max() == 0
    assert (output.grad[kept] != 0).all()


def test_trimmed_takes_the_loss_by_the_targets_kind():
    output, targets = classes()
    assert loss.trimmed(share=0.0)(output, targets).item() == pytest.approx(F.cross_entropy(output, targets).item())
    output, targets = numbers()
    assert loss.trimmed(share=0.0)(output, targets).item() == pytest.approx(F.mse_loss(output, targets).item())


def test_trimmed_discards_whole_examples_of_sequences():
    """By their mean over places that count; what is kept is a mean over places."""
    output, targets = classes(4)
    targets[3, 1:] = -100
    output[3, :, 0] -= 200 * F.one_hot(targets[3, 0], 7)
    found = loss.trimmed(share=1 / 16)(output, targets)
    kept = [i for i in range(16) if i != 3]
    torch.testing.assert_close(found, F.cross_entropy(output[kept], targets[kept]))


@pytest.mark.parametrize(
    ("n", "share", "kept"), [(10, 0.1, 9), (10, 0.04, 10), (10, 0.3, 7), (100, 0.29, 71), (1, 0.4, 1)]
)
def test_how_many_are_discarded_is_rounded(n, share, kept):
    output = torch.arange(1.0, n + 1)
    found = loss.trimmed(share=share)(output, torch.zeros(n))
    assert found.item() == pytest.approx(output[:kept].square().mean().item())


def test_ties_are_broken_by_place():
    output, targets = torch.ones(4, requires_grad=True), torch.zeros(4)
    loss.trimmed(share=0.25)(output, targets).backward()
    assert (output.grad != 0).tolist() == [True, True, True, False]


def fitted_slope(call, outliers):
    """Return the slope that a line through 0 gets when some of the points of y = 2x lie far off."""
    x = torch.linspace(-1, 1, 41, dtype=torch.float64)[:, None]
    y = 2 * x
    y[-outliers:] = -20.0
    line = nn.Linear(1, 1, bias=False).double()
    nn.init.zeros_(line.weight)
    optimizer = torch.optim.Adam(line.parameters(), lr=0.05)
    for _ in range(400):
        optimizer.zero_grad()
        call(line(x), y).backward()
        optimizer.step()
    return line.weight.item()


def test_what_is_robust_withstands_outliers():
    squared, huber, trimmed = (
        fitted_slope(call, 4) for call in (loss.squared_error(), loss.huber(0.1), loss.trimmed(share=0.2))
    )
    assert squared < 0
    assert abs(huber - 2) < 0.3
    assert abs(trimmed - 2) < 0.01


@pytest.mark.parametrize("dtype", [torch.int32, torch.uint8, torch.bool])
def test_classes_may_be_of_any_type_of_whole_numbers(dtype):
    output, targets = classes()
    few = (targets % 2).to(dtype)
    assert loss.cross_entropy()(output, few) == loss.cross_entropy()(output, targets % 2)


def test_what_it_cannot_take_is_said():
    output, targets = classes()
    with pytest.raises(InputError, match="hinge takes classes, which are whole numbers, not targets of float64"):
        loss.hinge()(output, output[:, 0])
    with pytest.raises(
        InputError, match=r"hinge takes an output \(N, classes, …\) for targets \(N, …\), not \(16,\)"
    ):
        loss.hinge()(output[:, 0], targets)
    with pytest.raises(
        InputError, match=r"huber takes targets in the shape of the output, not \(16, 3\) for \(16, 7\)"
    ):
        loss.huber()(output, numbers()[1])
    with pytest.raises(InputError, match=r"share of trimmed takes a number from 0 up to, but not, 0\.5"):
        loss.trimmed(share=0.5)


def test_trimmed_leaves_out_a_share_of_the_examples_that_count():
    """Ten of twenty are ignored; of the others the two whose losses are largest leave."""
    output, targets = torch.randn(20, 3, generator=torch.Generator().manual_seed(0)), torch.arange(20) % 3
    targets[::2] = -100
    losses = F.cross_entropy(output, targets, reduction="none")[1::2].sort().values
    assert loss.trimmed(0.2)(output, targets) == pytest.approx(losses[:8].mean().item(), rel=1e-6)
    assert loss.trimmed(0.0)(output, targets) == pytest.approx(F.cross_entropy(output, targets).item(), rel=1e-6)


@pytest.mark.parametrize("technique", [t for t in loss.CATALOGUE.values() if "classes" in t.targets], ids=str)
@pytest.mark.parametrize("places", [(), (5,)], ids=["examples", "places"])
def test_where_nothing_counts_the_loss_is_0_and_pulls_nowhere(technique, places):
    output = torch.randn(4, 3, *places, requires_grad=True)
    found = technique()(output, torch.full((4, *places), -100))
    found.backward()
    assert found == 0
    assert output.grad.abs().sum() == 0


@pytest.mark.parametrize("technique", [t for t in loss.CATALOGUE.values() if "classes" in t.targets], ids=str)
@pytest.mark.parametrize("wrong", [3, -1, 255])
def test_a_class_that_is_none_gets_one_sentence(technique, wrong):
    message = rf"^{technique.name} got the class {wrong} in its targets, and the output is of 3: 0 to 2$"
    with pytest.raises(InputError, match=message):
        technique()(torch.zeros(4, 3), torch.tensor([0, -100, wrong, 2]))
