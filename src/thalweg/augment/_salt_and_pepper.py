from thalweg.augment._technique import augmentation
from thalweg.augment.image._levels import where
from thalweg.augment.image._plane import between
from thalweg.technique import Uniform


@augmentation(
    stage="grain",
    source="Gonzalez & Woods, Digital Image Processing, section 5.2, impulse noise",
    space={"limit": Uniform(0.01, 0.2)},
    limits={"limit": "[0, 1]"},
)
def salt_and_pepper(x, n, u1, *, limit=0.05, p=0.5):
    """A share of up to ``limit`` of all levels become black or white, each as likely.

    ``noise`` changes all of them a little.

    Use it for scans and for sensors with dead pixels.

    Source: Gonzalez & Woods; albumentations: ``SaltAndPepper``.
    """
    share = between(u1, 0.0, limit)
    salted = where(n > 1 - share / 2, x * 0 + 1, x)
    return where(n < share / 2, x * 0, salted)
