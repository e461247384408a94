from thalweg.augment._technique import augmentation
from thalweg.augment.image._plane import between
from thalweg.augment.image._veils import CLEAR, glow, in_front
from thalweg.technique import LogUniform, Uniform


@augmentation(
    stage="veil",
    source="Hullin, Eisemann, Seidel & Lee 2011, Physically-Based Real-Time Lens Flare Rendering, SIGGRAPH",
    space={"limit": Uniform(0.4, 1.0), "diameter": LogUniform(0.1, 0.4)},
    limits={"limit": "[0, 1]", "diameter": "(0, 1]"},
)
def sun_flare(u1, u2, u3, height, width, *, limit=1.0, diameter=0.2, p=0.5):
    """The sun in the upper half: a bright middle, a halo, and ghosts of the lens.

    From half of ``limit`` up to ``limit`` of the middle's light is white; its ``diameter`` is a share of the shorter
    side. Ghosts lie on the line through the picture's middle, and are weak.

    Use it for cameras that look towards the light: vehicles, watch-towers.

    Source: Hullin et al. 2011, of whose ghosts these are round ones; albumentations: ``RandomSunFlare``.
    """
    return in_front(CLEAR, glow(u2, u3 / 2, between(u1, limit / 2, limit), diameter, height, width), 1.0)
