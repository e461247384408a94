from thalweg.augment._technique import augmentation
from thalweg.augment.image._levels import rounded_down
from thalweg.technique import Choice


@augmentation(
    stage="level",
    source="Cubuk, Zoph, Mané, Vasudevan & Le 2019, AutoAugment, table 6",
    space={"bits": Choice((3, 4, 5, 6))},
    limits={"bits": "whole [1, 8]"},
)
def posterise(x, *, bits=4, p=0.5):
    """Levels with ``bits`` bits, of 8: the rest are 0.

    Edges appear where levels went over smoothly.

    Use it as one of many steps in ``rand`` or ``trivial``; seldom alone.

    Source: Cubuk et al. 2019, AutoAugment; PIL: ``ImageOps.posterize``.
    """
    return rounded_down(x, 2 ** (8 - bits))
