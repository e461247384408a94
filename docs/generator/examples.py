"""An example of each technique, by hand in a few lines: what its page shows, and the tests run."""

from __future__ import annotations

from typing import Any

from thalweg import optim
from thalweg.augment import AugmentTechnique
from thalweg.catalogue import KINDS
from thalweg.dropout import DropoutTechnique
from thalweg.technique import Technique

__all__ = ["example", "selected", "varied"]

LOOP = """\
for _ in range(3):
    optimizer.zero_grad()
    loss = model(torch.randn(32, 8)).square().mean()
    loss.backward()
    {before}optimizer.step(){after}
"""
PICTURE = """\
import numpy as np
from thalweg import augment

picture = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
"""


def example(technique: Technique) -> str:
    """Return a script that uses a technique by hand."""
    made = _MAKERS[technique.kind](technique)
    assert isinstance(made, str)
    return made.strip() + "\n"


def varied(technique: Technique, beside: tuple[str, ...]) -> str:
    """Return what ``--vary`` takes to compare a technique with a sibling, or with nothing."""
    members = KINDS[technique.kind]
    other = next((name for name in beside if name != technique.name), next(n for n in members if n != technique.name))
    if technique.kind not in ("optimizer", "schedule", "loss"):
        other = "none"
    return f"{technique.kind}={other},{technique.name}"


def selected(technique: Technique) -> tuple[str, dict[str, Any]]:
    """Return the class of an optimizer's formula, and the fewest arguments by which the class selects it."""
    found = []
    for name in optim.__all__:
        face = getattr(getattr(optim, name), "face", None)
        for options, formula in face.formulas.items() if face is not None else ():
            if formula is technique:
                pairs = [option.partition("=") for option in options]
                chosen = {key: word or _on(technique, key, face.arguments()[key]) for key, _, word in pairs}
                found.append((name, {key: value for key, value in chosen.items() if face.arguments()[key] != value}))
    return min(found, key=lambda one: len(one[1]))


def _on(technique: Technique, option: str, default: Any) -> Any:
    return True if isinstance(default, bool) else technique.hyperparameters.get(option, default)


def _optimizer(technique: Technique) -> str:
    name, chosen = selected(technique)
    given = "".join(f", {key}={value!r}" for key, value in chosen.items())
    averaging = getattr(technique, "evaluate", None) is not None
    return (
        f"import torch\nfrom thalweg import optim\n\nmodel = torch.nn.Linear(8, 1)\n"
        f"optimizer = optim.{name}(model.parameters(), lr={technique.hyperparameters['lr']:g}{given})\n"
        + ("optimizer.train()\n" if averaging else "")
        + LOOP.format(before="", after="")
        + ("optimizer.eval()  # the model now has the weights to evaluate\n" if averaging else "")
    )


def _schedule(technique: Technique) -> str:
    if getattr(technique, "state", None):
        return (
            "from thalweg import schedule\n\n"
            f"rate = schedule.warmup(4) >> schedule.{technique.name}(patience=1, factor=0.5)\n"
            "seen = rate.start()\n"
            "for step, loss in ((10, 0.9), (20, 1.1), (30, 1.0)):\n"
            "    seen = rate.observe(seen, loss, step)\n"
            "print(rate(30, seen))\n"
        )
    chained = {
        "warmup": "schedule.warmup(20) >> schedule.cosine(180)",
        "minus_sqrt": "schedule.warmup(10) >> schedule.constant(150) >> schedule.minus_sqrt(40)",
    }.get(technique.name, f"schedule.warmup(10) >> schedule.{technique.name}(190)")
    return (
        "import torch\nfrom thalweg import optim, schedule\n\n"
        "model = torch.nn.Linear(8, 1)\n"
        "optimizer = optim.SGD(model.parameters(), lr=0.1, momentum=0.9)\n"
        f"rate = {chained}\n"
        "print([round(rate(step), 3) for step in range(0, 200, 25)])\n\n"
        "scheduler = schedule.Scheduler(optimizer, rate)  # torch's LRScheduler\n"
        + LOOP.format(before="", after="\n    scheduler.step()")
    )


def _gradient(technique: Technique) -> str:
    call = f"gradient.{technique.name}({'1.0' if 'threshold' in technique.hyperparameters else ''})"
    return (
        "import torch\nfrom thalweg import gradient, optim\n\nmodel = torch.nn.Linear(8, 1)\n"
        "optimizer = optim.AdamW(model.parameters(), lr=0.001)\n"
        + LOOP.format(before=f"{call}.apply(model.parameters())\n    ", after="")
    )


