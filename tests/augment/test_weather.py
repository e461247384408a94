"""Weather: what the steps do, against direct evaluations in float64, and that it looks the same at any size."""

import re
from itertools import pairwise

import cv2
import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from threadpoolctl import threadpool_limits
from torch.utils.data import DataLoader, Dataset

from augment.photos import photos
from thalweg import augment
from thalweg.augment._draws import fields
from thalweg.augment._program import steps
from thalweg.augment.image._veils import veil_of

WEATHER = ("fog", "rain", "snow", "shadow", "sun_flare")
each = pytest.mark.parametrize("name", WEATHER)
FEW = {"rain": {"count": 60}, "snow": {"count": 120}}
HEIGHT, WIDTH = 192, 256
ROWS, COLUMNS = (places.astype(np.float64) for places in np.mgrid[:HEIGHT, :WIDTH])


@pytest.fixture
def picture():
    return np.ascontiguousarray(photos()[0][100 : 100 + HEIGHT, 200 : 200 + WIDTH])


def policy_of(name, **values):
    return augment.CATALOGUE[name](**{**FEW.get(name, {}), "p": 1.0, **values})


def drawn_by(policy, sample, height=HEIGHT, width=WIDTH):
    """Return a step's random numbers and, where it takes any, those of its nodes."""
    (step,) = steps(policy, "image")
    nodes = step.technique.nodes
    shape = nodes(height, width, **step.values) if nodes else (0, 0)
    n = fields(step.keys(0), 0, sample, shape[0] * shape[1]).reshape(shape).astype(np.float64)
    return step.drawn(0, 0, sample), n, step.values


def veil(policy, sample, height=HEIGHT, width=WIDTH):
    (step,) = steps(policy, "image")
    return veil_of(step, step.drawn(0, 0, sample), (0, 0, sample), height, width)


def eased(values, y, x):
    """Return a grid's numbers at places counted in its cells: those of the four nodes about each."""
    top, left = (np.minimum(np.floor(place), len(values) - 2).astype(int) for place in (y, x))
    found = np.zeros(np.broadcast(y, x).shape)
    for row in (top, top + 1):
        for column in (left, left + 1):
            down, across = abs(y - row), abs(x - column)
            found += values[row, column] * (1 - 3 * down**2 + 2 * down**3) * (1 - 3 * across**2 + 2 * across**3)
    return found


def fog(u, n, values):
    fine, at = np.mgrid[:33, :33].astype(np.float64), 0
    total = np.zeros((33, 33))
    for cells in (2, 4, 8, 16, 32):
        own = 2 * n[0, at : at + (cells + 1) ** 2].reshape(cells + 1, cells + 1) - 1
        total += 0.8 / (cells / 2) * eased(own, *(fine * cells / 32))
        at += (cells + 1) ** 2
    assert at == n.size
    cell = max(HEIGHT, WIDTH) / 32
    thickness = np.maximum(1 + eased(total, (ROWS + 0.5) / cell, (COLUMNS + 0.5) / cell), 0)
    passes = (1 - values["limit"] * (0.2 + 0.8 * u[0])) ** thickness
    return passes, values["light"] * (1 - passes)


def dot(layer, x, y, weight):
    """Add a dot, shared among the pixels about it as bilinear interpolation takes from them."""
    for row in (int(np.floor(y)), int(np.floor(y)) + 1):
        for column in (int(np.floor(x)), int(np.floor(x)) + 1):
            if 0 <= row < HEIGHT and 0 <= column < WIDTH:
                layer[row, column] += weight * (1 - abs(y - row)) * (1 - abs(x - column))


def soft(layer, sigma):
    return layer if sigma < 0.3 else gaussian_filter(layer, sigma, mode="nearest", truncate=4)


def over(share, level, opacity, light):
    """Return what is seen through a mist with something before it."""
    return (1 - share) * (1 - opacity), share * level * (1 - opacity) + light * opacity


