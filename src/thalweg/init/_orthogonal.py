from thalweg.init._technique import init
from thalweg.init._words import orthonormal


@init(
    source="Saxe, McClelland & Ganguli 2014, Exact Solutions to the Nonlinear Dynamics of Learning in Deep Linear "
    "Neural Networks, section 3",
    limits={"gain": "(0, inf)"},
)
def orthogonal(z, *, gain=None):
    """A random rotation times ``gain``: no direction is stretched more than another.

    Rows are orthonormal, or columns where there are more rows than columns. Products of many such layers keep every
    singular value, where those of ``he_normal`` spread them. ``gain`` is that of the activation that follows, if not
    given. A convolution's window counts as inputs; gates of recurrent layers and groups are matrices of their own.

    Use it for recurrent networks, and for very deep ones without norms.

    Source: Saxe et al. 2014; torch: ``orthogonal_``.
    """
    return gain * orthonormal(z)
