"""Models that transformers saved, found on this machine alone, and what their cards say."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

__all__ = ["licence", "quiet"]


@contextmanager
def quiet(logging: Any) -> Iterator[None]:
    """Show no bars of progress and no warnings, as anyone else may."""
    shown, level = logging.is_progress_bar_enabled(), logging.get_verbosity()
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if shown:
            logging.enable_progress_bar()


def licence(path: str) -> str:
    """Return the licence of a model by its card, in words."""
    card = Path(path) / "README.md"
    if not Path(path).is_dir():  # a name in the store of models that were downloaded
        from transformers.utils.hub import cached_file

        kept = cached_file(
            path, "README.md", local_files_only=True, _raise_exceptions_for_missing_entries=False,
            _raise_exceptions_for_connection_errors=False,
        )  # fmt: skip
        card = Path(kept or card)
    stated = re.search(r"(?m)^license:\s*(\S+)", card.read_text(encoding="utf-8")[:4000]) if card.is_file() else None
    return f"licence {stated[1]}" if stated else "its licence is not stated in it"
