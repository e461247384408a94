"""The command line: parse, call, print. No logic lives here, and nothing heavy is imported before it is needed."""

from __future__ import annotations

import os
import shlex
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from thalweg.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from thalweg.recipe import Recipe
    from thalweg.study import Lottery, Study
    from thalweg.task import Task

__all__ = ["main"]

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="Which training recipe should I use for my model and my data, and how sure can I be?",
)

TaskName = Annotated[
    str,
    typer.Argument(
        metavar="TASK",
        help="a built-in task (digits, digits-cnn, wine, breast_cancer, diabetes, docstrings, pysource), "
        "a CSV file (with --target), or my_task.py:task",
    ),
]
Target = Annotated[str | None, typer.Option(metavar="COLUMN", help="the column of a CSV file that is predicted")]
Out = Annotated[Path | None, typer.Option(metavar="DIR", help="where the study is kept; run again to go on")]

Seed = Annotated[int, typer.Option(help="of the study; everything drawn in it follows from it")]
Processes = Annotated[int | None, typer.Option(help="how many work at once; the cores if not given")]
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


@app.command()
def compare(
    task: TaskName,
    vary: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ROLE=A,B,…",
            help="what is compared: optimizer=adam,sgd  schedule=constant,'warmup >> cosine'  batch_size=32,64  "
            "epochs=10,30  gradient=none,'clip_norm(1.0)'  average=none,ema,swa  wrapper=none,sam,lookahead  "
            "accumulate=1,4  precision=float32,bf16  freeze=none,'encoder.*'  recompute=none,blocks  "
            "bucket=none,length; several multiply",
        ),
    ] = None,
    recipe: Annotated[
        list[Path] | None, typer.Option(metavar="FILE.toml", help="a recipe to compare; may be given several times")
    ] = None,
    target: Target = None,
    trials: Annotated[int, typer.Option(help="settings tried for each recipe, its defaults among them")] = 8,
    seeds: Annotated[int, typer.Option(help="fresh seeds on which defaults and chosen setting are measured")] = 10,
    epochs: Annotated[int | None, typer.Option(help="of every recipe; the task's own if not given")] = None,
    batch_size: Annotated[int | None, typer.Option(help="of every recipe; the task's own if not given")] = None,
    budget: Annotated[
        str | None, typer.Option(metavar="TIME", help="20m, 1h30m: replaces trials and seeds by what fits")
    ] = None,
    baselines: Classical = None,
    out: Out = None,
    seed: Seed = 0,
    processes: Processes = None,
    engine: Engine = "local",
    address: Address = None,
    plan: Annotated[bool, typer.Option("--plan", help="say what would be run, and how, and end there")] = False,
) -> None:
    """Compare recipes on a task: which is better, and how surely."""
    with _stopping("what is done is kept, and the same command goes on from there"):
        from thalweg.notation import combine
        from thalweg.study import compare as compare_recipes
        from thalweg.study import explain, parse_duration

        seconds = None if budget is None else parse_duration(budget)
        made, base = _task(task, target, epochs, batch_size)
        recipes = combine(base, vary or [], recipe or [])
        if plan:
            for line in explain(
                made, recipes, trials=trials, seeds=seeds, seed=seed, budget=seconds, processes=processes
            ):  # fmt: skip
                typer.echo(line)
            return
        study = compare_recipes(
            made, recipes, trials=trials, seeds=seeds, seed=seed, budget=seconds, baselines=_names(baselines),
            out=out, processes=processes, engine=engine, address=address, command=_command(),
        )  # fmt: skip
    _tell(study)


@app.command()
def ablate(
    task: TaskName,
    recipe: Annotated[Path, typer.Option(metavar="FILE.toml", help="the full recipe; ranges take their defaults")],
    target: Target = None,
    seeds: Annotated[int, typer.Option(help="fresh seeds, the same for all recipes")] = 10,
    epochs: Annotated[int | None, typer.Option(help="of the plain recipe; the task's own if not given")] = None,
    batch_size: Annotated[int | None, typer.Option(help="of the plain recipe; the task's own if not given")] = None,
    baselines: Classical = None,
    out: Out = None,
    seed: Seed = 0,
    processes: Processes = None,
    engine: Engine = "local",
    address: Address = None,
) -> None:
    """Take each ingredient of a recipe out alone, and put it in alone: what each is worth."""
    with _stopping("what is done is kept, and the same command goes on from there"):
        from thalweg.recipe import Recipe
        from thalweg.study import ablate as ablate_recipe

        made, plain = _task(task, target, epochs, batch_size)
        study = ablate_recipe(
            made, Recipe.from_file(recipe, plain), plain=plain, seeds=seeds, seed=seed, baselines=_names(baselines),
            out=out, processes=processes, engine=engine, address=address, command=_command(),
        )  # fmt: skip
    _tell(study)


@app.command()
def lottery(
    task: TaskName,
    rounds: Annotated[int, typer.Option(help="how often is pruned")] = 10,
    rate: Annotated[
        float, typer.Option(help="the share of weights that go each time; half of it at the output")
    ] = 0.2,
    rewind: Annotated[int, typer.Option(metavar="STEP", help="to whose weights tickets go back")] = 0,
    scope: Annotated[str, typer.Option(help="layer or global: among which weights the smallest go")] = "layer",
    seeds: Annotated[int, typer.Option(help="how many tickets are drawn")] = 5,
    recipe: Annotated[
        Path | None, typer.Option(metavar="FILE.toml", help="how is trained; adam at its defaults if not given")
    ] = None,
    target: Target = None,
    epochs: Annotated[int | None, typer.Option(help="where the recipe says none; else the task's own")] = None,
    out: Out = None,
    seed: Seed = 0,
    processes: Processes = None,
) -> None:
    """Draw lottery tickets: how small a model can be, and whether its mask and first weights are what matters."""
    with _stopping("what is done is kept, and the same command goes on from there"):
        from thalweg.recipe import Recipe
        from thalweg.study import lottery as draw

        made, base = _task(task, target, epochs, None)
        found = draw(
            made, base if recipe is None else Recipe.from_file(recipe, base), rounds=rounds, rate=rate, rewind=rewind,
            scope=scope, seeds=seeds, seed=seed, out=out, processes=processes, command=_command(),
        )  # fmt: skip
    _tell(found)
    if found.verdict["smaller"]:
        typer.echo(f"ticket: {found.directory / 'ticket.safetensors'}")


