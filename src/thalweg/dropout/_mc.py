from thalweg.dropout._technique import dropout
from thalweg.technique import Uniform


@dropout(
    source="Gal & Ghahramani 2016, Dropout as a Bayesian Approximation: Representing Model Uncertainty in Deep "
    "Learning, section 4",
    space={"p": Uniform(0.0, 0.5)},
)
def mc(x, keep, *, p=0.1):
    """As ``dropout``, and it stays on in ``dropout.predict``, which passes many times: a sample of what it may be.

    In evaluation it is silent, as ``dropout`` is. Where a model has ``mc``, that alone is sampled. Gal & Ghahramani
    put it before every layer, the first too; weights decayed by λ then mean a precision τ = l² (1 − p) / (2 N λ).

    Use it where the model is to say how unsure it is.

    Source: Gal & Ghahramani 2016.
    """
    return x * keep * (1 / (1 - p))
