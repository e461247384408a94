from thalweg.augment._technique import augmentation
from thalweg.augment.image._plane import BORDERS, about, between, grown, moved, sheared, turned
from thalweg.technique import Uniform


@augmentation(
    stage="geometry",
    source="Simard, Steinkraus & Platt 2003, Best Practices for Convolutional Neural Networks, section 2",
    space={
        "shift": Uniform(0.0, 0.2), "scale": Uniform(0.0, 0.3), "rotate": Uniform(0.0, 60.0),
        "shear": Uniform(0.0, 30.0),
    },
    limits={
        "shift": "[0, 1]", "scale": "[0, 1)", "rotate": "[0, 180]", "shear": "[0, 89]", "border": BORDERS,
    },
)  # fmt: skip
def affine(
    u1, u2, u3, u4, u5, u6, u7, height, width,
    *, shift=0.0625, scale=0.1, rotate=15.0, shear=10.0, border="constant", p=0.5,
):  # fmt: skip
    """Sheared, scaled along both sides apart, rotated, and shifted; shear and rotation by up to so many degrees.

    About the middle of the picture, shifted last, by shares of the sides. ``ssr`` keeps shapes.

    Use it where objects are seen a little slanted: handwriting, documents.

    Source: Simard et al. 2003; torchvision: ``RandomAffine``, albumentations: ``Affine``.
    """
    lean = sheared(between(u1, -shear, shear), between(u2, -shear, shear))
    growth = grown(1 + between(u3, -scale, scale), 1 + between(u4, -scale, scale))
    turn = turned(between(u5, -rotate, rotate))
    move = moved(between(u6, -shift, shift) * width, between(u7, -shift, shift) * height)
    return move @ about(turn @ growth @ lean, height, width)