def rain(u, n, values):
    count = int(values["count"] / 5 + u[0] * (0.8 * values["count"] + 1))
    angle = np.radians(values["slant"] * (2 * u[1] - 1))
    reach = values["length"] * HEIGHT
    layer, wide = np.zeros((HEIGHT, WIDTH)), 0.0045 * HEIGHT
    for across, down, near in n[:, :count].T:
        size = 0.25 + 0.75 * near**2
        parts = int(np.ceil(reach * size)) + 1
        for along in (np.arange(parts) + 0.5) / parts:
            x = across * (WIDTH + 2 * reach) - reach - 0.5 + np.sin(angle) * reach * size * along
            y = down * (HEIGHT + reach) - reach - 0.5 + np.cos(angle) * reach * size * along
            dot(layer, x, y, wide * (0.2 + 0.6 * near) * reach * size * 1.5 * (1 - (2 * along - 1) ** 2) / parts)
    opacity = 1 - np.exp(-soft(layer, wide / 2.5))
    return over(1 - np.exp(-0.0005 * count), 0.55, opacity, values["light"])


def snow(u, n, values):
    count = int(values["count"] / 5 + u[0] * (0.8 * values["count"] + 1))
    angle = np.radians(values["slant"] * (2 * u[1] - 1))
    total = np.zeros((HEIGHT, WIDTH))
    for low, high, share in ((0.0, 0.75, 0.22), (0.75, 0.95, 0.45), (0.95, 1.0, 1.0)):
        layer, sigma = np.zeros((HEIGHT, WIDTH)), values["diameter"] * share * HEIGHT / 4
        for across, down, near in n[:, :count].T:
            if low <= near < high:
                for path in (-1, -1 / 3, 1 / 3, 1):
                    x = across * (WIDTH + 4 * sigma) - 2 * sigma - 0.5 + np.sin(angle) * path * sigma
                    y = down * (HEIGHT + 4 * sigma) - 2 * sigma - 0.5 + np.cos(angle) * path * sigma
                    dot(layer, x, y, 2 * np.pi * sigma**2 * 2.5 * (1 - 0.6 * share) / 4)
        total += soft(layer, sigma)
    return over(1 - np.exp(-0.0004 * count), 0.85, 1 - np.exp(-total), values["light"])


def shadow(u, _, values):
    """By angles: a place is inside if it sees the polygon's corners go round it; how far, by the nearest edge."""
    radius = values["least"] + (values["most"] - values["least"]) * u[3]
    turns = 2 * np.pi * (np.arange(5) + np.array(u[4:])) / 5
    corners = np.stack([(u[1] + radius * np.cos(turns)) * WIDTH, (u[2] + radius * np.sin(turns)) * HEIGHT], -1)
    place = np.stack([COLUMNS + 0.5, ROWS + 0.5], -1)
    distance = np.full((HEIGHT, WIDTH), np.inf)
    for start, end in zip(corners, np.roll(corners, -1, 0), strict=True):
        along = (end - start) / np.linalg.norm(end - start)
        foot = place - start
        distance = np.minimum(distance, along[0] * foot[..., 1] - along[1] * foot[..., 0])
    inside = np.clip(0.5 + distance / max(values["soft"] * HEIGHT, 1.0), 0, 1)
    return 1 - values["limit"] * (1 + u[0]) / 2 * inside, 0 * inside


def sun_flare(u, _, values):
    strength, (x, y) = values["limit"] * (1 + u[0]) / 2, (u[1], u[2] / 2)
    dark = np.ones((HEIGHT, WIDTH))
    lights = ((0, 1, 1), (0, 2.2, 0.55), (0, 5, 0.35), (0.35, 0.35, 0.25), (0.7, 0.6, 0.15), (1, 0.9, 0.2))
    for along, wide, share in lights:
        dx = COLUMNS + 0.5 - WIDTH * (x + 2 * along * (0.5 - x))
        dy = ROWS + 0.5 - HEIGHT * (y + 2 * along * (0.5 - y))
        dark *= 1 - strength * share * np.exp(-0.5 * (dx**2 + dy**2) / (wide * values["diameter"] * HEIGHT / 4) ** 2)
    return dark, 1 - dark


