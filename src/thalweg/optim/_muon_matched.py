from thalweg.optim._adamw import adamw
from thalweg.optim._technique import optimizer
from thalweg.optim._vocabulary import sqrt
from thalweg.optim._vocabulary_whole import like, longest, matrix, orthogonal
from thalweg.technique import LogUniform, Uniform


@optimizer(
    state=("m",),
    scope="tensor",
    vectors=adamw,
    source="Liu et al. 2025, Muon is Scalable for LLM Training (arXiv 2502.16982)",
    space={"lr": LogUniform(1e-5, 1e-1), "momentum": Uniform(0.8, 0.98), "weight_decay": LogUniform(1e-4, 1e0)},
)
def muon_matched(p, g, m, *, t, lr=1e-3, momentum=0.95, weight_decay=0.1, eps=1e-7, steps=5):
    """Muon whose steps are of AdamW's size, so that one rate suits matrices and vectors.

    ``muon`` with the step scaled to a root mean square of 0.2, about AdamW's, whatever the matrix's shape.

    A kernel with more axes counts as the matrix of its outputs by all that each reads, as in Jordan's reference.
    Vectors (biases, gains) are trained by ``adamw`` with the same rate, decay and ε, and its own β; torch's class
    refuses them. Jordan's reference leaves embeddings and the last layer to ``adamw`` too: in torch's class, put them
    into a group of their own; in a recipe, every matrix is this formula's.

    Use it for the hidden matrices of transformers, at a rate and decay that were tuned for ``adamw``.

    Source: Liu et al. 2025, in the form of torch's ``Muon(adjust_lr_fn="match_rms_adamw")``.
    """
    m = momentum * m + (1 - momentum) * g
    u = momentum * m + (1 - momentum) * g
    U = orthogonal(matrix(u), steps, eps)
    scale = 0.2 * sqrt(longest(U))
    return p - lr * weight_decay * p - lr * scale * like(U, p), m
