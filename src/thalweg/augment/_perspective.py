from thalweg.augment._technique import augmentation
from thalweg.augment.image._plane import BORDERS, grown, square_to
from thalweg.technique import Uniform


@augmentation(
    stage="geometry",
    source="common practice; its map is that of Heckbert 1989, Fundamentals of Texture Mapping, section 2.2.3",
    space={"distortion": Uniform(0.05, 0.5)},
    limits={"distortion": "[0, 1)", "border": BORDERS},
)
def perspective(u1, u2, u3, u4, u5, u6, u7, u8, height, width, *, distortion=0.3, border="constant", p=0.5):
    """Seen from aside: each corner moves inwards, by up to ``distortion`` of half a side along both sides.

    Parallel lines do not stay so, as they do under ``affine``.

    Use it for flat things photographed at an angle: signs, pages.

    Source: torchvision: ``RandomPerspective`` with ``distortion_scale``, where corners move by whole pixels.
    """
    wide, high = max(width - 1, 1), max(height - 1, 1)  # a side of one pixel is turned as one of two
    x, y = distortion * wide / 2, distortion * high / 2
    corners = square_to(
        x * u1,
        y * u2,
        wide - x * u3,
        y * u4,
        wide - x * u5,
        high - y * u6,
        x * u7,
        high - y * u8,
    )
    return corners @ grown(1 / wide, 1 / high)
