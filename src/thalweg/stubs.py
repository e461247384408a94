"""Write each kind's ``__init__.pyi``: what editors and type checkers know of techniques, from their declarations.

``python -m thalweg.stubs`` writes them; a law holds them against the declarations.
"""

from __future__ import annotations

import sys
from pathlib import Path

from thalweg.catalogue import KINDS
from thalweg.technique import package_stub

__all__ = ["stubs"]


def stubs() -> dict[Path, str]:
    """Return the text of each stub by its file; optimizers, which are classes too, have one of `thalweg.optim`."""
    found = {}
    for kind, catalogue in KINDS.items():
        if kind != "optimizer":
            module = sys.modules[f"thalweg.{kind}"]
            beside = ("IMAGE", "TEXT") if kind == "augment" else ()
            found[Path(str(module.__file__)).with_suffix(".pyi")] = package_stub(module, catalogue, beside)
    return found


if __name__ == "__main__":
    for path, text in stubs().items():
        path.write_text(text, encoding="utf-8")
