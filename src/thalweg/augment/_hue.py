from thalweg.augment._technique import augmentation
from thalweg.augment.image._colours import turned_hue
from thalweg.augment.image._plane import between
from thalweg.technique import Uniform


@augmentation(
    stage="colour",
    source="common practice; its map is the turn of the YIQ plane, as in broadcast television",
    space={"limit": Uniform(0.0, 60.0)},
    limits={"limit": "[0, 180]"},
)
def hue(u1, *, limit=18.0, p=0.5):
    """Colours turned about grey by up to so many degrees; greys stay, and so does brightness.

    ``saturation`` moves colours towards grey.

    Use it where colour tells nothing of the class, and then by little.

    Source: common practice; torchvision's ``ColorJitter`` turns HSV's hue, a share of 360 degrees.
    """
    return turned_hue(between(u1, -limit, limit))
