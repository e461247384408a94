from thalweg.init._he_normal import SQRT_2
from thalweg.init._technique import init
from thalweg.optim._vocabulary import sqrt


@init(
    source="He, Zhang, Ren & Sun 2015, Delving Deep into Rectifiers, equation 10",
    noise=("uniform",),
    usual=SQRT_2,
    limits={"gain": "(0, inf)"},
)
def he_uniform(z, *, fan_in, gain=None):
    """Uniform, of the variance of ``he_normal``.

    No weight is larger than √3 times the deviation. ``gain`` is that of the activation that follows, if not given;
    √2, the paper's for ReLU, where that cannot be told.

    Use it with ``relu`` and its kin.

    Source: He et al. 2015; torch: ``kaiming_uniform_`` with ``mode="fan_in"``.
    """
    return gain * sqrt(3 / fan_in) * z
