"""An exported script trains the same run without thalweg: nobody is locked in."""

import pytest
from torch import nn

import thalweg as tw
from exported import assert_same_weights, chosen, one_after_another, run
from small import small_digits
from thalweg.errors import InputError
from thalweg.optim import CATALOGUE

ODD = '''
"""A task of one's own, with a bit of everything, and with names that the script has too."""
from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import torch
from torch import nn

import beside
import thalweg as tw
from thalweg import Key

__all__ = ["task"]

SEED, EPOCHS, BATCH_SIZE, pi, F = 3, 1000, 1, 4, "mine"
rows = np.loadtxt(Path(__file__).with_name("rows.csv"), delimiter=",", dtype=np.float32)


def train(): ...
def evaluate(model): ...
def split(x): ...
def mask(x): ...
def cos(x): ...


class Gate(nn.Module):
    def __init__(self):
        super().__init__()
        self.a = nn.Linear(4, 12)
        self.norm = nn.BatchNorm1d(12)
        self.drop = nn.Dropout(0.3)
        self.scale = nn.Parameter(torch.ones(()))
        self.frozen = nn.Parameter(torch.eye(12), requires_grad=False)
        self.out = nn.Linear(12, 2)

    def forward(self, x, y):
        h = self.norm(self.a(x)) * torch.sigmoid(self.scale * y)
        return self.out(self.drop(torch.tanh(h @ self.frozen)))


def task():
    x, y = torch.from_numpy(rows[:, :4]), torch.from_numpy(rows[:, 4:5])
    target = (beside.signal(x) + y[:, 0] > 0).long()
    weights = torch.tensor([1.0, 1.5])
    return tw.Task(model=Gate, data=((x, y), target), metric=tw.accuracy, seed=SEED,
                   loss=lambda output, t: nn.functional.cross_entropy(output, t, weights))


if __name__ == "__main__":
    raise SystemExit("not in the script")
'''


@pytest.fixture
def odd(tmp_path):
    import numpy as np

    folder = tmp_path / "odd"
    folder.mkdir()
    (folder / "odd_task.py").write_text(ODD)
    (folder / "beside.py").write_text("def signal(x):\n    return x[:, 0] * x[:, 1]\n")
    np.savetxt(folder / "rows.csv", np.random.default_rng(0).normal(size=(150, 5)), delimiter=",")
    return f"{folder}/odd_task.py:task"


@pytest.fixture
def table(tmp_path):
    lines = [f"{i % 7 or 'NA'},{'ab'[i % 2]},{(i * 37 % 11) / 3 + i % 2:.3f}" for i in range(80)]
    (tmp_path / "rows.csv").write_text("\n".join(["size,kind,price", *lines]) + "\n")
    return str(tmp_path / "rows.csv")


def recorded(out, name):
    return chosen(out)[name].test


def study(task, out, recipes, **more):
    return tw.compare(task, recipes, trials=2, seeds=2, processes=1, out=out, progress=False, **more)


def test_a_task_of_ones_own_trains_the_same_without_thalweg(odd, tmp_path):
    slow = tw.schedule.warmup(3) >> tw.schedule.cosine()
    recipes = {name: tw.Recipe(CATALOGUE[name](), slow, epochs=4) for name in ("nadam", "sgd", "yogi")}
    study(tw.load_task(odd), tmp_path / "study", recipes)
    for name in recipes:
        assert run(tw.export(tmp_path / "study", name), tmp_path) == pytest.approx(recorded(tmp_path / "study", name))


@pytest.fixture
def pictures(tmp_path):
    import cv2
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    for i, (image, label) in enumerate(zip(images[:60], labels[:60] % 2, strict=True)):
        (tmp_path / "pictures" / str(label)).mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(tmp_path / "pictures" / str(label) / f"{i}.png"), image.reshape(8, 8) * 15)
    return tmp_path / "pictures"


@pytest.fixture
def arrays(tmp_path):
    import numpy as np
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    np.savez(tmp_path / "arrays.npz", x=images[:60].reshape(-1, 8, 8), y=labels[:60] % 2)
    return tmp_path / "arrays.npz"


