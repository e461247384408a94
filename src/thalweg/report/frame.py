"""What every page of one study shows, whatever was asked: its headline, how it was done, and what to mind."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from thalweg.report.formulas import formulas
from thalweg.report.words import particulars

if TYPE_CHECKING:
    from thalweg.report.methods import Methods
    from thalweg.report.reading import Study

__all__ = ["frame"]


def frame(study: Study, sentences: Sequence[str], measured: Methods) -> dict[str, Any]:
    """Return what the templates of pages of one study ask for alike.

    Args:
        study: whose page it is.
        sentences: its headline, and what follows it.
        measured: the paragraph on how it was measured.
    """
    return {
        "study": study,
        "title": f"{study.task.get('name') or study.directory.name}: {sentences[0]}",
        "headline": sentences[0],
        "lead": sentences[1:],
        "copies": measured.copies,
        "methods": measured,
        "executed": study.plan.get("sentences") or [],
        "formulas": formulas(study),
        "particulars": particulars(study),
        "warnings": (study.verdict or {}).get("warnings") or [],
    }
