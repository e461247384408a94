from thalweg.optim._adamw import adamw
from thalweg.optim._technique import optimizer
from thalweg.optim._vocabulary import sqrt
from thalweg.optim._vocabulary_whole import eigenvectors, like, matrix, orthonormal
from thalweg.technique import LogUniform, Uniform


def flat(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the shape of a parameter as a matrix."""
    n = 1
    for length in shape[1:]:
        n *= length
    return (shape[0], n)


def left(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the shape of what is kept for each pair of rows."""
    return (shape[0], shape[0])


def right(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the shape of what is kept for each pair of columns."""
    return (flat(shape)[1],) * 2


@optimizer(
    state=("m", "v", "L", "R", "A", "B"),
    shapes={"m": flat, "v": flat, "L": left, "R": right, "A": left, "B": right},
    scope="tensor",
    vectors=adamw,
    limits={"precondition_frequency": "whole [1, inf)"},
    source="Vyas et al. 2024, SOAP: Improving and Stabilizing Shampoo using Adam, Algorithms 3 and 4",
    space={"lr": LogUniform(1e-5, 1e-1), "beta1": Uniform(0.8, 0.98), "weight_decay": LogUniform(1e-4, 1e0)},
)
def soap(
    p, g, m, v, L, R, A, B, *, t,
    lr=3e-3, beta1=0.95, beta2=0.95, eps=1e-8, weight_decay=1e-2, precondition_frequency=10,
):  # fmt: skip
    """Adam in the eigenbasis of Shampoo's two matrices, in which the elements of a gradient are least alike.

    ``adamw`` between a turn into the basis A, B and a turn back. L and R are means of GGᵀ and GᵀG; the first gradient
    founds A and B and moves nothing; every so many steps one step of power iteration, made orthonormal, refreshes
    them. Directions that no gradient has used yet are chosen by rounding. Kernels with more axes count as matrices of
    outputs by all that each reads; vectors are trained by ``adamw`` with the same hyperparameters. The memory is that
    of four square matrices for each parameter.

    Use it where steps are to be few and matrices are of moderate size: it pays for fewer steps with time and memory.

    Source: Vyas et al. 2024, Algorithms 3 and 4, with the defaults and the first step of its authors' code; its
    reordering of the basis by estimated eigenvalues, which the paper has not, is left out.
    """
    G = matrix(g)
    k = t - 1 if t > 1 else 1
    m = beta1 * m + (1 - beta1) * G if t > 1 else m
    v = beta2 * v + (1 - beta2) * (A.T @ G @ B) ** 2
    m_hat = A.T @ m @ B / (1 - beta1**k)
    v_hat = v / (1 - beta2**k)
    u = A @ (m_hat / (sqrt(v_hat) + eps)) @ B.T
    L = beta2 * L + (1 - beta2) * G @ G.T
    R = beta2 * R + (1 - beta2) * G.T @ G
    due = k % precondition_frequency == 0
    A = eigenvectors(L) if t == 1 else orthonormal(L @ A) if due else A
    B = eigenvectors(R) if t == 1 else orthonormal(R @ B) if due else B
    rate = lr if t > 1 else 0
    return p - rate * (weight_decay * p + like(u, p)), m, v, L, R, A, B
