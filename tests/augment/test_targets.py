"""Masks, boxes and key points stay on their pixels: tested on drawn marks."""

import numpy as np
import pytest

from thalweg import augment
from thalweg.augment.image._targets import FORMS
from thalweg.errors import InputError

POLICIES = {
    "flipped": augment.flip(p=1.0) >> augment.flip_vertical(p=1.0),
    "quarters": augment.quarter_turns(p=1.0),
    "rotated": augment.ssr(shift=0.0, scale=0.0, p=1.0),
    "shifted and scaled": augment.ssr(rotate=0.0, scale=0.2, p=1.0),
    "sheared": augment.affine(p=1.0),
    "seen from aside": augment.perspective(p=1.0),
    "larger": augment.resize(size=(200, 180)),
    "cut and resized": augment.random_resized_crop(size=(120, 90), area=0.7),
    "padded": augment.pad(left=7, top=3) >> augment.crop(size=(85, 110)),
    "bent": augment.elastic(sigma=0.2, p=1.0),
    "bent by a grid": augment.grid_distortion(p=1.0),
    "turned and bent": augment.ssr(p=1.0) >> augment.elastic(p=1.0),
    "bent, cut and resized": augment.grid_distortion(p=1.0) >> augment.random_resized_crop(size=(120, 90), area=0.7),
    "twice, with blur between": augment.ssr(p=1.0) >> augment.blur(p=1.0) >> augment.ssr(border="reflect", p=1.0),
}
each = pytest.mark.parametrize("policy", POLICIES.values(), ids=POLICIES)


def marked():
    """Return a dark picture with a bright disc and its mask, middle, and box."""
    y, x = np.mgrid[:90, :120]
    disc = (x - 55) ** 2 + (y - 42) ** 2 <= 15**2
    picture = np.where(disc, 250, 0).astype(np.uint8)
    return picture, disc, (55.0, 42.0), (40.0, 27.0, 71.0, 58.0)


@each
def test_a_key_point_is_at_the_middle_of_its_mark(policy):
    picture, _, middle, _ = marked()
    picture = np.zeros_like(picture)
    picture[41:44, 54:57] = 250
    for i in range(6):
        done = policy.together(picture, points=[middle], sample=i)
        if not done.seen[0] or done.image.sum() < 250:
            continue
        weights = done.image.astype(float)
        y, x = np.mgrid[: weights.shape[0], : weights.shape[1]]
        near = (abs(x - done.points[0, 0]) < 9) & (abs(y - done.points[0, 1]) < 9)
        weights = weights * near
        if not (5 < done.points[0, 0] < weights.shape[1] - 6 and 5 < done.points[0, 1] < weights.shape[0] - 6):
            continue
        found = (weights * x).sum() / weights.sum(), (weights * y).sum() / weights.sum()
        assert np.abs(found - done.points[0]).max() < 0.12


@each
def test_a_mask_lies_on_its_mark_and_keeps_its_values(policy):
    picture, disc, _, _ = marked()
    for dtype in (bool, np.uint8, np.int64, np.float32):
        mask = np.where(disc, 7, 0).astype(dtype)
        for i in range(3):
            done = policy.together(picture, masks=[mask], sample=i)
            assert done.masks[0].shape == done.image.shape
            assert done.masks[0].dtype == dtype
            assert set(np.unique(done.masks[0])) <= set(np.unique(mask))
            apart = (done.masks[0] != 0) != (done.image > 125)
            assert apart.mean() < 0.004, policy


