from thalweg.optim._vocabulary import absolute
from thalweg.prune._technique import prune


@prune(
    gradient="loss",
    source="Lee, Ajanthan & Torr 2019, SNIP: Single-shot Network Pruning Based on Connection Sensitivity, equation 4",
)
def snip(w, g):
    """Those weights stay without which the loss of a batch would change most, to first order.

    For the beginning of training; g is the loss's gradient there. ``synflow`` asks for no data.

    Use it before training, at moderate sparsity, when a batch of data is at hand.

    Source: Lee et al. 2019. That the paper's scores add up to 1 does not change their order.
    """
    return absolute(w * g)
