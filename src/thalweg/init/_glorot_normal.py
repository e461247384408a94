from thalweg.init._technique import init
from thalweg.optim._vocabulary import sqrt


@init(
    source="Glorot & Bengio 2010, Understanding the Difficulty of Training Deep Feedforward Neural Networks, "
    "equation 12",
    limits={"gain": "(0, inf)"},
)
def glorot_normal(z, *, fan_in, fan_out, gain=None):
    """Normal, of variance gain² · 2 / (fan_in + fan_out): a compromise of forward and backward.

    ``he_normal`` keeps the variance of what goes forward alone. ``gain`` is that of the activation that follows, if
    not given.

    Use it with ``tanh`` and ``sigmoid``, where single weights may be large.

    Source: Glorot & Bengio 2010; torch: ``xavier_normal_``.
    """
    return gain * sqrt(2 / (fan_in + fan_out)) * z
