from thalweg.augment._technique import augmentation
from thalweg.augment.image._levels import power
from thalweg.augment.image._plane import log_between
from thalweg.technique import Uniform


@augmentation(
    stage="level",
    source="common practice",
    space={"limit": Uniform(1.05, 2.0)},
    limits={"limit": "[1, inf)"},
)
def gamma(x, u1, *, limit=1.25, p=0.5):
    """Levels to a power, from 1 / ``limit`` to ``limit``: the middle moves, black and white stay.

    ``brightness`` moves all levels by as much.

    Use it where screens, scanners or exposure differ, and black and white are to stay.

    Source: common practice; albumentations: ``RandomGamma``, with its limits in percent.
    """
    return power(x, log_between(u1, 1 / limit, limit))
