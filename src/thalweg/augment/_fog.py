from thalweg.augment._technique import augmentation
from thalweg.augment.image._plane import between
from thalweg.augment.image._veils import mist, octaves, plasma
from thalweg.technique import Uniform


@augmentation(
    stage="veil",
    source="Hendrycks & Dietterich 2019, Benchmarking Neural Network Robustness to Common Corruptions (1903.12261)",
    space={"limit": Uniform(0.2, 0.9)},
    limits={"limit": "[0, 1)", "light": "[0, 1]"},
    nodes=octaves,
)
def fog(n, u1, height, width, *, limit=0.7, light=0.9, p=0.5):
    """Fog that takes from a fifth of ``limit`` up to ``limit`` of the light, more here and less there.

    What passes of a level, t, falls exponentially with how thick the fog is, and the fog adds a level of its own
    (Koschmieder's law: t x + (1 - t) ``light``); the thickness is a plasma fractal. ``rain`` and ``snow`` have an
    even mist behind what falls.

    Use it for pictures taken out of doors, by vehicles above all.

    Source: Hendrycks & Dietterich 2019, section 3, who add the fractal and divide; albumentations: ``RandomFog``.
    """
    return mist(between(u1, limit / 5, limit), plasma(n, height, width), light)
