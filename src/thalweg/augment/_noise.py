from thalweg.augment._technique import augmentation
from thalweg.augment.image._levels import normal
from thalweg.augment.image._plane import between
from thalweg.technique import Uniform


@augmentation(
    stage="grain",
    source="Bishop 1995, Training with Noise is Equivalent to Tikhonov Regularization",
    space={"limit": Uniform(0.01, 0.2)},
    limits={"limit": "[0, 1]"},
)
def noise(x, n, u1, *, limit=0.1, p=0.5):
    """A normal number added to every level, of a standard deviation of up to ``limit`` of the range.

    ``shot_noise`` grows with the light; ``salt_and_pepper`` leaves most pixels as they are.

    Use it where sensors are noisy, or the model leans on fine detail.

    Source: Bishop 1995; albumentations: ``GaussNoise``.
    """
    return x + between(u1, 0.0, limit) * normal(n)
