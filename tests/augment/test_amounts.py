"""What explain says in words is what happens."""

import re

import cv2
import numpy as np
import pytest

from thalweg import augment
from thalweg.augment.image._colours import turned_hue

SAMPLES = range(25)


def said(policy, sample, pattern, **size):
    (line,) = policy.explain(sample, **size).splitlines()
    found = re.search(pattern, line)
    assert found, line
    return [float(group) for group in found.groups()]


@pytest.mark.parametrize("name", ["ssr", "affine"])
def test_angles_factors_and_shifts(name):
    marks = np.array([[0.0, 0.0], [10.0, 0.0], [0.0, 10.0]]) + 50
    for i in SAMPLES:
        only = {"shift": 0.0, "scale": 0.0, "rotate": 0.0, **({"shear": 0.0} if name == "affine" else {})}
        made = {key: augment.CATALOGUE[name](**{**only, key: 0.2 if key in ("shift", "scale") else 20.0}, p=1.0)
                for key in only}  # fmt: skip
        moved = {key: policy.together(np.zeros((101, 101), np.uint8), points=marks, sample=i).points
                 for key, policy in made.items()}  # fmt: skip
        (angle,) = said(made["rotate"], i, r": rotated (-?[\d.]+)° \(u1")
        x, y = moved["rotate"][1] - moved["rotate"][0]
        assert abs(np.degrees(np.arctan2(-y, x)) - angle) < 0.06
        factor, *_ = said(made["scale"], i, r": ×([\d.]+)[ ,]")
        assert abs(np.linalg.norm(moved["scale"][1] - moved["scale"][0]) / 10 - factor) < 0.006
        line = made["shift"].explain(i)
        across, down = said(made["shift"], i, r"moved ([\d.]+) % \w+ and ([\d.]+) % \w+ ")
        x, y = (moved["shift"] - marks)[0] / 101 * 100
        assert abs(x - across * (1 if "right" in line else -1)) < 0.06
        assert abs(y - down * (1 if "down" in line else -1)) < 0.06


def test_levels_and_colours():
    grey = np.full((8, 8, 3), 100, np.uint8)
    for i in SAMPLES:
        (share,) = said(augment.brightness(p=1.0), i, r"brightness: ([+-]?[\d.]+) %")
        assert abs(augment.brightness(p=1.0)(grey, sample=i)[0, 0, 0] - (100 + 2.55 * share)) < 0.7
        (factor,) = said(augment.contrast(p=1.0), i, r"contrast: ×([\d.]+) \(u1")
        assert abs(augment.contrast(p=1.0)(grey, sample=i)[0, 0, 0] - (127.5 - 27.5 * factor)) < 0.7
        (exponent,) = said(augment.gamma(p=1.0), i, r"gamma: exponent ([\d.]+) ")
        assert abs(augment.gamma(p=1.0)(grey, sample=i)[0, 0, 0] - 255 * (100 / 255) ** exponent) < 1.1
        (factor,) = said(augment.saturation(p=1.0), i, r"saturation: ×([\d.]+) ")
        colour = np.array([[[160, 100, 80]]], np.uint8)
        found = augment.saturation(p=1.0)(colour, sample=i)[0, 0].astype(int)
        assert abs((found[0] - found[2]) - 80 * factor) < 2
        (angle,) = said(augment.hue(p=1.0, limit=60.0), i, r"hue: turned (-?[\d.]+)° ")
        turned = np.clip(turned_hue(angle) @ colour[0, 0], 0, 255)
        assert np.abs(augment.hue(p=1.0, limit=60.0)(colour, sample=i)[0, 0] - turned).max() < 0.8
        (share,) = said(augment.salt_and_pepper(p=1.0, limit=0.5), i, r": ([\d.]+) % of levels ")
        large = augment.salt_and_pepper(p=1.0, limit=0.5)(np.full((100, 100), 100, np.uint8), sample=i)
        assert abs((large != 100).mean() * 100 - share) < 2.5
        (sigma,) = said(augment.noise(p=1.0), i, r": sigma ([\d.]+) % ")
        rough = augment.noise(p=1.0)(np.full((60, 60), 128, np.uint8), sample=i)
        assert abs(rough.std() / 2.55 - sigma) < 0.4
        (quality,) = said(augment.jpeg(p=1.0), i, r": quality (\d+) ")
        textured = np.random.default_rng(0).integers(0, 256, (16, 16), dtype=np.uint8)
        _, written = cv2.imencode(".jpg", textured, [cv2.IMWRITE_JPEG_QUALITY, int(quality)])
        assert np.array_equal(augment.jpeg(p=1.0)(textured, sample=i), cv2.imdecode(written, cv2.IMREAD_GRAYSCALE))
    assert augment.posterise(bits=3, p=1.0).explain(0) == "posterise: 3 bits"
    assert augment.solarise(threshold=0.25, p=1.0).explain(0) == "solarise: from 25 % up"


def test_what_was_chosen_is_said_with_its_amount_and_raw_numbers_stay_behind():
    lines = "\n".join(augment.trivial().explain(i) for i in range(200))
    assert re.search(r"u1 = [\d.]+; affine rotated -?[\d.]+°$", lines, re.MULTILINE)
    assert re.search(r"; brightness [+-][\d.]+ %$", lines, re.MULTILINE)
    whole = augment.ssr(p=1.0).explain(3, height=32, width=32)
    assert re.fullmatch(r"ssr: rotated .*°, ×.*, moved .* \(u1 = .*, u4 = .*; map .* \| .*\)", whole)
