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


MANNERS = {"one by one": "one by one", "vmapped": "together by vmap", "compiled": "together by compiled code"}
"""How runs were trained, by the first word of how their records say it."""


def _trained(study: Study) -> list[str]:
    """Return in a sentence how runs were trained in the end, which may not be as planned; nothing while none is."""
    parts = [f"{count} {MANNERS[manner]}" for manner, count in study.manners.items() if manner in MANNERS]
    return [f"Runs as they were trained in the end: {', '.join(parts)}."] if parts else []


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
        "executed": [*(study.plan.get("sentences") or []), *_trained(study)],
        "formulas": formulas(study),
        "particulars": particulars(study),
        "warnings": (study.verdict or {}).get("warnings") or [],
    }
