from thalweg.augment._technique import augmentation
from thalweg.augment.image._plane import upturned


@augmentation(stage="geometry", source="common practice where up and down are alike, as in pictures from above")
def flip_vertical(height, width, *, p=0.5):
    """Top and bottom turned round; for pictures in which up is no direction. ``flip`` turns left and right.

    Use it for microscopy and pictures from above.

    Source: common practice; torchvision: ``RandomVerticalFlip``, albumentations: ``VerticalFlip``.
    """
    return upturned(height)
