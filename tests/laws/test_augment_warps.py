"""Laws of warps as machine code: exact on any picture, at any border, for any map that they take, and memory-safe."""

import multiprocessing
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from augment.direct import direct
from augment.photos import photos
from guarded import must_survive
from plainer import by_cpu, named_here, plainer
from thalweg import augment
from thalweg.augment.image import _float_code, _level_code
from thalweg.augment.image._pixels import _mixed, warped
from thalweg.augment.image._plane import Plane, about, fitted, grown, mirrored, moved, sheared, square_to, turned
from thalweg.augment.image._warps import ending_fits, warped_floats, warped_levels

BORDERS = ("constant", "reflect", "edge")
SIZES = [((2, 2), (1, 1)), ((2, 9), (5, 33)), ((40, 52), (24, 29)), ((7, 3), (17, 16)), ((31, 30), (64, 48))]
EXACT = 0.6
"""Half a level is rounding; the rest is fixed-point numbers and float32 places."""


def maps(size, to):
    """Return maps of several kinds from pictures of one size to another."""
    (high, wide), (height, width) = size, to
    onto = fitted(0.0, 0.0, float(high), float(wide), float(height), float(width))
    x, y = max(width - 1.0, 1.0), max(height - 1.0, 1.0)
    corners = square_to(0.1 * x, 0.2 * y, 0.9 * x, 0.05 * y, 0.8 * x, 0.9 * y, -0.3 * x, 1.1 * y)
    return {
        "resized": onto,
        "resized and turned round": mirrored(width) @ onto,
        "a window": fitted(0.3 * wide, 0.2 * high, 0.5 * high, 0.6 * wide, height, width),
        "turned": onto @ about(turned(31.0), high, wide),
        "sheared and made small": onto @ about(sheared(20.0, -9.0) @ grown(0.4, 0.6), high, wide),
        "made large": onto @ about(turned(-130.0) @ grown(7.0, 3.0), high, wide),
        "moved by parts of pixels": moved(0.25, -1.6),
        "moved out": moved(3.0 * wide, 2.0 * high) @ onto,
        "seen from aside": corners @ grown(1 / max(wide - 1, 1), 1 / max(high - 1, 1)),
    }


def picture(size, channels, seed=0):
    """Return levels as unlike their neighbours as can be, or a photograph's."""
    if seed:
        return np.ascontiguousarray(np.tile(photos()[0][: size[0], : size[1]], 2)[..., :channels])
    return np.random.default_rng(7).choice([0, 255], (*size, channels)).astype(np.uint8)


@pytest.mark.parametrize("border", BORDERS)
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_levels_are_those_of_the_direct_evaluation(channels, border):
    for size, to in SIZES:
        for seed in (0, 1):
            image = picture(size, channels, seed)
            for name, plane in maps(size, to).items():
                mine = warped_levels(image, plane, *to, border)
                assert mine is not None, name
                expected = direct(image, plane.array(), *to, border)
                assert np.abs(mine - expected).max() <= EXACT, (name, size, to)


@pytest.mark.parametrize("border", BORDERS)
def test_floats_are_those_of_the_direct_evaluation(border):
    for size, to in SIZES:
        image = picture(size, 3) / np.float32(255)
        planes = np.ascontiguousarray(image.transpose(2, 0, 1))
        for name, plane in maps(size, to).items():
            whole = np.full((3 * to[0] * to[1] + 32,), -7.0, np.float32)
            into = whole[16:-16].reshape(3, *to)
            assert warped_floats(planes, plane, into, border)
            assert np.abs(into.transpose(1, 2, 0) - direct(image, plane.array(), *to, border)).max() <= 1e-3, name
            assert (whole[:16] == -7).all()
            assert (whole[-16:] == -7).all()


