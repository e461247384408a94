from thalweg.activation._technique import activation
from thalweg.activation._words import exp


@activation(
    source="Rumelhart, Hinton & Williams 1986, Learning Representations by Back-Propagating Errors, equation 2",
    torchs="Sigmoid",
)
def sigmoid(x):
    """Between 0 and 1, and 1/2 at 0.

    Its slope is 1/4 at most and dies away on both sides, so gradients vanish with depth; ``tanh`` is the same curve
    about 0, ``relu`` does not saturate on one side.

    Use it for gates and for probabilities at the output; in hidden layers only to see gradients vanish.

    Source: Rumelhart et al. 1986; torch: ``Sigmoid``.
    """
    return 1 / (1 + exp(-x))
