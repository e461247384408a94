"""Bends as machine code: exact for any places, in one pass with what follows, and memory-safe."""

import sys

import numpy as np
import pytest

from augment.direct import direct_at
from augment.photos import photos
from guarded import must_survive
from plainer import by_cpu, named_here, plainer
from thalweg import augment
from thalweg.augment.image import _lanes, _level_code, _pixels
from thalweg.augment.image._warps import BLOCK, bent_floats, bent_levels

SIZES = [((2, 2), (1, 1)), ((2, 9), (5, 33)), ((40, 52), (24, 29)), ((7, 3), (17, 16))]


def picture(size, channels):
    return np.random.default_rng(7).choice([0, 255], (*size, channels)).astype(np.uint8)


def anywhere(size, to):
    """Return places in and about a picture, and those of some columns more, which are none."""
    (high, wide), (height, width) = size, to
    columns = -(-width // BLOCK) * BLOCK
    found = np.full((2, height, columns), np.nan, np.float32)
    rng = np.random.default_rng(3)
    found[0, :, :width] = rng.uniform(-1.5 * wide, 2.5 * wide, to)
    found[1, :, :width] = rng.uniform(-1.5 * high, 2.5 * high, to)
    found[:, 0, 0] = 0
    return found


def test_columns_are_read_as_many_at_once_as_pixels_are_computed():
    assert BLOCK == _lanes.AT_ONCE


@pytest.mark.parametrize("border", ["constant", "reflect", "edge"])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_levels_are_those_of_the_direct_evaluation(channels, border):
    for size, to in SIZES:
        image, places = picture(size, channels), anywhere(size, to)
        mine = bent_levels(image, places, to[1], border)
        expected = direct_at(image, *places[..., : to[1]].astype(float), border)
        assert np.abs(mine - expected).max() <= 0.6, (size, to)


@pytest.mark.parametrize("border", ["constant", "reflect", "edge"])
def test_floats_are_those_of_the_direct_evaluation(border):
    for size, to in SIZES:
        images = np.stack([picture(size, 3).transpose(2, 0, 1) / np.float32(255)] * 2)
        images[1] = 1 - images[1]
        places = np.stack([anywhere(size, to), anywhere(size, to)[:, ::-1]])
        whole = np.full(2 * 3 * to[0] * to[1] + 32, -7.0, np.float32)
        into = whole[16:-16].reshape(2, 3, *to)
        assert bent_floats(np.ascontiguousarray(images), np.ascontiguousarray(places), into, border)
        for image, own, mine in zip(images, places, into, strict=True):
            expected = direct_at(image.transpose(1, 2, 0), *own[..., : to[1]].astype(float), border)
            assert np.abs(mine.transpose(1, 2, 0) - expected).max() <= 1e-4
        assert (whole[:16] == -7).all()
        assert (whole[-16:] == -7).all()


def test_what_follows_is_in_the_same_pass():
    image = np.ascontiguousarray(photos()[0][:40, :52])
    for bend in (augment.elastic(p=1.0), augment.ssr(p=1.0) >> augment.elastic(p=1.0)):
        tones = augment.brightness(p=1.0) >> augment.gamma(p=1.0)
        for i in range(4):
            bent = bend(image, sample=i)
            toned = (bend >> tones)(image, sample=i)
            assert not np.array_equal(toned, bent)
            assert len({tuple(pair) for pair in zip(bent.ravel(), toned.ravel(), strict=True)}) == len(
                set(bent.ravel())
            )
            whole = (bend >> tones >> augment.normalise())(image, sample=i)
            assert whole.dtype == np.float32
            assert np.abs(whole - augment.normalise()(toned, sample=0)).max() < 1e-5
            assert (
                np.abs((bend >> augment.normalise())(image, sample=i) - augment.normalise()(bent, sample=0)).max()
                < 1e-5
            )


def test_views_are_read_as_they_are():
    image = np.ascontiguousarray(photos()[0][:80, :104])
    policy = augment.elastic(border="reflect", p=1.0)
    for view in (image[::2, ::2], image[::-1], image[..., ::-1], image[5:50, 7:60], image[..., 1], image[:, :, :2]):
        assert np.array_equal(policy(view, sample=0), policy(np.array(view), sample=0))


@pytest.mark.parametrize("border", ["constant", "reflect", "edge"])
def test_what_the_code_does_not_take_is_opencvs(border, monkeypatch):
    """Single rows, and many channels: the same to within a level, whoever does it."""
    policy = augment.elastic(strength=0.05, border=border, p=1.0)
    image = np.ascontiguousarray(photos()[0][:40, :52])
    ours = policy(image, sample=0), policy(image[..., :2], sample=0)
    monkeypatch.setattr(_pixels, "bent_levels", lambda *_: None)
    for mine, other in zip(ours, (policy(image, sample=0), policy(image[..., :2], sample=0)), strict=True):
        assert np.abs(mine.astype(int) - other).max() <= 1
    for shape in ((1, 40, 3), (40, 1, 3), (1, 1), (40, 52, 5)):
        found = policy(np.full(shape, 200, np.uint8), sample=0)
        assert found.shape == shape
        assert border == "constant" or (found == 200).all()


@named_here
@by_cpu
def test_plainer_processors_give_the_same_levels(cpu):
    image = np.ascontiguousarray(photos()[0][:31, :40])
    policy = augment.elastic(p=1.0) >> augment.brightness(p=1.0)
    expected = policy(image, sample=0)
    with plainer(cpu, _level_code.bend):
        assert np.abs(policy(image, sample=0).astype(int) - expected).max() <= 1


@pytest.mark.skipif(sys.platform != "linux", reason="asks Linux to guard pages")
def test_nothing_outside_is_read_or_written():
    """Wherever places are, also where they are no numbers; the pages about all arrays are closed."""
    code = """
        import numpy as np
        from guarded import guarded
        from thalweg.augment.image import _warps

        rng = np.random.default_rng(0)
        odd = np.array([np.nan, np.inf, -np.inf, 1e30, -1e30, 3e9, -3e9, 0.0, 1.0, 2.0, 16.0, -1.0], np.float32)
        for at_end in (True, False):
            _warps.np.empty = lambda shape, dtype: guarded(shape, dtype, at_end)
            for high, wide in ((2, 2), (3, 5), (20, 17)):
                for channels in (1, 2, 3, 4):
                    image = guarded((high, wide, channels), np.uint8, at_end)
                    image[:] = 9
                    for height, width, columns in ((1, 1, 16), (9, 29, 32), (9, 48, 48)):
                        places = guarded((2, height, columns), np.float32, at_end)
                        places[:] = rng.choice(odd, places.shape)
                        for border in ("constant", "reflect", "edge"):
                            for scales in (None, np.ones((2, 16, channels), np.float32)):
                                found = _warps.bent_levels(image, places, width, border, None, scales)
                                assert found.shape == (height, width, channels)
                            floats = guarded((1, channels, high, wide), np.float32, at_end)
                            into = guarded((1, channels, height, width), np.float32, at_end)
                            assert _warps.bent_floats(floats, places[None], into, border)
    """
    must_survive(code)
