from thalweg.dropout._technique import dropout
from thalweg.optim._vocabulary import sqrt
from thalweg.technique import Uniform


@dropout(
    source="Kingma, Salimans & Welling 2015, Variational Dropout and the Local Reparameterization Trick, section 3",
    space={"alpha": Uniform(0.05, 0.95)},
    limits={"alpha": "(0, 1)"},
    diverges=True,
    draws="noise",
    layer="an nn.Linear or nn.Conv2d",
    made_of="_layers:as_variational",
)
def variational(mean, square, noise, *, alpha=0.5, weight=1.0):
    """Each weight θ is normal with variance α θ², and α is learnt, up to 1; as ``gaussian``, whose α is p / (1 − p).

    What is drawn is the layer's output (local reparameterisation): ``mean`` is what the layer computes, ``square``
    what it computes of squared inputs with squared weights and no bias. ``alpha`` is where it starts. To the mean
    loss is added ``weight`` times ``dropout.kl(model)`` over the number of training examples. ``sparse_variational``
    has an α for each weight, without a bound.

    Use it where the rate is to be learnt rather than searched.

    Source: Kingma et al. 2015, equation 6 and appendix C; 1e-8 keeps the root's gradient finite where nothing enters.
    """
    return mean + sqrt(alpha * square + 1e-8) * noise