@pytest.fixture
def reviews(tmp_path):
    words = ("good", "bad", "long", "short", "film")
    lines = [f"a {words[i % 5]} {words[i % 3]} {words[i % 4]} one,{words[i % 2]}" for i in range(60)]
    (tmp_path / "reviews.csv").write_text("\n".join(["text,label", *lines]) + "\n")
    return tmp_path / "reviews.csv"


OWN = {
    "table": {"target": "price", "metric": "absolute_error", "missing": "fill"},
    "pictures": {"metric": "balanced_accuracy"},
    "arrays": {},
    "reviews": {"target": "label", "text": "text", "metric": "balanced_accuracy"},
}


SLOW = [pytest.param(spec, marks=pytest.mark.slow) for spec in ("pictures", "arrays", "diabetes")]


@pytest.mark.parametrize("spec", ["digits", "table", "reviews", *SLOW])
def test_a_task_of_thalwegs_own_trains_the_same_without_thalweg(spec, tmp_path, request):
    task = tw.load_task(request.getfixturevalue(spec), **OWN[spec]) if spec in OWN else tw.load_task(spec)
    study(task, tmp_path / "study", {"adagrad": tw.Recipe(tw.optim.adagrad(), tw.schedule.step(20), epochs=25)})
    script = tw.export(tmp_path / "study")
    assert run(script, tmp_path) == pytest.approx(recorded(tmp_path / "study", "adagrad"), rel=1e-4)


def test_every_optimizer_and_schedule_trains_the_same_in_its_script(tmp_path):
    whole = tw.schedule.warmup(3) >> tw.schedule.exponential(steps=5) >> tw.schedule.step(4) >> tw.schedule.constant()
    recipes = {name: tw.Recipe(optimizer(), whole, epochs=10) for name, optimizer in CATALOGUE.items()}
    study(tw.load_task("wine"), tmp_path / "study", recipes)
    done = one_after_another(tmp_path / "study", CATALOGUE, tmp_path)
    lines = [line for line in done if line.startswith("test ")]
    records = chosen(tmp_path / "study")
    expected = [records[name].test for name in CATALOGUE]
    assert [float(line.split()[-1]) for line in lines] == pytest.approx(expected, rel=1e-4)
    assert len(set(expected)) > 3, "they end differently, so that a formula in the wrong script would be seen"


CHAINS = {
    "alone": tw.schedule.plateau(patience=0, factor=0.5, threshold=0.02),
    "warmed up": tw.schedule.warmup(7) >> tw.schedule.plateau(patience=0, factor=0.3, cooldown=1, end=0.01),
    "twice": tw.schedule.plateau(20, patience=0, factor=0.5)
    >> tw.schedule.plateau(patience=0)
    >> tw.schedule.linear(9),
    "the others": tw.schedule.one_cycle(9)
    >> tw.schedule.multistep(9, milestones=[3, 0.5])
    >> tw.schedule.triangular(9)
    >> tw.schedule.inverse_sqrt(9)
    >> tw.schedule.polynomial(5)
    >> tw.schedule.minus_sqrt(5)
    >> tw.schedule.cosine_restarts(period=4, growth=2),
}


@pytest.mark.parametrize(("spec", "names"), [("diabetes", ["alone"]), ("wine", ["warmed up", "twice", "the others"])])
def test_a_schedule_that_follows_the_metric_follows_it_in_the_script(spec, names, tmp_path):
    out = tmp_path / "study"
    recipes = {name: tw.Recipe(tw.optim.momentum(lr=0.02), CHAINS[name], epochs=12, batch_size=16) for name in names}
    tw.compare(tw.load_task(spec), recipes, trials=1, seeds=1, processes=1, out=out, progress=False)
    for name in names:
        assert ("observe(seen, -valid" in tw.export(out, name)) == (name != "the others")
    found = [float(line.split()[-1]) for line in one_after_another(out, names, tmp_path)]
    records = chosen(out)
    expected = [value for name in names for value in [*records[name].curve.valid[1:], records[name].test]]
    assert found == pytest.approx(expected, rel=1e-4)


