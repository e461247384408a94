from thalweg.augment._technique import augmentation
from thalweg.augment.image._learned import Pair, learned

TABLE: tuple[Pair, ...] = (
    (("posterise", 0.4, 8), ("rotate", 0.6, 9)),
    (("solarise", 0.6, 5), ("auto_contrast", 0.6, 5)),
    (("equalise", 0.8, 8), ("equalise", 0.6, 3)),
    (("posterise", 0.6, 7), ("posterise", 0.6, 6)),
    (("equalise", 0.4, 7), ("solarise", 0.2, 4)),
    (("equalise", 0.4, 4), ("rotate", 0.8, 8)),
    (("solarise", 0.6, 3), ("equalise", 0.6, 7)),
    (("posterise", 0.8, 5), ("equalise", 1.0, 2)),
    (("rotate", 0.2, 3), ("solarise", 0.6, 8)),
    (("equalise", 0.6, 8), ("posterise", 0.4, 6)),
    (("rotate", 0.8, 8), ("saturation", 0.4, 0)),
    (("rotate", 0.4, 9), ("equalise", 0.6, 2)),
    (("equalise", 0.0, 7), ("equalise", 0.8, 8)),
    (("invert", 0.6, 4), ("equalise", 1.0, 8)),
    (("saturation", 0.6, 4), ("contrast", 1.0, 8)),
    (("rotate", 0.8, 8), ("saturation", 1.0, 2)),
    (("saturation", 0.8, 8), ("solarise", 0.8, 7)),
    (("sharpen", 0.4, 7), ("invert", 0.6, 8)),
    (("shear_x", 0.6, 5), ("equalise", 1.0, 9)),
    (("saturation", 0.4, 0), ("equalise", 0.6, 3)),
    (("equalise", 0.4, 7), ("solarise", 0.2, 4)),
    (("solarise", 0.6, 5), ("auto_contrast", 0.6, 5)),
    (("invert", 0.6, 4), ("equalise", 1.0, 8)),
    (("saturation", 0.6, 4), ("contrast", 1.0, 8)),
    (("equalise", 0.8, 8), ("equalise", 0.6, 3)),
)


@augmentation(
    stage="chosen",
    source="Cubuk, Zoph, Mané, Vasudevan & Le 2019, AutoAugment (1805.09501)",
)
def auto(u1, u2, u3, u4, u5, *, p=1.0):
    """One of 25 pairs of steps that were learned on ImageNet, each with a chance and a strength of its own.

    Magnitudes of 0 to 9 are evenly spaced over the ranges of the paper's table 6: factors of contrast, saturation and
    sharpness go from 0.1 to 1.9, where torchvision draws a sign for 0.9 at most; brightness is added; and maps go
    either way, and leave black. ``auto_cifar10`` and ``auto_svhn`` are the same with pairs that were learned there;
    ``trivial`` has nothing that was learned.

    Use it for photographs, where training is long: the paper's takes 270 epochs.

    Source: Cubuk et al. 2019, table 6 and the appendix; torchvision: ``AutoAugment``.
    """
    return learned(TABLE, u1, (u2, u3), (u4, u5))
