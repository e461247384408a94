"""What the README shows works: its Python runs, its recipe reads, its commands parse."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from thalweg.recipe import Recipe

README = (Path(__file__).parent.parent / "README.md").read_text()
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", README, re.DOTALL)


def of(language):
    return [text for name, text in BLOCKS if name == language]


@pytest.mark.parametrize("code", of("python"))
def test_python_runs(code, tmp_path):
    (tmp_path / "shown.py").write_text(code)
    environment = {**os.environ, "PYTHONWARNINGS": "error"}
    subprocess.run([sys.executable, "shown.py"], cwd=tmp_path, env=environment, check=True, capture_output=True)


@pytest.mark.parametrize("text", of("toml"))
def test_recipes_read(text):
    assert Recipe.from_toml(text).space()


def test_the_task_file_is_compared_as_shown(tmp_path):
    (tmp_path / "my_task.py").write_text(next(code for code in of("python") if "class Net" in code))
    line = next(line for line in "\n".join(of("sh")).splitlines() if "my_task.py:task" in line)
    command = [sys.executable, "-m", "thalweg", *shlex.split(line)[1:]]
    short = [*command, "--trials", "1", "--seeds", "2", "--epochs", "1", "--out", "study"]
    short = [word for word in short if word not in ("--budget", "20m")]
    done = subprocess.run(short, cwd=tmp_path, check=True, capture_output=True, text=True)
    assert "report: " in done.stdout
    assert (tmp_path / "study" / "report.html").exists()
