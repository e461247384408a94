"""Our optimizers in the Trainer of transformers."""

from pathlib import Path

import pytest
import torch
from everything import apart, every_class

import thalweg as tw


def test_the_example_resumes_to_the_bit(example):
    found = example("with_transformers").main()
    assert found["difference"] == 0
    assert found["accuracy"] > 0.6
    assert found["rate"] == pytest.approx(0, abs=1e-12)  # the end of the cosine
    assert isinstance(found["optimizer"].optimizer, tw.optim.AdamW)


def test_torchs_optimizer_in_its_place_gives_the_same_weights(example, monkeypatch):
    module = example("with_transformers")
    ours = module.trainer(Path("ours"))
    ours.train()
    monkeypatch.setattr(tw.optim, "AdamW", torch.optim.AdamW)
    theirs = module.trainer(Path("theirs"))
    theirs.train()
    assert apart(ours.model, theirs.model) < 1e-3


@every_class
def test_every_class_trains_and_resumes(kind, arguments, example, monkeypatch):
    module = example("with_transformers")
    texts = [f"{word} number {i}" for i in range(50) for word in ("a", "of", "the", "and")]
    monkeypatch.setattr(module, "docstrings", lambda: (texts, list(range(4)) * 50))
    monkeypatch.setattr(module, "STEPS", 4)
    monkeypatch.setattr(module, "HALF", 2)
    monkeypatch.setattr(tw.optim, "AdamW", lambda parameters, **_: kind(parameters, lr=0.01, **arguments))
    whole = module.trainer(Path("out"))
    whole.train()
    resumed = module.trainer(Path("out"), seed=1)
    resumed.train(resume_from_checkpoint="out/checkpoint-2")
    assert apart(whole.model, resumed.model) == 0
