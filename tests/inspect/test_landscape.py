"""Test surfaces and paths over them against closed forms; contours; pictures and pages that stand alone."""

import dataclasses
import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest
import torch
from PIL import Image

from thalweg import inspect, optim
from thalweg.errors import InputError
from thalweg.inspect._landscape import drawing
from thalweg.inspect._landscape.contours import isolines, levels
from thalweg.inspect._landscape.descent import LONGEST
from thalweg.key import Key

PLANE = [name for name, surface in inspect.SURFACES.items() if len(surface.window) == 2]


@pytest.mark.parametrize("name", inspect.SURFACES)
def test_a_surface_is_least_at_its_minima(name):
    surface = inspect.SURFACES[name]
    for minimum in surface.minima:
        assert surface(minimum) == pytest.approx(surface.least, abs=1e-12)
        if surface.limits is None:
            assert surface.gradient(torch.tensor(minimum, dtype=torch.float64)).abs().max() < 1e-6
    grid = np.stack(np.meshgrid(*(np.linspace(*pair, 101) for pair in surface.window), indexing="ij"), -1)
    inside = grid if surface.limits is None else np.clip(grid, *surface.limits)
    assert surface(inside).min() >= surface.least - 1e-12


@pytest.mark.parametrize(
    ("name", "point", "loss"),
    [
        ("beale", (0, 0), 14.203125), ("beale", (1, 1), 14.203125), ("rosenbrock", (-1.2, 1), 24.2),
        ("himmelblau", (0, 0), 170), ("ravine", (2, 1), 27), ("saddle", (2, 1), 3), ("reddi", (1,), 1 / 3),
        ("reddi-noisy", (1,), 0.1),
    ],
)  # fmt: skip
def test_the_formulas_are_the_known_ones(name, point, loss):
    assert inspect.SURFACES[name](point) == pytest.approx(loss)


@pytest.mark.parametrize("name", inspect.SURFACES)
def test_gradients_are_those_of_finite_differences(name):
    surface = inspect.SURFACES[name]
    at = Key(3).generator().uniform(*np.array(surface.window).T, (20, len(surface.window)))
    found = surface.gradient(torch.from_numpy(at)).numpy()
    for i, step in enumerate(1e-6 * np.eye(at.shape[1])):
        assert found[:, i] == pytest.approx((surface(at + step) - surface(at - step)) / 2e-6, rel=1e-5, abs=1e-5)


def test_noise_has_mean_0_and_is_the_same_for_all():
    for name, width in (("noisy", 2), ("reddi", 1), ("reddi-noisy", 1)):
        drawn = inspect.SURFACES[name].noise(60_000, Key(0))
        assert drawn.shape == (60_000, width)
        assert np.abs(drawn.mean(axis=0)).max() < 0.06
    twins = [optim.sgd(lr=0.01), optim.momentum(lr=0.01, momentum=0.0)]
    first, second = inspect.descent("noisy", twins, steps=30, seed=4).paths
    np.testing.assert_allclose(first.points, second.points)
    other = inspect.descent("noisy", twins[:1], steps=30, seed=5).paths[0]
    assert np.abs(first.points - other.points).max() > 0.01


def test_a_path_is_the_torch_optimizers():
    surface = inspect.SURFACES["beale"]
    (path,) = inspect.descent("beale", [optim.adam(lr=0.05)], steps=50).paths
    x = torch.tensor(surface.start, dtype=torch.float64, requires_grad=True)
    theirs = torch.optim.Adam([x], lr=0.05)
    for i in range(51):
        np.testing.assert_allclose(path.points[i], x.detach(), rtol=1e-9)
        theirs.zero_grad()
        surface.formula(x).backward()
        theirs.step()


def test_sgd_goes_down_a_ravine_as_its_closed_form_says():
    (path,) = inspect.descent("ravine", [optim.sgd(lr=0.03)], steps=40).paths
    t = np.arange(41)[:, None]
    np.testing.assert_allclose(path.points, np.array([-9.0, 1.2]) * (1 - 0.03 * np.array([1, 50])) ** t, rtol=1e-9)
    assert not path.searched


