"""The examples run, and find what their docstrings say."""

import importlib.util
import re
import runpy
import sys
from pathlib import Path

import pytest

from thalweg import optim

EXAMPLES = Path(__file__).parent.parent / "examples"
SCRIPTS = sorted(EXAMPLES.glob("*.py"))
ELSEWHERE = {"with_lightning", "with_accelerate", "with_transformers", "with_datasets"}  # tests/interop runs these


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Return a function that runs an example's ``main`` in an empty directory; its pictures land there."""
    monkeypatch.chdir(tmp_path)

    def call(name):
        specification = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
        module = importlib.util.module_from_spec(specification)
        specification.loader.exec_module(module)
        return module.main()

    return call


def test_adam_walks_to_the_wrong_end(run, tmp_path, capsys):
    found = run("adam_counterexample")
    for ends in (found["ends"], found["theorem"]):
        assert ends["adam"] > 0.95
        assert ends["amsgrad"] < -0.95
        assert ends["yogi"] < -0.95
    assert found["regret"]["adam"] > 20 / 101 > max(found["regret"]["amsgrad"], found["regret"]["yogi"])
    assert "average regret" in (tmp_path / "adam_counterexample.svg").read_text()
    assert "+0.99" in capsys.readouterr().out


def test_bias_correction_is_the_predicted_factor(run, tmp_path):
    found = run("bias_correction")
    assert found["measured"] == pytest.approx(found["predicted"], rel=1e-6)
    assert 1 / found["measured"][0] == pytest.approx(3.16, abs=0.01)
    assert min(found["measured"]) == found["measured"][11] == pytest.approx(1 / 6.57, rel=1e-2)
    assert (tmp_path / "bias_correction.svg").exists()


def test_decay_depends_on_the_gradients_in_one_form_alone(run, tmp_path):
    found = run("decoupled_decay")
    assert found["slopes"]["adam_l2"] == pytest.approx(-1, abs=0.05)
    assert found["slopes"]["adamw"] == pytest.approx(0, abs=0.01)
    assert found["decay"]["adamw"] == pytest.approx([0.1] * 5, rel=0.01)
    assert (tmp_path / "decoupled_decay.svg").exists()


def test_nesterovs_forms_are_one(run, tmp_path):
    found = run("nesterov_two_forms")
    assert found["after the change of variables"] < 1e-13
    assert found["as they stand"] > 0.01
    assert found["as they stand, at the end"] < 1e-4
    assert (tmp_path / "nesterov_two_forms.svg").exists()


def test_noise_falls_as_one_over_the_batch(run, tmp_path):
    found = run("gradient_noise")
    assert found["slope"] == pytest.approx(-1, abs=0.05)
    for way, values in found["noise"].items():
        assert values == pytest.approx(found["predicted"][way], rel=0.25)
    assert (tmp_path / "gradient_noise.svg").exists()


def test_batch_norm_smooths_and_does_not_shift_less(run, tmp_path):
    found = run("batch_norm")
    assert found["loss"]["batch norm"] < 0.3 * found["loss"]["plain"]
    assert found["beta"]["batch norm"] < 0.7 * found["beta"]["plain"]
    assert found["moved"]["batch norm"] < 0.2 * found["moved"]["plain"]
    assert found["cosine"]["batch norm"] < found["cosine"]["plain"]
    factor, predicted = found["growth"]["batch"]
    assert predicted == pytest.approx(1.211, abs=1e-3)
    assert factor == pytest.approx(predicted, rel=0.02)
    assert found["growth"]["layer"][0] == pytest.approx(1, abs=0.02)
    raw, standardised = found["rise"]
    assert raw > 100
    assert standardised < 1.1
    assert {path.stem for path in tmp_path.glob("*.svg")} == {
        "smoothness", "shift", "gradient_growth", "sensitivity",
    }  # fmt: skip


def test_state_costs_what_is_declared(run):
    table = run("cost_table")
    assert table.keys() == optim.CATALOGUE.keys()
    for name, (declared, ours, theirs) in table.items():
        assert declared == ours, name
        assert theirs in (None, ours), name


def test_a_loop_goes_on_where_it_stopped(run):
    found = run("plain_loop")
    assert found["difference"] == 0
    assert found["accuracy"] > 0.85


def test_augmented_batches_are_the_same_bytes_whatever_the_workers(run):
    found, first = run("augment_in_a_loader")
    assert all(each == found[0] for each in found.values())
    assert found.keys() == {0, 1, 2, 4}
    for way in ("dataset", "collate"):
        assert found[0][way, 0] != found[0][way, 1] == first[way, 1]


def test_every_example_is_tested():
    tests = Path(__file__).read_text()
    named = set(re.findall(r'run\("(\w+)"\)', tests))
    assert named | ELSEWHERE == {path.stem for path in SCRIPTS}


@pytest.mark.parametrize("path", [path for path in SCRIPTS if path.stem not in ELSEWHERE], ids=lambda path: path.stem)
def test_an_example_says_its_point_and_source(path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", [str(path), "--help"])
    with pytest.raises(SystemExit) as stopped:
        runpy.run_path(str(path), run_name="__main__")
    assert stopped.value.code == 0
    told = capsys.readouterr().out
    assert "Source:" in told
    assert "What to see:" in told
