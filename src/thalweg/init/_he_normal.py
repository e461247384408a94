from thalweg.init._technique import init
from thalweg.optim._vocabulary import sqrt

SQRT_2 = 2**0.5


@init(
    source="He, Zhang, Ren & Sun 2015, Delving Deep into Rectifiers, equation 10",
    usual=SQRT_2,
    limits={"gain": "(0, inf)"},
)
def he_normal(z, *, fan_in, gain=None):
    """Normal, of variance gain² / fan_in: with ReLU 2 / fan_in, which keeps the size of signals going forward.

    ``lecun`` has gain 1, ``glorot_normal`` weighs backward as much as forward. ``gain`` is that of the activation
    that follows, if not given; √2, the paper's for ReLU, where that cannot be told.

    Use it with ``relu`` and its kin, in deep networks above all.

    Source: He et al. 2015; torch: ``kaiming_normal_`` with ``mode="fan_in"``.
    """
    return gain / sqrt(fan_in) * z
