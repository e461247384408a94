from thalweg.augment._technique import augmentation
from thalweg.augment.image._plane import between
from thalweg.augment.image._veils import CLEAR, in_front, shade
from thalweg.technique import Uniform


@augmentation(
    stage="veil",
    source="common practice",
    space={"limit": Uniform(0.2, 0.8)},
    limits={"limit": "[0, 1]", "least": "(0, 2]", "most": "(0, 2]", "soft": "[0, 1]"},
)
def shadow(
    u1, u2, u3, u4, u5, u6, u7, u8, u9, height, width, *, limit=0.6, least=0.3, most=0.8, soft=0.03, p=0.5,
):  # fmt: skip
    """A shadow of five corners, anywhere, which takes from half of ``limit`` up to ``limit`` of the light.

    The corners lie on an ellipse of ``least`` to ``most`` of the picture about its middle, and its edge is ``soft``
    of the shorter side wide. ``cutout`` hides all.

    Use it for roads and fields, where trees and walls cast shadows that mean nothing.

    Source: albumentations: ``RandomShadow``; the edge is soft here, as the sun has a size.
    """
    place = shade(u2, u3, between(u4, least, most), (u5, u6, u7, u8, u9), soft, height, width)
    return in_front(CLEAR, between(u1, limit / 2, limit) * place, 0.0)
