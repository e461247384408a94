"""Our optimizers in Lightning and in Fabric."""

import lightning
import pytest
import torch
from everything import apart, every_class, loss
from lightning.pytorch.callbacks import LearningRateMonitor
from lightning.pytorch.loggers import CSVLogger
from torch import nn

import thalweg as tw


def test_the_example_resumes_to_the_bit(example):
    found = example("with_lightning").main()
    assert found["difference"] == 0
    assert found["accuracy"] > 0.8
    assert found["rate"] == pytest.approx(0, abs=1e-12)  # the end of the cosine
    assert isinstance(found["optimizer"], tw.optim.AdamW)


def test_torchs_optimizer_in_its_place_gives_the_same_weights(example, monkeypatch):
    module = example("with_lightning")
    ours, _ = module.fit(epochs=2)
    monkeypatch.setattr(tw.optim, "AdamW", torch.optim.AdamW)
    theirs, _ = module.fit(epochs=2)
    assert apart(ours, theirs) < 1e-4


def test_a_checkpoint_of_torchs_optimizer_is_taken_up(example, monkeypatch):
    module = example("with_lightning")
    whole, _ = module.fit(epochs=4)
    with monkeypatch.context() as patch:
        patch.setattr(tw.optim, "AdamW", torch.optim.AdamW)
        _, trainer = module.fit(epochs=2)
        trainer.save_checkpoint("theirs.ckpt")
    resumed, trainer = module.fit(4, "theirs.ckpt", seed=1)
    assert isinstance(trainer.optimizers[0], tw.optim.AdamW)
    assert apart(whole, resumed) < 1e-4


class Small(lightning.LightningModule):
    def __init__(self, kind, arguments):
        super().__init__()
        self.kind, self.arguments = kind, arguments
        self.net = nn.Linear(8, 4)

    def training_step(self, batch, _):
        return nn.functional.cross_entropy(self.net(batch[0]), batch[1])

    def configure_optimizers(self):
        return self.kind(self.net.parameters(), lr=0.01, **self.arguments)


@every_class
def test_every_class_is_clipped_monitored_and_resumed(kind, arguments, tmp_path):
    def fit(epochs, seed, checkpoint=None):
        torch.manual_seed(seed)
        module = Small(kind, arguments)
        generator = torch.Generator().manual_seed(2)
        data = torch.randn(32, 8, generator=generator), torch.randint(4, (32,), generator=generator)
        loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(*data), batch_size=8)
        trainer = lightning.Trainer(
            max_epochs=epochs, accelerator="cpu", logger=CSVLogger(tmp_path), log_every_n_steps=1,
            callbacks=[LearningRateMonitor(log_momentum=True, log_weight_decay=True)], gradient_clip_val=0.5,
            enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
        )  # fmt: skip
        trainer.fit(module, loader, ckpt_path=checkpoint)
        return module, trainer

    whole, _ = fit(2, seed=0)
    _, trainer = fit(1, seed=0)
    trainer.save_checkpoint(tmp_path / "half.ckpt")
    resumed, _ = fit(2, seed=1, checkpoint=tmp_path / "half.ckpt")
    assert apart(whole, resumed) == 0


@every_class
def test_fabric_saves_and_loads_every_class(kind, arguments, tmp_path):
    fabric = lightning.Fabric(accelerator="cpu", devices=1)

    def begun(seed):
        torch.manual_seed(seed)
        model = nn.Linear(8, 4)
        return fabric.setup(model, kind(model.parameters(), lr=0.01, **arguments))

    def steps(model, optimizer, at):
        for step in at:
            optimizer.zero_grad()
            fabric.backward(loss(model, step))
            optimizer.step()

    model, optimizer = begun(0)
    steps(model, optimizer, range(3))
    fabric.save(tmp_path / "half.ckpt", {"model": model, "optimizer": optimizer})
    steps(model, optimizer, range(3, 6))
    other, resumed = begun(1)
    fabric.load(tmp_path / "half.ckpt", {"model": other, "optimizer": resumed})
    steps(other, resumed, range(3, 6))
    assert apart(model, other) == 0
