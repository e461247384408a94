from thalweg.init._technique import init
from thalweg.optim._vocabulary import sqrt


@init(source="LeCun, Bottou, Orr & Müller 1998, Efficient BackProp, section 4.6")
def lecun(z, *, fan_in):
    """Normal, of variance 1 / fan_in: a layer's outputs have the mean square of its inputs.

    ``he_normal`` with gain 1, whatever the activation. It is what SELU asks for.

    Use it with SELU, and for layers without an activation.

    Source: LeCun et al. 1998; torch: ``kaiming_normal_`` with ``nonlinearity="linear"``.
    """
    return z / sqrt(fan_in)
