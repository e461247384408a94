from thalweg.augment._technique import augmentation
from thalweg.augment.image._levels import reaches, where
from thalweg.technique import Uniform


@augmentation(
    stage="level",
    source="Cubuk, Zoph, Mané, Vasudevan & Le 2019, AutoAugment, table 6",
    space={"threshold": Uniform(0.2, 1.0)},
    limits={"threshold": "[0, 1]"},
)
def solarise(x, *, threshold=0.5, p=0.5):
    """Levels from ``threshold`` up inverted.

    ``invert`` inverts them all.

    Use it as one of many steps in ``rand`` or ``trivial``; seldom alone.

    Source: Cubuk et al. 2019, AutoAugment; PIL: ``ImageOps.solarize``, whose threshold is a level of 255.
    """
    return where(reaches(x, threshold), 1 - x, x)