def follows(channels):
    table = np.random.default_rng(1).permutation(256).astype(np.uint8)
    scales = np.random.default_rng(2).normal(size=(2, 1, channels)).repeat(16, 1).astype(np.float32)
    for size, to in SIZES:
        image = picture(size, channels, seed=1)
        for plane in maps(size, to).values():
            plain = warped_levels(image, plane, *to, "edge")
            assert np.array_equal(warped_levels(image, plane, *to, "edge", table), table[plain])
            for before, looked_up in ((None, plain), (table, table[plain])):
                if not ending_fits(table=before is not None, scaled=True):
                    continue
                found = warped_levels(image, plane, *to, "edge", before, scales)
                assert found.dtype == np.float32
                assert np.allclose(found, looked_up * scales[0, 0] + scales[1, 0], rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_what_follows_in_the_same_pass_is_what_would_follow_it(channels):
    follows(channels)


@named_here
@by_cpu
def test_so_it_is_on_plainer_processors(cpu):
    with plainer(cpu, _level_code.warp, _level_code.resize):
        assert not ending_fits(table=True, scaled=True)
        follows(3)


def test_a_chain_in_one_pass_is_its_parts_one_by_one():
    image = picture((40, 52), 3, seed=1)
    geometry = augment.flip(p=1.0) >> augment.ssr(p=1.0) >> augment.perspective(p=1.0)
    tones = augment.brightness(p=1.0) >> augment.gamma(p=1.0)
    crop = augment.random_resized_crop(size=(20, 33))
    for i in range(6):
        for maps_first in (geometry, crop):
            whole = (maps_first >> tones >> augment.normalise())(image, sample=i)
            toned = (maps_first >> tones)(image, sample=i)
            ours = augment.normalise()(toned, sample=0)
            assert whole.dtype == ours.dtype == np.float32
            assert np.abs(whole - ours).max() < 1e-5
            assert not np.array_equal(toned, maps_first(image, sample=i))


@pytest.mark.parametrize("border", ["constant", "edge"])
@pytest.mark.parametrize("size", [(1, 1), (1, 6), (6, 1)])
def test_a_single_row_or_column_is_opencvs(size, border):
    image = picture(size, 3, seed=1)
    for name, plane in maps(size, (5, 9)).items():
        assert warped_levels(image, plane, 5, 9, border) is None
        expected = direct(image, plane.array(), 5, 9, border)
        assert np.abs(warped(image, plane, 5, 9, border) - expected).max() <= 1.0, name


def test_maps_whose_places_are_not_exact_are_left_to_opencv():
    image = picture((40, 52), 3, seed=1)
    horizon = square_to(0.0, 0.0, 51.0, 0.0, 25.4, 38.9, 25.6, 38.9) @ grown(1 / 51, 1 / 39) @ moved(0.0, -300.0)
    for plane in (
        moved(1e7, 0.0) @ turned(3.0),
        grown(1e-3, 1.01) @ turned(1.0),
        Plane(*[float("nan")] * 9),
        horizon,
    ):
        assert warped_levels(image, plane, 40, 52, "constant") is None
        assert not warped_floats(np.zeros((1, 40, 52), np.float32), plane, np.zeros((1, 40, 52), np.float32), "edge")
    far = moved(1e7, 0.0) @ turned(3.0)
    assert not warped(image, far, 40, 52, "constant").any()
    assert np.array_equal(warped(image, far, 40, 52, "constant"), _mixed(image, far, 40, 52, "constant"))


def test_views_are_read_as_they_are():
    image = picture((80, 104), 4, seed=1)
    plane = about(turned(20.0), 30, 40)
    views = {
        "rows and columns left out": image[::2, ::2, :3],
        "turned round": image[::-1, ::-1, :3],
        "blue first": image[..., 2::-1],
        "a part": image[5:50, 7:60],
        "turned by a quarter": image.transpose(1, 0, 2),
        "one channel": image[..., 1],
        "one row again and again": np.broadcast_to(image[:1], (30, 104, 4)),
        "not to be written": np.frombuffer(image.tobytes(), np.uint8).reshape(image.shape),
    }
    for name, view in views.items():
        for policy in (plane, fitted(3.0, 4.0, 20.0, 22.0, 30.0, 40.0)):
            mine = warped_levels(view, policy, 30, 40, "reflect")
            assert np.array_equal(mine, warped_levels(np.array(view), policy, 30, 40, "reflect")), name


@named_here
@by_cpu
def test_plainer_processors_give_the_same_levels(cpu):
    image = picture((31, 40), 3, seed=1)
    policy = augment.ssr(p=1.0) >> augment.brightness(p=1.0) >> augment.normalise()
    crop = augment.random_resized_crop(size=(20, 33)) >> augment.gamma(p=1.0)
    images = torch.from_numpy(image).permute(2, 0, 1)[None].float() / 255

    def found():
        return [policy(image, sample=0), crop(image, sample=0), augment.ssr(p=1.0).batch(images, [0]).numpy()]

    expected = found()
    with plainer(cpu, _level_code.warp, _level_code.resize, _float_code.warp):
        for mine, other in zip(found(), expected, strict=True):
            assert np.abs(mine - other.astype(float)).max() <= (1 if mine.dtype == np.uint8 else 0.02)


def _bytes(seed):
    image = picture((64, 48), 3, seed=1)
    policy = augment.ssr(p=1.0) >> augment.perspective() >> augment.gamma(p=1.0)
    return b"".join(policy(image, sample=i, seed=seed).tobytes() for i in range(30))


def test_threads_at_once_and_processes_that_were_forked_give_the_same_bytes():
    expected = [_bytes(seed) for seed in range(4)]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(_bytes, range(4))) == expected
    if "fork" in multiprocessing.get_all_start_methods():
        with multiprocessing.get_context("fork").Pool(2) as processes:
            assert processes.map(_bytes, range(4)) == expected


@pytest.mark.skipif(sys.platform != "linux", reason="asks Linux to guard pages")
def test_nothing_outside_is_read_or_written():
    """Pages before and behind a picture, and what it becomes, are closed: touching one ends the process."""
    code = """
        import numpy as np
        from guarded import guarded
        from thalweg.augment.image import _warps
        from thalweg.augment.image._plane import about, fitted, grown, turned

        for at_end in (True, False):
            _warps.np.empty = lambda shape, dtype: guarded(shape, dtype, at_end)
            for high, wide in ((2, 2), (3, 5), (20, 17)):
                for channels in (1, 2, 3, 4):
                    image = guarded((high, wide, channels), np.uint8, at_end)
                    image[:] = 9
                    for height, width in ((1, 1), (9, 29), (9, 35)):
                        for plane in (fitted(0.0, 0.0, high, wide, height, width),
                                      about(turned(180.0) @ grown(1.5, 1.5), high, wide)):
                            for scales in (None, np.ones((2, 16, channels), np.float32)):
                                _warps.warped_levels(image, plane, height, width, "edge", None, scales)
                    floats = guarded((channels, high, wide), np.float32, at_end)
                    into = guarded((channels, 9, 29), np.float32, at_end)
                    assert _warps.warped_floats(floats, about(turned(40.0), high, wide), into, "constant")
    """
    must_survive(code)