def test_adam_goes_the_wrong_way_and_amsgrad_and_sgd_the_right_one():
    for name in ("reddi", "reddi-noisy"):
        ends = {
            p.name.partition("(")[0]: p.points[-1, 0] for p in inspect.descent(name, ["sgd", "adam", "amsgrad"]).paths
        }
        assert ends["adam"] > 0.9
        assert ends["sgd"] < -0.9
        assert ends["amsgrad"] < 0


@pytest.mark.parametrize("name", PLANE)
def test_a_searched_rate_is_better_than_its_neighbours_and_fit_to_be_seen(name):
    surface = dataclasses.replace(inspect.SURFACES[name], steps=60)
    (path,) = inspect.descent(surface, ["momentum"]).paths
    assert path.searched
    widths = np.diff(np.array(surface.window)).ravel()
    if np.isfinite(surface.least):
        assert (np.abs(np.diff(path.points, axis=0)) / widths).max() <= LONGEST
        for factor in (10**-0.125, 10**0.125):
            (other,) = inspect.descent(surface, [optim.momentum(lr=path.lr * factor)]).paths
            leaps = (np.abs(np.diff(other.points, axis=0)) / widths).max()
            assert not other.losses.mean() < path.losses.mean() or leaps > LONGEST


def test_a_path_that_leaves_all_bounds_ends_there():
    found = inspect.descent("beale", [optim.sgd(lr=10.0), optim.adam(lr=0.1)], steps=30)
    lost, kept = found.paths
    assert np.isnan(lost.points[-1]).all()
    assert np.isfinite(kept.points).all()
    assert "nan" not in found.drawing().svg()
    assert "NaN" not in found.drawing().page()


def test_a_path_that_comes_back_from_beyond_has_ended_all_the_same():
    """Steps of twice the distance go from 1 to 2e9 − 1 and back."""
    far = inspect.Surface("far", "", lambda p: ((p - 1e9) ** 2).sum(-1) / 2, (1.0,), ((0.0, 2.0),), (), 0.0, "")
    (path,) = inspect.descent(far, [optim.sgd(lr=2.0)], steps=4).paths
    assert path.points[0, 0] == 1
    assert np.isnan(path.points[1:]).all()


@pytest.mark.parametrize("name", ["reddi", "reddi-noisy"])
def test_steps_end_inside_the_limits(name):
    for path in inspect.descent(name, [optim.sgd(lr=0.5), optim.adam(lr=0.5)]).paths:
        assert np.abs(path.points).max() == 1


def test_contours_of_a_bowl_are_circles():
    x, y = np.meshgrid(np.linspace(-2, 2, 81), np.linspace(-2, 2, 81))
    for level in (0.25, 1.0, 2.25):
        (line,) = isolines(x**2 + y**2, level)
        points = line * 4 / 80 - 2
        assert np.hypot(*points.T) == pytest.approx(np.sqrt(level), abs=2e-3)
        np.testing.assert_array_equal(line[0], line[-1])
    assert isolines(x**2 + y**2, 9.0) == []


def test_contours_meet_the_level_everywhere_also_at_saddles():
    values = Key(1).generator().standard_normal((30, 40))
    for level in (-0.5, 0.0, 0.7):
        count = 0
        for column, row in np.concatenate(isolines(values, level)):
            i, j = int(row), int(column)
            up, right = row - i, column - j
            assert up == 0 or right == 0
            beyond = values[min(i + 1, 29), j] if up else values[i, min(j + 1, 39)]
            assert values[i, j] + (up + right) * (beyond - values[i, j]) == pytest.approx(level, abs=1e-9)
            count += 1
        above = values > level
        crossed = (above[1:] != above[:-1]).sum() + (above[:, 1:] != above[:, :-1]).sum()
        closed = sum(bool((line[0] == line[-1]).all()) for line in isolines(values, level))
        assert count == crossed + closed


@pytest.mark.parametrize(("level", "corners"), [(0.4, {(1, 0), (0, 1)}), (0.6, {(0, 0), (1, 1)})])
def test_at_a_saddle_the_middle_says_what_is_joined(level, corners):
    """Of two high corners across from each other: joined below the middle's height, parted above it."""
    lines = isolines(np.array([[1.0, 0.0], [0.0, 1.0]]), level)
    assert {tuple(np.round(line.mean(axis=0)).astype(int).tolist()) for line in lines} == corners


