"""``thalweg ablate`` and ``--baselines`` as one types them: what they leave, and one sentence for mistakes."""

import contextlib

import pytest

from test_cli import snapshot, thalweg
from thalweg.record import Store

SMALL = "--seeds 2 --epochs 1 --processes 1"
FILES = {
    "full.toml": 'norm = "layer"\n\n[optimizer]\nname = "momentum"\nlr = {low = 1e-3, high = 1.0, scale = "log"}\n',
    "plain.toml": "epochs = 1\n",
    "parts.toml": "accumulate = 16\nbatch_size = 16\n",
    "wrong.toml": 'norm = "lair"\n',
    "dense.csv": "\n".join(["a,b,y", *(f"{i % 7},{i * i % 11},{i / 8}" for i in range(30))]),
}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("place")
    for name, text in FILES.items():
        (folder / name).write_text(text)
    with contextlib.chdir(folder):
        yield folder


def test_ablate_says_what_each_is_worth_and_goes_on_where_it_stopped(place, tmp_path):
    line = f"ablate wine --recipe full.toml {SMALL} --out {tmp_path}/a --baselines knn"
    code, out, err = thalweg(line)
    assert code == 0
    assert "On wine, " in out
    assert "norm layer" in out
    assert "The line to beat, the best of 8 settings by validation: knn " in out
    assert out.endswith(f"report: {tmp_path}/a/report.html\n")
    assert "8 runs of 4 recipes on wine: 2 seeds; about" in err
    assert "not searched, at their defaults: optimizer.lr" in err
    with Store(tmp_path / "a") as store:
        assert [row.name for row in store.recipes()] == [
            "full", "full with adam for momentum", "full without norm layer", "plain",
        ]  # fmt: skip
        assert store.get("protocol")["command"] == f"thalweg {line}"
    code, again, err = thalweg(line)
    assert (code, again) == (0, out)
    assert "8 of at most 8 runs are recorded" in err
    page = (tmp_path / "a" / "report.html").read_text()
    assert thalweg(f"report {tmp_path}/a")[0] == 0
    assert (tmp_path / "a" / "report.html").read_text() == page
    assert thalweg(f"export {tmp_path}/a plain")[0] == 0


def test_without_out_an_ablation_lies_beside_under_its_tasks_name(place, tmp_path, monkeypatch):
    recipe = place / "full.toml"
    monkeypatch.chdir(tmp_path)
    assert thalweg(f"ablate wine --recipe {recipe} --seeds 1 --epochs 1 --processes 1")[0] == 0
    assert [path.name for path in tmp_path.iterdir()] == ["wine-ablation"]


def test_compare_says_the_lines_to_beat_on_a_table_with_a_quantity(place, tmp_path):
    line = f"compare dense.csv --target y --vary optimizer=sgd,adam --trials 1 {SMALL} --out {tmp_path}/c"
    code, out, err = thalweg(f"{line} --baselines 'knn, svm,logistic,trees'")
    assert code == 0
    assert "Lines to beat, at one setting: " in out
    assert "logistic (as ridge)" in out
    assert "baselines: knn, svm, logistic and trees, 1 setting each" in err
    assert "Lines to beat" in (tmp_path / "c" / "report.html").read_text()


BOTH = "compare wine --vary optimizer=sgd,adam"
MISTAKES = {
    f"ablate wine --recipe plain.toml {SMALL} --out new": "the recipe says nothing beyond the plain one (adam, ",
    f"ablate wine --recipe none.toml {SMALL} --out new": "the recipe none.toml cannot be read: No such file",
    f"ablate wine --recipe wrong.toml {SMALL} --out new": 'wrong.toml, line 1: unknown norm "lair"; did you mean',
    f"ablate wine --recipe parts.toml --batch-size 8 {SMALL} --out new": "full with batch_size 8 for 16 is no ",
    "ablate wine --recipe full.toml --seeds 0 --out new": "seeds takes a whole number from 1 up, not 0",
    "ablate wine --recipe full.toml --engine roy --out new": 'unknown engine "roy"; did you mean "ray"?',
    "ablate wine --recipe full.toml --baselines knm --out new": 'unknown baseline "knm"; did you mean "knn"?',
    "ablate wines --recipe full.toml --out new": 'unknown task "wines"; did you mean "wine"?',
    "ablate pysource --recipe full.toml --baselines knn --out new": "baselines cannot be had on the task pysource: ",
    f"{BOTH} --baselines knn,tree --out new": 'unknown baseline "tree"; did you mean "trees"?',
    f"{BOTH} --baselines '' --out new": "a baseline without a name; write knn,svm,logistic,trees, or some of them",
    f"{BOTH} --baselines knn,knn --out new": 'the baseline "knn" is named twice; each is fitted once',
}


@pytest.mark.parametrize(("line", "message"), MISTAKES.items())
def test_a_mistake_is_one_sentence_and_leaves_nothing(place, line, message):
    before = snapshot(place)
    code, out, err = thalweg(line)
    assert err.startswith(f"thalweg: {message}")
    assert (code, out) == (2, "")
    assert err.count("\n") == 1
    assert snapshot(place) == before
