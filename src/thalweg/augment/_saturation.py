from thalweg.augment._technique import augmentation
from thalweg.augment.image._colours import towards_grey
from thalweg.augment.image._plane import between
from thalweg.technique import Uniform


@augmentation(
    stage="colour",
    source="Howard 2013, Improvements on Deep Convolutional Neural Network Based Image Classification (1312.5402)",
    space={"limit": Uniform(0.0, 1.0)},
    limits={"limit": "[0, 1]"},
)
def saturation(u1, *, limit=0.4, p=0.5):
    """Colours nearer to their grey, or further from it: what tells them apart multiplied by up to 1 ± ``limit``.

    ``grey`` takes colours away; ``hue`` turns them.

    Use it for photographs whose colours depend on the light.

    Source: Howard 2013, section 2; PIL: ``ImageEnhance.Color``; torchvision: ``ColorJitter``.
    """
    return towards_grey(1 + between(u1, -limit, limit))
