"""The command line: parse, call, print. No logic lives here, and nothing heavy is imported before it is needed."""

from __future__ import annotations

import gc
import os
import sys
from typing import TYPE_CHECKING, NoReturn

import typer

from thalweg.cli import augment, look, read, study
from thalweg.errors import InputError, is_memory

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["app", "main"]

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="Which training recipe should I use for my model and my data, and how sure can I be?",
)
for command in (
    study.compare, study.ablate, study.lottery, study.train,
    look.check, look.landscape, look.watch, augment.augment, read.report, read.export, read.techniques, read.tasks,
):  # fmt: skip
    app.command()(command)


def main() -> None:
    """Run the command line; a user's mistake is one sentence on standard error and exit code 2."""
    gc.set_threshold(100_000)  # imports make hundreds of thousands of objects, and none of them is garbage
    os.environ.setdefault("MKL_CBWR", "AUTO,STRICT")  # before a user's file is run; see `thalweg.train`
    try:
        os.getcwd()  # noqa: PTH109 – MKL looks there, and would end the process with a riddle
    except OSError:
        _refuse("the folder that it is called in is gone; change into one that is there")
    try:
        code = app(prog_name="thalweg", standalone_mode=False)
    except InputError as error:
        _refuse(str(error))
    except Exception as error:
        if short := next(filter(is_memory, _causes(error)), None):
            said = str(short).strip().partition("\n")[0]
            _refuse(f"memory ran out{f' ({said})' * bool(said)}; {_MORE}")
        if not hasattr(error, "format_message"):  # how typer says that a command is not used as it is meant
            raise
        told, context = error.format_message(), getattr(error, "ctx", None)
        if "\n" in told:  # nothing was asked for, and this is the help
            sys.exit(told)
        first, *more = told.rstrip(".?").split(". ")
        place = getattr(context, "command_path", None) or " ".join(["thalweg", *_command(sys.argv)])
        _refuse("; ".join([*map(_lower, (first, *more)), f"see {place} --help"]))
    sys.exit(code if isinstance(code, int) else 0)


_MORE = (
    "allow this process more (ulimit -v, a container's limit), or use a machine with more; what is recorded is kept"
)


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an exception, and those that it came of."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _command(arguments: list[str]) -> list[str]:
    """Return the command that was asked for, if it is one."""
    known = {command.callback.__name__ for command in app.registered_commands if command.callback}
    return [word for word in arguments[1:2] if word in known]


def _refuse(sentence: str) -> NoReturn:
    sys.stderr.write(f"thalweg: {sentence}\n")
    sys.exit(2)


def _lower(text: str) -> str:
    return text[:1].lower() + text[1:]
