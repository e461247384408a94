from thalweg.augment._technique import augmentation
from thalweg.augment.image._plane import between
from thalweg.technique import Uniform


@augmentation(
    stage="level",
    source="common practice",
    space={"limit": Uniform(0.0, 0.5)},
    limits={"limit": "[0, 1]"},
)
def contrast(x, u1, *, limit=0.2, p=0.5):
    """Differences from mid-grey multiplied, by up to 1 ± ``limit``.

    ``brightness`` moves mid-grey itself, and leaves differences.

    Use it where light or cameras vary.

    Source: common practice; PIL and torchvision take differences from the picture's own mean.
    """
    return 0.5 + (x - 0.5) * (1 + between(u1, -limit, limit))
