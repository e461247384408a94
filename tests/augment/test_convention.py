"""The convention is that of Pillow and OpenCV: given the amounts that were drawn, they make our pictures."""

import sys
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from PIL import Image

from augment.photos import photos
from thalweg import augment
from thalweg.augment._program import steps
from thalweg.augment.image._opencv import opencv
from thalweg.errors import InputError

HEIGHT, WIDTH = 61, 80
MIDDLE = (WIDTH - 1) / 2, (HEIGHT - 1) / 2


@pytest.fixture
def picture():
    return np.ascontiguousarray(photos()[0][100 : 100 + HEIGHT, 200 : 200 + WIDTH])


def drawn(policy, sample):
    """Return a step's amounts: its random numbers, from 0 up to 1, on the way from -1 to 1."""
    (step,) = steps(policy, "image")
    return [2 * u - 1 for u in step.drawn(0, 0, sample)]


def apart(one, other, rim=0):
    """Return the most levels between two pictures, within a rim of pixels."""
    inner = slice(rim, HEIGHT - rim), slice(rim, WIDTH - rim)
    return np.abs(one.astype(int) - other)[inner].max()


def opencvs(picture, angle, factor=1.0, right=0.0, down=0.0):
    """Return a picture turned counter-clockwise about its middle, scaled and then shifted, by OpenCV."""
    matrix = cv2.getRotationMatrix2D(MIDDLE, angle, factor)
    matrix[:, 2] += right, down
    return cv2.warpAffine(picture, matrix, (WIDTH, HEIGHT), flags=cv2.INTER_LINEAR)


def pillows(picture, angle, right=0.0, down=0.0):
    """Return the same by Pillow, which keeps a picture's scale."""
    turned = Image.fromarray(picture).rotate(angle, Image.Resampling.BILINEAR, translate=(right, down))
    return np.asarray(turned)


def test_rotations_are_pillows_and_opencvs(picture):
    policy = augment.ssr(shift=0.0, scale=0.0, rotate=15.0, p=1.0)
    angles = [15 * drawn(policy, i)[0] for i in range(8)]
    assert min(angles) < -5
    assert max(angles) > 5
    for i, angle in enumerate(angles):
        found = policy(picture, sample=i)
        assert apart(found, opencvs(picture, angle)) <= 1
        assert apart(found, pillows(picture, angle), rim=14) <= 1  # which draws a picture's rim in its own way
        assert apart(found, opencvs(picture, -angle), rim=14) > 10


def test_shifts_scales_and_rotations_are_opencvs(picture):
    policy = augment.ssr(p=1.0)
    for i in range(8):
        turn, growth, right, down = drawn(policy, i)
        amounts = 45 * turn, 1 + 0.1 * growth, 0.0625 * WIDTH * right, 0.0625 * HEIGHT * down
        assert apart(policy(picture, sample=i), opencvs(picture, *amounts)) <= 1


def test_a_shift_after_a_turn_is_pillows(picture):
    policy = augment.ssr(scale=0.0, rotate=10.0, shift=0.1, p=1.0)
    for i in range(4):
        turn, _, right, down = drawn(policy, i)
        expected = pillows(picture, 10 * turn, 0.1 * WIDTH * right, 0.1 * HEIGHT * down)
        assert apart(policy(picture, sample=i), expected, rim=22) <= 1


def test_flips_turns_and_sizes_are_pillows_and_opencvs(picture):
    image = Image.fromarray(picture)
    for policy, transposed, code in (
        (augment.flip(p=1.0), Image.Transpose.FLIP_LEFT_RIGHT, 1),
        (augment.flip_vertical(p=1.0), Image.Transpose.FLIP_TOP_BOTTOM, 0),
    ):
        found = policy(picture, sample=0)
        assert np.array_equal(found, np.asarray(image.transpose(transposed)))
        assert np.array_equal(found, cv2.flip(picture, code))
    square = picture[:60, :60]
    found = {augment.quarter_turns(p=1.0)(square, sample=i).tobytes() for i in range(40)}
    assert np.asarray(Image.fromarray(square).transpose(Image.Transpose.ROTATE_90)).tobytes() in found
    larger = augment.resize(size=(HEIGHT + 40, WIDTH + 33), p=1.0)(picture, sample=0).astype(int)
    to = WIDTH + 33, HEIGHT + 40
    assert np.abs(larger - np.asarray(image.resize(to, Image.Resampling.BILINEAR))).max() <= 1
    assert np.abs(larger - cv2.resize(picture, to, interpolation=cv2.INTER_LINEAR)).max() <= 1


def test_perspectives_corners_are_where_opencv_puts_them(picture):
    policy = augment.perspective(p=1.0)
    corners = np.array([[0, 0], [WIDTH - 1, 0], [WIDTH - 1, HEIGHT - 1], [0, HEIGHT - 1]], np.float32)
    for i in range(4):
        seen = policy.together(picture, points=corners, sample=i).points.astype(np.float32)
        matrix = cv2.getPerspectiveTransform(corners, seen)
        expected = cv2.warpPerspective(picture, matrix, (WIDTH, HEIGHT), flags=cv2.INTER_LINEAR)
        assert apart(policy(picture, sample=i), expected) <= 1


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (None, r"needs OpenCV: pip install 'thalweg\[image\]'"),
        (SimpleNamespace(__version__="4.13.0"), r"needs OpenCV 5 or later, and 4\.13\.0 is installed: pip install"),
    ],
)
def test_without_opencv_or_with_an_older_one_a_sentence_says_what_to_install(found, said, monkeypatch):
    monkeypatch.setitem(sys.modules, "cv2", found)
    with pytest.raises(InputError, match=said) as refused:
        opencv.__wrapped__()
    assert "\n" not in str(refused.value)
