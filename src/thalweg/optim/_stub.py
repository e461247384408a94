"""Write ``optim/__init__.pyi``: what editors and type checkers know of classes that are made from declarations.

``python -m thalweg.optim._stub`` writes it; a test holds it against the declarations.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from thalweg import optim
from thalweg.optim._base import MODES
from thalweg.optim._classes import FACES
from thalweg.technique import technique_stub

__all__ = ["stub"]

_HEAD = '''# ruff: noqa: F401, I001, N801, RUF100
"""Made by ``python -m thalweg.optim._stub`` from the declarations in `_classes`."""

from collections.abc import Sequence

from torch import Tensor

from thalweg.optim._base import FormulaOptimizer, Params
from thalweg.optim._groups import groups as groups
from thalweg.optim._technique import Optimizer as Optimizer
from thalweg.technique import Choice, Ingredient, LogUniform, Uniform

CATALOGUE: dict[str, Optimizer]
'''


def stub() -> str:
    """Return the stub's text."""
    lines = [_HEAD, *(technique_stub(optim.CATALOGUE[name]) for name in sorted(optim.CATALOGUE))]
    modes = ", ".join(f"{name}: {_type(name, value)} = ..." for name, value in MODES.items())
    for name, face in sorted(FACES.items()):
        arguments = [f"        {n}: {_type(n, v)} = {v!r}," for n, v in face.arguments().items()]
        lines += [
            f"class {name}(FormulaOptimizer):",
            "    def __init__(",
            "        self,",
            "        params: Params,",
            *arguments,
            "        *,",
            *(f"        {mode}," for mode in modes.split(", ")),
            "    ) -> None: ...",
            "",
        ]
    return "\n".join(lines)


def _type(name: str, value: Any) -> str:
    if name in ("executor", "adjust_lr_fn"):
        return "str | None"
    if name == "lr":
        return "float | Tensor"
    if isinstance(value, tuple):
        return f"tuple[{', '.join('float | None' if part is None else 'float' for part in value)}]"
    return "bool | None" if value is None else type(value).__name__


if __name__ == "__main__":
    Path(__file__).with_name("__init__.pyi").write_text(stub(), encoding="utf-8")
