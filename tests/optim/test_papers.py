"""Optimizers that torch lacks, against their papers: each algorithm written down again in its own notation."""

import numpy as np
import pytest
import torch
from torch import nn

from thalweg import optim

STEPS = 30
NOISE = np.random.default_rng(0).standard_normal((STEPS + 1, 15))
START = np.random.default_rng(1).standard_normal(15)
SHAPES = {"W": (4, 3), "b": (3,)}


def gradient(t, x):
    """Of a bent bowl, with noise; all parameters as one vector. Steps count from 1."""
    return x + np.sin(3 * x) + 0.5 * NOISE[t]


def adam_uncorrected(x, g, lr=1e-3, gamma=0.9, beta=0.999, eps=1e-8):
    v, c = 0, 0
    for t in range(1, STEPS + 1):
        v = gamma * v + (1 - gamma) * g(t, x)
        c = beta * c + (1 - beta) * g(t, x) ** 2
        x = x - lr * v / (np.sqrt(c) + eps)
    return x


def yogi(x, g, lr=1e-3, b1=0.9, b2=0.999, eps=1e-3):
    """Zaheer et al. 2018, Algorithm 2, with the bias correction and the start of optax."""
    m, v = 1e-6, 1e-6
    for t in range(1, STEPS + 1):
        squared = g(t, x) ** 2
        m = b1 * m + (1 - b1) * g(t, x)
        v = v - (1 - b2) * np.sign(v - squared) * squared
        x = x - lr * m / (1 - b1**t) / (np.sqrt(v / (1 - b2**t)) + eps)
    return x


def lion(x, g, lr=1e-4, b1=0.9, b2=0.99, decay=0.0):
    """Chen et al. 2023, Algorithm 2."""
    m = np.zeros_like(x)
    for t in range(1, STEPS + 1):
        slope = g(t, x)
        c = b1 * m + (1 - b1) * slope
        x = x - lr * (np.sign(c) + decay * x)
        m = b2 * m + (1 - b2) * slope
    return x


def adabelief(x, g, lr=1e-3, b1=0.9, b2=0.999, eps=1e-16):
    """Zhuang et al. 2020, Algorithm 2."""
    m, s = 0, 0
    for t in range(1, STEPS + 1):
        slope = g(t, x)
        m = b1 * m + (1 - b1) * slope
        s = b2 * s + (1 - b2) * (slope - m) ** 2 + eps
        x = x - lr * (m / (1 - b1**t)) / (np.sqrt(s / (1 - b2**t)) + eps)
    return x


def adan(x, g, lr=1e-3, b1=0.02, b2=0.08, b3=0.01, eps=1e-8, decay=0.0):
    """Xie et al. 2022, Algorithm 1, whose β are 1 less the code's; means corrected as in its authors' code."""
    m, v, n, last = 0, 0, 0, None
    for t in range(1, STEPS + 1):
        slope = g(t, x)
        change = np.zeros_like(x) if last is None else slope - last
        m = (1 - b1) * m + b1 * slope
        v = (1 - b2) * v + b2 * change
        n = (1 - b3) * n + b3 * (slope + (1 - b2) * change) ** 2
        size = lr / (np.sqrt(n / (1 - (1 - b3) ** t)) + eps)
        step = m / (1 - (1 - b1) ** t) + (1 - b2) * v / (1 - (1 - b2) ** t)
        x = (x - size * step) / (1 + decay * lr)
        last = slope
    return x


def lamb(x, g, lr=1e-3, b1=0.9, b2=0.999, eps=1e-6, decay=0.01):
    """You et al. 2020, Algorithm 2, φ the identity."""
    m, v = 0, 0
    for t in range(1, STEPS + 1):
        m = b1 * m + (1 - b1) * g(t, x)
        v = b2 * v + (1 - b2) * g(t, x) ** 2
        r = (m / (1 - b1**t)) / (np.sqrt(v / (1 - b2**t)) + eps)
        step = r + decay * x
        x = x - lr * np.linalg.norm(x) / np.linalg.norm(step) * step
    return x


