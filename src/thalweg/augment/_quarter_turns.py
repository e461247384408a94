from thalweg.augment._technique import augmentation
from thalweg.augment.image._plane import about, floor, quarter


@augmentation(stage="geometry", source="common practice for pictures from above and through microscopes")
def quarter_turns(u1, height, width, *, p=0.5):
    """Turned by 0 to 3 quarters, each as likely; where the sides differ, by none or a half. No pixel is mixed.

    ``ssr`` and ``affine`` turn by any angle.

    Use it for microscopy and pictures from above, where every direction is as likely.

    Source: common practice; albumentations: ``RandomRotate90``, which lets sides change places.
    """
    least = 1 + (height != width)
    return about(quarter(least * floor(u1 * (4 // least))), height, width)
