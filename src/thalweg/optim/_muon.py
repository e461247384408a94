from thalweg.optim._adamw import adamw
from thalweg.optim._technique import optimizer
from thalweg.optim._vocabulary import maximum, sqrt
from thalweg.optim._vocabulary_whole import aspect, like, matrix, orthogonal
from thalweg.technique import LogUniform, Uniform


@optimizer(
    state=("m",),
    scope="tensor",
    vectors=adamw,
    source="Jordan et al. 2024, Muon: An optimizer for hidden layers in neural networks",
    space={"lr": LogUniform(1e-4, 1e-1), "momentum": Uniform(0.8, 0.98), "weight_decay": LogUniform(1e-4, 1e0)},
)
def muon(p, g, m, *, t, lr=1e-3, momentum=0.95, weight_decay=0.1, eps=1e-7, steps=5):
    """The momentum of a matrix made orthogonal: every direction in which it points is walked equally far.

    Where ``adam`` gives every element the same size of step, this gives it to every singular value, as ``soap``
    nearly does. The step is Nesterov's. ``muon_matched`` has another rate for each shape.

    A kernel with more axes counts as the matrix of its outputs by all that each reads, as in Jordan's reference.
    Vectors (biases, gains) are trained by ``adamw`` with the same rate, decay and ε, and its own β; torch's class
    refuses them. Jordan's reference leaves embeddings and the last layer to ``adamw`` too: in torch's class, put them
    into a group of their own; in a recipe, every matrix is this formula's.

    Use it for the hidden matrices of transformers, where steps are to be few.

    Source: Jordan et al. 2024, in the form and with the defaults of torch's ``Muon``, which calls ``steps``
    ``ns_steps``.
    """
    m = momentum * m + (1 - momentum) * g
    u = momentum * m + (1 - momentum) * g
    U = orthogonal(matrix(u), steps, eps)
    scale = sqrt(maximum(aspect(U), 1))
    return p - lr * weight_decay * p - lr * scale * like(U, p), m
