"""Raw inputs make the loss sensitive to the weights: both models compute the same, and are moved alike."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from thalweg import inspect
from thalweg.errors import InputError
from thalweg.inspect._sensitivity import _both
from thalweg.norm import Standardise
from untouched import facts, same

SPREAD = torch.tensor([1.0, 30.0, 0.01, 1.0, 0.0])
X = torch.randn(300, 5, generator=torch.Generator().manual_seed(0)) * SPREAD + torch.tensor(
    [0.0, 80.0, 3.0, -5.0, 7.0]
)
IMAGES = (
    torch.rand(40, 2, 6, 6, generator=torch.Generator().manual_seed(0)) * torch.tensor([9.0, 0.5]).view(2, 1, 1) + 4
)

MODELS = {
    "linear": (nn.Sequential(nn.Linear(5, 7), nn.Tanh(), nn.Linear(7, 2)), X),
    "without bias": (nn.Linear(5, 2, bias=False), X),
    "flattened": (nn.Sequential(nn.Flatten(), nn.Linear(72, 2)), IMAGES),
    "padded": (nn.Sequential(nn.Conv2d(2, 3, 3, padding=(2, 1)), nn.ReLU(), nn.Flatten(), nn.Linear(144, 2)), IMAGES),
    "same": (nn.Conv2d(2, 3, (3, 5), padding="same"), IMAGES),
    "circular": (nn.Conv2d(2, 3, 3, padding=1, padding_mode="circular"), IMAGES),
}


@pytest.mark.parametrize("name", MODELS)
def test_the_model_for_raw_inputs_computes_the_same(name):
    model, x = MODELS[name]
    _, raw, _ = _both(model, x)
    scale = Standardise(x.shape[1], x.dim() - 2).fit([x])
    torch.testing.assert_close(raw(x), model(scale(x)), rtol=1e-3, atol=1e-3)


def test_of_a_linear_model_the_mean_loss_is_known():
    """Its outputs as targets: moved by ε in a random direction, the squared error is ε² ‖w‖² E‖x‖² / n on average."""
    torch.manual_seed(0)
    model = nn.Linear(4, 1).double()
    x = X[:, :4].double()
    z = (x - x.mean(0)) / x.std(0, correction=0)
    found = inspect.sensitivity(model, x, model(z).detach(), F.mse_loss, sizes=(0.1, 1.0), directions=1000)
    assert found.start == pytest.approx(0, abs=1e-12)
    for response, w, inputs in (
        (found.standardised, model.weight, z), (found.raw, model.weight / x.std(0, correction=0), x),
    ):  # fmt: skip
        each = (w.norm() ** 2 * (inputs**2).sum(1).mean() / 4).item()
        assert response.losses.mean(1) == pytest.approx([0.01 * each, each], rel=0.15)
    assert found.raw.losses.mean() > 1000 * found.standardised.losses.mean()


def test_how_narrow_the_valley_is():
    found = inspect.sensitivity(nn.Linear(5, 1), X, torch.zeros(300, 1), F.mse_loss)
    rows = torch.cat([X.double(), torch.ones(300, 1)], 1)
    values = torch.linalg.eigvalsh(rows.T @ rows / 300)
    assert found.raw.condition == pytest.approx(
        (values[-1] / values[values > 1e-10 * values[-1]][0]).item(), rel=1e-3
    )
    assert found.standardised.condition < 3


def test_standardised_inputs_are_both():
    z = (X[:, :4] - X[:, :4].mean(0)) / X[:, :4].std(0, correction=0)
    found = inspect.sensitivity(nn.Linear(4, 1), z, torch.zeros(300, 1), F.mse_loss)
    np.testing.assert_allclose(found.raw.losses, found.standardised.losses, rtol=1e-4)
    np.testing.assert_allclose(found.raw.plane, found.standardised.plane, rtol=1e-4)
    assert found.raw.condition == pytest.approx(found.standardised.condition, rel=1e-4)


def test_the_plane_is_the_loss_and_its_middle_the_start():
    model = MODELS["linear"][0]
    y = (X[:, 0] > 0).long()
    found = inspect.sensitivity(model, X, y, F.cross_entropy, sizes=(0.1, 0.5))
    for response in (found.raw, found.standardised):
        assert response.plane[10, 10] == pytest.approx(found.start, rel=1e-4)
        assert response.plane[20, 10] == pytest.approx(response.losses[1, 0], rel=1e-3), (
            "by 0.5 in the first direction"
        )
    assert found.reach == 0.5


def test_everything_is_left_as_it_was():
    model = nn.Sequential(nn.Linear(5, 8), nn.BatchNorm1d(8), nn.Dropout(), nn.Linear(8, 2))
    before = facts(model)
    one = inspect.sensitivity(model, X, (X[:, 0] > 0).long(), F.cross_entropy)
    assert same(before, facts(model))
    assert str(one) == str(inspect.sensitivity(model, X, (X[:, 0] > 0).long(), F.cross_entropy))


def test_it_is_a_table_and_a_picture(tmp_path):
    found = inspect.sensitivity(MODELS["linear"][0], X, (X[:, 0] > 0).long(), F.cross_entropy, sizes=(0.01, 0.1))
    lines = str(found).splitlines()
    assert lines[0].split() == ["moved", "by", "0.01", "moved", "by", "0.1", "condition"]
    assert [line[:12] for line in lines[1:3]] == ["raw inputs  ", "standardised"]
    found.save(tmp_path / "a.svg")
    text = (tmp_path / "a.svg").read_text()
    assert "raw inputs" in text
    assert "one direction" in text


class Squared(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(5, 2)

    def forward(self, x):
        return self.layer(x * x)


@pytest.mark.parametrize(
    ("model", "x", "more", "message"),
    [
        (Squared(), X, {}, "the model does more to its inputs than to shape them"),
        (nn.Tanh(), X, {}, "Tanh calls no linear or convolution layer"),
        (nn.Linear(4, 2), X, {}, "Linear cannot take the inputs"),
        (nn.Conv2d(2, 2, 3, groups=2), IMAGES, {}, "has groups"),
        (nn.Linear(5, 2), X.long(), {}, "sensitivity takes raw inputs"),
        (nn.Linear(5, 2), X, {"sizes": (0.1, 0.1)}, "sizes takes numbers above 0, rising"),
        (nn.Linear(5, 2), X, {"sizes": ()}, "sizes takes numbers above 0, rising"),
        (nn.Linear(5, 2), X, {"directions": 0}, "directions takes a whole number"),
    ],
)
def test_what_cannot_be_gets_one_sentence(model, x, more, message):
    with pytest.raises(InputError, match=message):
        inspect.sensitivity(model, x, torch.zeros(len(x)).long(), F.cross_entropy, **more)
