"""The reference of the command line, from the command line itself."""

from __future__ import annotations

import re
from typing import Any

from typer.main import get_command

from thalweg.cli import app

__all__ = ["page"]

INTRODUCTION = (
    "A mistake in what is asked for is one sentence, with exit code 2; nothing is written then. Ctrl-C stops with "
    "exit code 130, and what is done is kept."
)


def page() -> str:
    """Return a page on every command: what it does, its arguments and options."""
    group = get_command(app)
    commands: dict[str, Any] = group.commands  # type: ignore[attr-defined]
    parts = [
        "# Commands\n\n" + INTRODUCTION + "\n",
        "| command | does |\n| --- | --- |",
        *[f"| [`thalweg {name}`](#{name}) | {_cell(_first(command.help))} |" for name, command in commands.items()],
    ]
    for name, command in commands.items():
        parts.append(_command(name, command))
    return "\n".join(parts) + "\n"


def _command(name: str, command: Any) -> str:
    arguments = [p for p in command.params if p.param_type_name == "argument"]
    options = [p for p in command.params if p.param_type_name == "option"]
    usage = " ".join([f"thalweg {name}", *[_shown(p) for p in arguments], *(["[OPTIONS]"] if options else [])])
    parts = [f"\n## {name} {{ #{name} }}\n\n{' '.join((command.help or '').split())}\n\n```text\n{usage}\n```"]
    for title, params in (("argument", arguments), ("option", options)):
        if params:
            rows = [f"| {_spelled(command, p)} | {_cell(p.help or '')} | {_default(p)} |" for p in params]
            parts.append(f"\n| {title} | what it says | default |\n| --- | --- | --- |\n" + "\n".join(rows))
    return "\n".join(parts)


def _shown(param: Any) -> str:
    word = (param.metavar or param.name.upper()).strip("[]{}")
    return word if param.required else f"[{word}]"


def _spelled(command: Any, param: Any) -> str:
    if param.param_type_name == "argument":
        words = _shown(param).strip("[]")
    else:
        words = param.get_help_record(command.make_context("", [], resilient_parsing=True))[0]
    return f"<code>{_cell(words).replace('_', '&#95;')}</code>"


def _default(param: Any) -> str:
    if param.required or param.default in (None, False, ""):
        return ""
    return f"`{param.default}`"


def _first(text: str | None) -> str:
    return " ".join((text or "").split())


def _cell(text: str) -> str:
    text = re.sub(r"\s+", " ", text).replace("|", "&#124;").replace("*", "&#42;")
    return text.replace("<", "&lt;")
