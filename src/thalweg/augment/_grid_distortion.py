from thalweg.augment._technique import augmentation
from thalweg.augment.image._fields import knots, meshed
from thalweg.augment.image._plane import BORDERS
from thalweg.technique import Choice, Uniform


@augmentation(
    stage="field",
    source="Bloice, Roth & Holzinger 2019, Biomedical Image Augmentation Using Augmentor, Bioinformatics 35",
    space={"cells": Choice((3, 4, 5, 6, 8)), "limit": Uniform(0.05, 0.22)},
    limits={"cells": "whole [1, 64]", "limit": "[0, 0.25]", "border": BORDERS},
    nodes=knots,
)
def grid_distortion(n, height, width, *, cells=5, limit=0.2, border="edge", p=0.5):
    """A grid of ``cells`` by ``cells`` whose nodes move by up to ``limit`` of a cell along both sides; linear inside.

    Nodes at the rim stay there, so that nothing is lost, and ``border`` is seen by half a pixel at most; with no more
    than a quarter of a cell, nothing folds. Lines break where cells meet; under ``elastic`` they bend.

    Use it for scanned pages and tissue, where ``elastic`` moves too evenly.

    Source: Augmentor's ``random_distortion``, where cells are seen from aside; imgaug: ``PiecewiseAffine``;
    albumentations: ``GridDistortion``, which moves whole rows and columns of the grid.
    """
    return meshed(limit * (2 * n - 1), height, width)
