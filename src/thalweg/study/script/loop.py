"""The training loop of an exported script: what the recipe needs, and nothing else."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Mapping
from typing import Any

from thalweg.average import AverageTechnique
from thalweg.gradient import GradientTechnique
from thalweg.optim import Optimizer
from thalweg.optim._executors.whole import joined, parted
from thalweg.penalty import Penalty
from thalweg.recipe import Recipe
from thalweg.stop import Stop
from thalweg.study.script import text
from thalweg.study.script.passes import gradient_of, has_masks, order_of
from thalweg.wrapper import WrapperTechnique

__all__ = ["beginning", "changes_evaluation", "loop"]


def changes_evaluation(recipe: Recipe) -> bool:
    """Return whether other weights are evaluated than those that are trained."""
    return recipe.average is not None or _placed(recipe, "after") or _optimizer(recipe).evaluate is not None


def _optimizer(recipe: Recipe) -> Optimizer:
    technique = recipe.optimizer.technique
    assert isinstance(technique, Optimizer)
    return technique


def _placed(recipe: Recipe, place: str) -> bool:
    technique = recipe.wrapper.technique if recipe.wrapper else None
    return isinstance(technique, WrapperTechnique) and technique.place == place


def beginning(technique: Optimizer) -> str:
    """Return the source of ``begin(p)``: what a formula keeps for a parameter."""
    doc = '    """Return what the formula keeps for a parameter before the first step, plain numbers last."""'
    lines = ["def begin(p):", doc]
    if technique.vectors is not None:
        lines += ["    if p.dim() < 2:", f"        return {_begun(technique.vectors)}"]
    return "\n".join([*lines, f"    return {_begun(technique)}"])


def _begun(technique: Optimizer) -> str:
    parts = []
    for name in technique.state:
        start = technique.start.get(name, 0.0)
        if start == "p":
            parts.append("p.detach().clone()")
        elif name in technique.shapes:
            shape = technique.shapes[name].__name__
            parts.append(f"torch.full({shape}(tuple(p.shape)), {float(start)!r}, dtype=p.dtype)")
        else:
            parts.append("torch.zeros_like(p)" if start == 0 else f"torch.full_like(p, {float(start)!r})")
    parts += [repr(technique.start.get(name, 0.0)) for name in technique.scalars]
    return f"[{', '.join(parts)}]"


def loop(task: Mapping[str, Any], recipe: Recipe) -> str:
    """Return the source of ``evaluate``, ``train`` and the main program.

    Args:
        task: the study's facts on it: whether there is ``dropout``, whether it ``draws`` from global generators, and
            whether either is so when it is ``evaluating``.
        recipe: resolved.
    """
    optimizer = _optimizer(recipe)
    keyed = has_masks(task, recipe)
    other = changes_evaluation(recipe)
    evaluated = "other" if other else "model"
    blocks = {
        "SHAPE": _shape(recipe),
        "WEIGHTS": _WEIGHTS if recipe.penalty else "",
        "MASKS": "masks = masks_of(model)\nhold(parameters, masks)" if recipe.prune else "",
        "STOP": _STOP if recipe.stop else "",
        "WATCH": _watch(recipe, evaluated),
        "BREAK": "if over:\n    break" if recipe.stop else "",
        "FREEZE": "freeze(model, FREEZE)" if recipe.freeze != "none" else "",
        "BLOCKS": "found = blocks(model)" if recipe.recompute != "none" else "",
        "STATE": _state(recipe),
        "FORWARD": 'forward = Key(SEED) / "forward"' if keyed or task["draws"] else "",
        "MASK_KEY": "mask_key = torch.tensor(forward.integer(63))" if keyed else "",
        "ORDER": order_of(recipe),
        "SEEN": "seen = SEEN" if recipe.schedule.feedback else "",
        "LOSS": gradient_of("loss", task, recipe),
        "SECOND": _second(task, recipe),
        "GRADIENTS": _gradients(recipe),
        "UPDATE": _update(optimizer),
        "AFTER": _after(recipe),
        "OTHER": _other(recipe) if other else "",
        "OBSERVE": _OBSERVE if recipe.schedule.feedback else "",
        "RATE": "multiplier(step, seen)" if recipe.schedule.feedback else "multiplier(step)",
        "VALID": f"evaluate({evaluated}, task, task.valid)",
        "EVALUATED": "best_model if best_model is not None else model" if _restores(recipe) else evaluated,
    }
    lines = []
    for line in text.TRAINING.splitlines():
        name = line.strip()
        if name in blocks:
            lines += textwrap.indent(blocks[name], line[: line.index(name)]).splitlines()
        else:
            for word in ("RATE", "VALID", "EVALUATED"):
                line = line.replace(f"<{word}>", blocks[word])
            lines.append(line)
    draws = bool(task.get("evaluating"))
    whole = "\n".join([*[_judged(task, keyed)] * draws, *_helpers(recipe), *lines])
    return whole.replace("<PREDICT>", "judged" if draws else "predict")


def _judged(task: Mapping[str, Any], keyed: bool) -> str:
    """Return the source of ``judged``, for a model that draws in evaluation."""
    key = "torch.tensor(0)" if task.get("keyed", True) else "None"
    masks = f"KeyedDropout({key}{', REPLACED' if task.get('hidden') else ''})"
    return text.JUDGED.replace("AROUND", ", ".join(['(Key(0) / "evaluation").seeded()', *[masks] * keyed]))


_WEIGHTS = """
trained = [name for name, p in model.named_parameters() if p.requires_grad]
weights = [(i, name) for i, name in enumerate(trained) if name in WEIGHTS]
""".strip()
_STOP = "best, waited, best_model = math.inf, 0, None"


def _shape(recipe: Recipe) -> str:
    """Return how the model gets the recipe's modules and first values."""
    changes = recipe.activation or recipe.norm or recipe.dropout
    lines = ["model = shaped(model).to(task.dtype)"] if changes else []
    return "\n".join([*lines, *(["fill(model, at(task.train[0], slice(0, 256)))"] if recipe.init else [])])


