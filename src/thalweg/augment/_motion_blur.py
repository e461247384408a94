from thalweg.augment._technique import augmentation
from thalweg.augment.image._kernels import streak
from thalweg.augment.image._plane import between
from thalweg.technique import Uniform


@augmentation(
    stage="kernel",
    source="Hendrycks & Dietterich 2019, Benchmarking Neural Network Robustness to Common Corruptions (1903.12261)",
    space={"limit": Uniform(2.0, 15.0)},
    limits={"limit": "[1, 99]"},
)
def motion_blur(u1, u2, *, limit=7.0, p=0.5):
    """Moved while it was taken: along a line of 1 to ``limit`` pixels, in any direction.

    ``blur`` is the same in all directions.

    Use it where cameras or objects move.

    Source: Hendrycks & Dietterich 2019, section 3; albumentations: ``MotionBlur``.
    """
    return streak(between(u1, 1.0, limit), between(u2, 0.0, 180.0), limit)
