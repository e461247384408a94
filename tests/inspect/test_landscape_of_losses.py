"""Planes and segments through a model's loss, against losses that are known in closed form."""

import copy

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

import thalweg as tw
from small import small_digits
from thalweg import inspect
from thalweg.cli import main
from thalweg.errors import InputError
from untouched import facts, same

X = torch.randn(200, 4, generator=torch.Generator().manual_seed(0))
Y = X @ torch.tensor([[1.0], [-2.0], [0.5], [0.0]])


def linear(bias=False):
    torch.manual_seed(1)
    return nn.Linear(4, 1, bias=bias)


def exact(weight):
    return float(((X @ weight.reshape(4, 1) - Y) ** 2).mean())


def test_the_plane_of_a_linear_model_is_its_closed_form():
    model = linear()
    found = inspect.loss_plane(model, (X, Y), F.mse_loss, points=7, reach=0.5)
    assert found.losses.shape == (7, 7)
    for j, y in enumerate(found.y):
        for i, x in enumerate(found.x):
            moved = found.origin + x * found.directions[0] + y * found.directions[1]
            assert found.losses[j, i] == pytest.approx(exact(moved), rel=1e-4)
    assert found.start == pytest.approx(exact(model.weight.detach()), rel=1e-5)
    assert found.losses[3, 3] == pytest.approx(found.start, rel=1e-6)


def test_directions_have_the_norm_of_each_filter_and_leave_biases_alone():
    model = nn.Sequential(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3), nn.ReLU(), nn.Flatten(), nn.Linear(48, 5))
    images = torch.randn(12, 2, 6, 6)
    found = inspect.loss_plane(model, (images, torch.arange(12) % 5), F.cross_entropy, points=3)
    shapes = [(name, p) for name, p in model.named_parameters()]
    for direction in found.directions:
        pieces = torch.split(direction, [p.numel() for _, p in shapes])
        for (_, p), piece in zip(shapes, pieces, strict=True):
            if p.dim() < 2:
                assert not piece.any()
            else:
                norms = piece.view(p.shape[0], -1).norm(dim=1)
                torch.testing.assert_close(norms, p.detach().view(p.shape[0], -1).norm(dim=1))
    other = inspect.loss_plane(model, (images, torch.arange(12) % 5), F.cross_entropy, points=3, seed=1)
    assert not torch.equal(other.directions, found.directions)


def test_scales_that_do_not_matter_do_not_count():
    """A ReLU unit's input may be scaled by c and its output by 1/c: the plane of filters is the same."""
    torch.manual_seed(0)
    one = nn.Sequential(nn.Linear(4, 6, bias=False), nn.ReLU(), nn.Linear(6, 1, bias=False))
    two = copy.deepcopy(one)
    with torch.no_grad():
        two[0].weight *= 100
        two[2].weight /= 100
    planes = [inspect.loss_plane(model, (X, Y), F.mse_loss, points=5).losses for model in (one, two)]
    np.testing.assert_allclose(*planes, rtol=1e-3)


def trained(model, steps=20, lr=0.05):
    way = [copy.deepcopy(model.state_dict())]
    optimizer = torch.optim.SGD(model.parameters(), lr=lr)
    for _ in range(steps):
        optimizer.zero_grad()
        F.mse_loss(model(X), Y).backward()
        optimizer.step()
        way.append(copy.deepcopy(model.state_dict()))
    return way


def test_the_plane_of_a_trajectory_contains_its_end():
    model = linear(bias=True)
    way = trained(model)
    found = inspect.trajectory_plane({"sgd": way}, model, (X, Y), F.mse_loss, points=5)
    (path,) = found.paths
    assert path.points[-1] == pytest.approx([0, 0], abs=1e-6)
    assert path.away[-1] == pytest.approx(0, abs=1e-6)
    assert path.losses[-1] == pytest.approx(exact_of(way[-1]), rel=1e-5)
    assert path.losses[-1] == pytest.approx(found.start)
    assert path.losses[0] == pytest.approx(exact_of(way[0]), rel=1e-5)
    torch.testing.assert_close(found.directions @ found.directions.T, torch.eye(2), atol=1e-5, rtol=0)
    low, high = path.points.min(0), path.points.max(0)
    assert found.x[0] < low[0] < high[0] < found.x[-1]
    assert found.y[0] < low[1] < high[1] < found.y[-1]


def exact_of(state):
    return float(((X @ state["weight"].T + state["bias"] - Y) ** 2).mean())


