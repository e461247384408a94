"""The fenced blocks of a page, and how a reader would try them: from the top, in one empty folder."""

import io
import itertools
import os
import re
import shlex
import subprocess
import sys
import tomllib
import types
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path

from typer.main import get_command

from thalweg.cli import app
from thalweg.notation import combine
from thalweg.recipe import Recipe

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), *sorted((ROOT / "docs/tutorials").glob("*.md"))]

STUDY = re.compile(r"\b(compare|ablate|lottery|train)\((?!\))|range_test\(")
"""What makes a block of Python one that trains."""

NOT_RUN = {
    "make": "what it calls is in the Makefile",
    "pip": "nothing is installed while tests run",
    "python3": "makes an environment",
    "ray": "needs the extra; tests/ray has clusters",
}
"""Programs that blocks name and tests do not start."""


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, the file that it is called, if any, and what is in it."""

    page: Path
    line: int
    language: str
    title: str
    text: str

    def __str__(self):
        return f"{self.page.relative_to(ROOT)}:{self.line}"

    @property
    def commands(self):
        """Its lines as words, comments left out; none of a block that is not for the shell."""
        if self.language != "sh":
            return []
        return [words for line in self.text.splitlines() if (words := shlex.split(line, comments=True))]


def blocks(page):
    """Return the blocks of a page in order; those inside tabs too, without their indentation."""
    found = []
    text = page.read_text()
    pattern = r"^( *)```(\w*)[ ]?([^\n]*)\n(.*?)^\1```$"
    for match in re.finditer(pattern, text, re.DOTALL | re.MULTILINE):
        indent, language, rest, inside = match.groups()
        title = re.search(r'title="([^"]+)"', rest)
        inside = "".join(line.removeprefix(indent) for line in inside.splitlines(keepends=True))
        line = text.count("\n", 0, match.start()) + 1
        found.append(Block(page, line, language, title[1] if title else "", inside))
    return found


ALL = [block for page in PAGES for block in blocks(page)]


def run_python(text, folder):
    """Run a script in this process, in a folder; return what it prints."""
    module = types.ModuleType("shown")
    sys.modules["shown"], before = module, Path.cwd()
    os.chdir(folder)
    try:
        with redirect_stdout(io.StringIO()) as told:
            exec(compile(text, "<shown>", "exec"), vars(module))
    finally:
        os.chdir(before)
        del sys.modules["shown"]
    return told.getvalue()


def parse(words):
    """Read a command as the command line does, without doing it; return its context.

    Raises whatever the command line says to a mistake.
    """
    assert words[0] == "thalweg"
    command = get_command(app).commands[words[1]]
    return command.make_context(words[1], list(words[2:]))


def read_varied(words):
    """Read what a command varies, if it does; `technique.md` makes a technique, which is not known without it."""
    varied = [value for name, value in itertools.pairwise(words) if name == "--vary"]
    varied = [value.replace(",adam_abs", ",sgd") for value in varied]
    return combine(Recipe(epochs=1), varied, []) if varied else {}


def check_toml(block):
    """Hold that a recipe reads; of other files, that they are TOML."""
    tomllib.loads(block.text)
    assert Recipe.from_toml(block.text, Recipe(epochs=1))


SHORT = {
    "compare": ("--trials", "1", "--seeds", "2", "--epochs", "1"),
    "ablate": ("--seeds", "2", "--epochs", "1"),
    "lottery": ("--seeds", "2", "--epochs", "1", "--rounds", "1"),
}


def shortened(words):
    """Return a command that trains less, with the same roles: its own numbers go, and its budget."""
    short = SHORT.get(words[1], ())
    names = {"--budget", *short[::2]}
    kept = [word for at, word in enumerate(words) if word not in names and words[at - 1] not in names]
    return [*kept, *(short if "--plan" not in words else short[-2:])]


def run_command(words, folder):
    """Run a command of thalweg in a folder; return the process."""
    command = [sys.executable, "-m", "thalweg", *words[1:]]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300)
