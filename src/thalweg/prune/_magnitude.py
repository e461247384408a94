from thalweg.optim._vocabulary import absolute
from thalweg.prune._technique import prune


@prune(
    source="Han, Pool, Tran & Dally 2015, Learning both Weights and Connections for Efficient Neural Networks; "
    "Frankle & Carbin 2019, The Lottery Ticket Hypothesis",
)
def magnitude(w):
    """The large weights stay, whatever their sign.

    It says something after training, and little before; ``snip`` and ``synflow`` are for the beginning.

    Use it on a model that has been trained, to make it sparse.

    Source: Han et al. 2015; Frankle & Carbin 2019; torch: ``l1_unstructured``, ``global_unstructured``.
    """
    return absolute(w)