def lars(x, g, lr=1.0, momentum=0.9, decay=5e-4, eta=1e-3):
    """You, Gitman & Ginsburg 2017, Algorithm 1."""
    v = 0
    for t in range(1, STEPS + 1):
        slope = g(t, x)
        local = eta * np.linalg.norm(x) / (np.linalg.norm(slope) + decay * np.linalg.norm(x))
        v = momentum * v + lr * local * (slope + decay * x)
        x = x - v
    return x


def adafactor_unfactored(x, g, lr=1e-2, decay=0.8, eps2=1e-3, d=1.0):
    """Shazeer & Stern 2018, Algorithm 5, with torch's min(lr, 1/√t) for ρ."""

    def rms(y):
        return np.sqrt(np.mean(y**2))

    v = 0
    for t in range(1, STEPS + 1):
        alpha = max(eps2, rms(x)) * min(lr, t**-0.5)
        v = (1 - t**-decay) * v + t**-decay * g(t, x) ** 2
        u = g(t, x) / np.sqrt(v)
        x = x - alpha * u / max(1, rms(u) / d)
    return x


def soap(w, g, lr=3e-3, b1=0.95, b2=0.95, eps=1e-8, decay=1e-2, every=10):
    """Vyas et al. 2024, Algorithms 3 and 4, on one matrix; the first gradient founds the bases and no more."""
    first = g(1, w)
    L, R = (1 - b2) * first @ first.T, (1 - b2) * first.T @ first
    QL, QR = (np.linalg.eigh(C)[1][:, ::-1] for C in (L, R))
    M, V = np.zeros_like(w), np.zeros_like(w)
    for t in range(1, STEPS):
        G = g(t + 1, w)
        turned = QL.T @ G @ QR
        M = b1 * M + (1 - b1) * G
        V = b2 * V + (1 - b2) * turned**2
        N = (QL.T @ M @ QR / (1 - b1**t)) / (np.sqrt(V / (1 - b2**t)) + eps)
        w = w - lr * (QL @ N @ QR.T) - lr * decay * w
        L, R = b2 * L + (1 - b2) * G @ G.T, b2 * R + (1 - b2) * G.T @ G
        if t % every == 0:
            QL, QR = np.linalg.qr(L @ QL)[0], np.linalg.qr(R @ QR)[0]
    return w


def schedule_free_sgd(x, g, lr=1.0, beta=0.9):
    """Defazio et al. 2024, equations 2 to 4; returns y and x."""
    z, y = x, x
    for t in range(1, STEPS + 1):
        y = (1 - beta) * z + beta * x
        z = z - lr * g(t, y)
        x = (1 - 1 / t) * x + 1 / t * z
    return (1 - beta) * z + beta * x, x


def schedule_free_adamw(x, g, lr=2.5e-3, beta1=0.9, beta2=0.999, eps=1e-8, decay=0.0):
    """Defazio et al. 2024, Algorithm 1, with the bias correction in the denominator; returns y and x."""
    z, v = x, 0
    for t in range(1, STEPS + 1):
        y = (1 - beta1) * z + beta1 * x
        slope = g(t, y)
        v = beta2 * v + (1 - beta2) * slope**2
        z = z - lr * slope / (np.sqrt(v / (1 - beta2**t)) + eps) - lr * decay * y
        x = (1 - 1 / t) * x + 1 / t * z
    return (1 - beta1) * z + beta1 * x, x


def prodigy(x, g, lr=1.0, b1=0.9, b2=0.999, eps=1e-8, decay=0.0, d=1e-6):
    """Mishchenko & Defazio 2023, Algorithm 4, over all parameters at once."""
    start, b3 = x, np.sqrt(b2)
    m, v, r, s = 0, 0, 0, 0
    for t in range(1, STEPS + 1):
        slope = g(t, x)
        m = b1 * m + (1 - b1) * d * slope
        v = b2 * v + (1 - b2) * d**2 * slope**2
        r = b3 * r + (1 - b3) * lr * d**2 * np.dot(slope, start - x)
        s = b3 * s + (1 - b3) * lr * d**2 * slope
        x = x - lr * d * (m / (np.sqrt(v) + d * eps) + decay * x)
        d = max(d, r / np.abs(s).sum())
    return x


