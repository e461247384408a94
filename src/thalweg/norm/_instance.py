from thalweg.norm._technique import norm
from thalweg.norm._words import over_space
from thalweg.optim._vocabulary import sqrt


@norm(
    source="Ulyanov, Vedaldi & Lempitsky 2016, Instance Normalization: The Missing Ingredient for Fast Stylization",
    modules=("", "InstanceNorm1d", "InstanceNorm2d", "InstanceNorm3d"),
    over="space",
    limits={"eps": "(0, inf)"},
)
def instance(x, *, eps=1e-5):
    """Each feature of each example brought to mean 0 and variance 1 over its places.

    What an image's channel has in contrast and brightness is gone after it. It needs places: after a linear layer
    there is ``layer``. It neither scales nor shifts, as torch's does not unless it is asked to.

    Use it for the transfer of styles, and where contrast is to be ignored.

    Source: Ulyanov et al. 2016; torch: ``InstanceNorm1d`` to ``3d``.
    """
    mean = over_space(x)
    variance = over_space((x - mean) ** 2)
    return (x - mean) / sqrt(variance + eps)
