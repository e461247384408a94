from thalweg.activation._technique import activation
from thalweg.activation._words import exp, log1p
from thalweg.optim._vocabulary import minimum, where


@activation(
    source="Dugas, Bengio, Bélisle, Nadeau & Garcia 2001, Incorporating Second-Order Functional Knowledge for Better "
    "Option Pricing",
    torchs="Softplus",
    limits={"beta": "(0, inf)"},
)
def softplus(x, *, beta=1.0, threshold=20.0):
    """``relu`` without its corner: log(1 + exp(βx)) / β, whose slope is the sigmoid.

    Where βx is above ``threshold`` it is x, which it then equals to rounding; the larger β, the sharper the bend. It
    is above 0 everywhere, so the next layer's inputs have no mean of 0.

    Use it where an output must be positive or the second derivative matters.

    Source: Dugas et al. 2001; torch: ``Softplus``.
    """
    return where(beta * x > threshold, x, log1p(exp(minimum(beta * x, threshold))) / beta)
