from thalweg.augment._technique import augmentation
from thalweg.augment.image._whole import equalised


@augmentation(
    stage="whole",
    source="Cubuk, Zoph, Mané, Vasudevan & Le 2019, AutoAugment, table 6",
)
def equalise(image, *, p=0.5):
    """Levels so that each is about as frequent, channel by channel.

    ``contrast`` stretches all as much.

    Use it where contrast varies much, as in medical pictures.

    Source: Cubuk et al. 2019, AutoAugment; PIL: ``ImageOps.equalize``; OpenCV: ``equalizeHist``.
    """
    return equalised(image)
