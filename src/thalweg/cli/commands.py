"""All commands together, and how one that cannot be done is refused."""

from __future__ import annotations

import gc
import sys
from pathlib import Path

import typer

from thalweg.cli import augment, look, read, study
from thalweg.cli.interrupts import CTRL_C
from thalweg.errors import InputError, causes, is_memory

__all__ = ["app", "run"]

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


def run() -> int:
    """Run the command that was typed, and return its exit code: 2 where it was refused, in a sentence.

    Raises:
        KeyboardInterrupt: it was stopped.
    """
    gc.set_threshold(100_000)  # imports make hundreds of thousands of objects, and none of them is garbage
    try:
        Path.cwd()  # MKL looks there, and would end the process with a riddle
    except OSError:
        return _refuse("the folder that it is called in is gone; change into one that is there")
    try:
        code = app(prog_name="thalweg", standalone_mode=False)
    except Exception as error:
        if CTRL_C.caused(error):
            raise KeyboardInterrupt from error
        return _refused(error)
    if code == 130:  # what typer makes of it
        raise KeyboardInterrupt
    return code if isinstance(code, int) else 0


def _refused(error: Exception) -> int:
    """Say in a sentence what a user can do something about; any other error is raised again."""
    if isinstance(error, InputError):
        return _refuse(str(error))
    if short := next(filter(is_memory, causes(error)), None):
        said = str(short).strip().partition("\n")[0]
        return _refuse(f"memory ran out{f' ({said})' * bool(said)}; {_MORE}")
    if not hasattr(error, "format_message"):  # how typer says that a command is not used as it is meant
        raise error
    told, context = error.format_message(), getattr(error, "ctx", None)
    if "\n" in told:  # nothing was asked for, and this is the help
        sys.exit(told)
    first, *more = told.rstrip(".?").split(". ")
    place = getattr(context, "command_path", None) or " ".join(["thalweg", *_command(sys.argv)])
    return _refuse("; ".join([*map(_lower, (first, *more)), f"see {place} --help"]))


_MORE = (
    "allow this process more (ulimit -v, a container's limit), or use a machine with more; what is recorded is kept"
)


def _command(arguments: list[str]) -> list[str]:
    """Return the command that was asked for, if it is one."""
    known = {command.callback.__name__ for command in app.registered_commands if command.callback}
    return [word for word in arguments[1:2] if word in known]


def _refuse(sentence: str) -> int:
    sys.stderr.write(f"thalweg: {sentence}\n")
    return 2


def _lower(text: str) -> str:
    return text[:1].lower() + text[1:]