@pytest.mark.parametrize("direct", [fog, rain, snow, shadow, sun_flare], ids=lambda one: one.__name__)
def test_levels_are_within_one_of_a_direct_evaluation(direct, picture):
    policy = policy_of(direct.__name__)
    batch = policy.batch(torch.from_numpy(picture).permute(2, 0, 1)[None].repeat(4, 1, 1, 1) / 255, range(4))
    for i in range(4):
        keep, light = direct(*drawn_by(policy, i))
        expected = (picture / 255 * keep[..., None] + light[..., None]).clip(0, 1) * 255
        assert np.abs(policy(picture, sample=i) - expected).max() <= 0.51
        assert np.abs(batch[i].permute(1, 2, 0).numpy() * 255 - expected).max() <= 0.01


@each
def test_no_more_light_comes_than_there_is_and_every_sample_has_weather_of_its_own(name):
    found = [veil(policy_of(name), i, 40, 52) for i in range(12)]
    for keep, light in found:
        assert keep.dtype == light.dtype == np.float32
        assert (keep >= 0).all()
        assert (light >= 0).all()
        assert (keep + light <= 1 + 1e-6).all()
    for i, (keep, _) in enumerate(found):
        assert keep.min() < 1, "nothing happened"
        assert not any(np.array_equal(keep, other) for other, _ in found[:i])


@each
def test_weather_is_the_same_at_any_size(name):
    policy = augment.CATALOGUE[name](p=1.0)
    for i in range(3):
        small, large = (np.stack(veil(policy, i, 150 * times, 200 * times)) for times in (1, 3))
        shrunk = np.stack([cv2.resize(part, (200, 150), interpolation=cv2.INTER_AREA) for part in large])
        assert np.abs(shrunk - small).mean() < 0.01
        parts = [np.abs(cv2.GaussianBlur(part, (0, 0), 4)).max() for part in shrunk - small]
        assert max(parts) < 0.06
        assert np.ptp(small, (1, 2)).max() > 0.05


@each
@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (9, 2), (30, 300)])
def test_pictures_of_any_shape_have_weather(name, shape):
    for i in range(3):
        found = policy_of(name)(np.full(shape, 128, np.uint8), sample=i)
        assert found.shape == shape
        assert np.isfinite(np.stack(veil(policy_of(name), i, *shape))).all()


@each
def test_every_channel_has_the_same_and_grey_is_done(name, picture):
    policy = policy_of(name)
    for i in range(3):
        coloured = policy(picture, sample=i)
        for channel in range(3):
            assert np.array_equal(
                policy(np.ascontiguousarray(picture[..., channel]), sample=i), coloured[..., channel]
            )
        many = np.concatenate([picture, picture], -1)
        assert np.array_equal(policy(many, sample=i), np.concatenate([coloured, coloured], -1))


@each
def test_masks_boxes_and_points_stay_where_they_are(name, picture):
    mask = (picture[..., 0] > 100).astype(np.int32)
    boxes, points = [[3, 4, 30, 40]], [[10, 20], [70, 60]]
    done = policy_of(name).together(picture, masks=[mask], boxes=boxes, points=points, sample=1)
    assert np.array_equal(done.image, policy_of(name)(picture, sample=1))
    assert np.array_equal(done.masks[0], mask)
    assert done.boxes.tolist() == boxes
    assert done.points.tolist() == points


@each
def test_gradients_pass(name, picture):
    images = torch.from_numpy(picture).permute(2, 0, 1)[None].double().div(255).requires_grad_()
    policy_of(name).batch(images, [1]).sum().backward()
    keep = torch.from_numpy(veil(policy_of(name), 1).keep.copy())
    assert torch.allclose(images.grad[0, 0].float(), keep)


def test_fog_hides_what_is_behind_it_and_thickens(picture):
    contrast = [policy_of("fog", limit=limit)(picture, sample=2).std() for limit in (0.0, 0.3, 0.6, 0.95)]
    assert contrast[0] == picture.std()
    assert all(later < earlier for earlier, later in pairwise(contrast))
    lightest = [policy_of("fog", limit=0.9, light=level)(picture, sample=2).mean() for level in (0.5, 0.9)]
    assert lightest[0] < lightest[1]