AROUND = {
    "clipped": {"gradient": tw.gradient.centralise() >> tw.gradient.clip_norm(0.2)},
    "adaptive": {"gradient": tw.gradient.clip_adaptive(0.03) >> tw.gradient.clip_value(0.02)},
    "ema": {"average": tw.average.ema(0.9)},
    "swa": {"average": tw.average.swa(start=0.3, every=4), "optimizer": tw.optim.muon(lr=0.02)},
    "swa of epochs": {"average": tw.average.swa(start=0.4), "gradient": tw.gradient.clip_norm(1.0)},
    "sam": {"wrapper": tw.wrapper.sam(0.3)},
    "lookahead": {"wrapper": tw.wrapper.lookahead(k=3), "optimizer": tw.optim.prodigy()},
    "schedule free": {"optimizer": tw.optim.schedule_free_adamw(lr=0.02), "wrapper": tw.wrapper.sam(0.1)},
    "all": {
        "gradient": tw.gradient.clip_norm(0.5),
        "average": tw.average.ema_corrected(0.95),
        "wrapper": tw.wrapper.lookahead(k=4, alpha=0.8),
        "optimizer": tw.optim.lamb(lr=0.05),
    },
}


def test_what_goes_around_an_optimizer_goes_into_its_script(odd, tmp_path):
    """With dropout, batch norm, a scalar and a frozen parameter, in float64: the weights agree to 1e-8."""
    path = tmp_path / "odd" / "odd_task.py"
    exact = ODD.replace("seed=SEED,", "seed=SEED, dtype=torch.float64,").replace("[1.0, 1.5]", "[1.0, 1.5]).double(")
    # A bias before batch norm changes nothing, and is made of rounding.
    path.write_text(exact.replace("nn.Linear(4, 12)", "nn.Linear(4, 12, bias=False)"))
    plain = {"optimizer": tw.optim.adam(lr=0.02), "epochs": 4}
    recipes = {name: tw.Recipe(**{**plain, **roles}) for name, roles in AROUND.items()}
    assert_same_weights(tw.load_task(odd), recipes, tmp_path)


WORDS = """
import torch
from torch import nn
from sklearn.datasets import load_digits
import thalweg as tw

def net():
    return nn.Sequential(nn.Embedding(17, 4, sparse=True), nn.Flatten(), nn.Linear(256, 10))

inputs, targets = load_digits(return_X_y=True)
task = tw.Task(model=net, data=(inputs[:150].astype(int), targets[:150]), loss=nn.functional.cross_entropy,
               metric=tw.accuracy, dtype=torch.float64)
"""


def test_sparse_gradients_are_dense_in_the_script_too(tmp_path):
    (tmp_path / "words.py").write_text(WORDS)
    around = {"wrapper": tw.wrapper.sam(0.1), "gradient": tw.gradient.clip_norm(0.5), "prune": tw.prune.snip()}
    recipe = tw.Recipe(tw.optim.adam(lr=0.01), epochs=2, **around)
    assert_same_weights(tw.load_task(f"{tmp_path / 'words.py'}:task"), {"around": recipe}, tmp_path)


DEEP = """
import torch
from torch import nn
from sklearn.datasets import load_digits
import thalweg as tw

class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm1d(24)
        self.inner = nn.Linear(24, 24)
        self.drop = nn.Dropout(0.2)

    def forward(self, x):
        noise = torch.rand_like(x) if self.training and NOISE else 0.0
        return x + self.drop(torch.tanh(self.inner(self.norm(x)))) + noise

class Deep(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Linear(64, 24)
        self.layers = nn.ModuleList([Block(), Block()])
        self.head = nn.Linear(24, 10)

    def forward(self, x):
        x = self.first(x)
        for layer in self.layers:
            x = layer(x)
        return self.head(x)

parts, blocks, NOISE = "mine", "mine", False
inputs, targets = load_digits(return_X_y=True)
task = tw.Task(model=Deep, data=(inputs[:250], targets[:250]), loss=nn.functional.cross_entropy, metric=tw.accuracy)
"""
PASSES = {
    "in parts": {"accumulate": 3},
    "frozen": {"freeze": "first.* layers.*.inner.bias"},
    "again": {"recompute": "blocks"},
    "all": {"accumulate": 4, "freeze": "layers.0.*", "recompute": "blocks", "wrapper": tw.wrapper.sam(0.1)},
}
HALF = {
    "half": {"precision": "bf16"},
    "all": {"precision": "bf16", "accumulate": 4, "recompute": "blocks", "average": tw.average.ema(0.9)},
}


