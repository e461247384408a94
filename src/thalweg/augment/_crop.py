from thalweg.augment._technique import augmentation
from thalweg.augment.image._plane import floor, moved
from thalweg.augment.image._sizes import cut


@augmentation(
    stage="geometry",
    source="Krizhevsky, Sutskever & Hinton 2012, ImageNet Classification, section 4.1",
    limits={"size": "whole [1, inf)"},
    sized=cut,
)
def crop(u1, u2, height, width, *, size=(224, 224), p=1.0):
    """A window of ``size``, height and width, at any place of the picture, each as likely. No pixel is mixed.

    ``pad`` before it leaves room to move; ``centre_crop`` takes the middle; ``random_resized_crop`` any size.

    Use it on small pictures behind ``pad``, as is customary for CIFAR.

    Source: Krizhevsky et al. 2012; torchvision: ``RandomCrop``.
    """
    return moved(-floor(u2 * (width - size[1] + 1)), -floor(u1 * (height - size[0] + 1)))
