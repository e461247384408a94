from thalweg.dropout._technique import dropout
from thalweg.technique import Uniform


@dropout(
    source="Tompson, Goroshin, Jain, LeCun & Bregler 2015, Efficient Object Localization Using Convolutional "
    "Networks, section 3.2",
    space={"p": Uniform(0.0, 0.7)},
    shares="channels",
)
def spatial(x, keep, *, p=0.5):
    """Each channel of an example, at all its places, leaves with probability p; the rest is ``dropout``.

    Neighbouring places say about the same, so ``dropout`` of single ones takes little away from a convolution.

    Use it behind convolutions.

    Source: Tompson et al. 2015; torch: ``Dropout1d``, ``Dropout2d``, ``Dropout3d``.
    """
    return x * keep * (1 / (1 - p))
