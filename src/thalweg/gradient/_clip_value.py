from thalweg.gradient._technique import gradient
from thalweg.optim._vocabulary import maximum, minimum
from thalweg.technique import LogUniform


@gradient(
    source="Mikolov 2012, Statistical Language Models Based on Neural Networks, section 3.2.2",
    space={"threshold": LogUniform(1e-2, 1e1)},
    limits={"threshold": "(0, inf)"},
)
def clip_value(g, *, threshold=1.0):
    """Each element of the gradient cut off at ± ``threshold``.

    It changes the gradient's direction, which ``clip_norm`` keeps.

    Use it where single elements of the gradient explode, and its direction matters less.

    Source: Mikolov 2012; torch: ``clip_grad_value_``.
    """
    return maximum(minimum(g, threshold), -threshold)
