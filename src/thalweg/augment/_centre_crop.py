from thalweg.augment._technique import augmentation
from thalweg.augment.image._plane import floor, moved
from thalweg.augment.image._sizes import cut


@augmentation(
    stage="geometry",
    source="common practice, for validation",
    limits={"size": "whole [1, inf)"},
    sized=cut,
)
def centre_crop(height, width, *, size=(224, 224), p=1.0):
    """The window of ``size``, height and width, in the middle of the picture; ``crop`` takes one anywhere.

    Use it to bring all pictures to one size where the border matters little.

    Source: common practice; torchvision and albumentations: ``CenterCrop``.
    """
    return moved(-floor((width - size[1]) / 2), -floor((height - size[0]) / 2))
