"""What type checkers and editors know of a technique's call: a class of its own, of the declaration."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from types import ModuleType

    from thalweg.technique._technique import Technique

__all__ = ["package_stub", "technique_stub"]


def technique_stub(technique: Technique) -> str:
    """Return a class whose call takes a technique's arguments by name and type, and the technique as one of it."""
    kind, made = type(technique).__name__, type(technique()).__name__
    placed = technique.placed()
    others = [name for name in technique.arguments() if name not in placed]
    taken = [
        f"{name}: {_type(technique, name)} = {_written(technique.arguments()[name])}" for name in (*placed, *others)
    ]
    taken[len(placed) :] = ["*", *taken[len(placed) :]] if others else []
    lines = [
        f"class _{technique.name}({kind}):",
        "    def __call__(",
        *(f"        {one}," for one in ("self", *taken)),
        f"    ) -> {made}: ...",
        "",
        f"{technique.name}: _{technique.name}",
        "",
    ]
    return "\n".join(lines)


def package_stub(module: ModuleType, catalogue: Mapping[str, Technique], beside: Iterable[str] = ()) -> str:
    """Return the stub of a kind's package: its techniques, and what else it has, from where that is.

    Args:
        module: the package.
        catalogue: its techniques.
        beside: tuples of techniques that it has.
    """
    one = next(iter(catalogue.values()))
    kind = type(one).__name__
    named = {made.__name__: _home(made) for made in (type(one), type(one()))}
    for name in module.__all__:
        if name not in catalogue and name != "CATALOGUE":
            named[name] = getattr(module, name).__module__
    lines = [
        "# ruff: noqa: F401, I001, N801, RUF100",
        f'"""Made by ``python -m thalweg.stubs`` from the declarations in `{module.__name__}`."""\n',
        "from collections.abc import Sequence\n",
        *(f"from {home} import {name} as {name}" for name, home in sorted(named.items(), key=lambda x: (x[1], x[0]))),
        "from thalweg.technique import Choice, LogUniform, Uniform\n",
        f"CATALOGUE: dict[str, {kind}]",
        *(f"{name}: tuple[{kind}, ...]" for name in beside),
        "",
        *(technique_stub(technique) for technique in catalogue.values()),
    ]
    return "\n".join(lines)


def _written(value: Any) -> str:
    return json.dumps(value) if isinstance(value, str) else repr(value)


def _home(made: type) -> str:
    return made.__module__.partition("._")[0] if made.__module__.startswith("thalweg.technique.") else made.__module__


def _type(technique: Technique, name: str) -> str:
    """Return what an argument takes; None also where it selects another technique."""
    default = technique.arguments()[name]
    selecting = getattr(technique, "selects", {}).get(name)
    if isinstance(default, bool):
        return "bool"
    if isinstance(default, tuple):
        return "Sequence[float] | Choice"
    if isinstance(default, str):
        return "str | Choice"
    none = " | None" * (default is None or (selecting is not None and selecting[0] is None))
    return f"{'float' if default is None else type(default).__name__} | Uniform | LogUniform | Choice{none}"