@pytest.mark.parametrize(
    ("dtype", "noise"),
    [*(pytest.param("float64", noise, marks=pytest.mark.slow) for noise in (False, True)), ("float32", False)],
)
def test_a_batch_passes_through_the_script_as_in_the_study(dtype, noise, tmp_path):
    """The weights are the study's to rounding, also where blocks draw."""
    source = DEEP.replace('"mine", "mine", False', f'"mine", "mine", {noise}')
    (tmp_path / "deep.py").write_text(source.replace("metric=", f"dtype=torch.{dtype}, metric="))
    some = PASSES if dtype == "float64" else HALF
    recipes = {name: tw.Recipe(tw.optim.momentum(lr=0.05), epochs=2, **roles) for name, roles in some.items()}
    rtol, atol = (1e-8, 1e-10) if dtype == "float64" else (1e-2, 1e-3)
    assert_same_weights(tw.load_task(f"{tmp_path}/deep.py:task"), recipes, tmp_path, rtol=rtol, atol=atol)


def test_a_plain_recipes_script_holds_nothing_that_it_does_not_need(odd, tmp_path):
    study(tw.load_task(odd), tmp_path / "study", {"sgd": tw.Recipe(tw.optim.sgd(), epochs=1)})
    script = tw.export(tmp_path / "study")
    for word in (
        "deepcopy",
        "batch_norms",
        "joined",
        "WRAPPER",
        "AVERAGE",
        "GRADIENT",
        "means",
        "_BatchNorm",
        "parts(",
        "autocast",
        "FREEZE",
        "checkpoint",
    ):
        assert word not in script


def test_dropout_inside_torchs_own_layers_is_seeded_as_in_the_study(tmp_path):
    (tmp_path / "hidden.py").write_text("""
import torch
from sklearn.datasets import load_digits
from torch import nn
import thalweg as tw

class Hidden(nn.Module):
    def __init__(self):
        super().__init__()
        self.inside = nn.LSTM(8, 8, num_layers=2, dropout=0.5, batch_first=True)
        self.drop = nn.Dropout(0.2)
        self.out = nn.Linear(8, 10)

    def forward(self, x):
        return self.out(self.drop(self.inside(x.view(-1, 8, 8))[0][:, -1]))

inputs, targets = load_digits(return_X_y=True)
task = tw.Task(model=Hidden, data=(inputs[:200], targets[:200]), loss=nn.functional.cross_entropy, metric=tw.accuracy)
""")
    out = tmp_path / "study"
    adam = tw.optim.adam(lr=0.02)
    recipes = {"adam": tw.Recipe(adam, epochs=3), "sam": tw.Recipe(adam, epochs=3, wrapper=tw.wrapper.sam(0.2))}
    study(tw.load_task(f"{tmp_path}/hidden.py:task"), out, recipes)
    for name in recipes:
        assert run(tw.export(out, name), tmp_path) == pytest.approx(recorded(out, name))


