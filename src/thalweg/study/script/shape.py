"""What a recipe does to the model and its loss, as lines of an exported script.

Surgery looks at the user's model once, here; the script says what came of it, layer by layer: which module stands
where, and of which numbers each weight is filled.
"""

from __future__ import annotations

import base64
import textwrap
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvTransposeNd

from thalweg.dropout import _asked
from thalweg.dropout._technique import Dropout, DropoutTechnique
from thalweg.errors import InputError
from thalweg.init import Init, _rescale
from thalweg.init._apply import numbers
from thalweg.loss import Loss
from thalweg.loss._fitting import fitted
from thalweg.norm._last import LastAxis
from thalweg.norm._spatial import SpatialRMSNorm
from thalweg.optim._weights import transposed_groups, weights
from thalweg.penalty import Penalty
from thalweg.recipe import Recipe
from thalweg.stop import Stop
from thalweg.study.script.sources import add_sources, source, tail
from thalweg.surgery import Operation, _functions, _layers, _seen, operate
from thalweg.task import Task
from thalweg.train import counter
from thalweg.train import dropout as keyed
from thalweg.train.made import FEW, masks_of, model_of
from thalweg.train.passes import freeze

__all__ = ["LOOKS_AT", "functions", "looks_at", "settings"]

LOOKS_AT = ("activation", "norm", "dropout", "init", "penalty", "prune")
"""Roles for which the task's model must be looked at."""

_SURGERY = ("activation", "norm", "dropout")


def looks_at(recipe: Recipe) -> bool:
    """Return whether the script of a recipe depends on the task's model."""
    return any(getattr(recipe, role) is not None for role in LOOKS_AT)


def settings(recipe: Recipe) -> str:
    """Return the lines that name the hyperparameters of what a recipe does to loss, weights and training's end."""
    lines = []
    for role in ("loss", "penalty", "stop"):
        part = getattr(recipe, role)
        if part is not None:
            lines.append(f"{role.upper()} = {dict(part.resolved())}")
    return "".join(f"{line}\n" for line in lines)


def functions(task: Task | None, recipe: Recipe, seed: int) -> list[str]:
    """Return the sources of what the loop calls.

    Args:
        task: whose model is looked at; None where the recipe asks for no look.
        recipe: resolved.
        seed: the run's, on which depends what is pruned.
    """
    found: dict[str, str] = {}
    parts: list[str] = []
    if isinstance(recipe.loss, Loss):
        add_sources(recipe.loss.technique.formula, found)
        add_sources(fitted, found)
        parts.append(_OBJECTIVE.format(name=recipe.loss.name, kinds=recipe.loss.technique.targets))
    if isinstance(recipe.stop, Stop):
        add_sources(recipe.stop.technique.formula, found)
    if task is not None:
        model = task.model(0)
        changed = {role: part for role in _SURGERY if (part := getattr(recipe, role)) is not None}
        if changed:
            operation = operate(model, task.train.at(slice(0, FEW)).inputs, **changed)
            model = operation.model
            parts += _shaped(operation, recipe.dropout, found)
        if isinstance(recipe.init, Init):
            parts += _filled(recipe.init, model, found)
        if isinstance(recipe.penalty, Penalty):
            parts += _penalised(recipe.penalty, model, recipe.freeze, found)
        if recipe.prune is not None:
            parts += _pruned(masks_of(task, recipe, seed, model_of(task, recipe, seed)))
    return [*found.values(), *parts]


_OBJECTIVE = '''
def objective(output, targets):
    """Return the recipe's loss of a batch."""
    return {name}(*fitted({name!r}, {kinds!r}, output, targets), **LOSS)
'''

# -- surgery -------------------------------------------------------------------------------------------


def _shaped(operation: Operation, dropout: Any, found: dict[str, str]) -> list[str]:
    """Return the source of ``shaped(model)``, which does to a model what surgery did, and of what it calls."""
    lines = []
    for edit in operation.edits:
        new, where = operation.model.get_submodule(edit.stands), f"model.get_submodule({edit.where!r})"
        wraps = edit.where if edit.role == "dropout" and dropout.technique.made_of else None
        written = _written(new, wraps, dropout, found)
        if edit.place == "instead":
            lines.append(f"model = put(model, {edit.where!r}, {written})")
        elif edit.place == "inside":
            lines.append(f"replace_functions({where}, {edit.functions!r}, {written})")
        else:
            lines.append(f"put_around({where}, {edit.place!r}, {written})")
        if (weights := list(new.parameters())) and not any(p.requires_grad for p in weights):
            lines.append(f"model.get_submodule({edit.stands!r}).requires_grad_(False)")
    for name, module in operation.model.named_modules():
        # What `operate` turned off, so that new modules inside are called in evaluation too.
        if isinstance(module, nn.TransformerEncoderLayer) and not module.activation_relu_or_gelu:
            lines.append(f"model.get_submodule({name!r}).activation_relu_or_gelu = 0")
        if isinstance(module, nn.TransformerEncoder) and not module.use_nested_tensor:
            lines.append(f"model.get_submodule({name!r}).use_nested_tensor = False")
    text = "\n".join(lines)
    parts = [_PUT] if "model = put(" in text else []
    if "put_around(" in text:
        parts.append(tail(_layers, "class _Around"))
    if "replace_functions(" in text:
        parts += [tail(_seen, "FUNCTIONS: dict", "SQUASHING"), tail(_functions, "PLACE = ")]
    return [*parts, f"def shaped(model):\n    {_SHAPED}\n{textwrap.indent(text, '    ')}\n    return model"]


