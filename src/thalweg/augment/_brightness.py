from thalweg.augment._technique import augmentation
from thalweg.augment.image._plane import between
from thalweg.technique import Uniform


@augmentation(
    stage="level",
    source="common practice",
    space={"limit": Uniform(0.0, 0.5)},
    limits={"limit": "[0, 1]"},
)
def brightness(x, u1, *, limit=0.2, p=0.5):
    """Lighter or darker: up to ``limit`` of the range added to every level, or taken away.

    ``contrast`` leaves mid-grey where it is, which this moves.

    Use it where exposure varies between pictures.

    Source: albumentations: ``RandomBrightnessContrast``; torchvision's ``ColorJitter`` multiplies instead.
    """
    return x + between(u1, -limit, limit)
