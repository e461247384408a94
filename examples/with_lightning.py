"""Our optimizers and schedules in Lightning, with a checkpoint saved, taken up again, and ending in the same bits.

An optimizer goes into ``configure_optimizers`` as torch's does; a schedule goes there as a scheduler of torch's kind,
stepped after every step. The order of the data is a function of the epoch, so that a resumed run sees what the other
would have seen.

Source: Lightning's documentation of ``configure_optimizers``; needs ``lightning``.

What to see: a run of 4 epochs, and one of 2 whose checkpoint a new trainer takes to 4, differ by exactly 0.
"""

import argparse
import logging
from pathlib import Path

import lightning
import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, Sampler, TensorDataset

import thalweg as tw

EPOCHS, BATCH = 4, 64
logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)


class Order(Sampler):
    """Examples in an order that depends on the epoch alone; Lightning says which epoch it is."""

    def __init__(self, n):
        self.n, self.epoch = n, 0

    def set_epoch(self, epoch):
        self.epoch = epoch

    def __iter__(self):
        return iter((tw.Key(0) / "order" / self.epoch).permutation(self.n).tolist())

    def __len__(self):
        return self.n


class Digits(lightning.LightningModule):
    def __init__(self, steps):
        super().__init__()
        self.steps = steps
        self.net = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))

    def training_step(self, batch, _):
        x, y = batch
        return nn.functional.cross_entropy(self.net(x), y)

    def configure_optimizers(self):
        optimizer = tw.optim.AdamW(self.parameters(), lr=1e-2)
        schedule = tw.schedule.warmup(0.1) >> tw.schedule.cosine()
        scheduler = tw.schedule.Scheduler(optimizer, schedule, total=self.steps)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}


def data():
    """Return images and classes for training, then for testing."""
    x, y = load_digits(return_X_y=True)
    x, y = torch.tensor(x, dtype=torch.float32) / 16, torch.tensor(y)
    return x[:1408], y[:1408], x[1408:], y[1408:]


def fit(epochs, checkpoint=None, seed=0):
    """Train to an epoch, from a checkpoint or from the start; return module and trainer."""
    x, y, *_ = data()
    loader = DataLoader(TensorDataset(x, y), batch_size=BATCH, sampler=Order(len(x)))
    lightning.seed_everything(seed, verbose=False)
    module = Digits(steps=EPOCHS * len(loader))
    trainer = lightning.Trainer(
        max_epochs=epochs, accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False,
    )  # fmt: skip
    trainer.fit(module, loader, ckpt_path=checkpoint)
    return module, trainer


def main(out="."):
    whole, _ = fit(EPOCHS)

    path = Path(out) / "with_lightning.ckpt"
    _, trainer = fit(EPOCHS // 2)
    trainer.save_checkpoint(path)
    resumed, trainer = fit(EPOCHS, path, seed=1)  # other initial weights: all comes from the checkpoint

    *_, x, y = data()
    accuracy = (whole.net(x).argmax(1) == y).double().mean().item()
    pairs = zip(whole.parameters(), resumed.parameters(), strict=True)
    difference = max((a - b).abs().max().item() for a, b in pairs)
    rate = trainer.optimizers[0].param_groups[0]["lr"]
    print(f"test accuracy {accuracy:.3f}; largest difference of a weight after stopping and resuming: {difference}")
    return {"accuracy": accuracy, "difference": difference, "rate": rate, "optimizer": trainer.optimizers[0]}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", default=".", help="where to put the checkpoint")
    main(parser.parse_args().out)
