"""Learned policies: the published tables, and operations against PIL's, whose ranges the paper gives."""

import sys
from collections import Counter, defaultdict

import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageOps

from augment.photos import photos
from thalweg import augment
from thalweg.augment.image._learned import learned
from thalweg.augment.image._pixels import chosen

POLICIES = (augment.auto, augment.auto_cifar10, augment.auto_svhn)
TABLES = {policy.name: sys.modules[policy.formula.__module__].TABLE for policy in POLICIES}
each = pytest.mark.parametrize("policy", POLICIES, ids=lambda policy: policy.name)
MAPS = {"shear_x", "shear_y", "translate_x", "translate_y", "rotate"}
PLAIN = {"auto_contrast", "equalise", "invert"}

PUBLISHED = {
    "auto": {
        "posterise": (5, 28, 32), "rotate": (6, 36, 45), "solarise": (7, 36, 36), "auto_contrast": (2, 12, 0),
        "equalise": (17, 112, 0), "saturation": (6, 38, 18), "invert": (3, 18, 0), "contrast": (2, 20, 16),
        "sharpen": (1, 4, 7), "shear_x": (1, 6, 5),
    },
    "auto_cifar10": {
        "invert": (3, 2, 0), "contrast": (2, 8, 13), "rotate": (1, 7, 2), "translate_x": (2, 8, 17),
        "sharpen": (5, 28, 24), "shear_y": (2, 7, 15), "translate_y": (5, 34, 39), "auto_contrast": (7, 50, 0),
        "equalise": (9, 47, 0), "posterise": (1, 3, 7), "saturation": (5, 29, 27), "brightness": (4, 23, 25),
        "solarise": (4, 19, 18),
    },
    "auto_svhn": {
        "shear_x": (6, 42, 29), "invert": (12, 76, 0), "shear_y": (8, 61, 51), "equalise": (6, 39, 0),
        "solarise": (5, 22, 25), "rotate": (4, 34, 14), "auto_contrast": (3, 23, 0), "translate_y": (4, 20, 18),
        "contrast": (1, 3, 3), "translate_x": (1, 9, 3),
    },
}  # fmt: skip
"""How often tables of torchvision and kornia have each operation; sums of its chances, in tenths, and magnitudes."""


def alone(name, magnitude, way=0.9):
    """Return the one step that an operation is, for a picture."""
    return learned([((name, 1.0, magnitude), (name, 0.0, magnitude))], 0.0, (0.5, 0.5), (way, way))


def after(picture, *of, **more):
    return chosen(picture, alone(*of, **more), (0, 0, 0))


@pytest.fixture
def picture():
    return np.ascontiguousarray(photos()[0][100:180, 200:304])


@each
def test_tables_are_the_published_ones(policy):
    table = TABLES[policy.name]
    assert len(table) == 25
    found = defaultdict(lambda: [0, 0, 0])
    for name, chance, magnitude in (operation for pair in table for operation in pair):
        assert 0 <= magnitude <= 9
        assert isinstance(magnitude, int)
        sums = found[name]
        sums[0] += 1
        sums[1] += round(10 * chance)
        sums[2] += magnitude if name not in PLAIN else 0
    assert {name: tuple(sums) for name, sums in found.items()} == PUBLISHED[policy.name]


@each
def test_each_pair_is_as_likely_and_each_operation_has_its_chance(policy):
    table = TABLES[policy.name]
    tenths = [(i + 0.5) / 10 for i in range(10)]
    for at, pair in enumerate(table):
        counted = Counter()
        for u in tenths:
            for i, (_, chance, _) in enumerate(pair):
                others = [0.99999, 0.99999]
                others[i] = u
                steps = learned(table, (at + 0.5) / 25, others, (0.9, 0.9))
                always = sum(other == 1.0 for j, (_, other, _) in enumerate(pair) if j != i)
                counted[i] += len(steps) - always
                assert len(steps) - always == (u < chance)
        assert [counted[i] for i in (0, 1)] == [round(10 * chance) for _, chance, _ in pair]
    said = [policy().explain(i).partition("; ")[2] for i in range(400)]
    assert 0.03 < sum(words == "none" for words in said) / 400 < 0.3
    assert max(words.count(">>") for words in said) == 1


