from thalweg.prune._technique import prune
from thalweg.technique import Choice


@prune(
    gradient="flow",
    source="Tanaka, Kunin, Yamins & Ganguli 2020, Pruning Neural Networks without Any Data by Iteratively Conserving "
    "Synaptic Flow, Algorithm 1",
    space={"rounds": Choice((10, 100))},
    limits={"rounds": "[1, inf)"},
    when=("rounds",),
)
def synflow(w, g, *, rounds=100):
    """Those weights stay through which most passes from an input of ones to the outputs, in ``rounds`` rounds.

    For the beginning of training, without data: weights are replaced by their sizes, activations by nothing, and g is
    the gradient of the sum of all outputs. Batch norms count as the factors that they are in evaluation mode, biases
    not at all. Pruned a little at a time, no layer is lost whole, as it can be with ``snip``.

    Use it before training, at extreme sparsity, where other ways cut off whole layers.

    Source: Tanaka et al. 2020.
    """
    return w * g
