"""Our optimizers and schedules with accelerate: saved in mid-epoch, loaded, and ending in the same bits.

``Accelerator.prepare`` wraps the optimizer and the scheduler as it does torch's; gradients are accumulated over two
batches here, so that the wrapper has steps to skip.

Source: accelerate's documentation of ``save_state`` and ``skip_first_batches``; needs ``accelerate``.

What to see: a run of 4 epochs, and one that was saved in the third and loaded into new objects, differ by exactly 0.
"""

import argparse
from pathlib import Path

import torch
from accelerate import Accelerator
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import thalweg as tw

EPOCHS, BATCH, ACCUMULATED = 4, 64, 2
HALF = (2, 10)  # the epoch, and how many of its batches, after which the state is saved


def data():
    """Return images and classes for training, then for testing."""
    x, y = load_digits(return_X_y=True)
    x, y = torch.tensor(x, dtype=torch.float32) / 16, torch.tensor(y)
    return x[:1408], y[:1408], x[1408:], y[1408:]


def train(save=None, load=None, seed=0):
    """Train to the end, or to `HALF` to save there, or from what was saved there; return model and optimizer."""
    torch.manual_seed(seed)
    x, y, *_ = data()
    accelerator = Accelerator(cpu=True, gradient_accumulation_steps=ACCUMULATED)
    model = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
    loader = DataLoader(TensorDataset(x, y), batch_size=BATCH)
    optimizer = tw.optim.NAdam(model.parameters(), lr=1e-2)
    schedule = tw.schedule.warmup(0.1) >> tw.schedule.cosine()
    scheduler = tw.schedule.Scheduler(optimizer, schedule, total=EPOCHS * len(loader) // ACCUMULATED)
    model, optimizer, loader, scheduler = accelerator.prepare(model, optimizer, loader, scheduler)
    if load is not None:
        accelerator.load_state(load)

    for epoch in range(HALF[0] if load else 0, EPOCHS):
        resumed = load is not None and epoch == HALF[0]
        batches = accelerator.skip_first_batches(loader, HALF[1]) if resumed else loader
        for i, (inputs, targets) in enumerate(batches, HALF[1] if resumed else 0):
            if save is not None and (epoch, i) == HALF:
                accelerator.save_state(save)
                return model, optimizer
            with accelerator.accumulate(model):
                accelerator.backward(nn.functional.cross_entropy(model(inputs), targets))
                optimizer.step()
                scheduler.step()
                optimizer.zero_grad()
    return accelerator.unwrap_model(model), optimizer


def main(out="."):
    whole, _ = train()
    path = str(Path(out) / "with_accelerate")
    train(save=path)
    resumed, optimizer = train(load=path, seed=1)  # other initial weights: all comes from what was saved

    *_, x, y = data()
    accuracy = (whole(x).argmax(1) == y).double().mean().item()
    pairs = zip(whole.parameters(), resumed.parameters(), strict=True)
    difference = max((a - b).abs().max().item() for a, b in pairs)
    rate = optimizer.param_groups[0]["lr"]
    print(f"test accuracy {accuracy:.3f}; largest difference of a weight after stopping and resuming: {difference}")
    return {"accuracy": accuracy, "difference": difference, "rate": rate, "optimizer": optimizer}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", default=".", help="where to put the saved state")
    main(parser.parse_args().out)
