"""Mixing two pictures and their labels; policies that choose steps by sample."""

from collections import Counter

import numpy as np
import pytest
import torch

from augment.photos import photos
from thalweg import augment
from thalweg.augment.image._choices import COUNT, picked
from thalweg.errors import InputError


@pytest.fixture
def batch():
    picture = torch.from_numpy(photos()[0][100:132, 200:240].copy()).permute(2, 0, 1).float() / 255
    return torch.stack([picture.roll(5 * i, -1) for i in range(8)])


@pytest.mark.parametrize("technique", [augment.mixup, augment.cutmix])
def test_labels_are_mixed_as_pictures_are(technique):
    flat = torch.eye(8)[:, :, None, None].expand(8, 8, 24, 30).contiguous()
    images, labels = technique(alpha=1.0).mixed(flat, torch.arange(8), range(8), classes=8)
    assert torch.allclose(images.mean((2, 3)), labels, atol=1e-6)
    assert ((labels > 0).sum(1) <= 2).all()
    assert len(labels.argmax(1).unique()) > 3
    if technique is augment.cutmix:
        assert set(images.unique().tolist()) == {0.0, 1.0}
    again, _ = technique(alpha=1.0).mixed(flat.flip(0), torch.arange(8).flip(0), range(7, -1, -1), classes=8)
    assert torch.equal(again.flip(0), images)


def test_weights_of_mixup_follow_their_distribution():
    from scipy.stats import beta, kstest

    labels = augment.mixup(alpha=0.4).mixed(torch.rand(600, 1, 1, 1), torch.arange(600), range(600), classes=600)[1]
    own = labels[torch.arange(600), torch.arange(600)].numpy()
    assert kstest(own, beta(0.4, 0.4).cdf).pvalue > 0.001


def test_mixing_comes_after_and_before_other_steps(batch):
    policy = augment.flip() >> augment.mixup() >> augment.invert(p=1.0)
    soft = torch.full((8, 4), 0.25)
    images, labels = policy.mixed(batch, soft, range(8))
    assert torch.allclose(labels, soft)
    first = augment.Policy(policy.parts[:2]).mixed(batch, soft, range(8))[0]
    assert torch.allclose(images, 1 - first, atol=1e-6)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda x: augment.mixup().batch(x, range(8)), "mixes labels too: call mixed"),
        (lambda _: augment.cutmix()(np.zeros((4, 4), np.uint8), sample=0), "call mixed"),
        (lambda x: augment.mixup().mixed(x, [0] * 8, range(8)), "how many classes"),
        (lambda x: augment.mixup().mixed(x, [0, 9] * 4, range(8), classes=3), "from 0 to 2, not 0 to 9"),
        (lambda x: augment.mixup().mixed(x, [0] * 7, range(8), classes=3), "a label for each of 8"),
        (
            lambda _: augment.augmix().together(np.zeros((4, 4, 3), np.uint8), points=[[1, 1]], sample=0),
            "moved apart",
        ),
        (lambda _: augment.mixup(alpha=0.0), "alpha of mixup takes a number above 0"),
    ],
)
def test_what_cannot_be_is_refused_in_a_sentence(call, said, batch):
    with pytest.raises(InputError, match=said) as refused:
        call(batch)
    assert "\n" not in str(refused.value)


def test_every_step_is_as_likely_and_of_every_strength():
    names = Counter()
    for i in range(COUNT * 100):
        found = picked([(i + 0.5) / COUNT / 100])
        names[found[0].technique.name if found else "none"] += 1
    assert names["none"] == names["equalise"] == names["posterise"] == 100
    assert names["affine"] == 500
    angles = [found[0].drawn[4] for i in range(100) if (found := picked([(10 + (i + 0.5) / 100) / COUNT]))]
    assert np.allclose(angles, (np.arange(100) + 0.5) / 100)
    assert {round(picked([(10 + u) / COUNT], 0.5)[0].drawn[4], 6) for u in (0.1, 0.4, 0.6, 0.9)} == {0.25, 0.75}


