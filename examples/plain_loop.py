"""Our optimizers and schedules in a loop of your own, stopped in the middle and taken up again.

An optimizer is made as torch's is. A schedule is a function of the step, so a checkpoint holds the weights, the
optimizer's state dict and the number of the step, and nothing else: no counter of a scheduler, no generator's state.
The order of the data is a function of the epoch in the same way.

Source: none; this is how to take a recipe home.

What to see: training that is saved after half its steps, and goes on in objects made anew, ends in the same bits as
training that was never stopped.
"""

import argparse
from pathlib import Path

import torch
from sklearn.datasets import load_digits
from torch import nn

import thalweg as tw

EPOCHS, BATCH, RATE = 6, 64, 3e-3


def data():
    """Return images and classes for training, then for testing."""
    x, y = load_digits(return_X_y=True)
    x, y = torch.tensor(x, dtype=torch.float32) / 16, torch.tensor(y)
    return x[:1408], y[:1408], x[1408:], y[1408:]


def train(checkpoint=None, stop=None, seed=0):
    """Train from a checkpoint, or from the start; up to an epoch, or to the end. Return model and checkpoint."""
    torch.manual_seed(seed)
    x, y, *_ = data()
    model = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
    optimizer = tw.optim.AdamW(model.parameters(), lr=RATE)
    steps = len(x) // BATCH
    rate = tw.schedule.warmup(steps) >> tw.schedule.cosine((EPOCHS - 1) * steps)

    first = 0
    if checkpoint is not None:
        saved = torch.load(checkpoint, weights_only=True)
        model.load_state_dict(saved["model"])
        optimizer.load_state_dict(saved["optimizer"])
        first = saved["epoch"]

    last = EPOCHS if stop is None else stop
    for epoch in range(first, last):
        order = torch.from_numpy((tw.Key(0) / "order" / epoch).permutation(len(x)))
        for i, batch in enumerate(order.split(BATCH)):
            for group in optimizer.param_groups:
                group["lr"] = RATE * rate(epoch * steps + i)
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(x[batch]), y[batch]).backward()
            optimizer.step()
    return model, {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "epoch": last}


def main(out="."):
    whole, _ = train()

    path = Path(out) / "plain_loop.pt"
    _, half = train(stop=EPOCHS // 2)
    torch.save(half, path)
    resumed, _ = train(path, seed=1)  # other initial weights: all comes from the checkpoint

    *_, x, y = data()
    accuracy = (whole(x).argmax(1) == y).double().mean().item()
    pairs = zip(whole.parameters(), resumed.parameters(), strict=True)
    difference = max((a - b).abs().max().item() for a, b in pairs)
    print(f"test accuracy {accuracy:.3f}; largest difference of a weight after stopping and resuming: {difference}")
    return {"accuracy": accuracy, "difference": difference}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", default=".", help="where to put the checkpoint")
    main(parser.parse_args().out)
