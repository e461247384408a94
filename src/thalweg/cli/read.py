"""Commands that read what is there: report and export of a study, techniques, tasks."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from thalweg.cli.interrupts import stopping
from thalweg.errors import InputError


def report(
    directories: Annotated[list[Path], typer.Argument(metavar="DIR...", help="a study's directory, or several")],
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR|FILE.html",
            help="where the page goes: a folder, which gets report.html, or a file that ends in .html; the study's "
            "own directory if not given; of several studies, ./studies.html",
        ),
    ] = None,
) -> None:
    """Draw a study's report anew from its records, or one page on several studies."""
    with stopping("the page is as it was"):
        from thalweg.record import StoreError
        from thalweg.report import write, write_several

        try:
            if len(directories) == 1:
                page = write(directories[0], out)
            else:
                page = write_several(directories, out or Path("studies.html"))
        except StoreError as error:
            raise InputError(str(error)) from error
    typer.echo(f"report: {page}")


def export(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="a study's directory")],
    recipe: Annotated[str | None, typer.Argument(metavar="[RECIPE]", help="its name; the best if not given")] = None,
    out: Annotated[Path | None, typer.Option(metavar="FILE.py", help="printed if not given")] = None,
) -> None:
    """Write a recipe of a study as a plain PyTorch script."""
    with stopping("nothing was written"):
        from thalweg.files import write_whole
        from thalweg.study import export as export_script

        script = export_script(directory, recipe)
        if out is None:
            typer.echo(script)
            return
        try:
            write_whole(out, script.encode())
        except OSError as error:
            raise InputError(f"{out} cannot be written: {error.strerror}") from error
    typer.echo(f"script: {out}")


def techniques(
    kind: Annotated[
        str | None, typer.Argument(metavar="[KIND]", help="optimizer, schedule, gradient, average or wrapper")
    ] = None,
) -> None:
    """List every technique, with its formula and source."""
    from thalweg.catalogue import describe

    typer.echo(describe(kind))


def tasks() -> None:
    """List the built-in tasks."""
    from thalweg.task import builtin_tasks

    width = max(map(len, builtin_tasks()))
    for name, summary in builtin_tasks().items():
        typer.echo(f"{name:<{width}}  {summary}")
