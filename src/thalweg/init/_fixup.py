from thalweg.init._technique import init
from thalweg.optim._vocabulary import sqrt


@init(
    source="Zhang, Dauphin & Ma 2019, Fixup Initialization: Residual Learning Without Normalization, section 3",
    fills=("linear", "convolution"),
    branched=True,
    given=("branches", "depth"),
)
def fixup(z, *, fan_in, branches, depth):
    """``he_normal`` for ReLU, smaller inside residual branches, so that they need no norm.

    By the factor branches^(−1 / (2 depth − 2)), for so many ``branches`` of ``depth`` layers each; outside it is 1.
    The last layer of each branch and the model's last layers are 0. The paper's scalar multipliers and biases are a
    part of the model, and stay as it makes them.

    Use it for residual networks without norms.

    Source: Zhang et al. 2019, rules 1 and 2.
    """
    return sqrt(2 / fan_in) * branches ** (-1 / (2 * depth - 2)) * z
