from thalweg.augment._technique import augmentation
from thalweg.augment.image._learned import Pair, learned

TABLE: tuple[Pair, ...] = (
    (("shear_x", 0.9, 4), ("invert", 0.2, 3)),
    (("shear_y", 0.9, 8), ("invert", 0.7, 5)),
    (("equalise", 0.6, 5), ("solarise", 0.6, 6)),
    (("invert", 0.9, 3), ("equalise", 0.6, 3)),
    (("equalise", 0.6, 1), ("rotate", 0.9, 3)),
    (("shear_x", 0.9, 4), ("auto_contrast", 0.8, 3)),
    (("shear_y", 0.9, 8), ("invert", 0.4, 5)),
    (("shear_y", 0.9, 5), ("solarise", 0.2, 6)),
    (("invert", 0.9, 6), ("auto_contrast", 0.8, 1)),
    (("equalise", 0.6, 3), ("rotate", 0.9, 3)),
    (("shear_x", 0.9, 4), ("solarise", 0.3, 3)),
    (("shear_y", 0.8, 8), ("invert", 0.7, 4)),
    (("equalise", 0.9, 5), ("translate_y", 0.6, 6)),
    (("invert", 0.9, 4), ("equalise", 0.6, 7)),
    (("contrast", 0.3, 3), ("rotate", 0.8, 4)),
    (("invert", 0.8, 5), ("translate_y", 0.0, 2)),
    (("shear_y", 0.7, 6), ("solarise", 0.4, 8)),
    (("invert", 0.6, 4), ("rotate", 0.8, 4)),
    (("shear_y", 0.3, 7), ("translate_x", 0.9, 3)),
    (("shear_x", 0.1, 6), ("invert", 0.6, 5)),
    (("solarise", 0.7, 2), ("translate_y", 0.6, 7)),
    (("shear_y", 0.8, 4), ("invert", 0.8, 8)),
    (("shear_x", 0.7, 9), ("translate_y", 0.8, 3)),
    (("shear_y", 0.8, 5), ("auto_contrast", 0.7, 3)),
    (("shear_x", 0.7, 2), ("invert", 0.1, 5)),
)


@augmentation(
    stage="chosen",
    source="Cubuk, Zoph, Mané, Vasudevan & Le 2019, AutoAugment (1805.09501)",
)
def auto_svhn(u1, u2, u3, u4, u5, *, p=1.0):
    """One of 25 pairs of steps that were learned on house numbers (SVHN): shears, and levels inverted.

    Operations and their ranges are those of ``auto``, whose pairs were learned on ImageNet.

    Use it for digits and letters that are photographed: light on dark as likely as dark on light.

    Source: Cubuk et al. 2019, table 6 and the appendix; torchvision: ``AutoAugment``, policy ``SVHN``.
    """
    return learned(TABLE, u1, (u2, u3), (u4, u5))
