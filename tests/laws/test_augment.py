"""Laws of augmentations of pictures: a new one is covered at once."""

import pickle

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, Dataset

from augment.direct import direct
from augment.photos import photos
from thalweg import augment
from thalweg.augment._program import steps
from thalweg.errors import InputError

IMAGES = [t for t in augment.CATALOGUE.values() if t.medium == "image"]
SMALL = {"size": (24, 20)}
each = pytest.mark.parametrize("technique", IMAGES, ids=lambda technique: technique.name)
geometric = [t for t in IMAGES if t.stage == "geometry"]
tones = [t for t in IMAGES if t.stage == "level"]
each_map = pytest.mark.parametrize("technique", geometric, ids=lambda technique: technique.name)
alone = pytest.mark.parametrize("technique", [t for t in IMAGES if t.stage != "mix"], ids=lambda t: t.name)


def given(technique):
    """Return hyperparameters that suit small pictures."""
    return {name: value for name, value in SMALL.items() if name in technique.hyperparameters}


@pytest.fixture(scope="session")
def pictures():
    """Eight parts of photographs, uint8, 40 high and 52 wide."""
    corners = [(60 + 41 * i, 100 + 53 * i) for i in range(4)]
    found = [np.ascontiguousarray(photo[y : y + 80 : 2, x : x + 104 : 2]) for photo in photos() for y, x in corners]
    return np.stack(found)


def floats(pictures):
    return torch.from_numpy(pictures).permute(0, 3, 1, 2).contiguous().float() / 255


def levels(found):
    return found.permute(0, 2, 3, 1).numpy() * 255


class Photos(Dataset):
    def __init__(self, pictures, policy):
        self.pictures, self.policy = pictures, policy

    def __len__(self):
        return len(self.pictures)

    def __getitem__(self, i):
        return self.policy(self.pictures[i], sample=i, epoch=3, seed=5)


@alone
def test_a_sample_follows_from_its_key_whatever_the_batch_and_order(technique, pictures):
    policy = technique(p=1.0 if technique.sized else 0.7, **given(technique))
    samples = np.array([3, 1, 4, 15, 9, 2, 6, 5])
    images = floats(pictures)
    together = policy.batch(images, samples, epoch=2, seed=7)
    backwards = policy.batch(images.flip(0), samples[::-1], epoch=2, seed=7).flip(0)
    one_by_one = [policy.batch(images[i : i + 1], samples[i : i + 1], epoch=2, seed=7) for i in range(8)]
    assert torch.equal(together, backwards)
    assert torch.equal(together, torch.cat(one_by_one))
    once, twice = (policy(pictures[0], sample=3, epoch=2, seed=7) for _ in range(2))
    assert once.tobytes() == twice.tobytes()


@pytest.mark.filterwarnings("ignore:This DataLoader will create")
def test_workers_change_no_byte(pictures):
    policy = augment.flip() >> augment.ssr() >> augment.perspective() >> augment.brightness() >> augment.gamma()
    found = [
        torch.cat(list(DataLoader(Photos(pictures, policy), batch_size=3, num_workers=workers)))
        for workers in (0, 1, 2, 4)
    ]
    assert all(torch.equal(found[0], other) for other in found[1:])
    assert not torch.equal(found[0], torch.from_numpy(pictures))


@alone
def test_uint8_and_batch_agree_to_within_a_level(technique, pictures):
    policy = technique(p=1.0, **given(technique))
    batch = levels(policy.batch(floats(pictures), np.arange(8), epoch=1, seed=3))
    for i, picture in enumerate(pictures):
        mine = policy(picture, sample=i, epoch=1, seed=3)
        scale = 255 if mine.dtype == np.float32 else 1
        apart = np.abs(mine * np.float64(scale) - batch[i])
        assert apart.max() <= 1.0, (technique, apart.max())


@pytest.mark.parametrize("second", tones, ids=lambda technique: technique.name)
@pytest.mark.parametrize("first", tones, ids=lambda technique: technique.name)
def test_two_steps_on_levels_agree_on_every_level(first, second):
    """Where levels are compared, as `posterise` does, what float32 loses in the step before must not count."""
    every = np.arange(256, dtype=np.uint8).reshape(16, 16)
    batch = torch.from_numpy(every)[None, None].float() / 255
    values = {"posterise": [{"bits": n} for n in range(1, 8)], "solarise": [{"threshold": n / 5} for n in range(6)]}
    for one in values.get(first.name, [{}]):
        for other in values.get(second.name, [{}]):
            policy = first(**one, p=1.0) >> second(**other, p=1.0)
            for i in range(3):
                apart = np.abs(policy.batch(batch, [i])[0, 0].numpy() * 255 - policy(every, sample=i))
                assert apart.max() <= 1.0, policy


@each_map
def test_a_map_is_within_a_level_of_its_direct_evaluation(technique, pictures):
    for border in ("constant", "reflect", "edge") if "border" in technique.hyperparameters else ("edge",):
        values = {"border": border} if "border" in technique.hyperparameters else {}
        policy = technique(p=1.0, **given(technique), **values)
        (step,) = steps(policy, "image")
        for i in (0, 5):
            plane = step.technique.formula(*step.drawn(2, 0, i), 40, 52, **step.values)
            height, width = technique.sized(40, 52, **step.values) if technique.sized else (40, 52)
            mine = policy(pictures[i], sample=i, seed=2)
            expected = direct(pictures[i], plane.array(), height, width, border)
            assert mine.shape == expected.shape
            assert np.abs(mine - expected).max() <= 1.0


