from thalweg.augment._technique import augmentation
from thalweg.augment.image._areas import box
from thalweg.augment.image._plane import between, log_between, lower, root
from thalweg.technique import Uniform


@augmentation(
    stage="hole",
    source="Zhong, Zheng, Kang, Li & Yang 2017, Random Erasing Data Augmentation (1708.04896)",
    space={"area": Uniform(0.05, 0.5)},
    limits={"area": "[0.02, 1]", "ratio": "[1, inf)", "fill": "[0, 1]"},
)
def random_erasing(row, column, u1, u2, u3, u4, height, width, *, area=0.4, ratio=10 / 3, fill=0.0, p=0.5):
    """A rectangle inside the picture filled with a level: 0.02 to ``area`` of it, of any shape up to ``ratio``.

    A side longer than the picture's is cut to it. ``cutout`` is a square of one size.

    Use it where objects will be partly hidden: people, vehicles.

    Source: Zhong et al. 2017, algorithm 1, which fills with noise; torchvision: ``RandomErasing``.
    """
    side = root(between(u1, 0.02, area) * height * width)
    shape = root(log_between(u2, 1 / ratio, ratio))
    high, wide = lower(side * shape, height), lower(side / shape, width)
    y, x = high / 2 + u3 * (height - high), wide / 2 + u4 * (width - wide)
    return box(row, column, y, x, high, wide)