def test_directions_are_the_principal_components():
    way = trained(linear())
    found = inspect.trajectory_plane({"sgd": way}, linear(), (X, Y), F.mse_loss, points=3)
    points = torch.stack([w["weight"].reshape(-1) for w in way]).double()
    values, vectors = torch.linalg.eigh((points - points[-1]).T @ (points - points[-1]))
    for mine, theirs in zip(found.directions, vectors.T.flip(0)[:2], strict=True):
        assert abs(float(mine.double() @ theirs)) == pytest.approx(1, abs=1e-4)
    share = values.flip(0)[:2] / values.sum()
    assert found.explained == pytest.approx(share.tolist(), rel=1e-4)


def test_what_falls_off_the_plane_is_told():
    """Three paths at right angles: a plane holds two."""
    start = torch.zeros(4)
    ways = {}
    for i in range(3):
        end = start.clone()
        end[i] = 3.0 - i
        ways[str(i)] = [{"weight": start[None]}, {"weight": end[None]}]
    found = inspect.trajectory_plane(ways, linear(), (X, Y), F.mse_loss, points=3)
    away = [path.away[-1] for path in found.paths]
    assert away[0] == pytest.approx(0, abs=1e-6)
    assert away[2] > 0.5
    assert f"{100 * away[2]:.2g} %" in str(found).splitlines()[3]


def test_a_straight_path_has_a_plane_too():
    ways = {"one": [{"weight": torch.zeros(1, 4)}, {"weight": torch.ones(1, 4)}]}
    found = inspect.trajectory_plane(ways, linear(), (X, Y), F.mse_loss, points=3)
    assert found.explained == pytest.approx((1.0, 0.0), abs=1e-9)
    assert found.directions.norm(dim=1) == pytest.approx([1, 1], abs=1e-5)


def test_a_segments_ends_are_the_solutions_losses_and_its_course_a_parabola():
    a, b = torch.randn(1, 4), torch.randn(1, 4)
    found = inspect.loss_segment({"weight": a}, {"weight": b}, linear(), (X, Y), F.mse_loss, points=9)
    assert found.ends == pytest.approx((exact(a), exact(b)), rel=1e-5)
    for share, loss in zip(found.shares, found.losses, strict=True):
        assert loss == pytest.approx(exact(a + float(share) * (b - a)), rel=1e-4)
    assert found.shares[0] == pytest.approx(-0.25)
    assert found.barrier == pytest.approx(0, abs=1e-5)


def test_the_barrier_between_mirrored_solutions():
    """w and −w through a squared unit compute the same; halfway all is 0."""

    class Even(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.ones(1, 4))

        def forward(self, x):
            return F.linear(x, self.weight).square()

    w = torch.tensor([[1.0, -2.0, 0.5, 0.0]])
    targets = Y.square()
    found = inspect.loss_segment({"weight": w}, {"weight": -w}, Even(), (X, targets), F.mse_loss, points=11)
    assert found.ends == pytest.approx((0, 0), abs=1e-6)
    assert found.barrier == pytest.approx(float(targets.square().mean()), rel=1e-4)


