"""What goes to the nodes and comes back: the user's own code by value, records as plain values, one thread."""

import json

import numpy as np
import pytest
from sklearn.datasets import load_digits
from torch import nn
from torch.nn import functional as F
from work import assert_same, collected, lanes_of, locally, small_task

import thalweg as tw
from small import small_digits
from thalweg.record import Curve, RunRecord
from thalweg.study.engines import ray as engine_ray
from thalweg.study.engines import travelling
from thalweg.study.engines.lanes import failed

MY_TASK = """
from sklearn.datasets import load_digits
from torch import nn
from my_parts import scaled_loss
import thalweg as tw

WIDTH = 16

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(64, WIDTH), nn.Tanh(), nn.Linear(WIDTH, 10))

    def forward(self, x):
        return self.body(x)

inputs, targets = load_digits(return_X_y=True)
task = tw.Task(model=lambda: Net(), data=(inputs[:200], targets[:200]), loss=scaled_loss, metric=tw.accuracy)
"""
MY_PARTS = """
from torch.nn import functional as F

def scaled_loss(output, targets):
    return 2 * F.cross_entropy(output, targets)
"""


LATE = {
    "my_task.py": MY_TASK.replace("from my_parts", "from my_pack.parts"),
    "my_pack/__init__.py": "",
    "my_pack/parts.py": """
from torch.nn import functional as F

def scaled_loss(output, targets):
    from .late import factor
    return factor() * F.cross_entropy(output, targets)
""",
    "my_pack/late.py": "import my_numbers\ndef factor():\n    return my_numbers.TWO\n",
    "my_numbers.py": "TWO = 2\n",
}


def test_what_a_function_imports_when_it_is_called_goes_along(joined, tmp_path, monkeypatch):
    (tmp_path / "my_pack").mkdir()
    for name, text in LATE.items():
        (tmp_path / name).write_text(text)
    task, work = tw.load_task(f"{tmp_path}/my_task.py:task"), lanes_of(3)
    alone = locally(task, work)

    def pack(task):
        packed = travelling.packed(task)
        for name in LATE:
            (tmp_path / name).unlink()  # on another machine they would not be there either
        return packed

    monkeypatch.setattr(engine_ray, "packed", pack)
    found, _ = collected(task, work, joined.address)
    for name, record in found.items():
        assert record.status == "finished", record.reason
        assert_same(record, alone[name])


@pytest.mark.parametrize("executor", ["one by one", "vmapped"])
def test_a_users_own_file_and_the_one_beside_it_go_along(joined, tmp_path, executor):
    for name, text in (("my_task.py", MY_TASK), ("my_parts.py", MY_PARTS)):
        (tmp_path / name).write_text(text)
    task, work = tw.load_task(f"{tmp_path}/my_task.py:task"), lanes_of(3, executor=executor)
    for name in ("my_task.py", "my_parts.py"):
        (tmp_path / name).unlink()  # on another machine they would not be there either
    (found, _), alone = collected(task, work, joined.address), locally(task, work)
    assert found.keys() == alone.keys()
    for name, record in found.items():
        assert record.status == "finished"
        assert_same(record, alone[name])


@pytest.mark.parametrize("mixing", [False, True])
def test_examples_are_augmented_on_a_node_as_they_are_here(joined, mixing):
    inputs, targets = load_digits(return_X_y=True)
    task = tw.Task(model=lambda: nn.Sequential(nn.Flatten(), nn.Linear(64, 10)), name="pictures",
                   data=(inputs[:200].reshape(-1, 8, 8) / 16, targets[:200]), loss=F.cross_entropy,
                   metric=tw.accuracy)  # fmt: skip
    policy = tw.augment.brightness() >> tw.augment.noise() >> tw.augment.cutout()  # which need no OpenCV
    policy = policy >> tw.augment.mixup() if mixing else policy
    work = lanes_of(3, recipe=tw.Recipe(tw.optim.adam(), epochs=2, augment=policy))
    (found, _), alone = collected(task, work, joined.address), locally(task, work)
    assert found.keys() == alone.keys()
    for name, record in found.items():
        assert record.status == "finished"
        assert_same(record, alone[name])


def test_what_is_installed_does_not_go_along(linear_task):
    import work

    own = travelling._Own(linear_task).modules()
    assert work in own
    assert not [module for module in own if module.__name__.startswith(("torch", "numpy", "thalweg"))]


def test_a_task_that_a_node_cannot_load_is_refused_with_the_reason(joined, tmp_path, monkeypatch):
    (tmp_path / "only_here.py").write_text("def loss(output, targets):\n    return (output.mean() - 1) ** 2\n")
    monkeypatch.syspath_prepend(tmp_path)
    import only_here

    with pytest.raises(
        tw.InputError, match="cannot be loaded there: ModuleNotFoundError: No module named 'only_here'"
    ):
        collected(small_task(loss=only_here.loss), lanes_of(3), joined.address)


def test_a_process_on_a_node_has_one_thread_whatever_its_environment_says(joined, tmp_path):
    seen = tmp_path / "threads"

    def model():
        import os

        import torch
        from threadpoolctl import threadpool_info

        pools = {pool["internal_api"]: pool["num_threads"] for pool in threadpool_info()}
        seen.write_text(json.dumps([torch.get_num_threads(), os.environ.get("OMP_NUM_THREADS"), pools]))
        return torch.nn.Linear(64, 10)

    task = small_digits(model)
    collected(task, lanes_of(1, executor="one by one"), joined.address)
    torchs, variable, pools = json.loads(seen.read_text())
    assert (torchs, variable) == (1, "1")
    assert set(pools.values()) == {1}, pools


def flat(plain):
    """Nothing but what JSON knows, and bytes: what Ray sends without pickling it."""
    if isinstance(plain, dict):
        return all(type(key) is str and flat(value) for key, value in plain.items())
    if isinstance(plain, list):
        return all(map(flat, plain))
    return plain is None or type(plain) in (str, int, float, bytes)


@pytest.mark.parametrize(
    "record",
    [
        failed(("run 1", "epochs = 3", 1), "the weather was bad"),
        RunRecord(
            "run 2", "epochs = 3", 2, "finished", "", "vmapped, 3 together", 12, np.float64(0.25), 8.0, float("nan"),
            0.5, np.float32(0.75), Curve(np.arange(3), np.arange(3) * 4, np.array([np.nan, 2, 1]), np.ones(3)),
            np.array([0, 1, 1], dtype=np.float32),
        ),
    ],
)  # fmt: skip
def test_a_record_travels_as_plain_values(record):
    values = travelling.plain(record)
    assert flat(values)
    back = travelling.record_from(values)
    assert_same(back, record)
    assert back.cpu_seconds == record.cpu_seconds