@pytest.mark.parametrize("magnitude", range(10))
def test_operations_are_pils_over_the_ranges_of_table_6(picture, magnitude):
    image, share = Image.fromarray(picture), magnitude / 9
    factor = 0.1 + 1.8 * share

    def apart(name, expected, inner=0):
        found = after(picture, name, magnitude).astype(int) - np.asarray(expected)
        return np.abs(found[inner : len(found) - inner, inner : found.shape[1] - inner]).max()

    assert apart("saturation", ImageEnhance.Color(image).enhance(factor)) <= 2
    assert apart("sharpen", ImageEnhance.Sharpness(image).enhance(factor), inner=1) <= 1.5
    assert apart("posterise", ImageOps.posterize(image, 8 - round(4 * share))) <= 1
    assert apart("solarise", ImageOps.solarize(image, 256 - 256 * share if magnitude < 9 else 0)) <= 1
    assert apart("auto_contrast", ImageOps.autocontrast(image)) <= 1
    assert apart("invert", ImageOps.invert(image)) == 0
    grey = np.full((8, 8, 3), 100, np.uint8)
    middle = Image.fromarray(np.array([[0, 255]], np.uint8))  # whose mean is what PIL holds fast, as ours mid-grey
    assert (int(after(grey, "contrast", magnitude)[0, 0, 0]) - 127.5) == pytest.approx(-27.5 * factor, abs=0.6)
    stretched = np.asarray(ImageEnhance.Contrast(middle).enhance(factor)).astype(float)
    assert np.abs(after(np.array([[0, 255]], np.uint8), "contrast", magnitude) - stretched).max() <= 1
    half = np.full((8, 8), 128, np.uint8)
    assert int(after(half, "brightness", magnitude)[0, 0]) == pytest.approx(128 * factor, abs=1.1)


@pytest.mark.parametrize("way", [0.2, 0.8])
def test_maps_go_either_way_as_far_as_table_6_says(way):
    sign = -1 if way < 0.5 else 1
    middle = np.array([[165.0, 165.0], [175.0, 165.0], [165.0, 175.0]])
    for magnitude in (0, 4, 9):
        share, moved = sign * magnitude / 9, {}
        for name in MAPS:
            (step,) = alone(name, magnitude, way=way)
            plane = step.technique.formula(*step.drawn, 331, 331, **step.values)
            moved[name] = np.stack(plane(*middle.T), -1)
        assert np.allclose(moved["translate_x"] - middle, [150 * share, 0])
        assert np.allclose(moved["translate_y"] - middle, [0, 150 * share])
        assert np.allclose(moved["shear_x"][2] - moved["shear_x"][0], [3 * share, 10])
        assert np.allclose(moved["shear_y"][1] - moved["shear_y"][0], [10, 3 * share])
        x, y = moved["rotate"][1] - moved["rotate"][0]
        assert np.degrees(np.arctan2(-y, x)) == pytest.approx(30 * share)


def test_directions_move_nothing_else(picture):
    picture = picture // 2 + 40
    for name in ("saturation", "contrast", "brightness", "sharpen", "solarise", "posterise", *PLAIN):
        assert np.array_equal(after(picture, name, 7, way=0.1), after(picture, name, 7))
        assert not np.array_equal(after(picture, name, 7), picture)


def test_auto_contrast_reaches_black_and_white_in_each_channel_and_leaves_flat_ones():
    dull = (photos()[0][:50, 100:160] // 4 + np.array([20, 60, 90], np.uint8)).astype(np.uint8)
    dull[..., 2] = 77
    found = augment.auto_contrast(p=1.0)(dull, sample=0)
    assert [(int(channel.min()), int(channel.max())) for channel in found.transpose(2, 0, 1)] == [
        (0, 255), (0, 255), (77, 77)
    ]  # fmt: skip
    six = np.concatenate([dull, dull], -1)
    assert np.array_equal(augment.auto_contrast(p=1.0)(six, sample=0)[..., 3:], found)
    assert np.array_equal(augment.auto_contrast(p=1.0)(dull[..., 0], sample=0), found[..., 0])
