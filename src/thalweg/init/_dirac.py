from thalweg.init._technique import init
from thalweg.init._words import centred


@init(
    source="Zagoruyko & Komodakis 2017, DiracNets: Training Very Deep Neural Networks Without Skip-Connections, "
    "equation 1",
    noise=(),
    fills=("convolution",),
)
def dirac(z):
    """Convolutions that hand on what they get, each channel to the one of its number.

    Channels beyond the fewer are 0. With groups, each group hands on its own. ``identity`` does so for linear layers.

    Use it for convolutions between layers of the same width that are to begin as if they were not there.

    Source: Zagoruyko & Komodakis 2017; torch: ``dirac_``.
    """
    return centred(z)
