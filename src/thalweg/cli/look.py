"""Commands that look at a task and train nothing that is kept: check."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from thalweg.cli.common import Size, Target, TaskName, TextColumn, stopping, task_of


def check(
    task: TaskName,
    recipe: Annotated[
        Path | None,
        typer.Option(metavar="FILE.toml", help="how it is to be trained; adam at its defaults if not given"),
    ] = None,
    target: Target = None,
    text: TextColumn = None,
    size: Size = None,
) -> None:
    """Look a task over before it is trained on, in seconds; exit code 1 when something is wrong."""
    with stopping("nothing was changed"):
        from thalweg.inspect import check as looked_over
        from thalweg.recipe import Recipe

        made, base = task_of(task, target, text, size, None)
        found = looked_over(made, base if recipe is None else Recipe.from_file(recipe, base))
    typer.echo(str(found))
    if found.wrong:
        raise typer.Exit(1)