_SHAPED = '"""Return the model with the recipe\'s activations, norms and dropout in their places."""'

_PUT = '''
def put(model, name, new):
    """Put a module wherever the one of that name stands, and return the model."""
    old = model.get_submodule(name)
    if old is model:
        return new
    for parent in list(model.modules()):
        for own, child in list(parent._modules.items()):
            if child is old:
                setattr(parent, own, new)
    return model
'''


def _written(module: nn.Module, name: str | None, dropout: Any, found: dict[str, str]) -> str:
    """Return the expression that makes a module that surgery put in.

    Args:
        module: what is made.
        name: of the layer that it is made of, if it is made of one.
        dropout: the recipe's.
        found: gets the sources that the expression calls.
    """
    if type(module).__module__.startswith("torch."):
        return f"nn.{module!r}"
    if isinstance(module, LastAxis):
        add_sources(LastAxis, found)
        return f"LastAxis({_written(module.norm, None, dropout, found)})"
    if isinstance(module, SpatialRMSNorm):
        add_sources(SpatialRMSNorm, found)
        return repr(module)
    assert isinstance(dropout, Dropout)
    technique, values = dropout.technique, dict(dropout.resolved())
    if not technique.layer and name is None:
        return _thinning(technique, values["p"], found)
    if technique.diverges:
        raise InputError(
            f"the dropout {technique.name} cannot be written as plain PyTorch; thalweg.dropout.pruned(model) makes a "
            "plain model of one that thalweg train has trained"
        )
    _keyed(found)
    add_sources(type(module), found)
    if "technique.formula(" in found[type(module).__name__]:
        add_sources(technique.formula, found)
        found[type(module).__name__] = found.pop(type(module).__name__).replace(
            "technique.formula(", f"{technique.name}("
        )
    return f"{type(module).__name__}(model.get_submodule({name!r}), **{values!r})"


def _thinning(technique: DropoutTechnique, p: float, found: dict[str, str]) -> str:
    """Return the expression for dropout between layers, and see that its class is there."""
    if technique.draws == "keep" and technique.shares == "nothing" and technique.evaluated is None:
        return f"nn.Dropout({p!r})"
    _keyed(found)
    add_sources(technique.formula, found)
    shape = {"nothing": "x.shape", "channels": "[*x.shape[:2], *[1] * (x.dim() - 2)]",
             "steps": "[len(x), 1, x.shape[2]]"}[technique.shares]  # fmt: skip
    drawn = f"keep(x, self.p, {shape})" if technique.draws == "keep" else f"normal(x, {shape})"
    evaluated = "x"
    if technique.evaluated is not None:
        add_sources(technique.evaluated, found)
        evaluated = f"{technique.evaluated.__name__}(x, p=self.p)"
    found["Thinning"] = _THINNING.format(evaluated=evaluated, name=technique.name, drawn=drawn).strip()
    return f"Thinning({p!r})"


_THINNING = '''
class Thinning(nn.Module):
    """Dropout between layers, of rate ``p``."""

    def __init__(self, p):
        super().__init__()
        self.p = p

    def forward(self, x):
        """Return what goes on, of the same shape."""
        if not self.training:
            return {evaluated}
        return {name}(x, {drawn}, p=self.p).to(x.dtype)
'''


def _keyed(found: dict[str, str]) -> None:
    """See that modules that ask for what stays, or for noise, are answered by the run's key."""
    if "keep" in found:
        return
    found["keep"] = tail(_asked, "def keep(", "def thinned(").strip()
    for ours in (keyed._keep, keyed._kept, counter.normals, keyed._normal):  # noqa: SLF001
        found[ours.__name__] = source(ours).rstrip()
    found["ANSWERS"] = "ANSWERS.update({keep: _keep, normal: _normal})"


# -- first values, penalties ---------------------------------------------------------------------------


