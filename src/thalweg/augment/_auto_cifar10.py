from thalweg.augment._technique import augmentation
from thalweg.augment.image._learned import Pair, learned

TABLE: tuple[Pair, ...] = (
    (("invert", 0.1, 7), ("contrast", 0.2, 6)),
    (("rotate", 0.7, 2), ("translate_x", 0.3, 9)),
    (("sharpen", 0.8, 1), ("sharpen", 0.9, 3)),
    (("shear_y", 0.5, 8), ("translate_y", 0.7, 9)),
    (("auto_contrast", 0.5, 8), ("equalise", 0.9, 2)),
    (("shear_y", 0.2, 7), ("posterise", 0.3, 7)),
    (("saturation", 0.4, 3), ("brightness", 0.6, 7)),
    (("sharpen", 0.3, 9), ("brightness", 0.7, 9)),
    (("equalise", 0.6, 5), ("equalise", 0.5, 1)),
    (("contrast", 0.6, 7), ("sharpen", 0.6, 5)),
    (("saturation", 0.7, 7), ("translate_x", 0.5, 8)),
    (("equalise", 0.3, 7), ("auto_contrast", 0.4, 8)),
    (("translate_y", 0.4, 3), ("sharpen", 0.2, 6)),
    (("brightness", 0.9, 6), ("saturation", 0.2, 8)),
    (("solarise", 0.5, 2), ("invert", 0.0, 3)),
    (("equalise", 0.2, 0), ("auto_contrast", 0.6, 0)),
    (("equalise", 0.2, 8), ("equalise", 0.6, 4)),
    (("saturation", 0.9, 9), ("equalise", 0.6, 6)),
    (("auto_contrast", 0.8, 4), ("solarise", 0.2, 8)),
    (("brightness", 0.1, 3), ("saturation", 0.7, 0)),
    (("solarise", 0.4, 5), ("auto_contrast", 0.9, 3)),
    (("translate_y", 0.9, 9), ("translate_y", 0.7, 9)),
    (("auto_contrast", 0.9, 2), ("solarise", 0.8, 3)),
    (("equalise", 0.8, 8), ("invert", 0.1, 3)),
    (("translate_y", 0.7, 9), ("auto_contrast", 0.9, 1)),
)


@augmentation(
    stage="chosen",
    source="Cubuk, Zoph, Mané, Vasudevan & Le 2019, AutoAugment (1805.09501)",
)
def auto_cifar10(u1, u2, u3, u4, u5, *, p=1.0):
    """One of 25 pairs of steps that were learned on CIFAR-10: mostly colours and levels.

    Operations and their ranges are those of ``auto``, whose pairs were learned on ImageNet.

    Use it for small photographs of objects; the paper flips and crops before it, and cuts a square out after it.

    Source: Cubuk et al. 2019, table 6 and the appendix; torchvision: ``AutoAugment``, policy ``CIFAR10``.
    """
    return learned(TABLE, u1, (u2, u3), (u4, u5))
