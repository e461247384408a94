"""Steps that bend pictures: their fields, the pictures, and what moves with them."""

import numpy as np
import pytest
import torch
from threadpoolctl import threadpool_limits

from augment.direct import direct_at
from augment.photos import photos
from thalweg import augment
from thalweg.augment._program import steps
from thalweg.augment.image._fields import field_of
from thalweg.recipe import Recipe
from thalweg.task import Task, accuracy
from thalweg.train.augmented import Augmenting

BORDERS = ("constant", "reflect", "edge")
FIELDS = {"elastic": augment.elastic(p=1.0), "grid_distortion": augment.grid_distortion(p=1.0)}
each = pytest.mark.parametrize("policy", FIELDS.values(), ids=FIELDS)
STRONGEST = {
    "elastic": augment.elastic(strength=0.025, sigma=0.1, p=1.0),
    "grid of 3": augment.grid_distortion(cells=3, limit=0.22, p=1.0),
    "grid of 8": augment.grid_distortion(cells=8, limit=0.22, p=1.0),
}
each_strongest = pytest.mark.parametrize("policy", STRONGEST.values(), ids=STRONGEST)


@pytest.fixture
def picture():
    return np.ascontiguousarray(photos()[0][100:180:2, 200:304:2])


def field(policy, height, width, sample=0, epoch=0, seed=0):
    return field_of(steps(policy, "image")[-1], (seed, epoch, sample), height, width)


def pixels(height, width):
    y, x = (places.ravel().astype(float) for places in np.mgrid[:height, :width])
    return x, y


def at_pixels(one):
    """Return a field's moves of all pixels in float64, ``(2, height, width)``."""
    return np.stack(one.at(*pixels(one.height, one.width))).reshape(2, one.height, one.width)


@pytest.mark.parametrize("border", BORDERS)
@pytest.mark.parametrize("channels", [1, 2, 3, 6])
def test_a_bent_picture_is_within_a_level_of_its_direct_evaluation(picture, border, channels):
    """Alone, and after a map, with which it is one."""
    many = np.concatenate([picture, picture[::-1]], -1)[..., :channels]
    for name in FIELDS:
        bent = getattr(augment, name)(border=border, p=1.0)
        turned = augment.perspective(border=border, p=1.0) >> augment.ssr(border=border, p=1.0)
        for policy in (bent, turned >> bent):
            for i in range(3):
                y, x = np.mgrid[:40, :52].astype(float)
                u, v = at_pixels(field(policy, 40, 52, i)) + np.stack([x, y])
                for step in reversed(steps(policy, "image")[:-1]):
                    plane = step.technique.formula(*step.drawn(0, 0, i), 40, 52, **step.values)
                    u, v = plane.inverse()(u, v)
                expected = direct_at(many, u, v, border)
                mine = policy(many, sample=i)
                assert mine.shape == expected.shape
                assert np.abs(mine - expected).max() <= 0.6, (name, i)


@each
def test_a_batch_is_the_pictures_one_by_one(policy, picture):
    """Also where maps come before, where it happens to some, and where gradients are wanted."""
    images = torch.from_numpy(picture).permute(2, 0, 1)[None].float().repeat(8, 1, 1, 1) / 255
    (part,) = policy.parts
    sometimes = augment.Policy((part.technique(p=0.5).parts[0],))
    for tried in (policy, augment.ssr(p=0.7) >> policy, augment.ssr(p=0.7) >> sometimes >> augment.flip()):
        found = tried.batch(images, range(8), epoch=1, seed=2)
        for i in range(8):
            mine = tried(picture, sample=i, epoch=1, seed=2)
            assert np.abs(found[i].permute(1, 2, 0).numpy() * 255 - mine).max() <= 1.0
        other = tried.batch(images.clone().requires_grad_(), range(8), epoch=1, seed=2)
        assert other.requires_grad
        assert torch.allclose(found, other.detach(), atol=1e-3)


def test_maps_before_a_field_are_one_with_it_and_maps_after_it_are_not(picture):
    turn, bend, back = augment.flip(p=1.0), augment.elastic(p=1.0), augment.flip_vertical(p=1.0)
    bent = augment.Policy((*turn.parts, *bend.parts))(picture, sample=4)
    assert np.array_equal((turn >> bend >> back)(picture, sample=4), bent[::-1])
    white = np.full_like(picture, 255)
    out_and_in = augment.affine(shift=0.0, scale=0.3, rotate=0.0, shear=0.0, border="reflect", p=1.0)
    assert ((out_and_in >> augment.elastic(border="reflect", p=1.0))(white, sample=0) == 255).all()
    assert not ((out_and_in >> augment.elastic(strength=0.1, p=1.0))(white, sample=0) == 255).all()


@each
def test_moves_of_pixels_are_those_of_places(policy):
    for height, width in ((40, 52), (1, 9), (7, 1), (224, 300)):
        one = field(policy, height, width)
        assert one.grid().dtype == np.float32
        assert np.abs(one.grid() - at_pixels(one)).max() < 1e-4 * max(height, width)


