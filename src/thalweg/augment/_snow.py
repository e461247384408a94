from thalweg.augment._technique import augmentation
from thalweg.augment.image._plane import between, floor
from thalweg.augment.image._veils import flakes, hidden, in_front, mist, per_drop
from thalweg.technique import LogUniform, Uniform


@augmentation(
    stage="veil",
    source="Hendrycks & Dietterich 2019, Benchmarking Neural Network Robustness to Common Corruptions (1903.12261)",
    space={"slant": Uniform(10.0, 70.0), "diameter": LogUniform(0.015, 0.06)},
    limits={"count": "whole [0, 10000]", "slant": "[0, 90]", "diameter": "[0.002, 0.5]", "light": "[0, 1]"},
    nodes=per_drop,
)
def snow(n, u1, u2, height, width, *, count=1000, slant=45.0, diameter=0.03, light=1.0, p=0.5):
    """From a fifth of ``count`` up to ``count`` flakes, near ones large and out of focus, before a bright mist.

    Their level is ``light``. They fall up to ``slant`` degrees either way from straight down, and smear a little; the
    nearest have a ``diameter`` in shares of the shorter side. The more there are, the thicker is the mist.

    Use it for pictures taken out of doors, by vehicles above all.

    Source: Hendrycks & Dietterich 2019, section 3, who blur thresholded noise; albumentations: ``RandomSnow``.
    """
    number = floor(between(u1, count / 5, count + 1.0))
    far = mist(hidden(number, 0.0004), 1.0, 0.85)
    return in_front(far, flakes(n, number, between(u2, -slant, slant), diameter, height, width), light)
