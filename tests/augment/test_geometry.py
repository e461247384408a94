"""What geometric augmentations do, and what they refuse."""

import numpy as np
import pytest
import torch

from augment.photos import photos
from thalweg import augment
from thalweg.errors import InputError


@pytest.fixture
def picture():
    return np.ascontiguousarray(photos()[0][100:148:2, 200:280:2])


def test_quarter_turns_are_moves_of_pixels(picture):
    square = picture[:, :24]
    found = {augment.quarter_turns(p=1.0)(square, sample=i).tobytes() for i in range(40)}
    assert found == {np.rot90(square, k).tobytes() for k in range(4)}
    found = {augment.quarter_turns(p=1.0)(picture, sample=i).tobytes() for i in range(40)}
    assert found == {np.rot90(picture, k).tobytes() for k in (0, 2)}


def test_a_positive_angle_is_counter_clockwise():
    from thalweg.augment.image._pixels import warped
    from thalweg.augment.image._plane import about, turned

    square = np.arange(81, dtype=np.uint8).reshape(9, 9)
    assert np.array_equal(np.rot90(square), warped(square, about(turned(90.0), 9, 9), 9, 9))


def test_crops_are_windows_of_the_picture(picture):
    windows = {picture[y : y + 20, x : x + 30].tobytes(): (y, x) for y in range(5) for x in range(11)}
    at = [windows[augment.crop(size=(20, 30))(picture, sample=i).tobytes()] for i in range(200)]
    assert {y for y, _ in at} == set(range(5))
    assert {x for _, x in at} == set(range(11))
    assert np.array_equal(augment.centre_crop(size=(20, 30))(picture, sample=0), picture[2:22, 5:35])


@pytest.mark.parametrize(("border", "mode"), [("constant", "constant"), ("reflect", "reflect"), ("edge", "edge")])
def test_padding_is_numpys(picture, border, mode):
    found = augment.pad(left=3, top=1, right=2, bottom=5, border=border)(picture, sample=0)
    assert np.array_equal(found, np.pad(picture, ((1, 5), (3, 2), (0, 0)), mode=mode))


def test_padding_and_crop_come_to_one_move(picture):
    policy = augment.pad() >> augment.crop(size=(24, 40)) >> augment.flip(p=1.0)
    padded = np.pad(picture, ((4, 4), (4, 4), (0, 0)))
    windows = {padded[y : y + 24, x : x + 40][:, ::-1].tobytes() for y in range(9) for x in range(9)}
    assert all(policy(picture, sample=i).tobytes() in windows for i in range(30))


def test_a_window_resized_keeps_its_area_and_shape_within_bounds():
    from thalweg.augment._program import steps

    (step,) = steps(augment.random_resized_crop(size=(32, 48), area=0.1, ratio=1.5), "image")
    for i in range(200):
        back = step.technique.formula(*step.drawn(0, 0, i), 60, 80, **step.values).inverse()
        left, top = back(-0.5, -0.5)
        right, bottom = back(47.5, 31.5)
        assert -0.5 - 1e-9 <= left < right <= 79.5 + 1e-9
        assert -0.5 - 1e-9 <= top < bottom <= 59.5 + 1e-9
        assert (right - left) * (bottom - top) <= 4800 + 1e-6
        if right - left < 80 and bottom - top < 60:
            assert (right - left) * (bottom - top) >= 480 - 80 - 60
            assert 0.9 / 1.5 <= (right - left) / 80 / ((bottom - top) / 60) <= 1.1 * 1.5


def test_resizing_is_the_warp_that_it_stands_for(picture):
    """Also where a window is turned round, much larger, smaller, or at the rim."""
    from thalweg.augment.image._pixels import _mixed, warped
    from thalweg.augment.image._plane import fitted, mirrored, upturned

    for size in ((100, 150), (13, 170), (10, 12), (24, 81)):
        for y, x, high, wide in ((0, 0, 24, 40), (3, 5, 10, 20), (0, 9, 24, 31), (20, 0, 4, 7)):
            for turn in (mirrored(size[1]) @ upturned(size[0]), upturned(size[0]), mirrored(size[1])):
                plane = fitted(float(x), float(y), high, wide, *size)
                for mine in (plane, turn @ plane):
                    for border in ("edge", "constant", "reflect"):
                        expected = _mixed(picture, mine, *size, border).astype(int)
                        assert np.abs(warped(picture, mine, *size, border) - expected).max() <= 1