@pytest.mark.parametrize("name", ["rain", "snow"])
def test_what_falls_is_seen_before_the_dark_and_the_more_of_it_the_brighter(name):
    black = np.zeros((200, 200), np.uint8)
    light = [augment.CATALOGUE[name](count=count, p=1.0)(black, sample=3).mean() for count in (0, 100, 1000, 5000)]
    assert light[0] == 0
    assert all(later > earlier for earlier, later in pairwise(light))
    assert light[-1] < 255 * augment.CATALOGUE[name].hyperparameters["light"]


def test_rain_falls_at_the_slant_that_is_said():
    black = np.zeros((300, 300), np.uint8)
    policy = augment.rain(count=60, slant=40.0, length=0.3, p=1.0)
    for i in (1, 2, 4):
        angle = float(re.search(r" at (-?\d+)° ", policy.explain(i))[1])
        layer = policy(black, sample=i).astype(np.float64)
        across, down = cv2.Sobel(layer, -1, 1, 0), cv2.Sobel(layer, -1, 0, 1)
        # gradients stand across the streaks: the axis of their structure tensor
        axis = 0.5 * np.arctan2(2 * (across * down).sum(), (across**2 - down**2).sum())
        assert np.degrees(axis) == pytest.approx(-angle, abs=4)


def test_a_shadow_is_darker_by_what_is_said_inside_and_nothing_outside():
    white = np.full((90, 120), 255, np.uint8)
    seen = 0
    for i in range(20):
        line = augment.shadow(p=1.0).explain(i)
        share, x, y = map(int, re.search(r"shadow: (\d+) % at (\d+) % across and (\d+) % down", line).groups())
        found = augment.shadow(p=1.0)(white, sample=i)
        assert abs(int(found.min()) - 255 * (1 - share / 100)) <= 2
        assert abs(int(found[min(y * 90 // 100, 89), min(x * 120 // 100, 119)]) - found.min()) <= 2
        seen += found.max() == 255
    assert seen > 10


def test_the_sun_is_brightest_where_it_is_said():
    black = np.zeros((200, 300), np.uint8)
    for i in range(8):
        policy = augment.sun_flare(p=1.0)
        share, x, y = map(int, re.search(r": (\d+) % at (\d+) % across and (\d+) % down", policy.explain(i)).groups())
        found = policy(black, sample=i)
        row, column = np.unravel_index(cv2.GaussianBlur(found, (0, 0), 5).argmax(), found.shape)
        assert abs(column - x * 3) <= 6
        assert abs(row - y * 2) <= 6
        assert found.max() >= 255 * share / 100 - 2
        assert y <= 50


def test_explain_says_how_much_falls_and_how_thick_the_fog_is():
    black = np.zeros((200, 200), np.uint8)
    for i in range(12):
        share = int(re.search(r"fog: takes (\d+) % of the light ", augment.fog(p=1.0).explain(i))[1]) / 100
        keep = veil(augment.fog(p=1.0), i, 200, 200).keep
        thickness = np.log(keep.astype(np.float64)) / np.log1p(-share)
        assert 0.5 < thickness.mean() < 1.5
        assert re.search(r"snow: \d+ flakes at -?\d+° \(u1", augment.snow(p=1.0).explain(i))
        drops = int(re.search(r"rain: (\d+) drops at -?\d+° \(u1", augment.rain(count=2, p=1.0).explain(i))[1])
        assert (augment.rain(count=2, length=0.5, p=1.0)(black, sample=i).max() > 30) <= (drops > 0)


class Seen(Dataset):
    def __init__(self, picture):
        self.picture = picture
        self.policy = augment.auto() >> augment.fog() >> augment.rain() >> augment.snow() >> augment.shadow()

    def __len__(self):
        return 12

    def __getitem__(self, i):
        return self.policy(self.picture, sample=i, epoch=2, seed=9)


@pytest.mark.filterwarnings("ignore:This DataLoader will create")
def test_workers_and_threads_change_no_byte(picture):
    found = [
        torch.cat(list(DataLoader(Seen(picture), batch_size=5, num_workers=workers))) for workers in (0, 1, 2, 4)
    ]
    for threads in (1, 2):
        with threadpool_limits(threads):
            found.append(torch.stack([torch.from_numpy(Seen(picture)[i]) for i in range(12)]))
    assert all(torch.equal(found[0], other) for other in found[1:])
    assert len({one.numpy().tobytes() for one in found[0]}) > 6
