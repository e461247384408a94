from thalweg.optim._technique import optimizer
from thalweg.optim._vocabulary import sqrt
from thalweg.technique import LogUniform, Uniform


@optimizer(
    state=("c", "b"),
    source="Tieleman & Hinton 2012, Lecture 6.5, Neural Networks for Machine Learning; Graves 2013",
    space={"lr": LogUniform(1e-6, 1e-2), "momentum": Uniform(0.0, 0.95)},
    generalises=("rmsprop",),
)
def rmsprop_momentum(p, g, c, b, *, t, lr=1e-3, beta=0.99, eps=1e-8, momentum=0.9):
    """RMSProp whose steps roll on: a decaying sum of past steps.

    At ``momentum = 0`` it is ``rmsprop``. Where ``adam_uncorrected`` divides a mean of gradients by today's root,
    this divides each gradient by its own day's. The default rate is a tenth of torch's, as the sum of steps is ten
    times one of them.

    Use it to repeat papers that trained so, such as MobileNet and EfficientNet.

    Source: in the form of torch's ``RMSprop(momentum)``, which calls β ``alpha``.
    """
    c = beta * c + (1 - beta) * g * g
    b = momentum * b + g / (sqrt(c) + eps)
    return p - lr * b, c, b
