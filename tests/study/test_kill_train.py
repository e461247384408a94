"""``thalweg train`` that is killed comes to the same weights, bit for bit; also when killed twice in an epoch."""

import signal
import sys

import pytest
from killing import HERE, end, python, standing, states, wait

import thalweg as tw

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="processes are looked up in /proc"),
]

COMMAND = """
import sys
from thalweg import cli
from thalweg.study import single
from victim import stop_in_checkpoint
single.train.__kwdefaults__["seconds"] = 0  # a checkpoint at every step
call, count, *sys.argv[1:] = sys.argv[1:]
if call:
    stop_in_checkpoint(call, int(count))
cli.main()
"""

STOPS = [("write", 4), ("replace", 3), ("unlink", 9)]
"""Where in which checkpoint each attempt is killed; the first two in one epoch of nine steps."""

RECIPES = {
    "plateau, ema": tw.Recipe(
        tw.optim.adam(), tw.schedule.warmup(3) >> tw.schedule.plateau(patience=0, factor=0.5, threshold=0.2),
        epochs=4, batch_size=20, average=tw.average.ema(),
    ),
    "cosine, swa, sam": tw.Recipe(
        tw.optim.momentum(), tw.schedule.warmup(5) >> tw.schedule.cosine(), epochs=4, batch_size=20,
        average=tw.average.swa(), wrapper=tw.wrapper.sam(), gradient=tw.gradient.clip_norm(1.0),
    ),
    "flip, ssr, mixup": tw.Recipe(
        tw.optim.adam(), epochs=4, batch_size=20,
        augment=tw.augment.flip() >> tw.augment.ssr() >> tw.augment.mixup(alpha=1.0),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", RECIPES)
def test_train_that_is_killed_comes_to_the_same_weights(tmp_path, name):
    (tmp_path / "mine.py").write_text("from victim import task\n")
    (tmp_path / "mine.toml").write_text(RECIPES[name].toml())
    words = ["train", tmp_path / "mine.py:task", "--recipe", tmp_path / "mine.toml", "--seed", 3, "--out"]

    def begin(out, call="", count=0):
        return python("-c", COMMAND, call, count, *words, out, env={"PYTHONPATH": f"{HERE.parent}:{HERE}"})

    def ends(out):
        process = begin(out)
        try:
            _, said = process.communicate(timeout=120)
        finally:
            end(process)
        assert process.returncode == 0, said

    whole, out, steps = tmp_path / "whole", tmp_path / "out", [0]
    ends(whole)
    for call, count in STOPS:
        process = begin(out, call, count)
        try:
            wait(lambda p=process: "T" in states(p.pid).values())
            process.kill()
            assert process.wait() == -signal.SIGKILL
        finally:
            end(process)
        assert len(list(out.glob("checkpoints/*.tmp"))) == (call != "unlink")
        ((step, epoch),) = standing(out).values()
        # The one in whose write it is killed is not there; but where older ones are removed, it is.
        assert step == steps[-1] + count - (call != "unlink")
        steps.append(step)
    assert steps[1] // epoch == steps[2] // epoch, "two of them within one epoch"
    ends(out)
    for file in ("weights.safetensors", "recipe.toml"):
        assert (out / file).read_bytes() == (whole / file).read_bytes()
    assert not list((out / "checkpoints").iterdir())
