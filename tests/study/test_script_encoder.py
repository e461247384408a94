"""What an exported script does to a model is what surgery does, in evaluation too."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

import thalweg as tw
from thalweg import activation, dropout, norm, optim, surgery
from thalweg.study.script.shape import functions

X = torch.randn(40, 5, 8, generator=torch.Generator().manual_seed(0))


class Encoding(nn.Module):
    def __init__(self):
        super().__init__()
        layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, activation=nn.ReLU())
        self.encoder = nn.TransformerEncoder(layer, 2)
        self.drop, self.out = nn.Dropout(0.5), nn.Linear(8, 2)

    def forward(self, x):
        return self.out(self.drop(self.encoder(x).mean(1)))


@pytest.mark.parametrize(
    "parts",
    [{"norm": norm.rms()}, {"norm": norm.removed()}, {"activation": activation.silu()},
     {"dropout": dropout.dropout(0.3)}, {"dropout": dropout.dropout_scaled_at_test(0.3), "norm": norm.layer()}],
    ids=str,
)  # fmt: skip
def test_a_transformer_is_shaped_as_by_surgery(parts):
    task = tw.Task(model=Encoding, data=(X, torch.arange(40) % 2), loss=F.cross_entropy, metric=tw.accuracy)
    recipe = tw.Recipe(optimizer=optim.sgd(lr=0.1), **parts).resolved()
    script = {"torch": torch, "nn": nn, "F": F, "Tensor": Tensor, "TorchFunctionMode": TorchFunctionMode}
    exec("from __future__ import annotations\nANSWERS = {}\n" + "\n\n".join(functions(task, recipe, 0)), script)
    ours = surgery.operate(Encoding(), X[:4], **parts).model.eval()
    with torch.no_grad():
        for p in ours.parameters():
            p.add_(0.3 * torch.randn_like(p))
    theirs = script["shaped"](Encoding()).eval()
    theirs.load_state_dict(ours.state_dict())
    expected = ours(X).detach()
    with torch.no_grad():
        torch.testing.assert_close(theirs(X), expected)
