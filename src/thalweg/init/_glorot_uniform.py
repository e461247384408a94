from thalweg.init._technique import init
from thalweg.optim._vocabulary import sqrt


@init(
    source="Glorot & Bengio 2010, Understanding the Difficulty of Training Deep Feedforward Neural Networks, "
    "equation 16",
    noise=("uniform",),
    limits={"gain": "(0, inf)"},
)
def glorot_uniform(z, *, fan_in, fan_out, gain=None):
    """Uniform, of the variance of ``glorot_normal``.

    No weight is larger than √3 times the deviation. ``gain`` is that of the activation that follows, if not given.

    Use it with ``tanh`` and ``sigmoid``.

    Source: Glorot & Bengio 2010; torch: ``xavier_uniform_``.
    """
    return gain * sqrt(6 / (fan_in + fan_out)) * z
