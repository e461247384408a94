"""Recipes as one types them: ``adam(lr=0.01)``, ``warmup(100) >> cosine``, and lists of these to compare."""

from __future__ import annotations

import ast
import itertools
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from thalweg.errors import InputError, unknown
from thalweg.recipe import CATALOGUES, CHAINS, OPTIONAL, ROLES, WORDS, Recipe, checked, not_known
from thalweg.technique import Choice, LogUniform, Uniform

__all__ = ["combine", "grid", "optimizers", "parse", "split_list"]


def split_list(text: str) -> list[str]:
    """Split at commas that are not inside parentheses.

    >>> split_list("adam(lr=0.1, beta1=0.8),sgd")
    ['adam(lr=0.1, beta1=0.8)', 'sgd']
    """
    parts, depth = [""], 0
    for character in text:
        depth += {"(": 1, ")": -1}.get(character, 0)
        if character == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += character
    return [part.strip() for part in parts]


def parse(role: str, text: str) -> Any:
    """Return a role's value from text: ``"adam(lr=LogUniform(1e-4, 1e-2))"``, ``"warmup >> cosine"``, ``"bf16"``.

    Raises:
        InputError: an unknown role or technique, or text that is neither.

    >>> parse("schedule", "warmup(100) >> cosine")
    warmup(100) >> cosine
    """
    if role not in ROLES:
        raise unknown("role", role, ROLES)
    if role in WORDS:
        return checked(role, text.strip().strip("'\""))
    try:
        value = _evaluate(role, ast.parse(text.strip(), mode="eval").body)
    except SyntaxError as error:
        raise InputError(f'{role} "{text}" cannot be read; write it as adam or adam(lr=0.01)') from error
    return checked(role, value)


_RANGES: dict[str, Any] = {"LogUniform": LogUniform, "Uniform": Uniform, "Choice": Choice}


def _evaluate(role: str, node: ast.expr) -> Any:
    """Evaluate names of techniques and ranges, calls of them, ``>>`` and literals; nothing else."""
    catalogue = CATALOGUES.get(role, {})
    match node:
        case ast.Name(id="none") if role in OPTIONAL:
            return None
        case ast.Name(id=name):
            if name not in catalogue:
                raise (
                    not_known(role, name) if catalogue else InputError(f"{role} takes a whole number, not {name!r}")
                )
            return catalogue[name]()
        case ast.Call(func=ast.Name(id=name), args=positional, keywords=keywords):
            maker = _RANGES.get(name) or catalogue.get(name)
            if maker is None:
                raise not_known(role, name) if catalogue else unknown(role, name, _RANGES)
            args = [_evaluate(role, a) for a in positional]
            values = {k.arg: _evaluate(role, k.value) for k in keywords if k.arg is not None}
            if len(values) < len(keywords):
                raise InputError(f"{ast.unparse(node)} cannot be read: name each of its hyperparameters once")
            try:
                return maker(*args, **values)
            except TypeError as error:
                raise InputError(f"{ast.unparse(node)} cannot be read: name its hyperparameters") from error
        case ast.BinOp(left=left, op=ast.RShift(), right=right) if role in CHAINS:
            return checked(role, _evaluate(role, left)) >> checked(role, _evaluate(role, right))
        case ast.Tuple(elts=items) | ast.List(elts=items):
            return tuple(_evaluate(role, item) for item in items)
    try:
        return ast.literal_eval(node)
    except (ValueError, TypeError) as error:
        raise InputError(f"{role} cannot be {ast.unparse(node)}") from error


def optimizers(text: str) -> dict[str, Any]:
    """Return a list of optimizers by what was typed for each.

    >>> optimizers("sgd,adam(lr=0.1)")
    {'sgd': sgd, 'adam(lr=0.1)': adam(lr=0.1)}

    Raises:
        InputError: an unknown one, none, or the same one twice.
    """
    names = split_list(text)
    if not all(names):
        raise InputError("--optimizer names an empty one; write --optimizer sgd,adam")
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise InputError(f'"{twice}" is named twice; every optimizer is shown once')
    return {name: parse("optimizer", name) for name in names}


def grid(base: Recipe, vary: Mapping[str, Sequence[str]]) -> dict[str, Recipe]:
    """Return every combination of the varied roles' values, by name.

    >>> list(grid(Recipe(), {"optimizer": ["sgd", "adam"], "schedule": ["constant", "cosine"]}))
    ['sgd + constant', 'sgd + cosine', 'adam + constant', 'adam + cosine']

    Raises:
        InputError: an unknown role or technique, an empty list, or the same value twice.
    """
    for role, texts in vary.items():
        if role not in ROLES:
            raise unknown("role", role, ROLES)
        if not all(texts) or not texts:
            raise InputError(f"--vary {role}= names nothing to compare; write --vary optimizer=adam,sgd")
    recipes: dict[str, Recipe] = {}
    for combination in itertools.product(*vary.values()):
        chosen = dict(zip(vary, combination, strict=True))
        words = [text if role in CATALOGUES and text != "none" else f"{role} {text}" for role, text in chosen.items()]
        name = " + ".join(words)
        if name in recipes:
            raise InputError(f'"{name}" is named twice; every recipe is compared once')
        recipes[name] = replace(base, **{role: parse(role, text) for role, text in chosen.items()})
    return recipes


def combine(base: Recipe, vary: Sequence[str], files: Sequence[Path]) -> dict[str, Recipe]:
    """Return the recipes to compare, by name: every combination of what is varied, and those in files.

    With files and no ``--vary`` each file is a recipe of its own; together, each file is varied.

    Args:
        base: what the rest is as.
        vary: texts such as ``"optimizer=adam,sgd"``.
        files: recipes in TOML.

    Raises:
        InputError: text that cannot be read, nothing to compare, or a name or recipe that comes twice.
    """
    roles: dict[str, list[str]] = {}
    for text in vary:
        role, sign, values = text.partition("=")
        if not sign:
            raise InputError(f'--vary "{text}" has no "="; write --vary optimizer=adam,sgd')
        if role.strip() in roles:
            raise InputError(f"--vary {role.strip()} is there twice; put all its values in one list")
        roles[role.strip()] = split_list(values)
    if not roles and not files:
        raise InputError("nothing to compare: give --vary optimizer=adam,sgd or --recipe FILE.toml")
    bases = {path.stem: Recipe.from_file(path, base) for path in files} or {"": base}
    if len(bases) < len(files):
        raise InputError("two recipe files have the same name; reports tell recipes apart by it")
    for path in files:
        said = [role for role in roles if role in tomllib.loads(path.read_text(encoding="utf-8"))]
        if said:
            raise InputError(
                f"{path} says its {said[0]} already, which --vary would replace; leave it out of one of them, "
                "or compare several files"
            )
    recipes: dict[str, Recipe] = {}
    for stem, recipe in bases.items():
        varied = grid(recipe, roles) if roles else {"": recipe}
        recipes |= {" + ".join(word for word in (stem, name) if word): r for name, r in varied.items()}
    first: dict[Recipe, str] = {}
    for name, recipe in recipes.items():
        if first.setdefault(recipe, name) != name:
            raise InputError(f"{first[recipe]} and {name} are the same recipe; every recipe is compared once")
    return recipes