@app.command()
def train(
    task: TaskName,
    recipe: Annotated[Path, typer.Option(metavar="FILE.toml", help="the recipe; ranges take their defaults")],
    out: Annotated[Path, typer.Option(metavar="DIR", help="gets the weights, the recipe and the record")],
    target: Target = None,
    epochs: Annotated[int | None, typer.Option(help="where the recipe says none; else the task's own")] = None,
    seed: Annotated[int, typer.Option(help="of the run")] = 0,
) -> None:
    """Train one recipe once; leave its weights and record."""
    with _stopping("what is done is kept up to the last seconds, and the same command goes on from there"):
        from thalweg.recipe import Recipe
        from thalweg.study import train as train_recipe

        made, base = _task(task, target, epochs, None)
        chosen = Recipe.from_file(recipe, base)
        trained = train_recipe(made, chosen, out=out, seed=seed, command=_command())
    typer.echo(str(trained))


@app.command()
def report(directory: Annotated[Path, typer.Argument(metavar="DIR", help="a study's directory")]) -> None:
    """Draw a study's report anew, from its records."""
    from thalweg.record import StoreError
    from thalweg.report import write

    try:
        typer.echo(f"report: {write(directory)}")
    except StoreError as error:
        raise InputError(str(error)) from error


@app.command()
def export(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="a study's directory")],
    recipe: Annotated[str | None, typer.Argument(metavar="[RECIPE]", help="its name; the best if not given")] = None,
    out: Annotated[Path | None, typer.Option(metavar="FILE.py", help="printed if not given")] = None,
) -> None:
    """Write a recipe of a study as a plain PyTorch script."""
    from thalweg.study import export as export_script

    script = export_script(directory, recipe)
    if out is None:
        typer.echo(script)
        return
    try:
        out.write_text(script, encoding="utf-8")
    except OSError as error:
        raise InputError(f"{out} cannot be written: {error.strerror}") from error
    typer.echo(f"script: {out}")


@app.command()
def techniques(
    kind: Annotated[
        str | None, typer.Argument(metavar="[KIND]", help="optimizer, schedule, gradient, average or wrapper")
    ] = None,
) -> None:
    """List every technique, with its formula and source."""
    from thalweg.catalogue import describe

    typer.echo(describe(kind))


@app.command()
def tasks() -> None:
    """List the built-in tasks."""
    from thalweg.task import builtin_tasks

    width = max(map(len, builtin_tasks()))
    for name, summary in builtin_tasks().items():
        typer.echo(f"{name:<{width}}  {summary}")


def _task(spec: str, target: str | None, epochs: int | None, batch_size: int | None) -> tuple[Task, Recipe]:
    """Return the task, and the recipe that says what is not varied: the task's own, or what was given."""
    from thalweg.recipe import Recipe
    from thalweg.task import load_task

    made = load_task(spec, target=target)
    size = made.batch_size if batch_size is None else batch_size
    base = Recipe(epochs=made.epochs if epochs is None else epochs, batch_size=size)
    return made, base


def _names(text: str | None) -> list[str]:
    """Return what a list with commas names."""
    return [] if text is None else [name.strip() for name in text.split(",")]


def _tell(study: Study | Lottery) -> None:
    """Print what a study may claim, and where its report is."""
    typer.echo(f"\n{study}\n")
    for warning in study.verdict["warnings"]:
        typer.echo(f"note: {warning}")
    typer.echo(f"report: {study.report}")


@contextmanager
def _stopping(so: str) -> Iterator[None]:
    """Turn Ctrl-C into one line, and the exit code that shells give it."""
    try:
        yield
    except KeyboardInterrupt:
        typer.echo(f"\nstopped; {so}", err=True)
        raise typer.Exit(130) from None


def _command() -> str:
    return shlex.join(["thalweg", *sys.argv[1:]])


def main() -> None:
    """Run the command line; a user's mistake is one sentence on standard error and exit code 2."""
    os.environ.setdefault("MKL_CBWR", "AUTO,STRICT")  # before a user's file is run; see `thalweg.train`
    try:
        code = app(prog_name="thalweg", standalone_mode=False)
    except InputError as error:
        _refuse(str(error))
    except Exception as error:
        if not hasattr(error, "format_message"):  # how typer says that a command is not used as it is meant
            raise
        told, context = error.format_message(), getattr(error, "ctx", None)
        if "\n" in told:  # nothing was asked for, and this is the help
            sys.exit(told)
        first, *more = told.rstrip(".?").split(". ")
        place = getattr(context, "command_path", "thalweg")
        _refuse("; ".join([*map(_lower, (first, *more)), f"see {place} --help"]))
    sys.exit(code if isinstance(code, int) else 0)


def _refuse(sentence: str) -> NoReturn:
    sys.stderr.write(f"thalweg: {sentence}\n")
    sys.exit(2)


def _lower(text: str) -> str:
    return text[:1].lower() + text[1:]