def ours(cls, names, **arguments):
    """Return the parameters as trained by a class, and as it evaluates them, as vectors."""
    sizes = [int(np.prod(SHAPES[name])) for name in SHAPES]
    pieces = torch.split(torch.from_numpy(START.copy()), sizes)
    parameters = {n: nn.Parameter(x.view(SHAPES[n]).clone()) for n, x in zip(SHAPES, pieces, strict=True)}
    optimizer = cls([parameters[name] for name in names], **arguments)

    def flat():
        return np.concatenate([p.detach().numpy().ravel() for p in parameters.values()])

    for t in range(1, STEPS + 1):
        slopes = torch.split(torch.from_numpy(gradient(t, flat())), sizes)
        for name, slope in zip(SHAPES, slopes, strict=True):
            parameters[name].grad = slope.view(SHAPES[name])
        optimizer.step()
    with optimizer.evaluation():
        evaluated = flat()
    return flat(), evaluated


def piece(name):
    """Return where a parameter lies in the vector, its start in its shape, and its gradient as a function of both."""
    where = slice(0, 12) if name == "W" else slice(12, 15)

    def slope(t, x):
        whole = np.zeros(15)
        whole[where] = x.ravel()
        return gradient(t, whole)[where].reshape(SHAPES[name])

    return where, START[where].reshape(SHAPES[name]), slope


CASES = [
    (optim.AdamUncorrected, {}, adam_uncorrected, {}),
    (optim.Yogi, {"lr": 0.01}, yogi, {"lr": 0.01}),
    (optim.Lion, {}, lion, {}),
    (optim.Lion, {"lr": 0.01, "betas": (0.8, 0.9), "weight_decay": 0.1}, lion,
     {"lr": 0.01, "b1": 0.8, "b2": 0.9, "decay": 0.1}),
    (optim.AdaBelief, {}, adabelief, {}),
    (optim.AdaBelief, {"lr": 0.1, "betas": (0.5, 0.9), "eps": 1e-4}, adabelief,
     {"lr": 0.1, "b1": 0.5, "b2": 0.9, "eps": 1e-4}),
    (optim.Adan, {}, adan, {}),
    (optim.Adan, {"lr": 0.1, "betas": (0.9, 0.8, 0.7), "weight_decay": 0.1}, adan,
     {"lr": 0.1, "b1": 0.1, "b2": 0.2, "b3": 0.3, "decay": 0.1}),
    (optim.LAMB, {}, lamb, {}),
    (optim.LAMB, {"lr": 0.05, "betas": (0.8, 0.9), "weight_decay": 0.3}, lamb,
     {"lr": 0.05, "b1": 0.8, "b2": 0.9, "decay": 0.3}),
    (optim.LARS, {}, lars, {}),
    (optim.LARS, {"lr": 20.0, "momentum": 0.5, "weight_decay": 0.1, "trust": 0.01}, lars,
     {"lr": 20.0, "momentum": 0.5, "decay": 0.1, "eta": 0.01}),
    (optim.AdafactorUnfactored, {"lr": 0.1, "d": 2.0}, adafactor_unfactored, {"lr": 0.1, "d": 2.0}),
    (optim.ScheduleFreeSGD, {"lr": 0.2, "beta": 0.8}, schedule_free_sgd, {"lr": 0.2, "beta": 0.8}),
    (optim.ScheduleFreeAdamW, {}, schedule_free_adamw, {}),
    (optim.ScheduleFreeAdamW, {"lr": 0.1, "betas": (0.7, 0.9), "weight_decay": 0.1}, schedule_free_adamw,
     {"lr": 0.1, "beta1": 0.7, "beta2": 0.9, "decay": 0.1}),
]  # fmt: skip


@pytest.mark.parametrize(("cls", "arguments", "paper", "symbols"), CASES)
def test_it_is_the_papers(cls, arguments, paper, symbols):
    trained, evaluated = ours(cls, ["W", "b"], **arguments)
    for name in SHAPES:
        where, start, slope = piece(name)
        theirs = paper(start, slope, **symbols)
        y, x = theirs if isinstance(theirs, tuple) else (theirs, theirs)
        assert np.abs(trained[where] - y.ravel()).max() <= 1e-12
        assert np.abs(evaluated[where] - x.ravel()).max() <= 1e-12


