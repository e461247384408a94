"""The command that shows what a policy does: augment."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from thalweg.cli.common import TextColumn
from thalweg.cli.interrupts import stopping
from thalweg.errors import InputError


def augment(
    path: Annotated[
        Path,
        typer.Argument(
            metavar="PATH",
            help="a picture, a folder of pictures, a file with a text on each line, or a CSV file of texts or paths",
        ),
    ],
    policy: Annotated[Path, typer.Option(metavar="FILE.toml", help="a recipe with [[augment]] tables")],
    preview: Annotated[Path, typer.Option(metavar="OUT.html|OUT.png", help="what is written; texts only as .html")],
    text: TextColumn = None,
    samples: Annotated[int, typer.Option(help="how many are shown at most, from all over what is there")] = 6,
    epochs: Annotated[int, typer.Option(help="how many augmentations of each")] = 4,
    seed: Annotated[int, typer.Option(help="of the run whose augmentations these are")] = 0,
) -> None:
    """Show what an augmentation policy does to a few pictures or texts, and what it costs."""
    with stopping("nothing was written"):
        from thalweg.inspect import preview as write
        from thalweg.recipe import Recipe

        chain = Recipe.from_file(policy).augment
        if not chain.parts:
            raise InputError(f'{policy} says no augmentation; write [[augment]] and name = "flip" under it')
        done = write(chain, path, preview, text=text, samples=samples, epochs=epochs, seed=seed)
    typer.echo(f"preview: {done}")
