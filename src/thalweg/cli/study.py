"""Commands that train: compare, ablate, lottery, train."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from thalweg.cli.common import (
    Address,
    Classical,
    Drop,
    Engine,
    Judge,
    Missing,
    Out,
    Processes,
    Seed,
    Size,
    Target,
    TaskName,
    TextColumn,
    command_line,
    names_in,
    task_of,
    tell,
)
from thalweg.cli.interrupts import stopping

KEPT = "what is done is kept, and the same command goes on from there"
FILE = "study.db"
"""What a study is kept in: before it is there, nothing is done."""


def compare(
    task: TaskName,
    vary: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ROLE=A,B,…",
            help="what is compared: optimizer=adam,sgd  norm=none,batch,layer  dropout=none,'dropout(0.2)'  "
            "augment=none,flip,'flip >> mixup'  schedule=constant,'warmup >> cosine'  batch_size=32,64; several "
            "multiply. Also epochs, gradient, average, wrapper, accumulate, precision, freeze, recompute, bucket, "
            "init, activation, penalty, loss, stop, prune; `thalweg techniques` lists what each can be",
        ),
    ] = None,
    recipe: Annotated[
        list[Path] | None, typer.Option(metavar="FILE.toml", help="a recipe to compare; may be given several times")
    ] = None,
    target: Target = None,
    text: TextColumn = None,
    drop: Drop = None,
    missing: Missing = None,
    metric: Judge = None,
    size: Size = None,
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
    from thalweg.notation import combine
    from thalweg.study import compare as compare_recipes
    from thalweg.study import explain, parse_duration

    seconds = None if budget is None else parse_duration(budget)
    made, base = task_of(task, target, text, drop, size, epochs, batch_size, missing=missing, metric=metric)
    recipes = combine(base, vary or [], recipe or [])
    if plan:
        for line in explain(
            made, recipes, trials=trials, seeds=seeds, seed=seed, budget=seconds, processes=processes,
            engine=engine, address=address,
        ):  # fmt: skip
            typer.echo(line)
        return
    place = Path(f"{made.name}-study") if out is None else out
    with stopping(KEPT, place / FILE):
        study = compare_recipes(
            made, recipes, trials=trials, seeds=seeds, seed=seed, budget=seconds, baselines=names_in(baselines),
            out=place, processes=processes, engine=engine, address=address, command=command_line(),
        )  # fmt: skip
        tell(study)


def ablate(
    task: TaskName,
    recipe: Annotated[Path, typer.Option(metavar="FILE.toml", help="the full recipe; ranges take their defaults")],
    target: Target = None,
    text: TextColumn = None,
    drop: Drop = None,
    missing: Missing = None,
    metric: Judge = None,
    size: Size = None,
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
    from thalweg.recipe import Recipe
    from thalweg.study import ablate as ablate_recipe

    made, plain = task_of(task, target, text, drop, size, epochs, batch_size, missing=missing, metric=metric)
    place = Path(f"{made.name}-ablation") if out is None else out
    with stopping(KEPT, place / FILE):
        study = ablate_recipe(
            made, Recipe.from_file(recipe, plain), plain=plain, seeds=seeds, seed=seed, baselines=names_in(baselines),
            out=place, processes=processes, engine=engine, address=address, command=command_line(),
        )  # fmt: skip
        tell(study)


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
    text: TextColumn = None,
    drop: Drop = None,
    missing: Missing = None,
    metric: Judge = None,
    size: Size = None,
    epochs: Annotated[int | None, typer.Option(help="where the recipe says none; else the task's own")] = None,
    out: Out = None,
    seed: Seed = 0,
    processes: Processes = None,
) -> None:
    """Draw lottery tickets: how small a model can be, and whether its mask and first weights are what matters."""
    from thalweg.recipe import Recipe
    from thalweg.study import lottery as draw

    made, base = task_of(task, target, text, drop, size, epochs, missing=missing, metric=metric)
    place = Path(f"{made.name}-lottery") if out is None else out
    with stopping(KEPT, place / FILE):
        found = draw(
            made, base if recipe is None else Recipe.from_file(recipe, base), rounds=rounds, rate=rate, rewind=rewind,
            scope=scope, seeds=seeds, seed=seed, out=place, processes=processes, command=command_line(),
        )  # fmt: skip
        tell(found)
        if found.verdict["smaller"]:
            typer.echo(f"ticket: {found.directory / 'ticket.safetensors'}")


def train(
    task: TaskName,
    recipe: Annotated[Path, typer.Option(metavar="FILE.toml", help="the recipe; ranges take their defaults")],
    out: Annotated[Path, typer.Option(metavar="DIR", help="gets the weights, the recipe and the record")],
    target: Target = None,
    text: TextColumn = None,
    drop: Drop = None,
    missing: Missing = None,
    metric: Judge = None,
    size: Size = None,
    epochs: Annotated[int | None, typer.Option(help="where the recipe says none; else the task's own")] = None,
    seed: Annotated[int, typer.Option(help="of the run")] = 0,
) -> None:
    """Train one recipe once; leave its weights and record."""
    with stopping("what is done is kept up to the last seconds, and the same command goes on from there", out / FILE):
        from thalweg.recipe import Recipe
        from thalweg.study import train as train_recipe

        made, base = task_of(task, target, text, drop, size, epochs, missing=missing, metric=metric)
        chosen = Recipe.from_file(recipe, base)
        trained = train_recipe(made, chosen, out=out, seed=seed, command=command_line())
        typer.echo(str(trained))