@each
def test_a_larger_picture_has_the_same_field(policy):
    small, large = field(policy, 40, 52, 3), field(policy, 120, 156, 3)
    x, y = pixels(40, 52)
    moves, larger = np.stack(small.at(x, y)), np.stack(large.at(3 * x + 1, 3 * y + 1))
    assert np.abs(moves).max() > 1
    assert np.allclose(3 * moves, larger, atol=1e-4)


@each
def test_each_sample_epoch_seed_and_place_has_a_field_of_its_own(policy):
    later = augment.flip() >> policy
    found = [at_pixels(field(policy, 20, 20, *key)) for key in ((0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1))]
    found.append(at_pixels(field(later, 20, 20)))
    for i, one in enumerate(found):
        for other in found[:i]:
            assert np.abs(np.corrcoef(one.ravel(), other.ravel())[0, 1]) < 0.9
            assert np.abs(one - other).max() > 0.2


def test_elastic_moves_have_the_deviation_and_the_covariances_of_smoothed_noise():
    """Of independent numbers at every place, smoothed: exp(-distance² / 4 sigma²), the same all over the picture."""
    policy = augment.elastic(strength=0.03, sigma=0.15, p=1.0)
    found = np.stack([field(policy, 40, 60, i).grid() for i in range(3000)]).astype(np.float64)
    deviation = found.std(0)
    assert np.abs(found.mean(0)).max() < 5 * 1.2 / 3000**0.5
    assert np.abs(deviation / (0.03 * 40) - 1).max() < 0.08
    assert abs(deviation.mean() / (0.03 * 40) - 1) < 0.01
    for right, down in ((3, 0), (0, 6), (9, 5)):
        products = (found[..., : 40 - down, : 60 - right] * found[..., down:, right:]).mean()
        expected = np.exp(-(right**2 + down**2) / (4 * 6.0**2))
        assert abs(products / 1.2**2 - expected) < 0.02
    assert abs((found[:, 0] * found[:, 1]).mean()) < 0.03


def test_noise_is_smoothed_alike_at_every_pixel():
    """Also at the rim: as many nodes outside count as inside."""
    for sigma in (0.02, 0.1, 0.25, 1.0):
        one = field(augment.elastic(sigma=sigma, p=1.0), 40, 60)
        for spread, size in ((one.down, 40), (one.across, 60)):
            squares = (spread.at(np.arange(size)) ** 2).sum(-1)
            assert np.abs(squares / np.pi**0.5 - 1).max() < 1.2e-4


def test_a_grid_stays_at_the_rim_and_never_folds():
    for cells in (1, 2, 5):
        policy = augment.grid_distortion(cells=cells, limit=0.25, p=1.0)
        for i in range(30):
            one = field(policy, 60, 80, i)
            along = np.linspace(-0.5, 79.5, 50)
            for y in (-0.5, 59.5):
                assert np.abs(one.at(along, np.full(50, y))[1]).max() < 1e-9
            y, x = np.mgrid[:60, :80] + at_pixels(one)[::-1]
            area = (
                np.diff(x, axis=1)[:-1] * np.diff(y, axis=0)[:, :-1]
                - np.diff(x, axis=0)[:, :-1] * np.diff(y, axis=1)[:-1]
            )
            assert area.min() > 0
    white = np.full((60, 80), 255, np.uint8)
    assert augment.grid_distortion(limit=0.25, p=1.0)(white, sample=0).min() == 255
    assert not at_pixels(field(augment.grid_distortion(cells=1, p=1.0), 60, 80)).any()


@each_strongest
def test_places_come_back_to_a_twentieth_of_a_pixel(policy):
    """Of the strongest fields that are searched, wherever in the picture or about it."""
    rng = np.random.default_rng(0)
    worst = 0.0
    for height, width in ((224, 224), (90, 300)):
        x, y = rng.uniform(-20, width + 20, 300), rng.uniform(-20, height + 20, 300)
        for i in range(40):
            one = field(policy, height, width, i)
            to_x, to_y = one.forward(x, y)
            dx, dy = one.at(to_x, to_y)
            worst = max(worst, np.hypot(to_x + dx - x, to_y + dy - y).max())
    assert worst < 0.01


def test_a_place_that_is_none_stays_none():
    one = field(FIELDS["elastic"], 40, 52)
    x, y = one.forward(np.array([np.nan, 5.0]), np.array([3.0, np.inf]))
    assert np.isnan(x[0])
    assert np.isinf(y[1])


@each_strongest
def test_a_point_is_where_its_mark_is(policy):
    """The marks are ramps, whose levels at the point's new place say which place of the picture is seen there."""
    across = torch.arange(224.0).expand(224, 224) / 223
    ramps = torch.stack([across, across.T])[None]
    points = np.random.default_rng(1).uniform(20, 204, (50, 2))
    cells = policy.parts[0].resolved().space() or dict(policy.parts[0].resolved())
    for i in range(8):
        done = policy.together(np.zeros((224, 224), np.uint8), points=points, sample=i)
        bent = policy.batch(ramps, [i])[0].numpy() * 223
        kinks = -0.5 + 224 / cells.get("cells", 1) * np.arange(9)
        near = (np.abs(done.points[:, :, None] - kinks) < 1).any((1, 2))
        x, y = done.points.T
        left, top = np.floor(x).astype(int), np.floor(y).astype(int)
        a, b = x - left, y - top
        upper = bent[:, top, left] * (1 - a) + bent[:, top, left + 1] * a
        lower = bent[:, top + 1, left] * (1 - a) + bent[:, top + 1, left + 1] * a
        apart = np.abs((upper * (1 - b) + lower * b).T - points)[~near]
        assert len(apart) > 20
        assert apart.max() < 0.05


