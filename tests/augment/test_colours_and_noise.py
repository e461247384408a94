"""What augmentations of pixels do, against plain definitions."""

import colorsys

import cv2
import numpy as np
import pytest
import torch

from augment.photos import photos
from thalweg import augment
from thalweg.augment._program import steps
from thalweg.errors import InputError


@pytest.fixture
def picture():
    return np.ascontiguousarray(photos()[1][100:220:2, 200:360:2])


def test_grey_is_opencvs_and_saturation_keeps_it(picture):
    expected = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
    assert np.abs(augment.grey(p=1.0)(picture, sample=0) - expected[..., None].astype(int)).max() <= 1
    for i in range(5):
        dull = augment.saturation(limit=0.5, p=1.0)(picture, sample=i)
        apart = cv2.cvtColor(dull, cv2.COLOR_RGB2GRAY).astype(int) - expected
        uncut = ((dull > 0) & (dull < 255)).all(-1)
        assert np.abs(apart)[uncut].max() <= 2


def test_a_hue_turned_half_round_is_the_complement():
    from thalweg.augment.image._colours import turned_hue

    for colour in ((0.6, 0.4, 0.4), (0.4, 0.5, 0.45)):
        other = turned_hue(180.0) @ colour
        apart = (colorsys.rgb_to_hsv(*other)[0] - colorsys.rgb_to_hsv(*colour)[0]) % 1
        assert abs(apart - 0.5) < 0.05
    assert np.allclose(turned_hue(77.0) @ (0.3, 0.3, 0.3), 0.3)


def test_blur_is_opencvs_of_the_drawn_width(picture):
    (step,) = steps(augment.blur(p=1.0), "image")
    for i in range(3):
        sigma = 0.1 + 1.9 * step.drawn(0, 0, i)[0]
        expected = cv2.GaussianBlur(picture.astype(np.float64), (13, 13), sigma, borderType=cv2.BORDER_REPLICATE)
        assert np.abs(augment.blur(p=1.0)(picture, sample=i) - expected).max() <= 1


def test_a_point_that_moved_is_a_line_of_the_same_light():
    point = np.zeros((31, 31), np.uint8)
    point[15, 15] = 255
    for i in range(10):
        found = augment.motion_blur(limit=9.0, p=1.0)(point, sample=i)
        y, x = np.nonzero(found)
        assert np.abs(y - 15).max() <= 5
        assert np.abs(x - 15).max() <= 5
        assert abs(int(found.sum()) - 255) < 15


def test_sharpening_changes_edges_and_leaves_flat_parts(picture):
    flat = np.full((9, 9, 3), 77, np.uint8)
    assert np.array_equal(augment.sharpen(p=1.0)(flat, sample=0), flat)
    sharp = augment.sharpen(p=1.0)(picture, sample=1).astype(float)
    assert cv2.Laplacian(sharp, -1).std() > cv2.Laplacian(picture.astype(float), -1).std()


def test_noise_has_the_spread_that_was_drawn():
    grey = np.full((200, 200, 3), 128, np.uint8)
    (step,) = steps(augment.noise(p=1.0), "image")
    for i in range(3):
        found = augment.noise(p=1.0)(grey, sample=i).astype(float) - 128
        assert found.std() == pytest.approx(25.5 * step.drawn(0, 0, i)[0], rel=0.03, abs=0.3)
        assert abs(found.mean()) < 0.3
        assert abs(np.corrcoef(found[..., 0].ravel(), found[..., 1].ravel())[0, 1]) < 0.03
    assert not np.array_equal(augment.noise(p=1.0)(grey, sample=1), augment.noise(p=1.0)(grey, sample=1, epoch=1))


def test_shot_noise_grows_with_the_root_of_the_light():
    spread = [
        (augment.shot_noise(photons=50.0, p=1.0)(np.full((200, 200), level, np.uint8), sample=0) / 255).std()
        for level in (16, 64, 144)
    ]
    assert spread[1] / spread[0] == pytest.approx(2, rel=0.1)
    assert spread[2] / spread[0] == pytest.approx(3, rel=0.1)


