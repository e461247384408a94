"""What cannot be meant is refused in one sentence, as early as it can be known."""

import re

import numpy as np
import pytest
import torch

from thalweg import augment, loss
from thalweg.errors import InputError
from thalweg.technique import Choice

FLIP = augment.flip(p=1.0)
PICTURE = np.zeros((40, 60, 3), np.uint8)
BATCH = torch.rand(4, 3, 16, 16)


def together(**named):
    return FLIP.together(PICTURE, sample=0, **named)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: FLIP >> None, "an augmentation is appended to flip, such as augment.flip(), not None"),
        (lambda: FLIP >> augment.typo(), "flip is for pictures and typo is for texts: a policy has steps for one"),
        (lambda: augment.typo(at_least=5, at_most=2), "at_least of typo is 5, more than at_most, 2"),
        (lambda: augment.crop(size=(1, 2, 3)), "size of crop is a height and a width, such as (32, 32), not (1, 2"),
        (lambda: augment.resize(size=Choice(((8, 8), (9,)))), "size of resize is a height and a width, such as"),
        (lambda: augment.typo().texts("hello"), "texts takes a list of strings, and this is one: call text, or give"),
        (lambda: augment.typo().texts(None), "texts takes a list of strings, not None"),
        (lambda: augment.typo().text("a", sample=1.5), "samples takes whole numbers, not [1.5]"),
        (lambda: together(boxes=[["a", "b", "c", "d"]]), "boxes are numbers, (N, 4), not [['a', 'b', 'c', 'd']]"),
        (lambda: together(boxes=[[1, 2, 3, 4], [1]]), "boxes are numbers, (N, 4), not"),
        (lambda: together(points=[["a", 1]]), "points are numbers, (N, 2), not [['a', 1]]"),
        (lambda: augment.typo().explain(0), "typo is for texts: say which with text="),
        (lambda: augment.crop(32, 28), "size of crop is a height and a width: crop(size=(32, 28))"),
        (lambda: augment.resize(size=32), "size of resize is a height and a width: resize(size=(32, 32))"),
        (lambda: together(boxes=3), "boxes are numbers, (N, 4), not 3"),
        (lambda: together(boxes=[[40, 40, 10, 10]], form="yolo"), "box 0, [40.0, 40.0, 10.0, 10.0], is no share of"),
        (lambda: together(points=[[1, 1], [np.nan, 2]]), "point 1, [nan, 2.0], is not two finite numbers"),
        (lambda: together(boxes=[[4, 4, 5, 5]], visible=2.0), "visible is a share of a box's area, from 0 to 1, not"),
        (lambda: together(visible=-1), "visible is a share of a box's area, from 0 to 1, not -1"),
        (lambda: together(masks=PICTURE[..., 0]), "masks is a list of arrays, not one of shape (40, 60): give"),
        (lambda: augment.brightness().batch(BATCH * 255, range(4)), "batch takes floats from 0 to 1, and these are"),
        (lambda: augment.ssr().batch(BATCH * torch.nan, range(4)), "batch takes floats from 0 to 1, and these are"),
        (lambda: augment.mixup().mixed(BATCH - 1, [0] * 4, range(4), classes=2), "batch takes floats from 0 to 1,"),
        (lambda: FLIP.batch(BATCH, torch.rand(4, 40)), "samples takes whole numbers, not tensor("),
        (lambda: FLIP.batch(BATCH, torch.rand(4)), "samples takes whole numbers, not tensor("),
        (lambda: FLIP.batch(BATCH, range(4), epoch=0.5), "epoch takes whole numbers, not 0.5"),
        (lambda: FLIP.batch(BATCH, range(4), seed=[1, 2]), "batch takes a number for each of 4 pictures, and seed"),
        (lambda: FLIP.batch(BATCH, range(3)), "batch takes a number for each of 4 pictures, and samples"),
        (lambda: FLIP.batch(BATCH, 3), "batch takes a number for each of 4 pictures, not ()"),
        (lambda: FLIP(PICTURE), "Policy needs sample=: the example's number in the data, from which, with epoch and"),
        (lambda: FLIP.together(PICTURE), "Policy.together needs sample=: the example's number in the data"),
        (lambda: augment.typo().text("a"), "Policy.text needs sample=: the example's number in the data"),
        (lambda: augment.typo().edited("a"), "Policy.edited needs sample=: the example's number in the data"),
        (lambda: FLIP(PICTURE, sampel=3), 'unknown argument of Policy "sampel"; did you mean "sample"?'),
        (lambda: FLIP.batch(BATCH, samplse=range(4)), 'unknown argument of Policy.batch "samplse"; did you mean'),
        (lambda: FLIP(PICTURE[..., 0][None], sample=0), "the picture has shape (1, 40, 60), with its channels first"),
        (lambda: FLIP(PICTURE.transpose(2, 0, 1), sample=0), "pictures are (height, width, channels), as picture"),
        (lambda: FLIP.together(PICTURE.transpose(2, 0, 1), sample=0), "the picture has shape (3, 40, 60)"),
        (lambda: FLIP.batch(BATCH.permute(0, 2, 3, 1), range(4)), "the batch has shape (4, 16, 16, 3), with its"),
        (lambda: augment.Policy(FLIP), "a Policy has a tuple of ingredients, not flip(p=1.0); what augment.flip()"),
        (lambda: augment.Policy([FLIP]), "a Policy has a tuple of ingredients, not [flip(p=1.0)]"),
        (lambda: augment.Policy(loss.huber().technique), "a Policy has a tuple of ingredients, not <loss huber>"),
        (lambda: augment.Policy((loss.huber(),)), "huber is not an augmentation, such as augment.flip()"),
    ],
)  # fmt: skip
def test_what_cannot_be_meant(call, said):
    with pytest.raises(InputError, match=re.escape(said)) as refused:
        call()
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("policy", [FLIP, augment.noise(), augment.flip() >> augment.ssr(), augment.trivial()])
@pytest.mark.parametrize("name", ["sample", "epoch", "seed"])
@pytest.mark.parametrize("value", [1.5, "a", None])
def test_a_key_is_of_whole_numbers_for_every_step(policy, name, value):
    for call in (lambda **key: policy(PICTURE, **key), lambda **key: policy.together(PICTURE, **key),
                 lambda **key: policy.explain(**key)):  # fmt: skip
        with pytest.raises(InputError, match=f"{name} takes a whole number, not {value!r}"):
            call(**{"sample": 0, name: value})