def _average(technique: Technique) -> str:
    given = "" if "start" in technique.hyperparameters else "0.99"
    return (
        "import torch\nfrom thalweg import average, optim\n\nmodel = torch.nn.Linear(8, 1)\n"
        "optimizer = optim.AdamW(model.parameters(), lr=0.001)\n"
        f"averaged = average.Averaged(model, average.{technique.name}({given}))\n"
        + LOOP.format(before="", after="\n    averaged.update()")
        + "print(averaged(torch.ones(1, 8)))\n"
    )


def _wrapper(technique: Technique) -> str:
    if technique.name == "sam":
        return (
            "import torch\nfrom thalweg import optim, wrapper\n\nmodel = torch.nn.Linear(8, 1)\n"
            "optimizer = wrapper.SAM(optim.SGD(model.parameters(), lr=0.1), rho=0.05)\n"
            "x = torch.randn(32, 8)\n\n\ndef closure():\n    optimizer.zero_grad()\n"
            "    loss = model(x).square().mean()\n    loss.backward()\n    return loss\n\n\n"
            "for _ in range(3):\n    optimizer.step(closure)\n"
        )
    return (
        "import torch\nfrom thalweg import optim, wrapper\n\nmodel = torch.nn.Linear(8, 1)\n"
        "optimizer = wrapper.Lookahead(optim.AdamW(model.parameters(), lr=0.001), k=5, alpha=0.5)\n"
        + LOOP.format(before="", after="")
    )


def _init(technique: Technique) -> str:
    layers, more = "nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))", ""
    if technique.name == "dirac":
        layers = "nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3))"
    if technique.name == "lsuv":
        more = ", batch=torch.randn(128, 64)"
    if technique.name == "fixup":
        return (
            "from torch import nn\nfrom thalweg import init\n\n\nclass Block(nn.Module):\n"
            "    def __init__(self):\n        super().__init__()\n"
            "        self.branch = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 64))\n\n"
            "    def forward(self, x):\n        return x + self.branch(x)\n\n\n"
            "model = nn.Sequential(Block(), Block(), nn.Linear(64, 10))\n"
            "print(init.fixup().apply(model, key=0))\n"
        )
    return (
        ("import torch\n" if more else "")
        + f"from torch import nn\nfrom thalweg import init\n\nmodel = {layers}\n"
        + f"print(init.{technique.name}().apply(model, key=0{more}))\n"
    )


def _activation(technique: Technique) -> str:
    return (
        "import torch\nfrom thalweg import activation\n\n"
        f"layer = activation.{technique.name}().module()  # torch's own module\n"
        "print(layer(torch.tensor([-2.0, 0.0, 2.0])))\n"
        f"print(activation.{technique.name}().gain())  # of the weights before it\n"
    )


def _norm(technique: Technique) -> str:
    call = f"norm.{technique.name}({'groups=4' if technique.name == 'group' else ''})"
    shape, made, model = "(4, 8)", "8", "nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 2))"
    if technique.name == "instance":
        shape, made = "(4, 8, 16)", "8, dims=1"
        model = "nn.Sequential(nn.Conv1d(8, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(112, 2))"
    if technique.name == "removed":
        model = "nn.Sequential(nn.Linear(8, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Linear(32, 2))"
    return (
        "import torch\nfrom torch import nn\nfrom thalweg import norm, surgery\n\n"
        f"x = torch.randn{shape}\nlayer = {call}.module({made})  # torch's own module\nprint(layer(x).std())\n\n"
        f"model = {model}\nprint(surgery.operate(model, x, norm={call}))  # what it puts where\n"
    )


def _dropout(technique: Technique) -> str:
    assert isinstance(technique, DropoutTechnique)
    name, head = technique.name, "import torch\nfrom torch import nn\nfrom thalweg import dropout\n\n"
    if name == "embedding":
        return (
            head + "layer = dropout.embedding(0.1).module(nn.Embedding(100, 16))\n"
            "print(layer(torch.randint(100, (4, 12))).shape)\n"
        )
    if name == "rnn":
        return (
            head + "layer = dropout.rnn(0.25).module(nn.LSTM(8, 16, batch_first=True))\n"
            "outputs, _ = layer(torch.randn(4, 12, 8))\nprint(outputs.shape)\n"
        )
    if technique.diverges:
        return (
            head + f"model = nn.Sequential(dropout.{name}().module(nn.Linear(8, 32)), nn.ReLU(), nn.Linear(32, 1))\n"
            "examples = 1000  # in the training set\n"
            "loss = model(torch.randn(32, 8)).square().mean() + dropout.kl(model) / examples\nloss.backward()\n"
        )
    if name == "mc":
        return (
            head + "model = nn.Sequential(nn.Linear(8, 32), nn.ReLU(), dropout.mc(0.1).module(), nn.Linear(32, 1))\n"
            "print(dropout.predict(model, torch.randn(5, 8), 100))\n"
        )
    shape = "(4, 8, 16)" if name == "spatial" else "(4, 8)"
    return head + f"layer = dropout.{name}(0.5).module()\nprint(layer(torch.ones{shape}))\n"


