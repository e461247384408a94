from thalweg.gradient._technique import gradient
from thalweg.optim._vocabulary_units import unit_mean


@gradient(
    scope="tensor",
    source="Yong, Huang, Hua & Zhang 2020, Gradient Centralization: A New Optimization Technique for Deep Neural "
    "Networks, equation 1",
)
def centralise(g):
    """Each unit's gradient with its mean taken off, so that a unit's weights keep their sum.

    A unit is what leads to one output: a row of a linear layer's weights, one filter of a convolution. The gradients
    of vectors, such as biases, stay as they are.

    Use it with convolutional networks and ``sgd`` or ``momentum``; it costs next to nothing.

    Source: Yong et al. 2020.
    """
    return g - unit_mean(g)
