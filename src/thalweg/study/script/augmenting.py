"""Augmentation in an exported script, which takes it from thalweg: everything else there is plain PyTorch."""

from __future__ import annotations

from thalweg.augment._program import steps
from thalweg.errors import InputError
from thalweg.recipe import Recipe
from thalweg.study.script.sources import source
from thalweg.train.augmented import COLOURED, moves_only
from thalweg.train.mixing import Mixed, mixed, paired

__all__ = ["check", "functions", "module", "objective", "settings"]


def check(recipe: Recipe) -> None:
    """Refuse a recipe whose augmentation a script cannot have.

    Raises:
        InputError: with the steps' names.
    """
    texts = [part.name for part in recipe.augment.parts if getattr(part.technique, "medium", "") == "text"]
    if texts:
        raise InputError(
            f"a script holds a task's numbers and not its texts, which {' and '.join(texts)} would edit; export a "
            "recipe without"
        )


def settings(recipe: Recipe) -> str:
    """Return the lines that name what the recipe chooses."""
    if not recipe.augment.parts:
        return ""
    lines = f"POLICY = {' >> '.join(f'augment.{part!r}' for part in recipe.augment.parts)}\n"
    labels = recipe.together().labels
    return lines + f"LABELS = {labels}  # of how many examples the targets enter an example's loss\n" * (labels > 1)


def module(text: str, recipe: Recipe) -> str:
    """Return the source that stands in for thalweg, so that its augmentation can still be imported beside it."""
    if not recipe.augment.parts:
        return text
    last = 'sys.modules["thalweg"] = thalweg'
    return text.replace(last, f'thalweg.__path__ = sys.modules["thalweg"].__path__\n{last}')


def objective(minimised: str, recipe: Recipe) -> str:
    """Return the name of the loss for a batch of `functions`' ``seen``."""
    return minimised if recipe.together().labels == 1 else f"Mixed({minimised}, LABELS, targets.dtype)"


def functions(recipe: Recipe) -> list[str]:
    """Return the sources of ``seen``, which gives a batch after augmentation, and of what it calls."""
    if not recipe.augment.parts:
        return []
    program = steps(recipe.augment, "image")
    levels = _LEVELS if not moves_only(program) else ("", "")
    grey = _GREY if any(step.technique.stage in COLOURED for step in program) else ("", "")
    found: list[str] = []
    call, targets = "POLICY.batch(images, rows.numpy(), epoch=epoch, seed=SEED)", "targets[rows]"
    given = f"images, y = {call}, {targets}"
    if recipe.together().labels > 1:
        found += [source(thing).rstrip() for thing in (paired, mixed, Mixed)]
        given = f"images, y = mixed(POLICY, images, {targets}, rows.numpy(), epoch, SEED, LABELS)"
    lines = [
        "def seen(inputs, targets, rows, epoch):", f'    {_SEEN}', "    layered = inputs.dim() == 4",
        "    pictures = inputs if layered else inputs[:, None]", "    images = pictures[rows]",
        *(line for part in (levels[0], grey[0], f"    {given}", grey[1], levels[1]) for line in part.splitlines()),
        "    return images if layered else images[:, 0], y",
    ]  # fmt: skip
    return [*found, "\n".join(lines)]


_SEEN = '"""Return a batch of examples as training sees them in an epoch, and their targets."""'

_LEVELS = (
    """    low, high = pictures.amin((0, 2, 3))[:, None, None], pictures.amax((0, 2, 3))[:, None, None]
    are_levels = 0 <= float(low.min()) <= float(high.max()) <= 1
    span = torch.where(high > low, high - low, 1.0)
    images = images if are_levels else (images - low) / span""",
    "    images = images if are_levels else images * span + low",
)
"""Around steps on levels from 0 to 1, as in `thalweg.train.augmented`."""

_GREY = (
    "    grey = images.shape[1] == 1\n    images = images.expand(-1, 3, -1, -1) if grey else images",
    "    images = images[:, :1] if grey else images",
)
"""Around steps that look at red, green and blue."""
