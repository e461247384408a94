from thalweg.augment._technique import augmentation
from thalweg.augment.image._plane import mirrored


@augmentation(stage="geometry", source="Krizhevsky, Sutskever & Hinton 2012, ImageNet Classification, section 4.1")
def flip(height, width, *, p=0.5):
    """Left and right turned round. ``flip_vertical`` turns top and bottom.

    Use it for photographs and wherever left and right mean the same; not for text and digits.

    Source: Krizhevsky et al. 2012; torchvision: ``RandomHorizontalFlip``, albumentations: ``HorizontalFlip``.
    """
    return mirrored(width)
