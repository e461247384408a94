from thalweg.dropout._technique import dropout
from thalweg.optim._vocabulary import sqrt, where
from thalweg.technique import LogUniform


def _evaluated(w, log_alpha, *, threshold):
    """A weight that is mostly noise is 0."""
    return where(log_alpha < threshold, w, 0.0)


@dropout(
    source="Molchanov, Ashukha & Vetrov 2017, Variational Dropout Sparsifies Deep Neural Networks",
    space={"weight": LogUniform(0.01, 1.0)},
    limits={"threshold": "[-8, 8]"},
    diverges=True,
    draws="noise",
    evaluated=_evaluated,
    layer="an nn.Linear or nn.Conv2d",
    made_of="_layers:as_sparse_variational",
)
def sparse_variational(mean, variance, noise, *, threshold=3.0, weight=1.0, start=5.0, end=20.0):
    """Each weight is normal with a variance σ² of its own that is learnt; where log α ≥ ``threshold``, it is 0.

    log α = log σ² − log θ². What is drawn is the layer's output: ``mean`` is what the layer computes, ``variance``
    what it computes of squared inputs with σ² and no bias. To the mean loss is added ``weight`` times
    ``dropout.kl(model)`` over the number of training examples, grown from 0 in epoch ``start`` to all of it in epoch
    ``end`` (``dropout.warm_up``): at full weight from the start all weights go. ``variational`` bounds α by 1, so
    that none does.

    Use it where most weights are to go, and which ones is to be learnt in training.

    Source: Molchanov et al. 2017, equations 11 and 14 to 17.
    """
    return mean + sqrt(variance + 1e-8) * noise