@pytest.mark.parametrize("always", [False, True])
def test_what_a_forward_pass_draws_is_drawn_as_in_the_study(always, tmp_path):
    """Noise, stochastic depth, and Python's own numbers; also in evaluation, where they are the same each time."""
    (tmp_path / "noisy.py").write_text(f"""
import random
import torch
from sklearn.datasets import load_digits
from torch import nn
import thalweg as tw

class Noisy(nn.Module):
    def __init__(self, also):
        super().__init__()
        self.inside, self.norm, self.out = nn.Linear(64, 16), nn.BatchNorm1d(16), nn.Linear(16, 10)
        self.drop, self.also = nn.AlphaDropout(0.1), also

    def forward(self, x):
        x.mul_(0.5)  # which is its own
        x = self.drop(self.norm(self.inside(x)))
        if self.training or {always}:
            x = x + 0.1 * torch.randn_like(x) + torch.distributions.Normal(0.0, 0.1).sample(x.shape)
            x = x * torch.empty(len(x), 1).bernoulli_(0.9)
            if self.also:
                x = x * random.choice([0.9, 1.1])
        return self.out(torch.selu(x))

inputs, targets = load_digits(return_X_y=True)
inputs, targets = inputs[:400], targets[:400]
arguments = dict(data=(inputs, targets), loss=nn.functional.cross_entropy, metric=tw.accuracy, dtype=torch.float64)
keyed = tw.Task(model=lambda: Noisy(False), name="keyed", **arguments)
also = tw.Task(model=lambda: Noisy(True), name="also", **arguments)
""")
    adam = tw.optim.adam(lr=0.02)
    recipes = {
        "adam": tw.Recipe(adam, epochs=3),
        "averaged": tw.Recipe(adam, epochs=3, average=tw.average.ema()),
        "thinned": tw.Recipe(adam, epochs=3, dropout=tw.dropout.gaussian(0.2)),
    }
    for name in ("keyed", "also"):
        task = tw.load_task(f"{tmp_path}/noisy.py:{name}")
        assert_same_weights(task, recipes, tmp_path / name)


def test_what_cannot_be_exported_is_said(tmp_path):
    with pytest.raises(InputError, match="holds no study"):
        tw.export(tmp_path / "nowhere")
    out = tmp_path / "study"
    study(small_digits(lambda: nn.Linear(64, 10)), out, {"sgd": tw.Recipe(epochs=1), "adam": tw.Recipe(epochs=2)})
    with pytest.raises(InputError, match='unknown recipe "adm"; did you mean "adam"'):
        tw.export(out, "adm")
    with pytest.raises(InputError, match=r"was made in Python, not by a file; put it into my_task.py"):
        tw.export(out)


def test_a_task_file_that_is_gone_or_broken_is_said(odd, tmp_path):
    out = tmp_path / "study"
    study(tw.load_task(odd), out, {"sgd": tw.Recipe(tw.optim.sgd(), epochs=1)})
    path = tmp_path / "odd" / "odd_task.py"
    path.write_text("def (")
    with pytest.raises(InputError, match="is not Python any more"):
        tw.export(out)
    path.unlink()
    with pytest.raises(InputError, match=r"odd_task.py cannot be read: No such file"):
        tw.export(out)


def test_an_unfinished_study_is_not_exported(tmp_path, monkeypatch):
    from thalweg.study import work as module

    def stop(*arguments, **more):
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "chosen_arm", stop)
    with pytest.raises(KeyboardInterrupt):
        study(tw.load_task("wine"), tmp_path, {"sgd": tw.Recipe(epochs=1), "adam": tw.Recipe(epochs=2)})
    with pytest.raises(InputError, match="is not finished; run its command again, then export"):
        tw.export(tmp_path)


def test_a_recipe_whose_every_run_diverged_is_not_exported(tmp_path):
    wild = {rate: tw.Recipe(tw.optim.sgd(lr=float(rate)), epochs=1) for rate in ("1e30", "1e31")}
    done = study(tw.load_task("wine"), tmp_path / "both", wild)
    assert "every run diverged" in done.verdict["sentences"][0]
    with pytest.raises(InputError, match=r"no best recipe to export: On wine, every run diverged"):
        tw.export(tmp_path / "both")
    with pytest.raises(InputError, match=r"every run of 1e30 diverged \(.*finite"):
        tw.export(tmp_path / "both", "1e30")
