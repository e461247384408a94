from thalweg.dropout._technique import dropout as declared
from thalweg.technique import Uniform


@declared(
    source="Srivastava, Hinton, Krizhevsky, Sutskever & Salakhutdinov 2014, Dropout: A Simple Way to Prevent Neural "
    "Networks from Overfitting, sections 4 and 10",
    space={"p": Uniform(0.0, 0.7)},
)
def dropout(x, keep, *, p=0.5):
    """Each unit leaves with probability p, and those that stay are multiplied by 1 / (1 − p).

    So its mean is what it is without dropout, and evaluation has nothing to do; ``dropout_scaled_at_test`` multiplies
    in evaluation instead.

    Use it behind wide linear layers, where the model overfits; seldom beside batch norm.

    Source: Srivastava et al. 2014, in the inverted form of section 10, which is torch's.
    """
    return x * keep * (1 / (1 - p))
