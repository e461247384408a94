from thalweg.augment._technique import augmentation
from thalweg.augment.image._plane import fitted
from thalweg.augment.image._sizes import given_size


@augmentation(
    stage="geometry",
    source="common practice",
    limits={"size": "whole [1, inf)"},
    sized=given_size,
)
def resize(height, width, *, size=(224, 224), p=1.0):
    """The whole picture at another ``size``, height and width.

    Bilinear, without antialiasing, as in OpenCV: made less than half as large, it loses detail, unless ``blur``
    comes first. ``random_resized_crop`` takes a part.

    Use it to bring all pictures to one size when nothing may be cut off.

    Source: common practice; torchvision's ``Resize`` antialiases.
    """
    return fitted(0.0, 0.0, height, width, size[0], size[1])
