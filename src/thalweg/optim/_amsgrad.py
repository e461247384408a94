from thalweg.optim._technique import optimizer
from thalweg.optim._vocabulary import maximum, sqrt
from thalweg.technique import LogUniform, Uniform


@optimizer(
    state=("m", "v", "v_max"),
    source="Reddi, Kale & Kumar 2018, On the Convergence of Adam and Beyond (arXiv 1904.09237)",
    space={"lr": LogUniform(1e-5, 1e-1), "beta1": Uniform(0.8, 0.98)},
)
def amsgrad(p, g, m, v, v_max, *, t, lr=1e-3, beta1=0.9, beta2=0.999, eps=1e-8):
    """Adam whose denominator never shrinks, which mends its failure on a convex problem.

    torch's form: the maximum is taken over v and then corrected by 1 − β2^t. (The paper has neither bias
    correction nor ε, and projects.)

    Use it where ``adam`` does not settle, because rare gradients are the large ones.

    Source: Reddi, Kale & Kumar 2018, in the form of torch's ``Adam(amsgrad=True)``.
    """
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * g * g
    v_max = maximum(v_max, v)
    m_hat = m / (1 - beta1**t)
    v_hat = v_max / (1 - beta2**t)
    return p - lr * m_hat / (sqrt(v_hat) + eps), m, v, v_max