def test_numbers_of_other_libraries_and_a_stack_of_masks_pass():
    policy = augment.noise(p=1.0)
    assert np.array_equal(policy(PICTURE, sample=np.int64(5), epoch=np.int32(2)), policy(PICTURE, sample=5, epoch=2))
    assert len(together(masks=np.zeros((3, 40, 60), np.uint8)).masks) == 3
    assert len(together(boxes=[[0.5, 0.5, 1.0, 1.0]], form="yolo").boxes) == 1


def test_steps_that_only_move_pixels_take_any_numbers_and_what_resizing_adds_passes():
    flipped = FLIP.batch(BATCH * 255, range(4))
    assert torch.equal(flipped, (BATCH * 255).flip(-1))
    augment.brightness().batch(BATCH * 1.4 - 0.2, range(4))


@pytest.mark.parametrize("shape", [(1, 1, 3), (1, 7, 3), (7, 1), (2, 2, 3)])
@pytest.mark.parametrize("technique", augment.IMAGE, ids=lambda technique: technique.name)
def test_pictures_of_a_pixel_or_a_line_come_out_or_are_refused(technique, shape):
    policy = technique(p=1.0)
    for i in range(8):
        try:
            assert policy(np.full(shape, 9, np.uint8), sample=i).dtype in (np.uint8, np.float32)
        except InputError as refused:
            assert re.search("channels|does not fit|mixes", str(refused))  # noqa: PT017