def test_batch_norms_have_the_statistics_of_the_examples_at_each_point():
    """On all examples at once, that is what training mode computes, but for n / (n − 1) in the variance."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.5), nn.Linear(8, 1))
    model[1].running_mean += 50  # what was kept in training does not count
    reference = copy.deepcopy(model)
    reference[3].p = 0.0
    found = inspect.loss_plane(model, (X, Y), F.mse_loss, points=3)
    with torch.no_grad():
        assert found.start == pytest.approx(float(F.mse_loss(reference.train()(X), Y)), rel=2e-3)
        names = [name for name, _ in reference.named_parameters()]
        moved = torch.split(found.origin + found.directions[0], [p.numel() for p in reference.parameters()])
        for name, piece in zip(names, moved, strict=True):
            place = reference.get_parameter(name)
            place.copy_(piece.view(place.shape))
        assert found.losses[1, 2] == pytest.approx(float(F.mse_loss(reference(X), Y)), rel=5e-3)


def test_together_and_alone_are_the_same_and_nothing_is_changed():
    class Item(nn.Linear):
        def forward(self, x):
            return super().forward(x) + 0 * self.weight.sum().item()  # which vmap cannot do

    torch.manual_seed(0)
    plain, awkward = nn.Linear(4, 1), Item(4, 1)
    awkward.load_state_dict(plain.state_dict())
    before = facts(awkward)
    planes = [inspect.loss_plane(model, (X, Y), F.mse_loss, points=5).losses for model in (plain, awkward)]
    np.testing.assert_allclose(*planes, rtol=1e-5)
    assert same(before, facts(awkward))


def test_weights_along_training_are_the_runs_own():
    task = small_digits(lambda: nn.Linear(64, 10))
    recipe = tw.Recipe(tw.optim.adam(), epochs=2)
    ways = inspect.weights_along(task, {"a": recipe, "b": tw.Recipe(tw.optim.sgd(), epochs=2)}, places=4, seed=3)
    assert [len(way) for way in ways.values()] == [4, 4]
    assert torch.equal(ways["a"][0]["weight"], task.model(3).weight)
    assert torch.equal(ways["b"][0]["weight"], ways["a"][0]["weight"])
    from thalweg.train import Member
    from thalweg.train.population import train

    (alone,) = train(task, [Member(recipe.resolved(), 3)], keep_weights=True)
    assert torch.equal(ways["a"][-1]["weight"], alone.weights["weight"])


def test_a_tasks_landscape_by_command(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for words, out in (
        ("--optimizer sgd,adam(lr=0.01)", "a.html"), ("--optimizer adam --show plane", "b.svg"),
        ("--optimizer adam --show segment", "c.svg"),
    ):  # fmt: skip
        command = f"thalweg landscape wine --epochs 2 --points 5 --out {out} {words}"
        monkeypatch.setattr("sys.argv", command.split())
        with pytest.raises(SystemExit) as end:
            main()
        assert end.value.code == 0
        assert f"landscape: {out}" in capsys.readouterr().out
        assert (tmp_path / out).stat().st_size > 1000
    assert "adam(lr=0.01)" in (tmp_path / "a.html").read_text()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("wine --show plan", 'unknown kind of landscape "plan"; did you mean "plane"?'),
        ("wine --show plane", "--show plane takes one optimizer, not 3"),
        ("wine --show segment", "takes one optimizer or two"),
        ("wine --show segment --optimizer sgd --out a.gif", "saved as .html, .png or .svg"),
        ("wine --steps 3", "--steps is for test surfaces"),
        ("wine --reach 0 --show plane --optimizer sgd", "--reach takes a number above 0"),
        ("bale", 'unknown surface or task "bale"; did you mean "beale"?'),
        ("beale --show plane", "--show is for tasks"),
        ("beale --epochs 3", "--epochs is for tasks"),
        ("beale --optimizer sgd,sgd", "named twice"),
        ("beale --optimizer sgd,", "names an empty one"),
        ("beale --out no/a.html", "there is no folder no"),
    ],
)
def test_a_command_that_cannot_be_gets_one_sentence(words, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", f"thalweg landscape {words}".split())
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 2
    told = capsys.readouterr().err
    assert message in told
    assert told.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: inspect.loss_plane("model", (X, Y), F.mse_loss), "that of an nn.Module"),
        (lambda: inspect.loss_plane(linear(), (X, Y)), "give data as"),
        (lambda: inspect.loss_plane(linear(), (X[:, :3], Y), F.mse_loss), "cannot take the data"),
        (lambda: inspect.loss_plane(linear(), (X, Y), F.mse_loss, reach=-1), "reach takes a number above 0"),
        (lambda: inspect.loss_plane(nn.PReLU(4), (X, X), F.mse_loss), "no weights of two axes"),
        (lambda: inspect.loss_plane(linear(), tw.load_task("wine"), F.mse_loss), "leave loss out"),
        (lambda: inspect.loss_plane(linear(), small_digits(linear, loss=lambda o, y: o.no)), "loss in evaluation"),
        (lambda: inspect.trajectory_plane({}, linear(), (X, Y), F.mse_loss), "by name"),
        (lambda: inspect.trajectory_plane({"a": [linear()]}, linear(), (X, Y), F.mse_loss), "at least two"),
        (lambda: inspect.trajectory_plane({"a": [linear()] * 2}, linear(), (X, Y), F.mse_loss), "never moved"),
        (lambda: inspect.loss_segment(linear(), linear(), linear(), (X, Y), F.mse_loss), "are the same"),
        (lambda: inspect.loss_segment(nn.Linear(3, 1), linear(), linear(), (X, Y), F.mse_loss), "of another model"),
    ],
)  # fmt: skip
def test_arguments_that_cannot_be_get_one_sentence(call, message):
    with pytest.raises(InputError, match=message):
        call()
