from thalweg.gradient._technique import gradient
from thalweg.optim._vocabulary import minimum, norm
from thalweg.technique import LogUniform


@gradient(
    scope="model",
    source="Pascanu, Mikolov & Bengio 2013, On the Difficulty of Training Recurrent Neural Networks, Algorithm 1",
    space={"threshold": LogUniform(1e-1, 1e1)},
    limits={"threshold": "(0, inf)"},
)
def clip_norm(g, *, threshold=1.0, eps=1e-6):
    """The whole gradient shortened to ``threshold`` where it is longer; its direction stays.

    ``clip_value`` cuts each element instead, ``clip_adaptive`` each unit by the size of its weights.

    Use it for recurrent networks and transformers: at 1.0 it rarely harms and prevents the rare huge step.

    Source: Pascanu et al. 2013; torch: ``clip_grad_norm_``, whose ε this has.
    """
    size = norm(g)
    return g * minimum(threshold / (size + eps), 1.0), size