def _restores(recipe: Recipe) -> bool:
    return isinstance(recipe.stop, Stop) and recipe.stop.technique.restores


def _watch(recipe: Recipe, evaluated: str) -> str:
    """Return what the rule to stop makes of an epoch's metric."""
    if recipe.stop is None:
        return ""
    lines = [
        "lower = -valid if task.metric.higher_is_better else valid",
        f"best, waited, over = {recipe.stop.name}(lower, best, waited, **STOP)",
    ]
    return "\n".join(lines + [f"if waited == 0:\n    best_model = copy.deepcopy({evaluated})"] * _restores(recipe))


_OBSERVE = "seen = observe(seen, -valid if task.metric.higher_is_better else valid, step)"


def _helpers(recipe: Recipe) -> list[str]:
    """Return the functions that the loop calls beside ``evaluate``."""
    scopes = {part.technique.scope for part in recipe.gradient.parts if isinstance(part.technique, GradientTechnique)}
    scopes |= {_optimizer(recipe).scope} | ({"model"} if _placed(recipe, "before") else set())
    found = [f"{inspect.getsource(joined)}\n\n{inspect.getsource(parted)}"] if "model" in scopes else []
    return found + ([text.OTHER] if changes_evaluation(recipe) else [])


def _state(recipe: Recipe) -> str:
    if _optimizer(recipe).scope == "model":
        lines = ["state = begin(joined(parameters))"]
    else:
        lines = ["state = [begin(p) for p in parameters]"]
    if _placed(recipe, "after"):
        lines.append("slows = [p.detach().clone() for p in parameters]")
    if recipe.average is not None:
        lines += ["means = [p.detach().clone() for p in parameters]", "n = 0  # how many weights are in the means"]
    return "\n".join(lines)


def _second(task: Mapping[str, Any], recipe: Recipe) -> str:
    if not _placed(recipe, "before"):
        return ""
    assert recipe.wrapper is not None
    name = recipe.wrapper.name
    before = text.SECOND_BEFORE.replace("FORMULA", name).strip()
    if recipe.prune is not None:
        before = before.replace("    for p, x in zip(", "    hold(first, masks)\n    for p, x in zip(", 1)
    return "\n".join([before, gradient_of("second", task, recipe),
                      text.SECOND_AFTER.strip()])  # fmt: skip