@each
def test_a_box_of_any_form_is_about_its_mark(policy):
    picture, _, _, (left, top, right, bottom) = marked()
    given = {
        "pascal": [left, top, right, bottom],
        "coco": [left, top, right - left, bottom - top],
        "yolo": [(left + right) / 240, (top + bottom) / 180, (right - left) / 120, (bottom - top) / 90],
    }
    for i in range(6):
        found = []
        for form in FORMS:
            done = policy.together(picture, boxes=[given[form]], form=form, sample=i)
            boxes, (height, width) = done.boxes.copy(), done.image.shape
            if form == "yolo":
                boxes *= (width, height, width, height)
                boxes[:, :2] -= boxes[:, 2:] / 2
            if form != "pascal":
                boxes[:, 2:] += boxes[:, :2]
            found.append(boxes)
        assert np.allclose(found[0], found[1])
        assert np.allclose(found[0], found[2])
        rows, columns = np.nonzero(done.image > 125)
        if not len(found[0]) or "reflect" in repr(policy):
            continue
        x0, y0, x1, y1 = found[0][0]
        assert x0 - 1 <= columns.min() and columns.max() + 1 <= x1 + 1  # noqa: PT018
        assert y0 - 1 <= rows.min() and rows.max() + 1 <= y1 + 1  # noqa: PT018


@pytest.mark.parametrize("name", ["flipped", "quarters", "larger", "padded"])
def test_a_box_is_tight_where_nothing_is_turned(name):
    picture, _, _, box = marked()
    for i in range(5):
        done = POLICIES[name].together(picture, boxes=[box], sample=i)
        rows, columns = np.nonzero(done.image > 125)
        seen = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
        assert np.abs(done.boxes[0] - seen).max() <= (1.0 if name == "larger" else 0.0)


def test_boxes_are_cut_and_dropped_by_what_is_left():
    picture = np.zeros((40, 40), np.uint8)
    boxes = [[0, 0, 10, 10], [5, 10, 15, 20], [12, 12, 20, 20], [-5, 20, 3, 30], [50, 50, 60, 60]]
    cut = augment.centre_crop(size=(20, 20))
    done = cut.together(picture, boxes=boxes, sample=0)
    assert done.boxes.tolist() == [[0, 0, 5, 10], [2, 2, 10, 10]]
    assert done.kept.tolist() == [1, 2]
    assert cut.together(picture, boxes=boxes, visible=0.5, sample=0).kept.tolist() == [1, 2]
    assert cut.together(picture, boxes=boxes, visible=0.51, sample=0).kept.tolist() == [2]


def test_what_was_cut_away_does_not_come_back_with_padding():
    picture = np.full((40, 40), 255, np.uint8)
    policy = augment.centre_crop(size=(20, 20)) >> augment.pad(left=10, top=10, right=10, bottom=10)
    done = policy.together(picture, boxes=[[2, 2, 8, 8], [5, 15, 35, 25]], points=[[5, 5], [20, 20]], sample=0)
    assert done.image.sum() == 255 * 400
    assert done.kept.tolist() == [1]
    assert done.boxes.tolist() == [[10, 15, 30, 25]]
    assert done.seen.tolist() == [False, True]


def test_the_picture_is_that_of_a_call_and_nothing_else_is_needed():
    picture, *_ = marked()
    policy = augment.flip() >> augment.ssr() >> augment.noise()
    done = policy.together(picture, sample=5, epoch=2, seed=1)
    assert np.array_equal(done.image, policy(picture, sample=5, epoch=2, seed=1))
    assert (done.masks, done.boxes.shape, done.points.shape) == ((), (0, 4), (0, 2))


@pytest.mark.parametrize(
    ("targets", "said"),
    [
        ({"masks": [np.zeros((3, 3))]}, "mask of shape"),
        ({"boxes": [[5, 5, 5, 9]]}, "box 0, .*has no area"),
        ({"boxes": [[0, 0, 1, 1], [0, 0, float("nan"), 1]]}, "box 1"),
        ({"boxes": [[1, 2, 3]]}, r"\(N, 4\)"),
        ({"boxes": [[0, 0, 1, 1]], "form": "voc"}, "form of boxes"),
        ({"points": [[1, 2, 3]]}, r"\(N, 2\)"),
    ],
)
def test_what_cannot_be_is_refused_in_a_sentence(targets, said):
    with pytest.raises(InputError, match=said) as refused:
        augment.flip(p=1.0).together(np.zeros((10, 10), np.uint8), sample=0, **targets)
    assert "\n" not in str(refused.value)
