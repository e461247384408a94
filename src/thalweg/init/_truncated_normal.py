from thalweg.activation._words import erf
from thalweg.init._technique import init
from thalweg.init._words import erfinv
from thalweg.optim._vocabulary import sqrt
from thalweg.technique import LogUniform


@init(
    source="Devlin, Chang, Lee & Toutanova 2019, BERT, whose code draws all weights so; Dosovitskiy et al. 2021, ViT",
    noise=("uniform",),
    space={"std": LogUniform(1e-3, 1e-1)},
    limits={"cut": "(0, inf)"},
)
def truncated_normal(z, *, std=0.02, cut=2.0):
    """Normal, with what is further out than ``cut`` deviations left out; ``std`` is the deviation before that.

    With cut 2 the deviation is 0.88 · std. ``small_random`` has no cut. The same whatever the layer, as in
    transformers, where a norm stands before every layer.

    Use it for transformers with norms before their layers, as BERT has them.

    Source: Devlin et al. 2019; torch: ``trunc_normal_`` with ``a=-cut * std`` and ``b=cut * std``.
    """
    return std * sqrt(2) * erfinv(erf(cut / sqrt(2)) * z)
