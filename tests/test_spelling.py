"""Calls that cannot be meant are refused in one sentence, with what was meant."""

import inspect
from importlib import import_module

import pytest
import torch
from torch import nn

import thalweg as tw
from thalweg import augment, init, loss, optim, schedule, stop, surgery, wrapper
from thalweg.average import Averaged
from thalweg.errors import InputError, spelt
from thalweg.study import explain, train
from thalweg.technique import Chain, Ingredient

NET = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
X = torch.zeros(2, 4)
SGD = torch.optim.SGD(NET.parameters(), lr=0.1)
SEEN = stop.patience(2).start()
TASK = {"model": lambda: nn.Linear(4, 2), "data": (torch.rand(20, 4), torch.arange(20) % 2), "metric": tw.accuracy}


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: tw.Recipe(optimiser=optim.sgd()), 'unknown argument of Recipe "optimiser"; did you mean "optimizer'),
        (lambda: tw.Recipe(optim.SGD), "optim.SGD is the class for a loop of your own; in a recipe the ingredient i"),
        (lambda: tw.Recipe(optim.AdamW(NET.parameters())), "in a recipe the ingredient is optim.adamw()"),
        (lambda: tw.Recipe(torch.optim.SGD), "optimizer takes an ingredient such as optim.adam(lr=0.01), not <class"),
        (lambda: tw.Task(**TASK, los=loss.huber()), 'unknown argument of Task "los"; did you mean "loss"?'),
        (lambda: tw.Task(**TASK), "Task needs loss="),
        (lambda: tw.Task(TASK["model"]), "Task needs model= and loss= and metric="),
        (lambda: surgery.operate(NET, X, nrom=1), 'unknown argument of operate "nrom"; did you mean "norm"?'),
        (lambda: surgery.operate(NET), "operate needs inputs="),
        (lambda: wrapper.SAM(SGD, roh=0.1), 'unknown argument of SAM "roh"; did you mean "rho"?'),
        (lambda: wrapper.Lookahead(SGD, 5, 0.5, 1), "Lookahead takes at most 3 arguments by their place, not 4"),
        (lambda: wrapper.Lookahead(SGD, 5, k=5), "Lookahead got k twice"),
        (lambda: optim.groups(NET, weight_decai=0.1), 'unknown argument of groups "weight_decai"; did you mean "wei'),
        (lambda: optim.groups(NET, 0.1), "groups takes at most 1 arguments by their place, not 2; weight_decay, lr"),
        (lambda: schedule.Scheduler(SGD, schedule.cosine(5), totl=3), 'Scheduler "totl"; did you mean "total"?'),
        (lambda: schedule.cosine(stesp=5), 'unknown hyperparameter of cosine "stesp"; did you mean "steps"?'),
        (lambda: schedule.warmup(5) >> "cosine", "a schedule is appended to warmup, such as schedule.cosine(), not "),
        (lambda: schedule.cosine(5)(), "Schedule needs step="),
        (lambda: Averaged(NET, hwo=1), 'unknown argument of Averaged "hwo"; did you mean "how"?'),
        (lambda: optim.adam(NET.parameters()), "adam takes hyperparameters and no generator; by hand: ``optim.Adam`"),
        (lambda: optim.adamw(NET), "adamw takes hyperparameters and no Sequential; by hand: ``optim.AdamW``, a ``to"),
        (lambda: optim.adam(0.1), "adam takes its hyperparameters by name, as in adam(lr=…)"),
        (lambda: loss.huber(X, X), "huber takes hyperparameters and no Tensor; by hand: ``huber(…)(output, targets)"),
        (lambda: augment.flip(X.numpy()), "flip takes hyperparameters and no ndarray; by hand: ``flip(…)(image, sam"),
        (lambda: init.he_normal().apply(NET), "Init.apply needs key="),
        (lambda: init.he_normal().apply(NET, ky=0), 'unknown argument of Init.apply "ky"; did you mean "key"?'),
        (lambda: stop.patience(2).observe(stop.patience(2).observe(SEEN, 1.0), 2.0), "observe returns two things, w"),
        (lambda: stop.patience(2).observe((1.0, 2), 2.0), "observe takes what start or observe returned, not (1.0, "),
        (lambda: tw.compare("wine", {}), 'compare takes a task, not "wine": load_task("wine") makes one'),
        (lambda: explain("wine", {}), 'explain takes a task, not "wine": load_task("wine") makes one'),
        (lambda: tw.ablate(NET, tw.Recipe()), "ablate takes a task, not a Sequential: load_task or Task makes one"),
        (lambda: tw.lottery("wine"), 'lottery takes a task, not "wine": load_task("wine") makes one'),
        (lambda: train("wine", tw.Recipe()), 'train takes a task, not "wine": load_task("wine") makes one'),
        (lambda: tw.compare(tw.load_task("wine"), {}, seed_s=3), 'unknown argument of compare "seed_s"; did you mea'),
    ],
)  # fmt: skip
def test_a_call_that_cannot_be_meant(call, said):
    with pytest.raises(InputError) as refused:
        call()
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


def test_what_is_not_called_stands_for_itself():
    before = NET[0].weight.clone()
    init.he_normal.apply(NET, key=0)
    filled = NET[0].weight.clone()
    init.he_normal().apply(NET, key=0)
    assert torch.equal(filled, NET[0].weight)
    assert not torch.equal(filled, before)
    assert tw.Recipe(optim.sgd, schedule.warmup >> schedule.cosine) == tw.Recipe(
        optim.sgd(), schedule.warmup() >> schedule.cosine()
    )


@pytest.mark.parametrize("name", ["ASGD", "Rprop", "LBFGS", "SparseAdam"])
def test_an_optimizer_that_is_not_here_has_a_nearest_one(name):
    from thalweg.notation import parse

    assert hasattr(torch.optim, name)
    with pytest.raises(AttributeError, match="it is not here; nearest is "):
        getattr(optim, name)
    with pytest.raises(InputError, match=f'unknown optimizer "{name.lower()}"; it is not here; nearest is ') as said:
        parse("optimizer", name.lower())
    assert str(said.value).partition("nearest is ")[2].split(",")[0] in optim.CATALOGUE


def test_mistakes_inside_a_function_are_its_own():
    @spelt
    def broken(number):
        return number + "1"

    with pytest.raises(TypeError, match="unsupported operand"):
        broken(1)


def test_a_decorated_function_belongs_to_its_module():
    """So that its examples are run: doctest asks whose globals it has."""
    assert surgery.operate.__globals__ is vars(import_module("thalweg.surgery._operate"))
    assert stop.Stop.observe.__globals__ is vars(import_module("thalweg.stop._technique"))
    assert list(inspect.signature(surgery.operate).parameters) == ["model", "inputs", "activation", "norm", "dropout"]


@pytest.mark.parametrize("made", [*Ingredient.__subclasses__(), *Chain.__subclasses__()])
def test_methods_of_ingredients_know_their_arguments(made):
    for name, method in vars(made).items():
        if not inspect.isfunction(method) or (name != "__call__" and name.startswith("_")):
            continue
        if not any(one.kind is one.VAR_KEYWORD for one in inspect.signature(method).parameters.values()):
            with pytest.raises(InputError, match=r'unknown argument of .* "nonsense"'):
                method(None, nonsense=1)
