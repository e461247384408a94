"""What goes around an optimizer's step: ``wrapper.sam(0.05)`` in recipes, ``wrapper.SAM(optimizer)`` in any loop."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from thalweg.wrapper._lookahead import lookahead
from thalweg.wrapper._sam import sam
from thalweg.wrapper._technique import WrapperTechnique

if TYPE_CHECKING:
    from thalweg.wrapper._classes import SAM, Lookahead

CATALOGUE: dict[str, WrapperTechnique] = {technique.name: technique for technique in (lookahead, sam)}
"""Every wrapper by name."""

__all__ = ["CATALOGUE", "SAM", "Lookahead", "WrapperTechnique", "lookahead", "sam"]


def __dir__() -> list[str]:
    return __all__


def __getattr__(name: str) -> Any:
    """Load the classes, and torch with them, when one is first asked for."""
    if name not in ("SAM", "Lookahead"):
        raise AttributeError(f"module 'thalweg.wrapper' has no attribute {name!r}")
    return getattr(import_module("thalweg.wrapper._classes"), name)
