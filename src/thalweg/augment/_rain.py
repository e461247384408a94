from thalweg.augment._technique import augmentation
from thalweg.augment.image._plane import between, floor
from thalweg.augment.image._veils import hidden, in_front, mist, per_drop, streaks
from thalweg.technique import LogUniform, Uniform


@augmentation(
    stage="veil",
    source="Garg & Nayar 2007, Vision and Rain, International Journal of Computer Vision 75",
    space={"slant": Uniform(5.0, 30.0), "length": LogUniform(0.05, 0.3)},
    limits={"count": "whole [0, 10000]", "slant": "[0, 80]", "length": "[0.01, 1]", "light": "[0, 1]"},
    nodes=per_drop,
)
def rain(n, u1, u2, height, width, *, count=800, slant=20.0, length=0.15, light=0.85, p=0.5):
    """From a fifth of ``count`` up to ``count`` drops: bright lines that fall at one slant, before a grey mist.

    Their level is ``light``, the slant up to ``slant`` degrees either way. Near drops are longer, up to ``length`` of
    the shorter side, and hide more; the more there are, the thicker is the mist of those too far to be told apart.

    Use it for pictures taken out of doors, by vehicles above all.

    Source: Garg & Nayar 2007, sections 3 and 5; albumentations: ``RandomRain``.
    """
    drops = floor(between(u1, count / 5, count + 1.0))
    far = mist(hidden(drops, 0.0005), 1.0, 0.55)
    return in_front(far, streaks(n, drops, between(u2, -slant, slant), length, height, width), light)
