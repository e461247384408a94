"""Transforms of other libraries inside a policy."""

import pickle
import random

import numpy as np
import pytest
import torch
from torch import nn

from augment.photos import photos
from thalweg import augment
from thalweg.errors import InputError


class Shifted(nn.Module):
    """Draws from torch's own generator, and takes tensors, as torchvision's transforms do."""

    def forward(self, image):
        assert image.dtype == torch.uint8
        return image.roll(int(torch.randint(0, image.shape[-1], ())), -1)


def lighter(image):
    return (image // 2 + random.randint(0, 60) + np.random.randint(0, 60)).astype(np.uint8)  # noqa: NPY002


@pytest.fixture
def picture():
    return photos()[0][100:120, 200:230].copy()


@pytest.mark.parametrize("transform", [Shifted(), lighter])
def test_it_follows_from_the_key_and_leaves_generators_alone(transform, picture):
    policy = augment.flip() >> augment.adapted(transform) >> augment.invert(p=1.0)
    before = random.getstate(), np.random.get_state()[1].tobytes(), torch.get_rng_state()  # noqa: NPY002
    found = [policy(picture, sample=i).tobytes() for i in range(20)]
    assert random.getstate() == before[0]
    assert np.random.get_state()[1].tobytes() == before[1]  # noqa: NPY002
    assert torch.equal(torch.get_rng_state(), before[2])
    assert found[::-1] == [policy(picture, sample=i).tobytes() for i in reversed(range(20))]
    assert len(set(found)) > 10
    again = pickle.loads(pickle.dumps(policy))
    assert again(picture, sample=3).tobytes() == found[3]


def test_batches_are_the_same(picture):
    policy = augment.adapted(Shifted(), p=0.5)
    images = torch.from_numpy(picture).permute(2, 0, 1)[None].float().repeat(6, 1, 1, 1) / 255
    batch = (policy.batch(images, range(6)) * 255).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()
    assert all(np.array_equal(batch[i], policy(picture, sample=i)) for i in range(6))


def test_albumentations_is_keyed(picture):
    library = pytest.importorskip("albumentations")
    policy = augment.adapted(library.Compose([library.RandomCrop(12, 12), library.HorizontalFlip()]))
    found = [policy(picture, sample=i).tobytes() for i in range(20)]
    assert found[::-1] == [policy(picture, sample=i).tobytes() for i in reversed(range(20))]
    assert len(set(found)) > 10


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda _: augment.adapted(3), "takes a transform"),
        (lambda x: augment.adapted(lambda image: image / 255)(x, sample=0), "made float64 of a uint8 picture"),
        (
            lambda x: augment.adapted(Shifted()).together(x, points=[[1, 1]], sample=0),
            "Shifted moves things is not known",
        ),
    ],
)
def test_what_cannot_be_is_refused_in_a_sentence(call, said, picture):
    with pytest.raises(InputError, match=said) as refused:
        call(picture)
    assert "\n" not in str(refused.value)
