from thalweg.augment._technique import augmentation
from thalweg.augment.image._plane import BORDERS, about, between, grown, moved, turned
from thalweg.technique import Uniform


@augmentation(
    stage="geometry",
    source="Simard, Steinkraus & Platt 2003, Best Practices for Convolutional Neural Networks, section 2",
    space={"shift": Uniform(0.0, 0.2), "scale": Uniform(0.0, 0.3), "rotate": Uniform(0.0, 60.0)},
    limits={"shift": "[0, 1]", "scale": "[0, 1)", "rotate": "[0, 180]", "border": BORDERS},
)
def ssr(u1, u2, u3, u4, height, width, *, shift=0.0625, scale=0.1, rotate=45.0, border="constant", p=0.5):
    """Shifted, scaled and rotated: up to a share of the sides, by up to 1 ± ``scale``, by up to so many degrees.

    About the middle of the picture, the same factor along both sides, positive angles counter-clockwise; then
    shifted, by parts of pixels too. ``affine`` shears as well, and scales the sides apart.

    Use it for nearly every kind of picture, with angles as small as the data's own.

    Source: Simard et al. 2003; albumentations: ``ShiftScaleRotate``, which draws factors of the sides apart, and cuts
    shifts to whole pixels.
    """
    turn = turned(between(u1, -rotate, rotate))
    factor = 1 + between(u2, -scale, scale)
    move = moved(between(u3, -shift, shift) * width, between(u4, -shift, shift) * height)
    return move @ about(grown(factor, factor) @ turn, height, width)
