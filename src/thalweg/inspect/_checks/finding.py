"""What a check says."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Finding", "fine", "listed", "note", "skipped", "wrong"]


@dataclass(frozen=True)
class Finding:
    """What one check found.

    Attributes:
        level: ``fine``; ``note``, worth knowing; ``wrong``, a mistake; or ``skipped``, could not be looked at.
        what: what was seen.
        remedy: what to do, of a note or a mistake; else empty.
        check: the check's name.
    """

    level: str
    what: str
    remedy: str = ""
    check: str = ""


def fine(what: str) -> Finding:
    """Nothing to do."""
    return Finding("fine", what)


def note(what: str, remedy: str) -> Finding:
    """Worth knowing, and perhaps meant."""
    return Finding("note", what, remedy)


def wrong(what: str, remedy: str) -> Finding:
    """A mistake."""
    return Finding("wrong", what, remedy)


def skipped(why: str) -> Finding:
    """What cannot be looked at here, and why."""
    return Finding("skipped", why)


def listed(names: list[str], most: int = 3) -> str:
    """Return names with commas, the first few of many."""
    shown = ", ".join(names[:most])
    return f"{shown} and {len(names) - most} more" if len(names) > most else shown
