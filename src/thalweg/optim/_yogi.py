from thalweg.optim._technique import optimizer
from thalweg.optim._vocabulary import sign, sqrt
from thalweg.technique import LogUniform, Uniform


@optimizer(
    state=("m", "v"),
    start={"m": 1e-6, "v": 1e-6},
    source="Zaheer, Reddi, Sachan, Kale & Kumar 2018, Adaptive Methods for Nonconvex Optimization",
    space={"lr": LogUniform(1e-5, 1e-1), "beta1": Uniform(0.8, 0.98)},
)
def yogi(p, g, m, v, *, t, lr=1e-3, beta1=0.9, beta2=0.999, eps=1e-3):
    """Adam whose second moment moves by a fixed share of g², so that it cannot fall in one leap.

    Where ``adam`` moves v towards g² by (1 − β2)(g² − v), this moves it by (1 − β2)g² in the same direction.
    Ports disagree: this follows optax, with both means starting at 1e-6 and ε = 1e-3 (TensorFlow: lr 0.01).

    Use it where gradients are sparse or noisy and ``adam`` becomes unstable late in training.

    Source: Zaheer et al. 2018.
    """
    m = beta1 * m + (1 - beta1) * g
    v = v - (1 - beta2) * sign(v - g * g) * g * g
    m_hat = m / (1 - beta1**t)
    v_hat = v / (1 - beta2**t)
    return p - lr * m_hat / (sqrt(v_hat) + eps), m, v
