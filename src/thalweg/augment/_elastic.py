from thalweg.augment._technique import augmentation
from thalweg.augment.image._fields import bells, smoothed
from thalweg.augment.image._plane import BORDERS
from thalweg.technique import Uniform


@augmentation(
    stage="field",
    source="Simard, Steinkraus & Platt 2003, Best Practices for Convolutional Neural Networks, section 2",
    space={"strength": Uniform(0.005, 0.025), "sigma": Uniform(0.1, 0.25)},
    limits={"strength": "[0, 1]", "sigma": "[0.02, 1]", "border": BORDERS},
    nodes=bells,
)
def elastic(n, height, width, *, strength=0.02, sigma=0.1, border="constant", p=0.5):
    """Every place moved a little, near ones alike: random moves, smoothed by a Gaussian of ``sigma``.

    Moves have a standard deviation of ``strength`` along both sides; both are shares of the shorter side. The moves
    that are smoothed are uniform numbers, ``sigma`` apart, where Simard has one at each pixel: the sums have the same
    covariances to a ten-thousandth, and any size of a picture the same field. Where ``strength`` is more than a third
    of ``sigma``, the picture folds here and there. ``grid_distortion`` moves the nodes of a grid.

    Use it for handwriting, cells and tissue: what bends.

    Source: Simard et al. 2003, whose digits had a ``strength`` of 0.05 and a ``sigma`` of 0.14; albumentations and
    torchvision: ``ElasticTransform``.
    """
    return smoothed(strength * (2 * n - 1), sigma, height, width)
