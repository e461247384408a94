"""What dropout does to activations, as a table and a picture."""

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from thalweg import dropout, inspect
from thalweg.errors import InputError


def net():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(20, 64), nn.ReLU(), nn.Linear(64, 48), nn.ReLU(), nn.Linear(48, 10))


X = torch.randn(400, 20, generator=torch.Generator().manual_seed(0))


def test_what_enters_each_layer_is_counted_without_and_with():
    model = net()
    found = inspect.dropout(model, X, 0.4)
    first, second = found.activations
    assert [(a.layer, a.count) for a in found.activations] == [("2", 64), ("4", 48)]
    h = torch.relu(model[0](X))
    assert first.active[0] == pytest.approx((h > 0).double().mean().item())
    assert first.mean[0] == pytest.approx(h.double().mean().item())
    assert first.active[1] == pytest.approx(0.6 * first.active[0], abs=0.02)
    assert first.mean[1] == pytest.approx(first.mean[0], rel=0.03)
    h = torch.relu(model[2](h))
    assert second.active[0] == pytest.approx((h > 0).double().mean().item())


def test_no_operation_is_saved():
    found = inspect.dropout(net(), X, 0.9)
    assert found.operations == (2 * 400 * (20 * 64 + 64 * 48 + 48 * 10),) * 2
    assert found.added == 400 * (64 + 48)
    assert all(seconds > 0 for seconds in found.seconds)
    text = str(found)
    assert "as many with dropout" in text
    assert len(text.splitlines()) == 1 + 2 + 2
    assert "at rate 0.9" in text


def test_a_rate_of_0_changes_nothing():
    found = inspect.dropout(net(), X, 0.0)
    assert all(a.active[0] == a.active[1] and a.mean[0] == a.mean[1] for a in found.activations)
    assert found.added == 0


class Shared(nn.Module):
    """A layer that is called twice, functions for activations, batch norm and dropout of its own."""

    def __init__(self):
        super().__init__()
        self.first, self.again, self.norm = nn.Conv1d(1, 4, 3), nn.Linear(18, 18), nn.BatchNorm1d(4)

    def forward(self, x):
        x = F.relu(self.norm(self.first(x[:, None])))
        return F.dropout(self.again(F.relu(self.again(x))), 0.5, self.training)


def test_the_model_is_left_as_it_was():
    model = Shared()
    model.norm.eval()
    before = copy.deepcopy(model.state_dict())
    state = torch.get_rng_state()
    found = inspect.dropout(model, X)
    assert [a.layer for a in found.activations] == ["again", "again (2)"]
    assert (model.training, model.again.training, model.norm.training) == (True, True, False)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert torch.equal(torch.get_rng_state(), state)
    assert not model.again._forward_pre_hooks
    assert found.activations == inspect.dropout(model, X).activations
    assert found.activations != inspect.dropout(model, X, key=1).activations


@pytest.mark.parametrize("ending", ["svg", "png", "html"])
def test_the_picture_is_written(ending, tmp_path):
    found = inspect.dropout(net(), X)
    path = tmp_path / f"dropout.{ending}"
    found.save(path)
    assert path.stat().st_size > 1000
    panels = found.chart().to_dict()["hconcat"]
    assert [panel["encoding"]["y"]["field"] for panel in panels] == ["active", "mean", "operations", "milliseconds"]
    values, costs = (found.chart().to_dict()["datasets"][panels[i]["data"]["name"]] for i in (0, 2))
    assert [row["operations"] for row in costs] == [found.operations[0], 0, found.operations[1], found.added]
    assert [row["milliseconds"] for row in costs[::2]] == [1e3 * seconds for seconds in found.seconds]
    assert [(row["layer"], row["pass"]) for row in values][:2] == [("2", "without dropout"), ("2", "at rate 0.5")]
    assert [row["active"] for row in values] == [share for a in found.activations for share in a.active]


def test_what_cannot_be_gets_one_sentence(tmp_path):
    with pytest.raises(InputError, match="rate takes a number from 0 up to, but not, 1, not 1"):
        inspect.dropout(net(), X, 1)
    with pytest.raises(InputError, match="no linear or convolution layer after its first"):
        inspect.dropout(nn.Linear(20, 2), X)
    found = inspect.dropout(net(), X)
    with pytest.raises(InputError, match=r'as .svg, .png or .html, not "a.pdf"'):
        found.save(tmp_path / "a.pdf")
    with pytest.raises(InputError, match="cannot be written"):
        found.save(tmp_path / "nowhere" / "a.svg")


def test_layers_of_dropouts_own_kinds_count_as_layers():
    model = nn.Sequential(nn.Linear(20, 8), nn.ReLU(), dropout.SparseVariationalLinear(8, 2))
    assert [a.layer for a in inspect.dropout(model, X).activations] == ["2"]
