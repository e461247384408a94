from thalweg.dropout._technique import dropout
from thalweg.optim._vocabulary import sqrt
from thalweg.technique import Uniform


@dropout(
    source="Srivastava, Hinton, Krizhevsky, Sutskever & Salakhutdinov 2014, Dropout: A Simple Way to Prevent Neural "
    "Networks from Overfitting, section 10",
    space={"p": Uniform(0.0, 0.7)},
    draws="noise",
)
def gaussian(x, noise, *, p=0.5):
    """Each unit is multiplied by a normal number of mean 1 and variance p / (1 − p): that of ``dropout`` at rate p.

    No unit ever leaves, and none has a factor that is the same for all who stay. ``variational`` learns the variance.

    Use it in place of ``dropout`` where units that vanish wholly hurt, such as in narrow layers.

    Source: Srivastava et al. 2014, section 10.
    """
    return x * (1 + sqrt(p / (1 - p)) * noise)