def _gradients(recipe: Recipe) -> str:
    lines = _hold("gradients", recipe)
    if _penalty(recipe, "loss"):
        lines += ["for i, _ in weights:", "    gradients[i] = gradients[i] + pull(parameters[i])"]
    for i, part in enumerate(recipe.gradient.parts):
        technique = part.technique
        assert isinstance(technique, GradientTechnique)
        many = "[0]" if _returns_more(technique) else ""
        if technique.scope == "model":
            whole = "joined(gradients), joined(parameters)" if technique.takes_weights else "joined(gradients)"
            lines.append(f"gradients = parted({part.name}({whole}, **GRADIENT[{i}]){many}, parameters)")
        elif technique.takes_weights:
            pairs = "for p, g in zip(parameters, gradients)"
            lines.append(f"gradients = [{part.name}(g, p, **GRADIENT[{i}]){many} {pairs}]")
        else:
            lines.append(f"gradients = [{part.name}(g, **GRADIENT[{i}]){many} for g in gradients]")
        lines += _hold("gradients", recipe)
    return "\n".join(lines)


def _hold(tensors: str, recipe: Recipe) -> list[str]:
    return [f"hold({tensors}, masks)"] if recipe.prune is not None else []


def _returns_more(technique: GradientTechnique) -> bool:
    last = technique.statements()[-1]
    return isinstance(last, ast.Return) and isinstance(last.value, ast.Tuple)


def _update(optimizer: Optimizer) -> str:
    if optimizer.scope == "model":
        step = f"new, *state[:] = {optimizer.name}(joined(parameters), joined(gradients), *state, t=step, **values)"
        return f"{step}\nfor p, x in zip(parameters, parted(new, parameters)):\n    p.copy_(x)"
    if optimizer.vectors is not None:
        return "\n".join([
            'small = {**VECTORS, "lr": values["lr"]}',
            "for p, g, kept in zip(parameters, gradients, state):",
            f"    formula, own = ({optimizer.name}, values) if p.dim() > 1 else ({optimizer.vectors.name}, small)",
            "    new, *kept[:] = formula(p, g, *kept, t=step, **own)",
            "    p.copy_(new)",
        ])  # fmt: skip
    return "\n".join([
        "for p, g, kept in zip(parameters, gradients, state):",
        f"    new, *kept[:] = {optimizer.name}(p, g, *kept, t=step, **values)",
        "    p.copy_(new)",
    ])  # fmt: skip


def _penalty(recipe: Recipe, place: str) -> bool:
    return isinstance(recipe.penalty, Penalty) and recipe.penalty.technique.place == place


def _after(recipe: Recipe) -> str:
    lines = _hold("parameters", recipe)
    if _penalty(recipe, "after"):
        lines += ["for i, name in weights:", "    constrain(name, parameters[i])"]
    if _placed(recipe, "after"):
        assert recipe.wrapper is not None
        lines += [
            f"if step % {dict(recipe.wrapper)['k']} == 0:",
            "    for p, slow in zip(parameters, slows):",
            f"        slow.copy_({recipe.wrapper.name}(slow, p, **WRAPPER))",
            "        p.copy_(slow)",
        ]
    if recipe.average is not None:
        technique, values = recipe.average.technique, dict(recipe.average)
        assert isinstance(technique, AverageTechnique)
        inner = [
            "for p, mean in zip(parameters, means):",
            f"    mean.copy_({technique.name}(mean, p, n=n, **AVERAGE) if n else p)",
            "n += 1",
        ]
        if technique.when:
            every = technique.every(values) or "len(batches)"
            start = values.get("start", 0.0)
            lines.append(f"if step > {start!r} * EPOCHS * len(batches) and step % {every} == 0:")
            inner = [f"    {line}" for line in inner]
        lines += inner
    return "\n".join(lines)


def _other(recipe: Recipe) -> str:
    """Return how the model to evaluate is made."""
    optimizer = _optimizer(recipe)
    weights = ""
    if optimizer.evaluate is not None:
        asked = list(inspect.signature(optimizer.evaluate).parameters)[1 + len(optimizer.state) :]
        given = "".join(f', {name}=OPTIMIZER["{name}"]' for name in asked)
        name = optimizer.evaluate.__name__
        pairs = "for p, kept in zip(parameters, state)"
        weights = f"[{name}(p, *kept[:{len(optimizer.state)}]{given}) {pairs}]"
        weights = f"hold({weights}, masks)" if recipe.prune is not None else weights
    if _placed(recipe, "after"):
        weights = "slows"
    if recipe.average is None:
        return f"other = with_weights(model, {weights}, inputs, len(targets))"
    if weights:
        return f"other = with_weights(model, means if n else {weights}, inputs, len(targets))"
    return "other = with_weights(model, means, inputs, len(targets)) if n else model"
