"""The command line: parse, call, print. No logic lives here, and nothing heavy is imported before it is needed.

Commands are imported by `main`, once Ctrl-C is looked after: it may come while they are.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from thalweg.cli.interrupts import CTRL_C

if TYPE_CHECKING:
    from thalweg.cli.commands import app

__all__ = ["app", "main"]


def main() -> None:
    """Run the command line; a user's mistake is one sentence on standard error and code 2, Ctrl-C one and 130."""
    is_program = sys._getframe(1).f_globals.get("__name__") == "__main__"  # noqa: SLF001
    CTRL_C.begin()
    try:
        from thalweg.cli.commands import run

        code = run()
        CTRL_C.end(for_good=is_program)
    except (Exception, KeyboardInterrupt) as error:
        CTRL_C.end(for_good=is_program)
        if not CTRL_C.caused(error):
            raise
        code = CTRL_C.told()
    sys.exit(code)


def __getattr__(name: str) -> Any:
    if name == "app":  # which the documentation reads
        from thalweg.cli.commands import app

        return app
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
