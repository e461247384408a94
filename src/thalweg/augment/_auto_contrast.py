from thalweg.augment._technique import augmentation
from thalweg.augment.image._whole import stretched


@augmentation(
    stage="whole",
    source="Cubuk, Zoph, Mané, Vasudevan & Le 2019, AutoAugment, table 6",
)
def auto_contrast(image, *, p=0.5):
    """Levels stretched so that each channel's least becomes black and its greatest white; a flat channel stays.

    ``equalise`` also makes levels in between about as frequent; ``contrast`` draws how much. On batches, levels are
    rounded to 256 first.

    Use it where exposure varies much, and only what is bright beside what counts.

    Source: Cubuk et al. 2019, AutoAugment; PIL: ``ImageOps.autocontrast``; torchvision: ``RandomAutocontrast``.
    """
    return stretched(image)
