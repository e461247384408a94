from thalweg.gradient._technique import gradient
from thalweg.optim._vocabulary import maximum, minimum
from thalweg.optim._vocabulary_units import unit_norm
from thalweg.technique import LogUniform


@gradient(
    scope="tensor",
    source="Brock, De, Smith & Simonyan 2021, High-Performance Large-Scale Image Recognition Without Normalization",
    space={"threshold": LogUniform(1e-3, 1e0)},
    limits={"threshold": "(0, inf)"},
)
def clip_adaptive(g, p, *, threshold=0.01, eps=1e-3):
    """Each unit's gradient shortened to a share of the unit's weights, of norm ε at least.

    A unit is what leads to one output: a row of a linear layer's weights, one filter of a convolution; a vector, such
    as a bias, counts as one. ``clip_norm`` has one threshold for the whole model instead. Its authors leave the last
    linear layer out; in a loop of your own, leave out its parameters.

    Use it for deep networks without norms, and for large batches.

    Source: Brock et al. 2021, equation 3.
    """
    limit = threshold * maximum(unit_norm(p), eps)
    return g * minimum(limit / maximum(unit_norm(g), 1e-6), 1.0)
