"""How a batch passes through the model of an exported script: in parts, in bfloat16, cut to its longest example."""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Mapping
from typing import Any

from thalweg.recipe import Recipe
from thalweg.study.script import augmenting
from thalweg.train import bucket, passes, recompute

__all__ = ["functions", "gradient_of", "has_masks", "order_of", "settings"]


def has_masks(task: Mapping[str, Any], recipe: Recipe) -> bool:
    """Return whether the script needs keyed dropout: also where blocks are to be computed again with its count."""
    return bool(task["dropout"]) or recipe.dropout is not None or recipe.recompute != "none"


def settings(recipe: Recipe) -> str:
    """Return the lines that name what the recipe chooses."""
    lines = [f"ACCUMULATE = {recipe.accumulate}  # parts in which a batch passes"] * (recipe.accumulate != 1)
    lines += [f"FREEZE = {recipe.freeze!r}"] * (recipe.freeze != "none")
    return "".join(f"{line}\n" for line in lines) + augmenting.settings(recipe)


def functions(task: Mapping[str, Any], recipe: Recipe) -> list[str]:
    """Return the sources of what the loop calls."""
    found: list[str] = []
    if recipe.accumulate != 1:
        found.append(_source(passes.parts))
        found += [_source(passes.part_keys)] * has_masks(task, recipe)
    if recipe.freeze != "none":
        found += [_source(passes.trainable), _source(passes.freeze)]
    if recipe.recompute != "none":
        source = inspect.getsource(recompute)
        found.append(source[source.index("\ndef blocks(") + 1 :].rstrip())
    if recipe.bucket != "none":
        found += [_source(bucket.bucketed), _source(bucket.trimmed)]
    return found + augmenting.functions(recipe)


def order_of(recipe: Recipe) -> str:
    """Return the lines that put the examples of an epoch in order."""
    if recipe.bucket == "none":
        return 'order = torch.from_numpy((Key(SEED) / "order" / epoch).permutation(len(targets)))'
    return (
        'key, long = Key(SEED) / "order" / epoch, lengths(inputs, task.padding).numpy()\n'
        'order = torch.from_numpy(bucketed(key.permutation(len(targets)), long, BATCH_SIZE, key / "batches"))'
    )


def _source(thing: Any) -> str:
    return inspect.getsource(thing).rstrip()


def gradient_of(name: str, task: Mapping[str, Any], recipe: Recipe) -> str:
    """Return the lines that compute a loss of that name on a batch's rows, and leave its gradient.

    Args:
        name: of the variable.
        task: the study's facts on it; ``hidden`` says whether torch's own layers drop in it, ``keyed`` whether what
            it draws has keys.
        recipe: resolved.
    """
    cut, trims, augments = recipe.accumulate != 1, recipe.bucket != "none", bool(recipe.augment.parts)
    rows, loss = ("part", "piece") if cut else ("rows", name)
    own = ("x", "y") if trims or augments else (f"at(inputs, {rows})", f"targets[{rows}]")
    if augments and cut:
        own = ("at(x, part)", "y[part]")
    key = "mix(mask_key + signed(step * GOLDEN))"
    more = ", REPLACED" if task.get("hidden") else ""
    masks = f"KeyedDropout(part_keys({key}, i){more})" if cut else f"KeyedDropout({key}{more})"
    if not task.get("keyed", True):
        masks = "KeyedDropout(None)"
    lines, around = [f"x, y = trimmed(at(inputs, {rows}), targets[{rows}], task.padding)"] * trims, []
    if recipe.recompute != "none":
        lines.append(f"masks = {masks}")
        masks = "masks"
    if has_masks(task, recipe):
        around.append(masks)
    if recipe.precision == "bf16":
        around.append('torch.autocast("cpu", torch.bfloat16, cache_enabled=False)')
    if recipe.recompute != "none":
        around.append(f"recomputed(found, masks, draws={bool(task['draws'])})")
    minimised = augmenting.objective("task.loss" if recipe.loss is None else "objective", recipe)
    line = f"{loss} = {minimised}(predict(model, {own[0]}), {own[1]})"
    lines.append(f"with {', '.join(around)}:\n    {line}" if around else line)
    before = ["model.zero_grad(set_to_none=False)"]
    if augments:
        before.append("x, y = seen(inputs, targets, rows, epoch)")
    if cut:
        before.append(f"{name} = torch.zeros((), dtype=task.dtype)")
        lines += [
            "piece = len(part) / len(rows) * piece.to(task.dtype)",
            "piece.backward()",
            f"{name} += piece.detach()",
        ]
        inside = textwrap.indent("\n".join(lines), "    ")
        every = "torch.arange(len(rows))" if augments else "rows"
        pieces = f"[{every}[cut] for cut in parts(len(rows), ACCUMULATE, BATCH_SIZE)]"
        numbered = f"for i, part in enumerate({pieces}):" if has_masks(task, recipe) else f"for part in {pieces}:"
        lines = [f"{numbered}\n{inside}"]
    else:
        lines.append(f"{name}.backward()")
    whole = "\n".join(lines)
    if task["draws"]:
        whole = f"with (forward / step).seeded():\n{textwrap.indent(whole, '    ')}"
    return "\n".join([*before, whole])
