from thalweg.optim._vocabulary_units import unit_norm
from thalweg.prune._technique import prune


@prune(
    units=True,
    source="Li, Kadav, Durdanovic, Samet & Graf 2017, Pruning Filters for Efficient ConvNets; He, Kang, Dong, Fu & "
    "Yang 2018, Soft Filter Pruning",
)
def unit_magnitude(w):
    """Those output units stay whose weights have the largest norm: rows of linear layers, filters of convolutions.

    With a unit goes what others take from it, so that `thalweg.prune.smaller` makes a smaller model of what is left;
    ``magnitude`` leaves holes instead, and more of them for the same loss.

    Use it where the model is to become smaller and quicker without sparse kernels.

    Source: Li et al. 2017, with sums of sizes; He et al. 2018, with norms; torch: ``ln_structured``.
    """
    return unit_norm(w)
