from thalweg.augment._technique import augmentation


@augmentation(
    stage="level",
    source="Cubuk, Zoph, Mané, Vasudevan & Le 2019, AutoAugment, table 6",
)
def invert(x, *, p=0.5):
    """The negative.

    ``solarise`` inverts the light levels alone.

    Use it where light on dark is as likely as dark on light.

    Source: Cubuk et al. 2019, AutoAugment; PIL: ``ImageOps.invert``.
    """
    return 1 - x
