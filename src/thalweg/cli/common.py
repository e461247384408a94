"""What commands share: arguments that several take, and what each does with them."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from thalweg.recipe import Recipe
    from thalweg.study import Lottery, Study
    from thalweg.task import Task

TaskName = Annotated[
    str,
    typer.Argument(
        metavar="TASK",
        help="a built-in task (digits, digits-cnn, wine, breast_cancer, diabetes, docstrings, pysource), "
        "a CSV file (with --target), a folder of pictures with a subfolder for each class, an .npz file, or "
        "my_task.py:task",
    ),
]
Target = Annotated[str | None, typer.Option(metavar="COLUMN", help="the column of a CSV file that is predicted")]
TextColumn = Annotated[
    str | None, typer.Option("--text", metavar="COLUMN", help="the column of a CSV file with texts to predict from")
]
Drop = Annotated[
    list[str] | None,
    typer.Option(metavar="COLUMN", help="a column of a CSV file not to predict from; may be given several times"),
]
Size = Annotated[
    str | None, typer.Option(metavar="PIXELS", help="of pictures from files, a side or height and width: 64, 48x64")
]
Missing = Annotated[
    str | None,
    typer.Option(
        metavar="fill|drop",
        help="what to do with a CSV file's missing values: fill them in (and say where), or leave out their rows",
    ),
]
Judge = Annotated[
    str | None,
    typer.Option(
        "--metric",
        metavar="NAME",
        help="what a file or folder of data is judged by: accuracy, balanced_accuracy; of a quantity "
        "relative_squared_error, squared_error, absolute_error",
    ),
]
Out = Annotated[Path | None, typer.Option(metavar="DIR", help="where the study is kept; run again to go on")]

Seed = Annotated[int, typer.Option(help="of the study; everything drawn in it follows from it")]
Processes = Annotated[int | None, typer.Option(help="how many cores work at once; all of them if not given")]
Engine = Annotated[
    str, typer.Option(metavar="local|ray", help="where runs are trained: on this machine, or on a Ray cluster")
]
Address = Annotated[
    str | None, typer.Option(metavar="HOST:PORT", help="of the Ray cluster; one is begun here if not given")
]
Classical = Annotated[
    str | None,
    typer.Option(metavar="knn,svm,…", help="classical models to hold recipes against: knn, svm, logistic, trees"),
]


def task_of(
    spec: str,
    target: str | None,
    text: str | None,
    drop: list[str] | None,
    size: str | None,
    epochs: int | None,
    batch_size: int | None = None,
    *,
    missing: str | None = None,
    metric: str | None = None,
) -> tuple[Task, Recipe]:
    """Return the task, and the recipe that says what is not varied: the task's own, or what was given."""
    from thalweg.recipe import Recipe
    from thalweg.task import load_task

    made = load_task(spec, target=target, text=text, drop=drop or (), size=size, missing=missing, metric=metric)
    batch_size = made.batch_size if batch_size is None else batch_size
    base = Recipe(epochs=made.epochs if epochs is None else epochs, batch_size=batch_size)
    return made, base


def names_in(text: str | None) -> list[str]:
    """Return what a list with commas names."""
    return [] if text is None else [name.strip() for name in text.split(",")]


def tell(study: Study | Lottery) -> None:
    """Print what a study may claim, and where its report is."""
    typer.echo(f"\n{study}\n")
    for warning in study.verdict["warnings"]:
        typer.echo(f"note: {warning}")
    typer.echo(f"report: {study.report}")
    if all(row.get("mean") is None for row in study.verdict.get("recipes") or [{"mean": 0}]):
        raise typer.Exit(1)  # no run of any recipe came to a score


def command_line() -> str:
    """Return the command as it was given, for the record."""
    return shlex.join(["thalweg", *sys.argv[1:]])
