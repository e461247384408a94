"""What happens to a gradient before the optimizer takes it: ``gradient.clip_norm(1.0)``; ``>>`` chains.

In a loop of one's own, ``gradient.clip_norm(1.0).apply(model.parameters())`` stands between ``backward()`` and the
optimizer's step; in a recipe it is the role ``gradient``.
"""

from thalweg.gradient._centralise import centralise
from thalweg.gradient._clip_adaptive import clip_adaptive
from thalweg.gradient._clip_norm import clip_norm
from thalweg.gradient._clip_value import clip_value
from thalweg.gradient._technique import Gradient, GradientTechnique

CATALOGUE: dict[str, GradientTechnique] = {
    technique.name: technique for technique in (clip_value, clip_norm, clip_adaptive, centralise)
}
"""Every gradient technique by name."""

__all__ = [
    "CATALOGUE", "Gradient", "GradientTechnique", "centralise", "clip_adaptive", "clip_norm", "clip_value",
]  # fmt: skip


def __dir__() -> list[str]:
    return __all__