@pytest.mark.parametrize("symbols", [{}, {"lr": 0.05, "decay": 0.3, "every": 3}])
def test_soap_is_the_papers_on_matrices_and_adamw_on_vectors(symbols):
    spelled = {"decay": "weight_decay", "every": "precondition_frequency"}
    trained, _ = ours(optim.SOAP, ["W", "b"], **{spelled.get(n, n): value for n, value in symbols.items()})
    where, start, slope = piece("W")
    assert np.abs(trained[where] - soap(start, slope, **symbols).ravel()).max() <= 1e-10
    given = {"lr": symbols.get("lr", 3e-3), "weight_decay": symbols.get("decay", 1e-2)}
    adamw, _ = ours(optim.AdamW, ["b"], betas=(0.95, 0.95), **given)
    assert np.abs(trained[12:] - adamw[12:]).max() <= 1e-12


@pytest.mark.parametrize("symbols", [{}, {"lr": 0.5, "decay": 0.1, "d": 1e-2}])
def test_prodigy_is_the_papers_over_the_whole_model(symbols):
    spelled = {"decay": "weight_decay", "d": "d0"}
    trained, _ = ours(optim.Prodigy, ["W", "b"], **{spelled.get(n, n): value for n, value in symbols.items()})
    assert np.abs(trained - prodigy(START, gradient, **symbols)).max() <= 1e-12
    assert np.abs(trained - START).max() > 1e-3  # d has grown


def test_kernels_with_more_axes_count_as_matrices():
    """Muon and SOAP on a kernel of shape (4, 2, 3): as on the matrix of shape (4, 6)."""
    for cls in (optim.Muon, optim.SOAP):
        torch.manual_seed(0)
        kernel = nn.Parameter(torch.randn(4, 2, 3, dtype=torch.float64))
        matrix = nn.Parameter(kernel.detach().flatten(1).clone())
        optimizers = cls([kernel], lr=0.1), cls([matrix], lr=0.1)
        for _ in range(15):
            kernel.grad = torch.randn_like(kernel)
            matrix.grad = kernel.grad.flatten(1)
            for optimizer in optimizers:
                optimizer.step()
        assert torch.equal(kernel.flatten(1), matrix)


def test_muon_trains_vectors_as_adamw_does():
    """With its own rate, decay and ε, and AdamW's β."""
    trained, _ = ours(optim.Muon, ["W", "b"], lr=0.02)
    adamw, _ = ours(optim.AdamW, ["b"], lr=0.02, weight_decay=0.1, eps=1e-7)
    assert np.array_equal(trained[12:], adamw[12:])


def test_zeros_leave_layerwise_ratios_at_one():
    """LAMB and LARS on a tensor of zeros: the step of a ratio of 1, not a division by 0."""
    for cls, step in ((optim.LAMB, 0.1), (optim.LARS, 0.05)):
        p = nn.Parameter(torch.zeros(3))
        optimizer = cls([p], lr=0.1)
        p.grad = torch.full((3,), 0.5)
        optimizer.step()
        assert torch.allclose(p, torch.full((3,), -step), rtol=1e-4)


@pytest.mark.parametrize(
    ("cls", "arguments", "message"),
    [
        (optim.SGD, {"momentum": 0.9, "nesterov": True, "dampening": 0.5}, "momentum=0.9 and dampening=0.5"),
        (optim.Muon, {"ns_coefficients": (3.0, -4.0, 2.0)}, "ns_coefficients"),
        (optim.Muon, {"nesterov": False}, "no formula covers Muon with nesterov=False"),
        (optim.ScheduleFreeSGD, {"beta": 0.0}, "beta of schedule_free_sgd takes a number above 0"),
        (optim.SOAP, {"precondition_frequency": 0}, "precondition_frequency of soap takes a whole number from 1 up"),
        (optim.Adafactor, {"d": 0.5}, "d of adafactor takes a number from 1 up"),
    ],
)
def test_what_no_formula_covers_is_refused_by_name(cls, arguments, message):
    with pytest.raises(ValueError, match=message):
        cls([nn.Parameter(torch.ones(2, 2))], **arguments)
