"""`thalweg augment` as one types it, and tasks of pictures and texts from the command line."""

import sys

import cv2
import numpy as np
import pytest
from sklearn.datasets import load_digits

from thalweg import cli

IMAGES, LABELS = load_digits(return_X_y=True)
POLICY = """
[[augment]]
name = "flip"

[[augment]]
name = "ssr"
rotate = [10.0, 20.0]
"""


@pytest.fixture
def thalweg(monkeypatch, capsys, tmp_path):
    """Return a function that runs a command line in an empty directory: exit code, output, errors."""
    monkeypatch.chdir(tmp_path)

    def run(line):
        monkeypatch.setattr(sys, "argv", ["thalweg", *line.split()])
        with pytest.raises(SystemExit) as stopped:
            cli.main()
        out, err = capsys.readouterr()
        return stopped.value.code, out, err

    return run


@pytest.fixture
def here(tmp_path):
    for i in range(60):
        (tmp_path / "digits" / str(LABELS[i] % 2)).mkdir(parents=True, exist_ok=True)
        cv2.imwrite(
            str(tmp_path / "digits" / str(LABELS[i] % 2) / f"{i:02}.png"), np.rint(IMAGES[i].reshape(8, 8) * 15)
        )
    (tmp_path / "policy.toml").write_text(POLICY)
    (tmp_path / "adam.toml").write_text('[optimizer]\nname = "adam"\n')
    (tmp_path / "texts.txt").write_text("the quick brown fox\njumps over the lazy dog\n")
    return tmp_path


def test_a_preview_is_written_and_its_cost_said(thalweg, here):
    for name in ("out.html", "out.png"):
        code, out, err = thalweg(f"augment digits --policy policy.toml --preview {name} --samples 3 --epochs 2")
        assert (code, err) == (0, "")
        assert out.startswith(f"preview: {name}: 3 pictures of 60, ")
        first, second = out.splitlines()
        assert first.endswith("s each")
        assert second.startswith("rotate of ssr is searched among 10.0, 20.0, and 20.0 here. If a range to draw from")
        assert (here / name).stat().st_size > 1000
    page = (here / "out.html").read_text()
    assert "flip &gt;&gt; ssr(rotate=20.0)" in page
    assert second in page


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (
            "augment digits --policy adam.toml --preview o.html",
            "adam.toml says no augmentation; write [[augment]]",
        ),
        ("augment digits --policy none.toml --preview o.html", "the recipe none.toml cannot be read: No such file"),
        ("augment texts.txt --policy policy.toml --preview o.html", "flip is for pictures, and these are texts"),
        ("augment digits --policy policy.toml --preview o.pdf", 'a preview is written as .html or .png, not "o.pdf"'),
        ("augment digits --policy policy.toml --preview o.html --epochs 0", "epochs takes a whole number from 1 up"),
        ("augment digits --policy policy.toml", "missing option '--preview'; see thalweg augment --help"),
        ("compare digits/ --size big --vary optimizer=adam,sgd --out new", "a size is pixels a side such as 64, or"),
        ("compare digits/ --text a --vary optimizer=adam,sgd --out new", "--text names a column of a CSV file, and"),
        ("compare digits/ --drop a --vary optimizer=adam,sgd --out new", "--drop names a column of a CSV file, and"),
        (
            "compare digits/1 --vary optimizer=adam,sgd --out new",
            "digits/1 has no subfolders; put the pictures of each",
        ),
    ],
)
def test_a_mistake_is_one_sentence_and_leaves_nothing(thalweg, here, line, message):
    before = sorted(here.rglob("*"))
    code, out, err = thalweg(line)
    assert (code, out) == (2, "")
    assert err.startswith(f"thalweg: {message}")
    assert err.count("\n") == 1
    assert sorted(here.rglob("*")) == before


def test_a_policy_with_an_unknown_step_names_the_line(thalweg, here):
    (here / "policy.toml").write_text(POLICY.replace('"ssr"', '"shift_scale_rotate"'))
    code, _, err = thalweg("augment digits --policy policy.toml --preview o.html")
    assert code == 2
    assert err.startswith("thalweg: policy.toml, line 6: unknown augment ")
    assert 'did you mean "ssr"' in err


@pytest.mark.parametrize(
    ("step", "said"),
    [
        ('name = "rotat"', 'line 2: unknown augment "rotat"; did you mean "ssr"?'),
        ('name = "RandomAffine"', 'line 2: unknown augment "RandomAffine"; did you mean "affine"?'),
        ('name = "HorizontalFlp"', 'line 2: unknown augment "HorizontalFlp"; did you mean "flip"?'),
        ('name = "brightnes"', 'line 2: unknown augment "brightnes"; did you mean "brightness"?'),
        ('name = "none"', 'line 2: unknown augment "none"; where there is to be none, leave augment out'),
        (
            'name = "ssr"\nrotate = {low = 30, high = 10}',
            "line 3: rotate: a range needs low < high, both finite, not",
        ),
        ('name = "crop"\nsize = [1, 2, 3]', "line 3: size of crop is a height and a width, such as (32, 32), not"),
    ],
)
def test_a_step_that_is_none_is_told_with_what_was_meant(thalweg, here, step, said):
    (here / "policy.toml").write_text(f"[[augment]]\n{step}\n")
    code, _, err = thalweg("augment digits --policy policy.toml --preview o.html")
    assert code == 2
    assert err.startswith(f"thalweg: policy.toml, {said}")


def test_a_folder_of_pictures_is_compared(thalweg, here):
    varied = "--vary augment=none,flip,ssr,trivial"
    code, out, _ = thalweg(
        f"compare digits/ --size 8 {varied} --trials 1 --seeds 2 --epochs 1 --processes 1 --out study"
    )
    assert code == 0
    assert "report: study/report.html" in out
    verdict = next(line for line in out.splitlines() if line.startswith("On digits, "))
    assert all(name in verdict for name in ("augment none", "flip", "ssr", "trivial")), out


def test_a_plan_says_which_files_are_left_out_as_the_study_does(thalweg, here):
    (here / "digits/0/notes.txt").write_text("no picture")
    line = "compare digits/ --size 8 --vary optimizer=adam,sgd --trials 1 --seeds 2 --epochs 1 --processes 1"
    code, out, _ = thalweg(f"{line} --plan")
    assert code == 0
    assert "; 0/notes.txt is left out" in out.splitlines()[0]
