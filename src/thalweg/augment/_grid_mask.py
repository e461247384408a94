from thalweg.augment._technique import augmentation
from thalweg.augment.image._areas import stripes
from thalweg.augment.image._plane import between
from thalweg.technique import Uniform


@augmentation(
    stage="hole",
    source="Chen, Liu, Zhao & Jia 2020, GridMask Data Augmentation (2001.04086)",
    space={"share": Uniform(0.2, 0.7)},
    limits={"share": "[0, 1]", "least": "(0, 1]", "most": "(0, 1]", "fill": "[0, 1]"},
)
def grid_mask(row, column, u1, u2, u3, height, width, *, least=0.15, most=0.5, share=0.4, fill=0.0, p=0.5):
    """Squares of a grid filled with a level: one in ``least`` to ``most`` of the shorter side, ``share`` of it long.

    The grid starts anywhere, and is not turned. ``cutout`` fills one square.

    Use it where ``cutout`` hides too much or too little at once.

    Source: Chen et al. 2020, section 3; albumentations: ``GridDropout``.
    """
    period = between(u1, least, most) * min(height, width)
    return stripes(row, u2, period, share) & stripes(column, u3, period, share)
