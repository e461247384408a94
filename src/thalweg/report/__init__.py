"""The page that shows a study: one file, drawn from its records alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["write"]


def write(directory: Path | str) -> Path:
    """Write ``directory/report.html`` from ``directory/study.db`` and return its path.

    The page stands alone: it opens offline and asks nothing of the network. A study that has not finished
    gets a page that says so and shows what there is.

    Args:
        directory: a study's directory, as ``thalweg compare --out`` or ``thalweg train --out`` left it.

    Raises:
        StoreError: the directory holds no study, an empty one, or one of another version, or the page
            cannot be written there.

    >>> write("no-such-directory")
    Traceback (most recent call last):
    thalweg.record.lock.StoreError: no-such-directory holds no study: there is no study.db in it
    """
    from thalweg.report import lottery, page

    return lottery.write(directory) if lottery.holds_one(directory) else page.write(directory)
