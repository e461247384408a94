from thalweg.augment._technique import augmentation
from thalweg.augment.image._kernels import gaussian
from thalweg.augment.image._plane import between
from thalweg.technique import Uniform


@augmentation(
    stage="separable",
    source="Chen, Kornblith, Norouzi & Hinton 2020, A Simple Framework for Contrastive Learning (2002.05709)",
    space={"limit": Uniform(0.5, 4.0)},
    limits={"limit": "[0.1, 30]"},
)
def blur(u1, *, limit=2.0, p=0.5):
    """Out of focus: a Gaussian, of a standard deviation of 0.1 to ``limit`` pixels, cut at three of the largest.

    ``motion_blur`` goes along a line.

    Use it where some pictures will be out of focus.

    Source: Chen et al. 2020, appendix A; torchvision and albumentations: ``GaussianBlur``.
    """
    return gaussian(between(u1, 0.1, limit), limit)
