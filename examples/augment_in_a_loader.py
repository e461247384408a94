"""Our augmentation in a data loader of your own: in the ``Dataset``, one picture at a time, or in ``collate_fn``.

What happens to a picture follows from the seed, the epoch and the picture's number in the data. In the ``Dataset`` it
is an array of uint8; in ``collate_fn`` a whole batch of floats, each with draws of its own. The epoch is a number in
shared memory, so that workers that live on from one epoch to the next see it change.

Source: none; this is how to use a policy without the rest of thalweg.

What to see: both ways give the same bytes with 0, 1, 2 and 4 workers, epochs differ, and epoch 1 is the same when it
comes first.
"""

import argparse
import hashlib
import warnings

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch.utils.data import DataLoader, Dataset

from thalweg import augment

SEED, BATCH, PICTURES = 3, 32, 256
POLICY = augment.flip() >> augment.ssr(rotate=20.0) >> augment.brightness() >> augment.cutout(side=0.3)


def digits():
    """Return pictures of digits, uint8 (N, 8, 8), and their classes."""
    images, classes = load_digits(return_X_y=True)
    return np.rint(images[:PICTURES].reshape(-1, 8, 8) * 255 / 16).astype(np.uint8), classes[:PICTURES]


class Augmented(Dataset):
    """Pictures after augmentation, each by its own number."""

    def __init__(self, images, classes, epoch):
        self.images, self.classes, self.epoch = images, classes, epoch

    def __len__(self):
        return len(self.images)

    def __getitem__(self, i):
        image = POLICY(self.images[i], sample=i, epoch=int(self.epoch), seed=SEED)
        return torch.from_numpy(image)[None] / 255, int(self.classes[i])


class Numbered(Dataset):
    """Pictures as they are, with their numbers, for `Collate`."""

    def __init__(self, images, classes):
        self.images, self.classes = images, classes

    def __len__(self):
        return len(self.images)

    def __getitem__(self, i):
        return i, torch.from_numpy(self.images[i])[None] / 255, int(self.classes[i])


class Collate:
    """A ``collate_fn`` that augments a batch at once; a class, so that it can be sent to workers."""

    def __init__(self, epoch):
        self.epoch = epoch

    def __call__(self, examples):
        numbers, images, classes = zip(*examples, strict=True)
        batch = POLICY.batch(torch.stack(images), numbers, epoch=int(self.epoch), seed=SEED)
        return batch, torch.tensor(classes)


def loaders(workers):
    """Return the two loaders by name, and the epoch that both look at."""
    images, classes = digits()
    epoch = torch.zeros((), dtype=torch.int64).share_memory_()
    more = {"batch_size": BATCH, "num_workers": workers, "persistent_workers": workers > 0}
    return {
        "dataset": DataLoader(Augmented(images, classes, epoch), **more),
        "collate": DataLoader(Numbered(images, classes), collate_fn=Collate(epoch), **more),
    }, epoch


def hashes(workers, epochs=(0, 1)):
    """Return a hash of all bytes that each loader gives in each of some epochs."""
    found = {}
    both, now = loaders(workers)
    for name, loader in both.items():
        for epoch in epochs:
            now.fill_(epoch)
            whole = hashlib.sha256()
            for images, classes in loader:
                whole.update(images.numpy().tobytes() + classes.numpy().tobytes())
            found[name, epoch] = whole.hexdigest()[:16]
    return found


def main():
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="This DataLoader will create")  # where there are fewer cores
        found = {workers: hashes(workers) for workers in (0, 1, 2, 4)}
    for workers, each in found.items():
        print(f"{workers} workers: " + ", ".join(f"{name} epoch {epoch} {x}" for (name, epoch), x in each.items()))
    return found, hashes(0, epochs=(1,))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.parse_args()
    main()
