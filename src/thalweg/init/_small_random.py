from thalweg.init._technique import init
from thalweg.technique import LogUniform


@init(
    source="Krizhevsky, Sutskever & Hinton 2012, ImageNet Classification with Deep Convolutional Neural Networks, "
    "section 5",
    space={"std": LogUniform(1e-3, 1e-1)},
)
def small_random(z, *, std=0.01):
    """Normal, with the same small deviation whatever the layer.

    In deep networks signals die away: their variance shrinks by fan_in · std² a layer. ``lecun``, ``glorot_normal``
    and ``he_normal`` take the layer's size into account.

    Use it for shallow networks, and as the historical baseline.

    Source: Krizhevsky et al. 2012, section 5; torch: ``normal_``.
    """
    return std * z
