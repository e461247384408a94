from thalweg.augment._technique import augmentation
from thalweg.augment.image._plane import between, fitted, floor, log_between, lower, root
from thalweg.augment.image._sizes import given_size
from thalweg.technique import Uniform


@augmentation(
    stage="geometry",
    source="Szegedy et al. 2015, Going Deeper with Convolutions (1409.4842), section 6",
    space={"area": Uniform(0.05, 0.6)},
    limits={"size": "whole [1, inf)", "area": "(0, 1]", "ratio": "[1, inf)"},
    sized=given_size,
)
def random_resized_crop(u1, u2, u3, u4, height, width, *, size=(224, 224), area=0.08, ratio=4 / 3, p=1.0):
    """A window of whole pixels, of ``area`` to all of the picture, resized to ``size``, height and width.

    Its shape, width to height, is that of the picture times 1 / ``ratio`` to ``ratio``, evenly in the logarithm; a
    side longer than the picture's is cut to it. Bilinear, without antialiasing: a window more than twice as large
    as ``size`` loses detail. ``crop`` keeps pixels as they are.

    Use it for photographs of many sizes, as is customary for ImageNet.

    Source: Szegedy et al. 2015; torchvision: ``RandomResizedCrop``, which draws shapes that do not fit anew.
    """
    share = between(u1, area, 1.0)
    shape = root(log_between(u2, 1 / ratio, ratio))
    wide = 1 + floor(lower(root(share) * shape, 1.0) * (width - 1))
    high = 1 + floor(lower(root(share) / shape, 1.0) * (height - 1))
    return fitted(floor(u3 * (width - wide + 1)), floor(u4 * (height - high + 1)), high, wide, size[0], size[1])
