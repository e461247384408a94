from thalweg.augment._technique import augmentation
from thalweg.augment.image._areas import box
from thalweg.augment.image._plane import between
from thalweg.technique import Uniform


@augmentation(
    stage="hole",
    source="DeVries & Taylor 2017, Improved Regularization of Convolutional Neural Networks with Cutout (1708.04552)",
    space={"side": Uniform(0.1, 0.7)},
    limits={"side": "[0, 1]", "fill": "[0, 1]"},
)
def cutout(row, column, u1, u2, height, width, *, side=0.5, fill=0.0, p=0.5):
    """A square of ``side`` of the shorter side filled with a level; its middle is anywhere, so parts may lie outside.

    ``random_erasing`` draws its size and shape too.

    Use it for small pictures, against leaning on one part of an object.

    Source: DeVries & Taylor 2017, section 3; albumentations: ``CoarseDropout``.
    """
    long = side * min(height, width)
    return box(row, column, between(u1, 0.0, height), between(u2, 0.0, width), long, long)
