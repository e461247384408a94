from thalweg.activation._technique import activation
from thalweg.activation._words import exp


@activation(
    source="Elfwing, Uchibe & Doya 2018, Sigmoid-Weighted Linear Units for Neural Network Function Approximation in "
    "Reinforcement Learning, equation 2",
    torchs="SiLU",
)
def silu(x):
    """The input times its sigmoid; also called swish.

    Like ``gelu`` a smooth ``relu`` that dips below 0, a little deeper and wider.

    Use it for convolutional networks of recent design, such as EfficientNet.

    Source: Elfwing et al. 2018; torch: ``SiLU``.
    """
    return x / (1 + exp(-x))
