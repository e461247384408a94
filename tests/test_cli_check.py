"""``thalweg check`` as one types it: a table, and an exit code that says whether something is wrong."""

from pathlib import Path

import pytest

from test_cli import thalweg

TASK = """\
import torch
import thalweg as tw
from sklearn.datasets import load_digits
from torch import nn

x, y = load_digits(return_X_y=True)

def made(*last):
    model = lambda: nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10), *last)
    return tw.Task(model=model, data=(torch.tensor(x / 6 - 0.8, dtype=torch.float32), y),
                   loss=nn.functional.cross_entropy, metric=tw.accuracy)

def sound():
    return made()

def unsound():
    return made(nn.Softmax(1))

def empty():
    return tw.Task(model=nn.Identity, data=(x, y), loss=nn.functional.cross_entropy, metric=tw.accuracy)
"""


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(TASK)
    return tmp_path


def test_a_sound_task_is_a_table_and_code_0_and_nothing_is_written(here):
    before = {path.name for path in here.iterdir()}
    code, out, err = thalweg("check mine.py:sound")
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[0] == "mine: 1,079 train, 359 valid, 359 test; adam(lr=0.001, beta1=0.9, beta2=0.999,"
    assert max(map(len, lines)) <= 80
    assert {line.split()[0] for line in lines[3:-2] if not line.startswith(" ")} == {"fine", "note", "skipped"}
    assert lines[-1].startswith("Nothing is wrong; look at inputs.")
    assert {path.name for path in here.iterdir()} - {"__pycache__"} == before


def test_a_mistake_is_code_1_and_the_recipe_counts(here):
    code, out, _ = thalweg("check mine.py:unsound")
    assert code == 1
    assert "wrong    outputs             outputs are probabilities" in out
    (here / "mine.toml").write_text('[optimizer]\nname = "adam"\nlr = 5.0\n')
    code, out, _ = thalweg("check mine.py:sound --recipe mine.toml")
    assert code == 1
    assert "wrong    learning rate" in out


def test_the_tutorials_mistake_is_the_only_one_and_no_leakage(here):
    page = (Path(__file__).parents[1] / "docs" / "tutorials" / "check.md").read_text()
    (here / "mistaken.py").write_text(page.partition('title="mistaken.py"\n')[2].partition("```")[0])
    code, out, _ = thalweg("check mistaken.py:task")
    assert code == 1
    assert "fine     leakage" in out
    assert out.splitlines()[-1] == "1 of 23 checks found something wrong: outputs."


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("check mine.py:empty", "thalweg: the model of task mine has no trainable parameters; there is nothing"),
        ("check mine.py:sond", 'thalweg: unknown task in mine.py: "sond"; did you mean "sound"?'),
        ("check mine.py:sound --recipe none.toml", "thalweg: the recipe none.toml cannot be read"),
        ("check", "thalweg: missing argument 'TASK'"),
    ],
)
def test_what_cannot_be_checked_is_code_2_and_one_sentence(here, line, message):
    code, out, err = thalweg(line)
    assert (code, out) == (2, "")
    assert err.startswith(message)
    assert err.count("\n") == 1
