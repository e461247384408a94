from thalweg.augment._technique import augmentation
from thalweg.augment.image._kernels import peak
from thalweg.augment.image._plane import between
from thalweg.technique import Uniform


@augmentation(
    stage="kernel",
    source="Cubuk, Zoph, Mané, Vasudevan & Le 2019, AutoAugment, table 6",
    space={"limit": Uniform(0.1, 2.0)},
    limits={"limit": "[0, inf)"},
)
def sharpen(u1, *, limit=0.9, p=0.5):
    """Differences from the neighbours' weighted mean added up to ``limit`` times.

    ``blur`` takes them away.

    Use it where cameras differ in sharpness, mostly within ``rand`` or ``trivial``.

    Source: Cubuk et al. 2019, AutoAugment; PIL: ``ImageEnhance.Sharpness``, which leaves the outermost pixels.
    """
    return peak(between(u1, 0.0, limit))
