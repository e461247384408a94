"""Mistakes that a check may miss, take for another, or give the wrong remedy for; and what is none."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

import thalweg as tw
from checked import found
from thalweg import inspect
from thalweg.inspect._checks import scales

GENERATOR = torch.Generator().manual_seed(0)
N = 600
X = torch.randn(N, 12, generator=GENERATOR)
W = torch.randn(12, 3, generator=torch.Generator().manual_seed(5))
Y = (X @ W + 0.3 * torch.randn(N, 3, generator=GENERATOR)).argmax(1)
QUANTITY = 2 * X[:, :1] + torch.sin(X[:, 1:2]) + 0.1 * torch.randn(N, 1, generator=GENERATOR)


def mlp(inputs=12, outputs=3):
    return nn.Sequential(
        nn.Linear(inputs, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, outputs)
    )  # fmt: skip


def task(model=mlp, data=(X, Y), loss=F.cross_entropy, metric=tw.accuracy, **more):
    return tw.Task(model=model, data=data, loss=loss, metric=metric, epochs=5, **more)


def regression(loss=F.mse_loss, **more):
    return task(lambda: mlp(outputs=1), (X, QUANTITY), loss=loss, metric=tw.squared_error, **more)


# -- losses ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "planted",
    [
        lambda: task(loss=lambda o, t: -F.cross_entropy(o, t)),
        lambda: regression(loss=lambda o, t: -F.mse_loss(o, t)),
        lambda: regression(loss=lambda o, t: -F.l1_loss(o, t)),
        lambda: task(
            lambda: nn.Sequential(mlp(outputs=1), nn.Flatten(0)), (X, (X[:, 0] > 0).float()),
            loss=lambda o, t: -F.binary_cross_entropy_with_logits(o, t), metric=tw.squared_error,
        ),
    ],
)  # fmt: skip
def test_a_loss_with_its_sign_turned_is_found(planted):
    seen = found(planted(), "loss")
    assert (seen.level, "the contrary of the targets" in seen.what) == ("wrong", True)
    assert "sign" in seen.remedy


def test_a_metric_that_gets_worse_while_the_loss_falls_is_found_though_the_loss_has_no_lowest_value():
    seen = found(task(loss=lambda o, t: -F.cross_entropy(o, t)), "overfit a batch")
    assert (seen.level, "accuracy went from" in seen.what) == ("wrong", True)


@pytest.mark.parametrize(
    "loss",
    [
        F.l1_loss, F.huber_loss, lambda o, t: (F.mse_loss(o, t) + 1e-3).log(),
        lambda o, t: torch.log(torch.cosh(o - t)).mean(),
        lambda o, t: torch.exp(o).mean() - (t * o).mean(), lambda o, t: 1 - F.cosine_similarity(o, t, 0).mean(),
    ],
)  # fmt: skip
def test_other_losses_of_quantities_are_let_through(loss):
    assert found(regression(loss=loss), "loss").level == "fine"


def gaussian(o, t):
    return (o[:, 1:] / 2 + (o[:, :1] - t).square() / (2 * o[:, 1:].exp())).mean()


def test_a_likelihood_without_a_lowest_value_is_learned_by_heart():
    metric = tw.Metric("error", lambda o, t: (o[:, :1] - t).square().mean(1), higher_is_better=False)
    seen = found(task(lambda: mlp(outputs=2), (X, QUANTITY), loss=gaussian, metric=metric), "overfit a batch")
    assert seen.level == "fine"


@pytest.mark.parametrize("factor", [1e-6, 1e4])
def test_a_loss_times_a_number_is_noted_as_such(factor):
    seen = found(task(loss=lambda o, t: factor * F.cross_entropy(o, t)), "loss")
    assert (seen.level, f"cross entropy times {factor:.2g}" in seen.what) == ("note", True)
    seen = found(regression(loss=lambda o, t: factor * F.mse_loss(o, t)), "loss")
    assert (seen.level, f"the squared error times {factor:.2g}" in seen.what) == ("note", True)


def test_where_the_loss_is_small_the_learning_rate_is_not_blamed():
    small = task(loss=lambda o, t: 1e-6 * F.cross_entropy(o, t))
    seen = found(small, "updates", tw.Recipe(tw.optim.sgd(lr=0.1)))
    assert (seen.level, seen.remedy) == ("wrong", "Take the factor 1e-06 out of the loss.")


# -- leakage -----------------------------------------------------------------------------------------------


def leaking(*columns, targets=Y, **more):
    x = torch.cat([X, *columns], 1)
    return task(lambda: mlp(x.shape[1], int(targets.max()) + 1), (x, targets), **more)


def noise(*shape, seed=7):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


ONE_HOT = F.one_hot(Y, 3).float()
EIGHT = torch.arange(N) % 8


@pytest.mark.parametrize(
    ("planted", "words"),
    [
        (lambda: leaking(ONE_HOT), "input 12, input 13, input 14 together"),
        (lambda: leaking(ONE_HOT[:, :2]), "input 12, input 13 together"),
        (lambda: leaking(3 * ONE_HOT + 0.1 * noise(N, 3)), "input 12, input 13, input 14 together"),
        (lambda: leaking((Y[:, None] > torch.arange(2)).float()), "input 12, input 13 together"),
        (lambda: leaking((EIGHT[:, None] >> torch.arange(3) & 1).float(), targets=EIGHT), "together"),
    ],
)
def test_a_target_that_several_columns_hold_together_is_found(planted, words):
    seen = found(planted(), "leakage")
    assert (seen.level, words in seen.what) == ("wrong", True), seen
    assert "input 14" in seen.remedy or "input 13" in seen.remedy


def test_a_total_among_whose_parts_the_target_is_is_noted():
    x = torch.cat([X, 2 * X[:, :1] + QUANTITY], 1)
    some = task(lambda: mlp(13, 1), (x, QUANTITY), loss=F.mse_loss, metric=tw.squared_error)
    seen = found(some, "leakage")
    assert (seen.level, "sum of" in seen.what, "input 12" in seen.what) == ("note", True, True)


def test_a_noisy_copy_is_noted_and_a_threshold_with_errors_is_not():
    seen = found(leaking(Y[:, None] + 0.2 * noise(N, 1)), "leakage")
    assert (seen.level, "input 12 alone says" in seen.what) == ("note", True)
    flipped = (X[:, 0] > 0).long() ^ (torch.arange(N) % 100 == 0).long()
    assert found(task(lambda: mlp(outputs=2), (X, flipped)), "leakage").level == "fine"


@pytest.mark.parametrize("data", ["load_wine", "load_breast_cancer", "load_iris", "load_digits"])
def test_classes_that_can_be_told_apart_are_no_leakage(data):
    import sklearn.datasets

    x, y = getattr(sklearn.datasets, data)(return_X_y=True)
    some = task(lambda: nn.Linear(x.shape[1], len(set(y))), (x.astype("float32"), y), standardize=True)
    assert found(some, "leakage").level == "fine"


@pytest.mark.parametrize("much", [0.0, 0.3])
def test_what_is_to_be_rebuilt_is_no_leakage(much):
    low = noise(500, 3) @ noise(3, 16, seed=2)
    model = lambda: nn.Sequential(nn.Linear(16, 4), nn.Tanh(), nn.Linear(4, 16))  # noqa: E731
    data = (low + much * noise(500, 16, seed=3), low)
    seen = found(task(model, data, loss=F.mse_loss, metric=tw.squared_error), "leakage")
    assert (seen.level, "rebuilt" in seen.what) == ("fine", True)


# -- remedies ----------------------------------------------------------------------------------------------


def times(factor):
    model = mlp()
    with torch.no_grad():
        for p in model.parameters():
            p.mul_(factor)
    return model


def biased(layer, value=-100.0, units=slice(None)):
    model = mlp()
    with torch.no_grad():
        model[layer].bias[units] = value
    return model


class Around(nn.Module):
    """A network, and something around it."""

    def __init__(self, call, network=mlp):
        super().__init__()
        self.net, self.call, self.kept = network(), call, 0.0

    def forward(self, x):
        return self.call(self, x)


def remembering(self, x):
    output = self.net(x)
    before, self.kept = self.kept, output.detach().mean(0)
    return output + before


def counting(self, x):
    self.kept += 1
    return self.net(x) / self.kept


def test_weights_that_are_too_small_are_named_and_nothing_else_is_blamed():
    seen = inspect.check(task(lambda: times(1e-4)))
    assert {x.check for x in seen.wrong} == {"inputs used", "updates"}
    for x in seen.wrong:
        assert x.remedy.startswith("The initial weights of 0, 2, 4 are too small"), x
    assert seen["outputs"].level == "fine"


def test_a_bounded_end_is_seen_behind_small_weights():
    seen = found(task(lambda: nn.Sequential(times(1e-4), nn.Tanh())), "outputs")
    assert (seen.level, "between -1 and 1" in seen.what) == ("wrong", True)


def test_weights_and_biases_that_are_too_large_are_named():
    seen = found(task(lambda: times(100.0)), "loss at start")
    assert (seen.level, "weights of 0, 2, 4 are too large" in seen.remedy) == ("wrong", True)
    seen = found(task(lambda: biased(4, units=0)), "loss at start")
    assert (seen.level, "bias of 4 reaches -100" in seen.remedy) == ("wrong", True)


def test_where_the_gradient_is_0_no_learning_rate_is_blamed():
    seen = found(task(lambda: biased(2)), "updates")
    assert (seen.level, "exactly 0" in seen.what, "Raise" in seen.remedy) == ("wrong", True, False)


def test_a_forward_pass_that_sorts_its_batch_uses_its_inputs():
    sorting = task(lambda: Around(lambda self, x: self.net(x[x[:, 0].argsort()])))
    assert found(sorting, "inputs used").level == "fine"
    seen = found(sorting, "batch independence")
    assert (seen.level, "sort" in seen.remedy) == ("wrong", True)


@pytest.mark.parametrize("call", [remembering, counting])
def test_what_is_kept_between_calls_is_said_so(call):
    seen = found(task(lambda: Around(call)), "modes")
    assert (seen.level, "from one call to the next" in seen.what, "dropout" in seen.remedy) == ("wrong", True, False)
    assert found(task(lambda: Around(call)), "batch independence").level == "skipped"


def test_noise_in_evaluation_is_still_said_to_be_drawn():
    seen = found(task(lambda: Around(lambda self, x: F.dropout(self.net(x), 0.3))), "modes")
    assert (seen.level, "drawn at random" in seen.what) == ("wrong", True)


# -- files -------------------------------------------------------------------------------------------------


@pytest.fixture
def table(tmp_path):
    """Return a function that writes a CSV file and gives the task of predicting its column paid."""
    generator = np.random.default_rng(0)
    a, b = generator.normal(size=(2, 400)).round(4)
    colour = generator.choice(["red", "green", "blue"], 400)
    columns = {"a": a, "b": b, "colour": colour, "paid": np.where(a + b / 2 + (colour == "red") > 0.3, "yes", "no")}

    def made(**more):
        whole = {**columns, **{name: make(columns) for name, make in more.items()}}
        lines = [",".join(whole), *(",".join(map(str, row)) for row in zip(*whole.values(), strict=True))]
        (tmp_path / "sales.csv").write_text("\n".join(lines) + "\n")
        return tw.load_task(str(tmp_path / "sales.csv"), target="paid")

    return made


def test_a_files_columns_and_classes_are_called_by_their_names(table):
    some = table()
    assert (some.features, some.classes) == (
        ("a", "b", "colour=blue", "colour=green", "colour=red"), ("no", "yes")
    )  # fmt: skip
    assert len(some.features) == some.train.inputs.shape[1]
    seen = found(table(state=lambda x: np.where(x["paid"] == "yes", "done", "open")), "leakage")
    assert (seen.level, seen.what[:16]) == ("wrong", "state=done alone")
    rare = table(paid=lambda x: np.where(np.arange(400) < 3, "maybe", x["paid"]))
    assert "class maybe is rare" in found(rare, "targets").what


def test_odd_columns_are_called_by_their_names(table):
    seen = found(table(income=lambda x: np.where(np.arange(400) % 40, x["a"], -999)), "inputs")
    assert (seen.level, "income is -" in seen.what) == ("note", True)
    seen = found(table(k=lambda x: np.ones(400)), "inputs")
    assert (seen.level, "the column k has one value" in seen.what) == ("note", True)


# -- layers ------------------------------------------------------------------------------------------------


def dropped(rate, *last):
    return nn.Sequential(nn.Linear(12, 32), nn.ReLU(), nn.Dropout(rate), nn.Linear(32, 3), *last)


def normed(momentum):
    return nn.Sequential(nn.Linear(12, 32), nn.BatchNorm1d(32, momentum=momentum), nn.ReLU(), nn.Linear(32, 3))


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (lambda: nn.Sequential(nn.Linear(12, 32), nn.Linear(32, 32), nn.Linear(32, 3)), "between 0 and 1, 1 and 2"),
        (lambda: nn.Sequential(nn.Linear(12, 32), nn.Dropout(0.1), nn.Linear(32, 3)), "between 0 and 2"),
        (lambda: dropped(0.99), "2 (99%)"),
        (lambda: dropped(0.1, nn.Dropout(0.5)), "4 (50%) drops outputs"),
        (lambda: normed(1e-6), "momentum of 1 (1e-06)"),
    ],
)
def test_layers_that_are_seldom_meant_are_noted(model, words):
    seen = found(task(model), "layers")
    assert (seen.level, words in seen.what) == ("note", True), seen


@pytest.mark.parametrize(
    "model",
    [
        mlp, lambda: dropped(0.5), lambda: normed(0.1),
        lambda: nn.Sequential(nn.Linear(12, 32), nn.ReLU(), nn.Linear(32, 2), nn.Linear(2, 12), nn.ReLU(), mlp()),
    ],
)  # fmt: skip
def test_usual_layers_are_let_through(model):
    assert found(task(model), "layers").level == "fine"


def far_below(layer, inputs):
    if isinstance(layer, nn.Linear) and layer.in_features == inputs:
        nn.init.constant_(layer.bias, -100.0)


def zeroing(self, x):
    hidden = self.net[1](self.net[0](x)).clone()
    hidden[:, 4:] = 0
    return self.net[2:](hidden)


def test_dead_units_are_counted_and_their_layer_is_named():
    seen = found(task(lambda: biased(0, units=slice(16))), "units")
    assert (seen.level, seen.what[:32]) == ("note", "16 of the 32 units behind 1 give")
    assert "bias of 0 reaches -100" in seen.remedy
    assert "bias of 0, 4 reaches -100" in scales.large(biased(4, -20.0, 0).apply(lambda m: far_below(m, 12)))
    seen = found(task(lambda: Around(zeroing)), "units")
    assert (seen.level, "28 of the 32 numbers that enter net.2" in seen.what) == ("note", True)


def norm_and_dropout():
    return nn.Sequential(nn.Linear(12, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Dropout(0.3), nn.Linear(32, 3))


@pytest.mark.parametrize(("mode", "call"), [(False, "eval() in training"), (True, "train() in evaluation")])
def test_a_forward_pass_that_switches_modes_is_found(mode, call):
    seen = found(task(lambda: Around(lambda self, x: self.net.train(mode)(x), norm_and_dropout)), "modes")
    assert (seen.level, f"calls {call}: net.1 (BatchNorm1d), net.3 (Dropout)" in seen.what) == ("wrong", True), seen


def test_a_frozen_part_may_be_kept_in_evaluation():
    def model():
        whole = Around(lambda self, x: self.call2(self.net.eval()(x)), norm_and_dropout)
        whole.net.requires_grad_(False)
        whole.call2 = nn.Linear(3, 3)
        return whole

    assert found(task(model), "modes").level == "fine"


def test_a_weight_decay_that_rules_is_noted():
    decay = lambda x: tw.Recipe(tw.optim.adamw(weight_decay=x))  # noqa: E731
    seen = found(task(), "updates", decay(10.0))
    assert (seen.level, "weight decay of 10" in seen.what) == ("note", True)
    assert found(task(), "updates", decay(0.1)).level == "fine"


def test_a_metric_that_never_changes_is_noted():
    metric = tw.Metric("ones", lambda o, t: torch.ones(len(t)), higher_is_better=True)
    seen = found(task(metric=metric), "overfit a batch")
    assert (seen.level, "ones is 1 whatever the outputs are" in seen.what) == ("note", True)


def test_what_is_frozen_is_named():
    def model():
        net = mlp()
        net[2].requires_grad_(False)
        return net

    seen = found(task(model), "no gradient")
    assert (seen.level, "2.weight, 2.bias are frozen" in seen.what) == ("fine", True)


# -- data --------------------------------------------------------------------------------------------------


def test_a_class_that_is_too_rare_is_not_called_a_wrong_key():
    rare = task(lambda: mlp(outputs=2), (X, (torch.arange(N) % 60 == 0).long()))
    seen = inspect.check(rare)
    assert (seen["signal"].level, "no more than 2 of the examples" in seen["signal"].what) == ("skipped", True)
    assert seen["targets"].level == "note"
    assert seen.wrong == ()


def test_tensors_take_no_time_to_read_however_cold_the_machine(monkeypatch):
    clock = iter(range(0, 10_000, 100))
    monkeypatch.setattr("thalweg.task.task.time.perf_counter", lambda: float(next(clock)))
    some = task()
    monkeypatch.undo()
    assert found(some, "loader").level == "fine"


@pytest.mark.parametrize(
    ("wrap", "key"),
    [(lambda o: {"logits": o, "hidden": o}, "'logits'"), (lambda o: (o, o), "0")],
    ids=["dict", "pair"],
)
def test_a_metric_that_cannot_take_several_outputs_gets_its_remedy(wrap, key):
    model = lambda: Around(lambda self, x: wrap(self.net(x)))  # noqa: E731
    take = eval(f"lambda o: o[{key}]")
    with pytest.raises(tw.InputError) as error:
        inspect.check(task(model, loss=lambda o, y: F.cross_entropy(take(o), y)))
    remedy = str(error.value).partition("such as ")[2]
    assert remedy == f'Metric("accuracy", lambda output, y: thalweg.accuracy.outcomes(output[{key}], y), True)'
    metric = eval(remedy, {"Metric": tw.Metric, "thalweg": tw})
    inspect.check(task(model, loss=lambda o, y: F.cross_entropy(take(o), y), metric=metric))


def test_a_sequence_that_is_its_own_target_is_noted():
    x = torch.randint(0, 12, (200, 8), generator=torch.Generator().manual_seed(0))
    metric = tw.Metric("right", lambda o, y: (o.argmax(-1) == y).float().mean(1), higher_is_better=True)
    loss = lambda o, y: F.cross_entropy(o.flatten(0, 1), y.flatten())  # noqa: E731
    model = lambda: nn.Sequential(nn.Embedding(12, 16), nn.Linear(16, 12))  # noqa: E731
    seen = found(task(model, (x, x.clone()), loss=loss, metric=metric), "causality")
    assert (seen.level, "the inputs themselves" in seen.what) == ("note", True)
    assert found(task(model, (x[:, :-1], x[:, 1:]), loss=loss, metric=metric), "causality").level == "fine"


# -- what is no number, what counts, what is one -----------------------------------------------------------

ZEROS = torch.where(torch.arange(N)[:, None] % 50 == 25, 0.0, X)


class Length(nn.Module):
    """Joins the length of what it computes, whose slope is infinite where all of it is 0."""

    def __init__(self):
        super().__init__()
        self.first, self.rest = nn.Linear(12, 8, bias=False), mlp(9)

    def forward(self, x):
        x = self.first(x)
        return self.rest(torch.cat([x, x.square().sum(1, keepdim=True).sqrt()], 1))


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("inputs", "some of what enters net.0 is NaN"),
        ("loss at start", "nan, before the first step"),
        ("outputs", "examples are NaN or infinite before the first step"),
        ("updates", "the loss of step 1 is nan"),
    ],
)
def test_a_division_by_0_is_seen_where_it_happens(name, words):
    model = lambda: Around(lambda self, x: self.net(x / x.norm(dim=1, keepdim=True)))  # noqa: E731
    seen = found(task(model, (ZEROS, Y)), name)
    assert (seen.level, words in seen.what) == ("wrong", True), seen


def test_a_slope_that_is_infinite_is_told_from_a_rate_that_is_too_high():
    seen = inspect.check(task(Length, (ZEROS, Y)))
    assert [x.check for x in seen.wrong] == ["updates"]
    assert "the gradient by first.weight is NaN or infinite" in seen["updates"].what
    assert "root" in seen["updates"].remedy
    assert "came to its end at once" in seen["learning rate"].what
    assert "the loss becomes NaN" in seen["signal"].what


def test_the_number_of_a_row_is_noted_and_other_numbers_are_not():
    seen = found(leaking(torch.arange(N)[:, None] / N), "leakage")
    assert (seen.level, "input 12 has another value in each example" in seen.what) == ("note", True)
    assert found(leaking(torch.arange(N)[:, None] % 100.0), "leakage").level == "fine"
    assert found(leaking(noise(N, 1).sort(0).values), "leakage").level == "fine"


def test_a_layer_that_is_put_in_a_list_several_times_is_noted():
    def model(layers):
        activation = nn.ReLU()  # which has no weights, and may stand in several places
        return nn.Sequential(*(x for layer in layers for x in (layer, activation)), mlp())

    seen = found(task(lambda: model([nn.Linear(12, 12)] * 2)), "layers")
    assert (seen.level, "0 and 2 are one and the same layer" in seen.what) == ("note", True)
    assert found(task(lambda: model([nn.Linear(12, 12), nn.Linear(12, 12)])), "layers").level == "fine"