@each_strongest
def test_a_box_is_the_hull_of_its_bent_outline(policy):
    """Of all places, 16 in a pixel, that come from inside the box."""
    height, width, boxes = 224, 300, [[30, 40, 130, 170], [200, 100, 203, 101], [100, 20, 290, 30]]
    fine = (np.arange(4 * size) / 4 - 0.375 for size in (width, height))
    x, y = np.meshgrid(*fine)
    for i in range(4):
        done = policy.together(np.zeros((height, width), np.uint8), boxes=boxes, sample=i)
        assert done.kept.tolist() == [0, 1, 2]
        u, v = field(policy, 4 * height, 4 * width, i).grid() / 4 + np.stack([x, y])
        for (left, top, right, bottom), box in zip(boxes, done.boxes, strict=True):
            rows, columns = np.nonzero((u > left - 0.5) & (u < right - 0.5) & (v > top - 0.5) & (v < bottom - 0.5))
            hull = np.array([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]) / 4
            assert np.abs(box - hull).max() <= 0.5, (i, box, hull)
            assert (box[:2] <= hull[:2] + 0.13).all()
            assert (box[2:] >= hull[2:] - 0.13).all()


@each
def test_masks_are_taken_from_the_pixels_nearest_to_where_the_picture_is_from(policy):
    numbered = np.arange(60 * 80, dtype=np.int64).reshape(60, 80)
    done = policy.together(np.zeros((60, 80), np.uint8), masks=[numbered], sample=2)
    u, v = at_pixels(field(policy, 60, 80, 2)) + np.mgrid[:60, :80][::-1]
    row, column = np.floor(v + 0.5).astype(int), np.floor(u + 0.5).astype(int)
    inside = (row >= 0) & (row < 60) & (column >= 0) & (column < 80)
    expected = np.where(inside, numbered[row.clip(0, 59), column.clip(0, 79)], 0)
    assert (done.masks[0] == expected).mean() > 0.999
    assert inside.mean() > 0.5


def test_threads_of_the_library_of_matrices_change_no_byte():
    large = np.ascontiguousarray(np.tile(photos()[0], (2, 2, 1)))
    policy = augment.elastic(sigma=0.05, p=1.0)
    found = []
    for threads in (1, 2):
        with threadpool_limits(threads):
            found.append(policy(large, sample=1).tobytes())
    assert found[0] == found[1]


def test_explain_says_how_far_the_field_moves():
    policy = augment.elastic(p=1.0)
    across, down = np.abs(at_pixels(field(policy, 40, 52, 3))).max((1, 2))
    said = policy.explain(3, height=40, width=52)
    assert said == f"elastic: moves by up to {across:.2f} pixels across, {down:.2f} down"


def test_runs_of_a_population_bend_as_each_would_alone():
    policies = [augment.elastic(strength=s, border="edge", p=0.8) for s in (0.01, 0.02, 0.06)]
    policies.append(augment.flip() >> augment.grid_distortion(limit=0.1))
    inputs = torch.from_numpy(np.stack([photos()[0][20 * i :][:24, :24, 0] for i in range(10)])).double()
    task = Task(
        model=lambda: torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(576, 2)),
        data=(inputs[:, None] / 100 - 1, torch.arange(10) % 2), loss=torch.nn.functional.cross_entropy,
        metric=accuracy, dtype=torch.float64,
    )  # fmt: skip
    numbers = torch.tensor([[3, 1, 0], [2, 4, 5], [3, 1, 0], [0, 1, 2]])
    recipes = [Recipe(augment=policy) for policy in policies]
    found = Augmenting(task, recipes, [7, 8, 7, 9]).batch(numbers, [0, 1, 0, 2]).at(slice(None)).inputs
    for row, (policy, seed, epoch) in enumerate(zip(policies, (7, 8, 7, 9), (0, 1, 0, 2), strict=True)):
        plain = task.train.inputs[numbers[row]]
        alone = policy.batch(plain, numbers[row].numpy(), epoch=epoch, seed=seed)
        assert torch.equal(found[row], alone)
        assert not torch.equal(alone, plain)
    assert not torch.equal(found[0], found[2])


def test_a_recipe_keeps_what_is_said_and_what_is_searched():
    recipe = Recipe(augment=augment.elastic(strength=0.01, border="reflect") >> augment.grid_distortion(cells=3))
    assert Recipe.from_toml(recipe.toml()) == recipe
    assert set(augment.elastic().parts[0].space()) == {"strength", "sigma"}
    assert set(augment.grid_distortion().parts[0].space()) == {"cells", "limit"}
