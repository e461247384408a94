from thalweg.activation._technique import activation
from thalweg.activation._words import exp


@activation(
    source="LeCun, Bottou, Orr & Müller 1998, Efficient BackProp, section 4.4",
    torchs="Tanh",
)
def tanh(x):
    """Between −1 and 1, and 0 at 0.

    ``sigmoid`` stretched to be about 0, so that the next layer's inputs have mean 0; it saturates on both sides too.

    Use it in small and recurrent networks, and where outputs are to be bounded.

    Source: LeCun et al. 1998; torch: ``Tanh``.
    """
    return 1 - 2 / (1 + exp(2 * x))
