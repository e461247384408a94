from thalweg.optim._technique import optimizer
from thalweg.optim._vocabulary import sign
from thalweg.technique import LogUniform, Uniform


@optimizer(
    state=("m",),
    source="Chen et al. 2023, Symbolic Discovery of Optimization Algorithms, Algorithm 2",
    space={"lr": LogUniform(1e-6, 1e-2), "beta1": Uniform(0.8, 0.98)},
)
def lion(p, g, m, *, t, lr=1e-4, beta1=0.9, beta2=0.99, weight_decay=0.0):
    """The sign of a mean of gradients: every element moves by the rate, whatever its gradient's size.

    Where ``adam`` divides by a root mean square, this keeps the sign alone, and needs no second state. The step
    leans on the latest gradient more (β1) than the mean that is kept (β2). As each step is longer than Adam's, its
    authors take a rate 3 to 10 times smaller, and a decay as much larger.

    Use it where the optimizer's memory counts: half of Adam's state; best with large batches.

    Source: Chen et al. 2023, Algorithm 2; defaults of its authors' code.
    """
    u = sign(beta1 * m + (1 - beta1) * g)
    m = beta2 * m + (1 - beta2) * g
    return p - lr * (u + weight_decay * p), m
