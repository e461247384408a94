from thalweg.activation._technique import activation
from thalweg.optim._vocabulary import where


@activation(
    source="Nair & Hinton 2010, Rectified Linear Units Improve Restricted Boltzmann Machines",
    torchs="ReLU",
)
def relu(x):
    """What is above 0 as it is, and 0 for the rest: max(0, x).

    Its gradient at 0 is 0. A unit that is below 0 for every input gets no gradient any more; ``leaky_relu`` and
    ``elu`` give it one, ``softplus`` is the same without the corner.

    Use it as the first choice for convolutional networks and perceptrons: it is the cheapest.

    Source: Nair & Hinton 2010; torch: ``ReLU``.
    """
    return where(x > 0, x, 0.0)