def test_strength_0_changes_little_and_strength_1_much():
    picture = photos()[0][100:160, 200:260].copy()
    weak, strong = (
        np.mean(
            [np.abs(augment.rand(strength=s)(picture, sample=i) - picture.astype(float)).mean() for i in range(30)]
        )
        for s in (0.02, 1.0)
    )
    assert weak < strong / 2
    assert all("rand: u1" in augment.rand().explain(i) for i in range(3))


def test_what_is_chosen_moves_targets_too():
    picture = np.zeros((60, 60, 3), np.uint8)
    picture[28:31, 40:43] = 255
    policy = augment.flip(p=1.0) >> augment.rand(strength=0.5) >> augment.ssr(p=1.0)
    moved = 0
    for i in range(30):
        if any(name in policy.explain(i) for name in ("solarise", "equalise", "brightness", "contrast")):
            continue
        done = policy.together(picture, points=[[41, 29]], sample=i)
        x, y = done.points[0]
        if not (3 < x < 56 and 3 < y < 56):
            continue
        weights = done.image[..., 0].astype(float)
        rows, columns = np.mgrid[:60, :60]
        assert abs((weights * columns).sum() / weights.sum() - x) < 0.3
        assert abs((weights * rows).sum() / weights.sum() - y) < 0.3
        moved += 1
    assert moved > 5


def test_a_mixture_has_the_weights_of_its_parts():
    flat = np.full((20, 20, 3), 90, np.uint8)
    found = [augment.augmix(strength=0.0)(flat, sample=i) for i in range(20)]
    assert sum(np.abs(image.astype(int) - 90).max() <= 1 for image in found) >= 8
    assert len({image.tobytes() for image in [augment.augmix()(flat, sample=i) for i in range(20)]}) > 10


@pytest.mark.parametrize("name", ["trivial", "rand", "augmix", "auto", "auto_cifar10"])
@pytest.mark.parametrize("shape", [(), (1,)], ids=["flat", "layered"])
def test_policies_that_choose_leave_colours_out_on_grey_pictures(name, shape):
    picture = photos()[0][100:124, 200:230].mean(-1).astype(np.uint8)
    grey, coloured = picture.reshape(24, 30, *shape), np.repeat(picture[..., None], 3, -1)
    policy = augment.CATALOGUE[name]()
    samples = range(60)
    assert any("saturation" in policy.explain(i) for i in samples) or name == "augmix"
    for i in samples:
        found, same = policy(grey, sample=i), policy(coloured, sample=i)
        assert found.shape == grey.shape
        assert np.array_equal(found.reshape(24, 30), same[..., 0])
    batch = torch.from_numpy(picture).float().div(255).expand(len(samples), 1, 24, 30)
    done = policy.batch(batch, samples)
    for i in samples:
        assert np.array_equal((done[i, 0] * 255).round().byte().numpy(), policy(picture, sample=i))


@pytest.mark.parametrize(
    ("policy", "channels"),
    [(augment.hue(), 1), (augment.flip() >> augment.saturation(p=0.1), 4), (augment.trivial(p=0.1), 2),
     (augment.augmix(p=0.0), 5), (augment.jpeg(p=0.1), 4)],
)  # fmt: skip
def test_a_step_that_does_not_take_so_many_channels_is_refused_whatever_is_drawn(policy, channels):
    picture = np.zeros((8, 8, channels), np.uint8)
    for i in range(20):
        with pytest.raises(InputError, match=rf"{policy.parts[-1].name} takes .*not {channels}"):
            policy(picture, sample=i)
        with pytest.raises(InputError, match=rf"{policy.parts[-1].name} takes .*not {channels}"):
            policy.batch(torch.zeros(1, channels, 8, 8), [i])


def test_targets_move_with_a_grey_picture_by_the_same_maps():
    picture = np.zeros((60, 60), np.uint8)
    policy = augment.rand(count=4, strength=0.6)
    for i in range(20):
        done = policy.together(picture, points=[[41, 29]], sample=i)
        other = policy.together(np.repeat(picture[..., None], 3, -1), points=[[41, 29]], sample=i)
        assert np.allclose(done.points, other.points)


def test_a_picture_that_stays_as_it_was_is_another_array():
    picture = np.zeros((8, 8), np.uint8)
    done = [augment.trivial()(picture, sample=i) for i in range(60)]
    assert not any(np.shares_memory(one, picture) for one in done)
