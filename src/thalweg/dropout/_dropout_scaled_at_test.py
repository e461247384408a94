from thalweg.dropout._technique import dropout
from thalweg.technique import Uniform


def _evaluated(x, *, p):
    """Each unit at its mean over masks."""
    return x * (1 - p)


@dropout(
    source="Srivastava, Hinton, Krizhevsky, Sutskever & Salakhutdinov 2014, Dropout: A Simple Way to Prevent Neural "
    "Networks from Overfitting, section 4",
    space={"p": Uniform(0.0, 0.7)},
    evaluated=_evaluated,
)
def dropout_scaled_at_test(x, keep, *, p=0.5):
    """Each unit leaves with probability p; in evaluation all stay, and are multiplied by 1 − p.

    The paper's first form. It trains with activations 1 − p times as large as ``dropout``, which scales in training
    instead; a model of layers and ReLU computes the same with weights 1 / (1 − p) times as large.

    Use it to show the paper's form; ``dropout`` computes the same.

    Source: Srivastava et al. 2014, section 4.
    """
    return x * keep