def test_levels_rise_by_equal_factors_above_the_least():
    found = levels(np.linspace(1, 1001, 500)[None], 1.0)
    ratios = (found[1:] - 1) / (found[:-1] - 1)
    assert ratios == pytest.approx(ratios[0])
    assert levels(np.ones((3, 3)), 1.0).size == 0


class Asks(HTMLParser):
    """What a page asks the network for."""

    def __init__(self):
        super().__init__()
        self.found = []

    def handle_starttag(self, tag, attributes):
        self.found += [v for k, v in attributes if k in ("src", "href") and v and not v.startswith(("#", "data:"))]


def test_the_page_stands_alone_and_holds_the_paths(tmp_path):
    surface = dataclasses.replace(inspect.SURFACES["ravine"], title="</script><script>alert(1)//\"'")
    found = inspect.descent(surface, ["sgd", "adam"], steps=20)
    found.save(tmp_path / "a.html")
    page = (tmp_path / "a.html").read_text()
    reader = Asks()
    reader.feed(page)
    assert reader.found == []
    assert "<script>alert" not in page
    data = json.loads(re.search(r'id="payload">(.*?)</script>', page, re.DOTALL)[1])
    assert data["steps"] == 20
    assert [len(line["points"]) for line in data["lines"]] == [21, 21]
    assert data["lines"][1]["losses"][-1] == pytest.approx(found.paths[1].losses[-1], rel=1e-4)


def test_pictures_are_what_their_endings_say(tmp_path, monkeypatch):
    found = inspect.descent("saddle", ["sgd", "adam"], steps=5)
    for ending in (".png", ".svg", ".gif"):
        found.save(tmp_path / f"a{ending}")
    assert (tmp_path / "a.svg").read_text().startswith("<svg")
    with Image.open(tmp_path / "a.gif") as gif, Image.open(tmp_path / "a.png") as png:
        assert (gif.format, gif.n_frames, png.format) == ("GIF", 6, "PNG")
        assert gif.size[0] * 2 == png.size[0]
        gif.seek(0)
        first = np.asarray(gif.convert("RGB")).astype(int)
        gif.seek(5)
        assert np.abs(np.asarray(gif.convert("RGB")).astype(int) - first).max() > 50
    with pytest.raises(InputError, match=r"saved as \.html, \.gif, \.png or \.svg"):
        found.save(tmp_path / "a.pdf")
    with pytest.raises(InputError, match="there is no folder"):
        found.save(tmp_path / "no" / "a.svg")
    monkeypatch.setattr(drawing, "find_spec", lambda _: None)
    with pytest.raises(InputError, match=r"install it with pip install 'thalweg\[gif\]'"):
        found.save(tmp_path / "b.gif")
    assert not (tmp_path / "b.gif").exists()


def test_a_frame_shows_the_path_so_far():
    picture = inspect.descent("ravine", [optim.sgd(lr=0.01)], steps=10).drawing()
    counts = [len(re.search(r'polyline points="([^"]*)"', picture.svg(until))[1].split()) for until in (0, 4, None)]
    assert counts == [1, 5, 11]


@pytest.mark.parametrize(
    ("surface", "optimizers", "more", "message"),
    [
        ("bale", ["sgd"], {}, 'unknown surface "bale"; did you mean "beale"?'),
        ("beale", ["adm"], {}, 'did you mean "adam"'),
        ("beale", [], {}, "at least one"),
        ("beale", "sgd", {}, "takes a list"),
        ("beale", ["sgd", "sgd"], {}, "named twice"),
        ("beale", ["sgd"], {"steps": 0}, "steps takes a whole number"),
        ("beale", [3], {}, "3 is no optimizer"),
    ],
)
def test_what_cannot_be_gets_one_sentence(surface, optimizers, more, message):
    with pytest.raises(InputError, match=re.escape(message)):
        inspect.descent(surface, optimizers, **more)
