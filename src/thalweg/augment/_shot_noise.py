from thalweg.augment._technique import augmentation
from thalweg.augment.image._levels import normal, power
from thalweg.augment.image._plane import log_between
from thalweg.technique import LogUniform


@augmentation(
    stage="grain",
    source="Hendrycks & Dietterich 2019, Benchmarking Neural Network Robustness to Common Corruptions (1903.12261)",
    space={"photons": LogUniform(10.0, 500.0)},
    limits={"photons": "(0, 1000]"},
)
def shot_noise(x, n, u1, *, photons=50.0, p=0.5):
    """As few photons would leave it: white stands for ``photons`` of them to 1000, and their number is a random one.

    Normal instead of Poisson's, with the same mean and variance. ``noise`` is as strong in the dark.

    Use it for pictures taken in little light.

    Source: Hendrycks & Dietterich 2019, section 3; albumentations: ``ShotNoise``.
    """
    return x + power(x / log_between(u1, photons, 1000.0), 0.5) * normal(n)
