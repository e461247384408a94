"""Short texts of very different lengths, and models that make the same of them however much padding follows."""

from torch import nn
from torch.nn import functional as F

import thalweg as tw

WORDS, LONGEST = 12, 40


def texts(count=160, longest=LONGEST, seed=0):
    """Return lists of words 1 to 11, most of them short, and whether 3 is in them more often than 4."""
    key = tw.Key(seed) / "texts"
    found = []
    for i in range(count):
        generator = (key / i).generator()
        length = 1 + int((longest - 1) * generator.random() ** 3)
        found.append(generator.integers(1, WORDS, longest if i == 0 else length).tolist())
    return found, [int(text.count(3) > text.count(4)) for text in found]


class Mean(nn.Module):
    """The mean of what a layer makes of each word, with dropout."""

    def __init__(self, width=8):
        super().__init__()
        self.words = nn.Embedding(WORDS, width)
        self.layers = nn.ModuleList(
            [nn.Sequential(nn.Linear(width, width), nn.Tanh()), nn.Sequential(nn.Linear(width, width), nn.Tanh())]
        )
        self.drop = nn.Dropout(0.1)
        self.out = nn.Linear(width, 2)

    def forward(self, x):
        h = self.words(x)
        for layer in self.layers:
            h = layer(h)
        there = (x > 0).to(h.dtype).unsqueeze(-1)
        return self.out(self.drop((h * there).sum(1) / there.sum(1).clamp(min=1)))


class Packed(nn.Module):
    """The last state of an LSTM on each text without its padding."""

    def __init__(self, width=8):
        super().__init__()
        self.words = nn.Embedding(WORDS, width)
        self.read = nn.LSTM(width, width, batch_first=True)
        self.out = nn.Linear(width, 2)

    def forward(self, x):
        lengths = (x > 0).sum(1).clamp(min=1)
        packed = nn.utils.rnn.pack_padded_sequence(self.words(x), lengths, batch_first=True, enforce_sorted=False)
        return self.out(self.read(packed)[1][0][-1])


class Last(Packed):
    """The last state after all padding."""

    def forward(self, x):
        return self.out(self.read(self.words(x))[0][:, -1])


def task_of_texts(model=Mean, **changes):
    """Return the task of these texts, filled up with 0."""
    parts = {
        "data": texts(),
        "padding": 0,
        "loss": F.cross_entropy,
        "metric": tw.accuracy,
        "name": "texts",
        **changes,
    }
    return tw.Task(model=model, **parts)


def tags(output, targets):
    """Return the cross entropy of a class for each word; padding is left out."""
    return F.cross_entropy(output.flatten(0, 1), targets.flatten())


def tag_accuracy(output, targets):
    """Return the share of each text's words that have the right class."""
    there = targets >= 0
    return ((output.argmax(-1) == targets) & there).sum(1) / there.sum(1)


class Tagger(nn.Module):
    def __init__(self):
        super().__init__()
        self.words = nn.Embedding(WORDS, 4)
        self.out = nn.Linear(4, 2)

    def forward(self, x):
        return self.out(self.words(x))


def task_of_tags(model=Tagger, **changes):
    """Return a task with a class for each word: whether its number is even."""
    words, _ = texts()
    parts = {
        "data": (words, [[word % 2 for word in text] for text in words]),
        "padding": 0,
        "loss": tags,
        "metric": tw.Metric("tags", tag_accuracy, higher_is_better=True),
        "name": "tags",
        **changes,
    }
    return tw.Task(model=model, **parts)
