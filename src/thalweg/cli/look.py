"""Commands that look and train nothing that is kept: check, landscape, watch."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from thalweg.cli.common import Drop, Judge, Missing, Seed, Size, Target, TaskName, TextColumn, task_of
from thalweg.cli.interrupts import stopping


def check(
    task: TaskName,
    recipe: Annotated[
        Path | None,
        typer.Option(metavar="FILE.toml", help="how it is to be trained; adam at its defaults if not given"),
    ] = None,
    target: Target = None,
    text: TextColumn = None,
    drop: Drop = None,
    missing: Missing = None,
    metric: Judge = None,
    size: Size = None,
) -> None:
    """Look a task over before it is trained on, in seconds; exit code 1 when something is wrong."""
    with stopping("nothing was changed"):
        from thalweg.inspect import check as looked_over
        from thalweg.recipe import Recipe

        made, base = task_of(task, target, text, drop, size, None, missing=missing, metric=metric)
        found = looked_over(made, base if recipe is None else Recipe.from_file(recipe, base))
    typer.echo(str(found))
    if found.wrong:
        raise typer.Exit(1)


def landscape(
    subject: Annotated[
        str,
        typer.Argument(
            metavar="[SURFACE|TASK]",
            help="a test surface (beale, rosenbrock, himmelblau, ravine, saddle, noisy, reddi, reddi-noisy), or a "
            "task as thalweg compare takes it",
        ),
    ] = "beale",
    optimizer: Annotated[
        str, typer.Option(metavar="A,B,…", help="whose paths; with or without a rate: sgd,'adam(lr=0.1)'")
    ] = "sgd,momentum,adam",
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help=".html and .gif move, .png and .svg stand; SUBJECT.html if not given"),
    ] = None,
    show: Annotated[
        str | None,
        typer.Option(
            metavar="paths|plane|segment",
            help="of a task: the plane through the optimizers' paths, the plane around one solution, or the segment "
            "between two (of one optimizer: of two seeds)",
        ),
    ] = None,
    steps: Annotated[int | None, typer.Option(help="on a surface; its own number if not given")] = None,
    epochs: Annotated[int | None, typer.Option(help="on a task; its own number if not given")] = None,
    points: Annotated[int, typer.Option(help="of a task's grid, along each side")] = 25,
    reach: Annotated[float, typer.Option(help="of a plane around a solution, in parts of each filter's norm")] = 1.0,
    target: Target = None,
    text: TextColumn = None,
    drop: Drop = None,
    missing: Missing = None,
    metric: Judge = None,
    size: Size = None,
    seed: Seed = 0,
) -> None:
    """Draw optimizers' paths over a test surface, or cuts through the loss of a task."""
    with stopping("nothing was written"):
        from thalweg.inspect import SURFACES
        from thalweg.inspect._landscape.command import of_surface, of_task
        from thalweg.notation import optimizers

        named = optimizers(optimizer)
        place = Path(f"{Path(subject.partition(':')[0]).stem}.html") if out is None else out
        if subject in SURFACES:
            unfit = {
                "--show": show, "--epochs": epochs, "--target": target, "--text": text, "--drop": drop,
                "--missing": missing, "--metric": metric, "--size": size,
            }  # fmt: skip
            found: object = of_surface(subject, named, place, steps=steps, seed=seed, unfit=unfit)
        else:
            found = of_task(
                subject, lambda: task_of(subject, target, text, drop, size, epochs, missing=missing, metric=metric),
                named, place, show=show, steps=steps, points=points, reach=reach, seed=seed,
            )  # fmt: skip
    typer.echo(f"{found}\nlandscape: {place}")


def watch(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="a study's directory; it may not be there yet")],
    port: Annotated[int | None, typer.Option(help="of the page; 6117, or one that is free, if not given")] = None,
    no_open: Annotated[bool, typer.Option("--no-open", help="say the address, and open no browser")] = False,
    tensorboard: Annotated[
        Path | None, typer.Option(metavar="LOGDIR", help="write every run that is done for TensorBoard, too")
    ] = None,
) -> None:
    """Follow a study on a local page while it runs: progress, courses, who is ahead, failures."""
    with stopping("the study is as it was"):
        from thalweg.watch import follow

        follow(directory, port, browser=not no_open, logs=tensorboard, say=typer.echo)