def test_salt_and_pepper_is_a_share_of_all_levels():
    grey = np.full((300, 300), 128, np.uint8)
    (step,) = steps(augment.salt_and_pepper(limit=0.5, p=1.0), "image")
    found = augment.salt_and_pepper(limit=0.5, p=1.0)(grey, sample=4)
    share = 0.5 * step.drawn(0, 0, 4)[0]
    assert (found == 0).mean() == pytest.approx(share / 2, rel=0.1)
    assert (found == 255).mean() == pytest.approx(share / 2, rel=0.1)
    assert set(np.unique(found)) == {0, 128, 255}


def test_equalise_is_opencvs_and_spreads_levels(picture):
    found = augment.equalise(p=1.0)(picture, sample=0)
    assert np.array_equal(found[..., 1], cv2.equalizeHist(np.ascontiguousarray(picture[..., 1])))
    assert abs(found.mean() - 127.5) < 8


def test_jpeg_keeps_colours_in_their_order(picture):
    found = augment.jpeg(least=95.0, p=1.0)(picture, sample=0).astype(int)
    assert 0 < 4 * np.abs(found - picture).mean() < np.abs(found - picture[..., ::-1]).mean()
    rough = augment.jpeg(least=1.0, p=1.0)
    qualities = [np.abs(rough(picture, sample=i).astype(int) - picture).mean() for i in range(20)]
    assert max(qualities) > 2 * min(qualities)


def test_normalise_is_its_definition(picture):
    mean, std = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    found = augment.normalise()(picture, sample=0)
    assert found.dtype == np.float32
    assert np.allclose(found, (picture / 255 - mean) / std, atol=1e-5)
    chain = augment.flip(p=1.0) >> augment.brightness(p=1.0) >> augment.normalise()
    assert np.allclose(
        chain(picture, sample=0), augment.normalise()(augment.Policy(chain.parts[:2])(picture, sample=0), sample=0)
    )


@pytest.mark.parametrize("technique", [augment.cutout, augment.random_erasing, augment.grid_mask])
def test_erasing_fills_a_part_and_leaves_the_rest(technique):
    white = np.full((60, 80, 3), 255, np.uint8)
    shares = []
    for i in range(100):
        found = technique(fill=0.2, p=1.0)(white, sample=i)
        assert set(np.unique(found)) <= {51, 255}
        shares.append((found == 51).mean())
    low, high = {"cutout": (0.03, 0.2), "random_erasing": (0.015, 0.41), "grid_mask": (0.05, 0.35)}[technique.name]
    assert low < min(shares) <= max(shares) < high


def test_erased_boxes_have_their_area():
    white = np.full((60, 80), 255, np.uint8)
    found = max((augment.cutout(p=1.0)(white, sample=i) == 0).sum() for i in range(100))
    assert found == 30 * 30


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: augment.saturation(p=1.0)(np.zeros((4, 4), np.uint8), sample=0), "pictures of 3 channels, not 1"),
        (lambda: augment.hue(p=1.0).batch(torch.zeros(1, 4, 4, 4), [0]), "hue takes pictures of 3 channels, not 4"),
        (lambda: augment.jpeg(p=1.0)(np.zeros((4, 4, 4), np.uint8), sample=0), "1 or 3 channels, not 4"),
        (lambda: augment.normalise()(np.zeros((4, 4), np.uint8), sample=0), "mean of normalise has 3 numbers, and"),
        (lambda: augment.normalise(std=(0.0,)), "std of normalise takes"),
        (lambda: (augment.normalise() >> augment.flip())(np.zeros((4, 4, 3), np.uint8), sample=0), "the last step"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_in_a_sentence(make, said):
    with pytest.raises(InputError, match=said) as refused:
        make()
    assert "\n" not in str(refused.value)
