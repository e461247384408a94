from thalweg.optim._technique import optimizer
from thalweg.optim._vocabulary import absolute, maximum
from thalweg.technique import LogUniform, Uniform


@optimizer(
    state=("m", "u"),
    source="Kingma & Ba 2015, Adam: A Method for Stochastic Optimization (arXiv 1412.6980), Algorithm 2",
    space={"lr": LogUniform(1e-5, 1e-1), "beta1": Uniform(0.8, 0.98)},
)
def adamax(p, g, m, u, *, t, lr=2e-3, beta1=0.9, beta2=0.999, eps=1e-8):
    """Adam with a decaying maximum of gradients in place of the mean of their squares.

    The maximum needs no bias correction, and no step is longer than α, whatever the gradients were before.

    Use it where gradients are sparse, as embeddings', or where ``adam`` takes too long steps after rare large ones.

    Source: Kingma & Ba 2015, Algorithm 2; torch: ``Adamax``, which adds ε to the gradient under the maximum.
    """
    m = beta1 * m + (1 - beta1) * g
    u = maximum(beta2 * u, absolute(g) + eps)
    return p - lr / (1 - beta1**t) * m / u, m, u
