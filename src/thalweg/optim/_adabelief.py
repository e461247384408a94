from thalweg.optim._technique import optimizer
from thalweg.optim._vocabulary import sqrt
from thalweg.technique import LogUniform, Uniform


@optimizer(
    state=("m", "s"),
    source="Zhuang et al. 2020, AdaBelief Optimizer: Adapting Stepsizes by the Belief in Observed Gradients",
    space={"lr": LogUniform(1e-5, 1e-1), "beta1": Uniform(0.8, 0.98)},
)
def adabelief(p, g, m, s, *, t, lr=1e-3, beta1=0.9, beta2=0.999, eps=1e-16):
    """Adam over how far gradients lie from their own mean: long steps where the mean foretells them.

    ``adam`` with (g − m)² in place of g². ε enters s at every step, and again beside the root.

    Use it in place of ``adam`` for convolutional networks and generative ones, with its ε tuned too.

    Source: Zhuang et al. 2020, Algorithm 2, with ε = 1e-16 as in its authors' code (the paper: 1e-8), without that
    code's rectification, which is ``radam``'s, and decay.
    """
    m = beta1 * m + (1 - beta1) * g
    s = beta2 * s + (1 - beta2) * (g - m) * (g - m) + eps
    m_hat = m / (1 - beta1**t)
    s_hat = s / (1 - beta2**t)
    return p - lr * m_hat / (sqrt(s_hat) + eps), m, s
