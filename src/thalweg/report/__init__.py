"""The page that shows a study, or several: one file, drawn from records alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

__all__ = ["write", "write_several"]


def write(directory: Path | str, path: Path | str | None = None) -> Path:
    """Write ``directory/report.html`` from ``directory/study.db`` and return its path.

    The page stands alone: it opens offline and asks nothing of the network. A study that has not finished
    gets a page that says so and shows what there is.

    Args:
        directory: a study's directory, as ``thalweg compare --out`` or ``thalweg train --out`` left it.
        path: of the page, if it is to be another one: a file that ends in ``.html``, or a folder, which gets
            ``report.html``.

    Raises:
        StoreError: the directory holds no study, an empty one, or one of another version, or the page
            cannot be written there.

    >>> write("no-such-directory")
    Traceback (most recent call last):
    thalweg.record.lock.StoreError: no-such-directory holds no study: there is no study.db in it
    """
    from thalweg.report import lottery, page

    return lottery.write(directory, path) if lottery.holds_one(directory) else page.write(directory, path)


def write_several(directories: Sequence[Path | str], path: Path | str) -> Path:
    """Write one page on several studies: ranks and intervals task by task, and a grid of recipe by task.

    Recipes are the same by name; where a name stands for different recipes, the page warns of it. A study that has
    not finished shows the runs that are there.

    Args:
        directories: the studies', each once, in the order in which they are shown.
        path: of the page: a file that ends in ``.html``, or a folder, which gets ``report.html``.

    Returns:
        The page's path.

    Raises:
        StoreError: a directory holds no study, or one that cannot be set beside others; it comes twice; the page
            would take the place of a study's own; or it cannot be written.

    >>> write_several(["no-such-directory", "nor-this"], "studies.html")
    Traceback (most recent call last):
    thalweg.record.lock.StoreError: no-such-directory holds no study: there is no study.db in it
    """
    from thalweg.report import several

    return several.write(directories, path)
