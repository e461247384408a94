"""How the values of roles are written in TOML, and read."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import tomli_w

from thalweg.errors import InputError
from thalweg.recipe.roles import CATALOGUES, CHAINS, OPTIONAL, not_known
from thalweg.technique import Choice, Ingredient, LogUniform, Uniform

__all__ = ["from_plain", "line_of", "plain", "table"]


def plain(value: Any) -> Any:
    """Return a value, a range or a choice as what TOML has: a table for a range, a list for a choice."""
    match value:
        case Uniform(low, high):
            return {"low": low, "high": high, "scale": "linear"}
        case LogUniform(low, high):
            return {"low": low, "high": high, "scale": "log"}
        case Choice(values):
            return [plain(item) for item in values]
        case tuple():
            return list(value)
    return value


def table(part: Ingredient) -> str:
    """Return an ingredient as the lines of a TOML table; ranges stay on their line."""
    lines = tomli_w.dumps({"name": part.name})
    for name, value in part:
        written = plain(value)
        if isinstance(written, dict):
            inside = ", ".join(tomli_w.dumps({key: item}).strip() for key, item in written.items())
            lines += f"{name} = {{{inside}}}\n"
        else:
            lines += tomli_w.dumps({name: written})
    return lines


def from_plain(role: str, value: Any) -> Any:
    """Return the value of a role from what TOML says, not yet `checked`."""
    if role in OPTIONAL and value == "none":
        return None
    if role in CHAINS:
        parts = value if isinstance(value, list) else [value]
        if not parts:
            raise InputError(f"{role} = [] names none; leave {role} out")
        return CHAINS[role](tuple(_ingredient(role, CATALOGUES[role], part) for part in parts))
    if role in CATALOGUES:
        return _ingredient(role, CATALOGUES[role], value)
    return Choice(tuple(value)) if isinstance(value, list) else value


def _ingredient(kind: str, catalogue: Mapping[str, Any], table: Any) -> Ingredient:
    if isinstance(table, str):
        table = {"name": table}
    if not isinstance(table, dict) or not isinstance(table.get("name"), str):
        raise InputError(f'{kind} takes a table with a name, such as name = "{next(iter(catalogue))}"')
    if table["name"] not in catalogue:
        raise not_known(kind, table["name"])
    technique = catalogue[table["name"]]
    lists = {name for name, default in technique.hyperparameters.items() if isinstance(default, tuple)}
    values = {
        name: _lists(value) if name in lists else _range(name, value)
        for name, value in table.items()
        if name != "name"
    }
    return Ingredient(technique, values)


def _lists(value: Any) -> Any:
    """Return a list as the value that it is, and a list of lists as a choice among them."""
    nested = isinstance(value, list) and value and all(isinstance(item, list) for item in value)
    return Choice(tuple(map(tuple, value))) if nested else value


def _range(name: str, value: Any) -> Any:
    if isinstance(value, list):
        return Choice(tuple(value))
    if not isinstance(value, dict):
        return value
    scales = {"log": LogUniform, "linear": Uniform}
    bounds: list[Any] = [value.get("low"), value.get("high")]
    numbers = all(isinstance(b, int | float) and not isinstance(b, bool) for b in bounds)
    if set(value) != {"low", "high", "scale"} or value["scale"] not in list(scales) or not numbers:
        if numbers and bounds[0] >= bounds[1]:
            raise InputError(f"{name}: a range needs low < high, both finite, not {bounds[0]} and {bounds[1]}")
        missing = [word for word in ("low", "high", "scale") if word not in value]
        raise InputError(
            f"{name} takes a value, a list of values, or a range "
            '{low = 1e-4, high = 1e-1, scale = "log"} whose scale is "log" or "linear"'
            + (f"; this range has no {' and no '.join(missing)}" if missing else "")
        )
    try:
        return scales[value["scale"]](*bounds)
    except InputError as error:
        raise InputError(f"{name}: {error}") from error


def line_of(text: str, role: str, message: str) -> int:
    """Return the line that a message about a role speaks of: its hyperparameter's, else the role's own."""
    lines = text.splitlines()
    start = next((i for i, line in enumerate(lines) if re.match(rf"\s*\[*\s*{re.escape(role)}\b", line)), 0)
    for i in range(start, len(lines)):
        if i > start and re.match(r"\s*\[[^\[=]*\]\s*(#.*)?$", lines[i]) and role not in lines[i]:
            break
        name = re.match(r"\s*\"?([\w-]+)\"?\s*=", lines[i])
        if name and i > start and re.search(rf"\b{re.escape(name[1])}\b|\"{re.escape(name[1])}\"", message):
            return i + 1
        unheard = re.match(rf'unknown (?:{"|".join(CATALOGUES)}) "([^"]*)"', message)
        if name and name[1] == "name" and unheard and unheard[1] in lines[i]:
            return i + 1
    return start + 1
