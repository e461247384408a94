from thalweg.augment._technique import augmentation
from thalweg.augment.image._plane import BORDERS, moved
from thalweg.augment.image._sizes import padded


@augmentation(
    stage="geometry",
    source="common practice; before crops, He, Zhang, Ren & Sun 2016, Deep Residual Learning, section 4.2",
    limits={
        "left": "whole [0, inf)", "top": "whole [0, inf)", "right": "whole [0, inf)", "bottom": "whole [0, inf)",
        "border": BORDERS,
    },
    sized=padded,
)  # fmt: skip
def pad(height, width, *, left=4, top=4, right=4, bottom=4, border="constant", p=1.0):
    """So many pixels put on at each side: black ones, the picture mirrored, or its outermost pixels.

    ``crop`` takes pixels away.

    Use it in front of ``crop``, and to make pictures square.

    Source: He et al. 2016, section 4.2; torchvision: ``Pad``.
    """
    return moved(float(left), float(top))
