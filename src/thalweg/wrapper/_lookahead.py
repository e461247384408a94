from thalweg.technique import Choice
from thalweg.wrapper._technique import wrapper


@wrapper(
    torchs="Lookahead",
    place="after",
    source="Zhang, Lucas, Hinton & Ba 2019, Lookahead Optimizer: k Steps Forward, 1 Step Back, Algorithm 1",
    space={"k": Choice((5, 10)), "alpha": Choice((0.2, 0.5, 0.8))},
    limits={"k": "[1, inf)", "alpha": "(0, 1]"},
    when=("k",),
)
def lookahead(slow, p, *, k=5, alpha=0.5):
    """Every k steps, slow weights go a share of the way to the weights, which go on from there.

    ``alpha`` is the share; at 1 nothing is changed. The optimizer keeps its state. The slow weights are the result,
    and are those to evaluate. Unlike ``average.ema`` they feed back into training.

    Use it where training is unstable or its rate is a little too high.

    Source: Zhang et al. 2019.
    """
    return slow + alpha * (p - slow)
