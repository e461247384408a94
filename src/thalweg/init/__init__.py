"""Initialisations: ``init.he_normal().apply(model, key=0)`` gives a model's weights their first values.

In recipes, the role ``init``.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from thalweg.init._dirac import dirac
from thalweg.init._fixup import fixup
from thalweg.init._glorot_normal import glorot_normal
from thalweg.init._glorot_uniform import glorot_uniform
from thalweg.init._he_normal import he_normal
from thalweg.init._he_uniform import he_uniform
from thalweg.init._identity import identity
from thalweg.init._lecun import lecun
from thalweg.init._lsuv import lsuv
from thalweg.init._orthogonal import orthogonal
from thalweg.init._small_random import small_random
from thalweg.init._sparse import sparse
from thalweg.init._technique import Init, InitTechnique
from thalweg.init._truncated_normal import truncated_normal
from thalweg.init._zeros import zeros

if TYPE_CHECKING:
    from thalweg.init._apply import Filled

CATALOGUE: dict[str, InitTechnique] = {
    technique.name: technique
    for technique in (
        zeros, small_random, truncated_normal, lecun, glorot_uniform, glorot_normal, he_uniform, he_normal,
        orthogonal, sparse, dirac, identity, lsuv, fixup,
    )
}  # fmt: skip
"""Every initialisation by name."""

__all__ = [
    "CATALOGUE", "Filled", "Init", "InitTechnique", "dirac", "fixup", "glorot_normal", "glorot_uniform", "he_normal",
    "he_uniform", "identity", "lecun", "lsuv", "orthogonal", "small_random", "sparse", "truncated_normal", "zeros",
]  # fmt: skip


def __dir__() -> list[str]:
    return __all__


def __getattr__(name: str) -> Any:
    """Load what needs torch when it is first asked for."""
    if name != "Filled":
        raise AttributeError(f"module 'thalweg.init' has no attribute {name!r}")
    return import_module("thalweg.init._apply").Filled