def _penalty(technique: Technique) -> str:
    if technique.name == "max_norm":
        return (
            "import torch\nfrom thalweg import optim, penalty\n\nmodel = torch.nn.Linear(8, 1)\n"
            "optimizer = optim.SGD(model.parameters(), lr=0.1)\n"
            + LOOP.format(before="", after="\n    penalty.max_norm(3.0).apply(model)")
        )
    return (
        "import torch\nfrom thalweg import optim, penalty\n\nmodel = torch.nn.Linear(8, 1)\n"
        "optimizer = optim.SGD(model.parameters(), lr=0.1)\n"
        + LOOP.format(before="", after="").replace(
            ".square().mean()\n", f".square().mean() + penalty.{technique.name}(1e-4).of(model)\n"
        )
    )


def _loss(technique: Technique) -> str:
    if technique.name in ("cross_entropy", "hinge"):
        return (
            "import torch\nfrom thalweg import loss\n\nscores = torch.tensor([[3.0, 2.5, -1.0], [0.0, 0.5, 2.0]])\n"
            f"print(loss.{technique.name}()(scores, torch.tensor([0, 2])))\n"
        )
    return (
        "import torch\nfrom thalweg import loss\n\npredicted = torch.tensor([0.1, -0.2, 0.0, 5.0])\n"
        f"print(loss.{technique.name}({'0.25' if technique.name == 'trimmed' else ''})(predicted, torch.zeros(4)))\n"
    )


def _stop(technique: Technique) -> str:
    return (
        "from thalweg import stop\n\n"
        f"rule = stop.{technique.name}({'2' if technique.hyperparameters else ''})\n"
        "seen = rule.start(higher_is_better=True)\n"
        "for accuracy in (0.5, 0.8, 0.7, 0.75, 0.9):\n"
        "    seen, ended = rule.observe(seen, accuracy)\n    if ended:\n        break\n"
        "print(seen.epoch, seen.best_epoch, seen.best)\n"
    )


def _prune(technique: Technique) -> str:
    given = {
        "snip": ", batch=(x, y), loss=nn.functional.cross_entropy",
        "synflow": ", batch=x",
        "random": ", key=Key(0)",
        "unit_magnitude": ", batch=x",
    }.get(technique.name, "")
    return (
        "import torch\nfrom torch import nn\n"
        f"from thalweg import {'Key, ' if 'Key' in given else ''}prune\n\n"
        "model = nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 3))\n"
        + ("x, y = torch.randn(64, 8), torch.randint(3, (64,))\n" if "x" in given else "")
        + f"masks = prune.{technique.name}().masks(model, keep=0.5{given})\n"
        + "print({name: int(mask.sum()) for name, mask in masks.items()})\n"
    )


FILES = {
    "synonym": ('path="wordnet"', "the folder of WordNet; Debian's is found by itself"),
    "random_insertion": ('path="wordnet"', "the folder of WordNet; Debian's is found by itself"),
    "ppdb": ('path="ppdb.txt"', "a file of the Paraphrase Database"),
    "vectors": ('path="vectors.txt"', "a file of word2vec, GloVe or fastText"),
    "masked": ('path="model"', "the folder of a model that transformers saved"),
    "masked_insertion": ('path="model"', "the folder of a model that transformers saved"),
    "back_translation": ('path="there", back="back"', "the folders of two models that translate"),
}
"""Steps on texts that read something, and what."""


def _augment(technique: Technique) -> str:
    assert isinstance(technique, AugmentTechnique)
    name = technique.name
    if technique.medium == "text":
        given, note = FILES.get(name, ("", ""))
        return (
            "from thalweg import augment\n\n"
            f"policy = augment.{name}({given}){'  # ' + note if note else ''}\n"
            'print(policy.text("the quick brown fox jumps over the lazy dog", sample=3, epoch=1, seed=0))\n'
        )
    if technique.stage == "mix":
        return (
            "import torch\nfrom thalweg import augment\n\n"
            "pictures = torch.rand(4, 3, 32, 32)\n"
            f"mixed, labels = augment.{name}().mixed(pictures, [0, 1, 2, 0], range(4), classes=3)\n"
            "print(labels)\n"
        )
    given = "size=(48, 48)" if "size" in technique.hyperparameters else ""
    return PICTURE + f"changed = augment.{name}({given})(picture, sample=7, epoch=2, seed=0)\nprint(changed.shape)\n"


_MAKERS: dict[str, Any] = {
    "optimizer": _optimizer, "schedule": _schedule, "gradient": _gradient, "average": _average, "wrapper": _wrapper,
    "init": _init, "activation": _activation, "norm": _norm, "dropout": _dropout, "penalty": _penalty, "loss": _loss,
    "stop": _stop, "prune": _prune, "augment": _augment,
}  # fmt: skip
