"""Compiled steps see the same augmented batches, and mixed ones are compiled as they are."""

import pytest
import torch
from pictures import member, pictures, same

from thalweg import augment
from thalweg.train import train
from thalweg.train.compiled import count_compiled
from thalweg.train.planner import measure

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True, scope="module")
def cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("THALWEG_CACHE", str(tmp_path_factory.mktemp("cache")))
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        yield
        torch.set_num_threads(threads)


@pytest.mark.parametrize(
    "policies",
    [
        [None, augment.flip(), augment.ssr() >> augment.brightness()],
        [augment.mixup(), augment.flip() >> augment.cutmix(), augment.mixup(p=0.5)],
    ],
    ids=["plain", "mixing"],
)
def test_compiled_runs_are_the_runs_whoever_is_beside_them(policies):
    task = pictures()
    runs = [member(policy, seed, batch_size=36) for seed, policy in enumerate(policies)]
    assert measure(task, runs[0].recipe.together(), seconds=0).step_seconds > 0
    together = train(task, runs, "compiled", keep_weights=True)
    assert count_compiled(task) == 2, "one graph of a step, one of an evaluation"
    same(together[1], train(task, [runs[1]], "compiled", keep_weights=True)[0])
    same(together[2], train(task, [runs[2], runs[0], member(policies[1], 8, batch_size=36)], "compiled",
                            keep_weights=True)[0])  # fmt: skip
    for run, result in zip(runs, together, strict=True):
        (alone,) = train(task, [run])
        assert result.curve.train_loss[1:] == pytest.approx(alone.curve.train_loss[1:], rel=1e-3)
    assert count_compiled(task) == 2