def _filled(init: Init, model: nn.Module, found: dict[str, str]) -> list[str]:
    """Return the source of ``fill(model, batch)`` and of the numbers that it needs."""
    technique = init.technique
    add_sources(technique.formula, found)
    given, zeros = numbers(init, model)
    table = "\n".join(f"    {weight.name!r}: {values!r}," for weight, values in given)
    parts = [
        f"INIT = {{  # what each weight is filled by, beside noise\n{table}\n}}",
        f"ZEROS = {zeros!r}  # and what begins at 0",
    ]
    views, blanks = "[p]", [f"{w.name!r}: {w.blank}" for w, _ in given if w.blank is not None]
    apart = {
        w.name: (len(w.matrices(w.parameter)), isinstance(model.get_submodule(w.layer), _ConvTransposeNd))
        for w, _ in given
    }
    if any(found != (1, False) for found in apart.values()):
        kept = {name: found for name, found in apart.items() if found != (1, False)}
        parts += [f"APART = {kept!r}  # matrices in a weight, and whether inputs come first", _MATRICES]
        views = "matrices(p, *APART.get(name, (1, False)))"
    noise = ", ".join(_DRAWN[kind].format(key=f"(key / name / {i})" if i else "(key / name)")
                      for i, kind in enumerate(technique.noise))  # fmt: skip
    noise = noise or "np.zeros(tuple(p.shape))"
    each = views.replace("(p,", "(x,").replace("[p]", "[x]")
    lines = [
        "def fill(model, batch):",
        '    """Give the weights their first values: each a function of the seed and its name."""',
        '    key = Key(SEED) / "init"',
        "    with torch.no_grad():",
        "        for name in ZEROS:",
        "            model.get_parameter(name).zero_()",
        "        for name, values in INIT.items():",
        "            p = model.get_parameter(name)",
        f"            noise = [torch.from_numpy(x) for x in ({noise},)]",
        f"            for place, *mine in zip({views}, *({each} for x in noise)):",
        f"                place.copy_({technique.formula.__name__}(*mine, **values))",
    ]
    if blanks:
        parts.append(f"BLANK = {{{', '.join(blanks)}}}  # rows that stay 0")
        lines += ["            if name in BLANK:", "                p[BLANK[name]].zero_()"]
    if technique.rescaled is not None:
        add_sources(technique.rescaled, found)
        parts.append(tail(_rescale, "class _Seen"))
        layers = ", ".join(f"{w.layer!r}: model.get_parameter({w.name!r})" for w, _ in given)
        values = "".join(f", {name}={value!r}" for name, value in dict(init.resolved()).items())
        how = f"{init.name!r}, {technique.rescaled.__name__}"
        lines.append(f"        rescale({how}, model, {{{layers}}}, batch{values})")
    return [*parts, "\n".join(lines)]


_DRAWN = {
    "normal": "{key}.generator().standard_normal(tuple(p.shape))",
    "uniform": "{key}.generator().uniform(-1, 1, tuple(p.shape))",
}

_MATRICES = '''
def matrices(x, count, transposed):
    """Return views of a weight that are a map each, outputs first."""
    return [part.transpose(0, 1) if transposed else part for part in x.chunk(count)]
'''


def _penalised(penalty: Penalty, model: nn.Module, frozen: str, found: dict[str, str]) -> list[str]:
    """Return the source of what a penalty does to a weight, and the names of the weights."""
    technique = penalty.technique
    add_sources(technique.formula, found)
    model = freeze(model, frozen)
    names = [*weights(model, None, "the penalty")]
    parts = [f"WEIGHTS = {names!r}  # what the penalty is of"]
    if technique.place == "loss":
        return [*parts, _PULL.format(name=technique.formula.__name__)]
    groups = transposed_groups(model)
    apart = {name: groups[id(p)] for name, p in model.named_parameters() if name in names and id(p) in groups}
    parts.append(f"TRANSPOSED = {apart!r}  # groups of convolutions whose second axis counts the outputs")
    return [*parts, _CONSTRAIN.format(name=technique.formula.__name__)]


_PULL = '''
def pull(w):
    """Return the penalty's gradient of a weight."""
    with torch.enable_grad():
        w = w.detach().requires_grad_()
        return torch.autograd.grad({name}(w, **PENALTY), w)[0]
'''

_CONSTRAIN = '''
def constrain(name, w):
    """Make a weight keep to the constraint, in place."""
    groups = TRANSPOSED.get(name, 0)
    for part in [x.transpose(0, 1) for x in w.chunk(groups)] if groups else [w]:
        part.copy_({name}(part, **PENALTY))
'''


def _pruned(masks: Mapping[str, Tensor]) -> list[str]:
    """Return which weights stay, and the source of what holds the others at 0."""
    lines = []
    for name, mask in masks.items():
        packed = base64.b64encode(zlib.compress(np.packbits(mask.numpy().ravel()).tobytes(), 9)).decode()
        pieces = "\n        ".join(repr(piece) for piece in textwrap.wrap(packed, 100))
        lines.append(f"    {name!r}: (\n        {pieces}\n    ),")
    return ["MASKS = {  # which weights stay, a bit each, compressed\n" + "\n".join(lines) + "\n}", _HOLD]


_HOLD = '''
def masks_of(model):
    """Return which numbers of each trained parameter stay."""
    found = []
    for name, p in model.named_parameters():
        if p.requires_grad and name in MASKS:
            packed = zlib.decompress(base64.b64decode(MASKS[name]))
            bits = np.unpackbits(np.frombuffer(packed, np.uint8))[: p.numel()]
            found.append(torch.from_numpy(bits.astype(bool)).view(p.shape))
        elif p.requires_grad:
            found.append(torch.ones_like(p, dtype=torch.bool))
    return found


def hold(tensors, masks):
    """Set what is pruned to 0, in place, and return the tensors."""
    with torch.no_grad():
        for x, mask in zip(tensors, masks):
            x.masked_fill_(~mask, 0.0)
    return tensors
'''
