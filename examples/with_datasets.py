"""Our augmentation of texts and pictures in Hugging Face ``datasets``: ``map`` and ``with_transform``.

``map(..., with_indices=True)`` gives a function the numbers of its rows, which is all that a policy asks for; it
writes one epoch's texts to a data set. ``with_transform`` is called with each batch that is read: the number of a row
goes along as a column, and the epoch is looked at anew each time.

Source: ``datasets``' documentation of ``map`` and ``with_transform``; needs ``datasets``.

What to see: rows come out as the policy alone makes them, the same with one process and with two, batched or not, and
whichever rows are selected before.
"""

import argparse

import numpy as np
from datasets import Dataset, disable_progress_bars
from sklearn.datasets import load_digits

from thalweg import augment

SEED = 3
TEXTS = augment.random_swap() >> augment.keyboard(share=0.2)
PICTURES = augment.flip() >> augment.ssr(rotate=20.0)


def reviews():
    """Return a small data set of texts."""
    words = ("good", "bad", "long", "short", "quiet")
    return Dataset.from_dict({"text": [f"a rather {words[i % 5]} film, number {i}" for i in range(40)]})


def mapped(data, epoch, **more):
    """Return a data set of texts after augmentation, row by row."""

    def one(row, i):
        return {"text": TEXTS.text(row["text"], sample=i, epoch=epoch, seed=SEED)}

    return data.map(one, with_indices=True, load_from_cache_file=False, **more)


def mapped_in_batches(data, epoch):
    """Return the same, many rows at a time: quicker, and language models see them together."""

    def many(rows, numbers):
        return {"text": [done.text for done in TEXTS.texts(rows["text"], numbers, epoch=epoch, seed=SEED)]}

    return data.map(many, with_indices=True, batched=True, batch_size=16, load_from_cache_file=False)


def pictures():
    """Return a data set of small pictures, each with its number."""
    levels = np.rint(load_digits().images[:20] * 255 / 16).astype(np.uint8)
    return Dataset.from_dict({"image": levels, "number": range(len(levels))})


def augmented(data, epoch):
    """Return a data set whose pictures are augmented whenever they are read; ``epoch`` is a list of one number."""

    def many(rows):
        pairs = zip(rows["image"], rows["number"], strict=True)
        rows["image"] = [PICTURES(np.array(x, np.uint8), sample=i, epoch=epoch[0], seed=SEED) for x, i in pairs]
        return rows

    return data.with_transform(many)


def main():
    disable_progress_bars()
    data, epoch = reviews(), [0]
    texts = {
        "rows": mapped(data, 1)["text"],
        "two processes": mapped(data, 1, num_proc=2)["text"],
        "batches": mapped_in_batches(data, 1)["text"],
        "alone": [TEXTS.text(text, sample=i, epoch=1, seed=SEED) for i, text in enumerate(data["text"])],
    }
    read = augmented(pictures(), epoch)
    whole = read[:]["image"]
    selected = read.select([7, 3])[:]["image"]
    epoch[0] = 1
    later = read[:]["image"]
    print(f"{data[0]['text']!r} became {texts['rows'][0]!r}")
    return {"texts": {name: list(x) for name, x in texts.items()}, "pictures": (whole, selected, later)}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.parse_args()
    main()
