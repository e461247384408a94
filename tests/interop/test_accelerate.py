"""Our optimizers with accelerate."""

import pytest
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from everything import apart, every_class, loss
from torch import nn

import thalweg as tw


@pytest.fixture(autouse=True)
def fresh():
    """Accelerators of one process share a state, its precision among others."""
    yield
    AcceleratorState._reset_state(reset_partial_state=True)


def test_the_example_resumes_to_the_bit(example):
    found = example("with_accelerate").main()
    assert found["difference"] == 0
    assert found["accuracy"] > 0.8
    assert found["rate"] == pytest.approx(0, abs=1e-12)  # the end of the cosine
    assert isinstance(found["optimizer"].optimizer, tw.optim.NAdam)


def test_torchs_optimizer_in_its_place_gives_the_same_weights(example, monkeypatch):
    module = example("with_accelerate")
    ours, _ = module.train()
    monkeypatch.setattr(tw.optim, "NAdam", torch.optim.NAdam)
    theirs, _ = module.train()
    assert apart(ours, theirs) < 1e-4


@pytest.mark.parametrize("precision", ["no", "bf16"])
@every_class
def test_every_class_is_wrapped_saved_and_loaded(kind, arguments, precision, tmp_path):
    def begun(seed):
        torch.manual_seed(seed)
        accelerator = Accelerator(cpu=True, mixed_precision=precision)
        model = nn.Linear(8, 4)
        return accelerator, *accelerator.prepare(model, kind(model.parameters(), lr=0.01, **arguments))

    def steps(accelerator, model, optimizer, at):
        for step in at:
            optimizer.zero_grad()
            accelerator.backward(loss(model, step))
            accelerator.clip_grad_norm_(model.parameters(), 0.5)
            optimizer.step()
            assert not optimizer.step_was_skipped

    accelerator, model, optimizer = begun(0)
    steps(accelerator, model, optimizer, range(3))
    accelerator.save_state(str(tmp_path / "half"))
    steps(accelerator, model, optimizer, range(3, 6))
    accelerator, other, resumed = begun(1)
    accelerator.load_state(str(tmp_path / "half"))
    steps(accelerator, other, resumed, range(3, 6))
    assert apart(model, other) == 0