def test_a_chain_of_maps_is_within_a_level_of_the_composed_map(pictures):
    policy = augment.flip(p=1.0) >> augment.ssr(p=1.0) >> augment.flip_vertical(p=1.0) >> augment.perspective(p=1.0)
    for i, picture in enumerate(pictures):
        matrix = np.eye(3)
        for step in steps(policy, "image"):
            matrix = step.technique.formula(*step.drawn(0, 4, i), 40, 52, **step.values).array() @ matrix
        assert np.abs(policy(picture, sample=i, epoch=4) - direct(picture, matrix, 40, 52)).max() <= 1.0


def test_a_composed_table_is_within_a_level_of_its_steps_one_by_one(pictures):
    policy = tones[0](p=1.0)
    for technique in tones[1:]:
        policy = policy >> technique(p=1.0)
    pairs = [policy.parts[first : first + 2] for first in range(len(tones) - 1)]
    for parts in (*pairs, policy.parts, policy.parts[::-1], policy.parts * 2):
        chain, x = augment.Policy(parts), pictures[0] / 255.0
        for step in steps(chain, "image"):
            x = step.technique.formula(x, *step.drawn(0, 0, 9), **step.values).clip(0, 1)
        assert np.abs(chain(pictures[0], sample=9) - x * 255).max() <= 1.0


@alone
def test_p_0_leaves_all_as_it_was_and_p_1_always_happens(technique, pictures):
    never = technique(p=0.0, **given(technique))
    if technique.sized is None and technique.stage != "last":
        assert np.array_equal(never(pictures[1], sample=1), pictures[1])
        images = floats(pictures)
        assert torch.equal(never.batch(images, range(8)), images)
    always = technique(p=1.0, **given(technique))
    assert all("left out" not in always.explain(i) for i in range(50))
    sometimes = technique(p=0.5, **given(technique))
    assert 5 < sum("left out" in sometimes.explain(i) for i in range(50)) < 45


@alone
def test_single_and_array_draws_are_the_same_numbers(technique):
    (step,) = steps(technique(p=0.6, **given(technique)), "image")
    happens, drawn = step.drawn_arrays(step.keys(11), np.asarray(4), np.arange(30))
    for i in range(30):
        mine = step.drawn(11, 4, i)
        assert (mine is not None) == bool(happens[i])
        assert mine is None or mine == drawn[i].tolist()


@alone
def test_a_step_added_at_the_end_moves_no_other(technique):
    if technique.stage == "last":
        with pytest.raises(InputError, match="is the last step of a policy"):
            steps(technique() >> augment.invert(), "image")
        return
    policy = augment.ssr() >> technique(**given(technique))
    longer = policy >> augment.invert()
    for i in range(5):
        assert longer.explain(i, 2, seed=1).splitlines()[:2] == policy.explain(i, 2, seed=1).splitlines()


@each
def test_a_policy_is_pickled_and_compared_by_what_it_says(technique):
    policy = technique(p=0.25, **given(technique)) >> augment.flip()
    assert pickle.loads(pickle.dumps(policy)) == policy
    assert technique.name in repr(policy)
    assert "p=0.25" in repr(policy)


@alone
def test_explain_says_each_step_and_its_numbers(technique):
    policy = technique(p=1.0, **given(technique))
    (line,) = policy.explain(0, height=40, width=52).splitlines()
    assert line.startswith(f"{technique.name}: ")
    (step,) = steps(policy, "image")
    assert all(f"{u:.4f}" in line for u in step.drawn(0, 0, 0))


@alone
@pytest.mark.parametrize("channels", [None, 1, 4, 6])
def test_grey_and_many_channels_are_done_or_refused_in_a_sentence(technique, channels, pictures):
    grey = pictures[0].mean(-1).astype(np.uint8)
    picture = grey if channels is None else np.repeat(grey[..., None], channels, -1)
    policy = technique(p=1.0, **given(technique))
    try:
        found = policy(picture, sample=0)
    except InputError as error:
        said = str(error)
    else:
        said = "channel"
        assert found.ndim == picture.ndim
        assert found.shape[2:] == picture.shape[2:]
    assert "channel" in said
    assert "\n" not in said


@pytest.mark.parametrize(
    ("picture", "said"),
    [
        (np.zeros((4, 4), np.uint16), "uint8"),
        (np.zeros((4, 4, 3), np.float32), "uint8"),
        (np.zeros((0, 4, 3), np.uint8), "empty"),
        (np.zeros((4, 4, 0), np.uint8), "empty"),
        (np.zeros((2, 4, 4, 3), np.uint8), "shape"),
        (np.zeros(4, np.uint8), "shape"),
        ("photo.jpg", "str"),
    ],
)
def test_what_is_no_picture_is_refused_in_a_sentence(picture, said):
    with pytest.raises(InputError, match=said) as refused:
        (augment.flip() >> augment.ssr())(picture, sample=0)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("images", "samples"),
    [
        (torch.zeros(3, 4, 4), [0]),
        (torch.zeros(2, 3, 4, 4, dtype=torch.uint8), [0, 1]),
        (torch.zeros(0, 3, 4, 4), []),
        (torch.zeros(2, 3, 4, 4), [0, 1, 2]),
        (np.zeros((2, 3, 4, 4)), [0, 1]),
    ],
)
def test_what_is_no_batch_is_refused_in_a_sentence(images, samples):
    with pytest.raises(InputError, match="batch"):
        augment.flip().batch(images, samples)