def test_an_enlarged_picture_has_no_dark_rim():
    white = np.full((10, 10, 3), 255, np.uint8)
    assert augment.resize(size=(33, 47))(white, sample=0).min() == 255
    images = torch.ones(1, 3, 10, 10)
    assert augment.resize(size=(33, 47)).batch(images, [0]).min() == 1
    assert augment.resize(size=(33, 47)).batch(images.clone().requires_grad_(), [0]).min() > 0.9999


def test_resizing_to_the_same_size_changes_nothing(picture):
    assert np.array_equal(augment.resize(size=(24, 40))(picture, sample=0), picture)


def test_a_batch_on_another_path_is_the_same(picture):
    """Where gradients are wanted, torch samples the pictures; else OpenCV does."""
    images = torch.from_numpy(picture).permute(2, 0, 1)[None].float().repeat(6, 1, 1, 1) / 255
    for border in ("constant", "reflect", "edge"):
        policy = augment.ssr(shift=0.5, border=border, p=1.0) >> augment.perspective(border=border, p=1.0)
        one = policy.batch(images, range(6))
        other = policy.batch(images.clone().requires_grad_(), range(6))
        assert torch.allclose(one, other.detach(), atol=1e-3)
        assert other.requires_grad


def test_borders_that_differ_are_not_fused(picture):
    first, second = augment.ssr(border="reflect", p=1.0), augment.affine(border="constant", p=1.0)
    once = first(picture, sample=2)
    both = (first >> second)(picture, sample=2)
    assert (once > 0).mean() > 0.99
    assert (both == 0).all(-1).mean() > 0.02


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: augment.crop(size=(0, 10)), "size of crop takes a whole number from 1"),
        (lambda: augment.crop(size=(100, 10)), "does not fit into a picture of 24 × 40"),
        (lambda: augment.resize(size=(10,)), "a height and a width"),
        (lambda: augment.ssr(border="wrap"), "border of ssr takes constant, reflect or edge, not 'wrap'"),
        (lambda: augment.ssr(border=3), "border of ssr takes constant, reflect or edge, not 3"),
        (lambda: augment.pad(left=-1), "left of pad takes"),
    ],
)
def test_what_cannot_be_is_refused_in_a_sentence(make, said, picture):
    with pytest.raises(InputError, match=said) as refused:
        make()(picture, sample=0)
    assert "\n" not in str(refused.value)


def test_a_size_that_only_some_of_a_batch_would_have_is_refused():
    with pytest.raises(InputError, match="give it p=1"):
        augment.resize(size=(4, 4), p=0.5).batch(torch.zeros(20, 3, 8, 8), range(20))


@pytest.mark.parametrize("last", [augment.resize(size=(30, 34)), augment.random_resized_crop(size=(20, 24))])
@pytest.mark.parametrize("between", [augment.Policy(), augment.flip(), augment.elastic(p=0.5)])
def test_the_border_of_a_step_that_is_left_out_is_not_taken_in_a_batch_either(last, between):
    pictures = np.stack([photo[100:124, 200:230] for photo in photos()] * 10) // 2 + 100
    batch = torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 255
    policy = augment.ssr(p=0.5, shift=0.0, rotate=1.0, scale=0.0) >> last
    policy = policy >> between if between.name == "elastic" else between >> policy
    found = (policy.batch(batch, range(20)) * 255).permute(0, 2, 3, 1).numpy()
    for i, picture in enumerate(pictures):
        assert np.abs(found[i] - policy(picture, sample=i)).max() < 1.6
