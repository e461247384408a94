"""Whatever its layers, a model's losses, gradients, buffers and outputs do not depend on who is stacked with it."""

import zlib

import pytest
import torch
from layer_kinds import IMAGES, KINDS, inputs

import thalweg as tw
from thalweg import optim
from thalweg.recipe import Recipe
from thalweg.train import EXECUTORS, Member, footprint
from thalweg.train.counter import step_keys
from thalweg.train.state import begin_all
from thalweg.train.vmapped import rest_of

WIDTHS, BATCHES = (1, 3, 7, 16, 33, 64), (1, 2, 5, 16, 33)
POPULATIONS = (*range(3, 18), 32)
ROWS = 33

pytestmark = pytest.mark.filterwarnings("ignore:There is a performance drop", "ignore:Using padding='same'")


def loss(output, targets):
    return (output.flatten(1).sin().mean(1) * targets).mean()


def begun(kind, width, batch, executor="vmapped", rows=ROWS, dtype=torch.float32):
    """Return models side by side that have seeds of their own, and a batch for each."""
    make, x = KINDS[kind][0], inputs(kind, width, 80)
    y = torch.linspace(-1, 1, len(x))
    metric = tw.Metric("mean", lambda output, targets: output.flatten(1).mean(1), True)
    task = tw.Task(model=lambda: make(width), data=(x, y), loss=loss, metric=metric, dtype=dtype)
    recipe = Recipe(optim.sgd(), epochs=1, batch_size=max(2, batch)).resolved()
    states = begin_all(task, [Member(recipe, seed) for seed in range(rows)])
    models = EXECUTORS[executor](task, states)
    some = torch.stack(
        [torch.randperm(len(task.train), generator=torch.Generator().manual_seed(i)) for i in range(rows)]
    )
    some = torch.cat([some, some[-1:].expand(len(models.parameters) - rows, -1)])
    return models, task.train.at(some[:, :batch])


def stepped(models, batch, rows):
    """Return what a training step of some rows comes to, an axis of rows before each."""
    mine, keys = batch.at(rows), step_keys(models.mask_keys[rows], [3] * (rows.stop - rows.start))
    found = torch.full_like(models.gradients[rows], torch.nan)
    models.module.train()
    losses, rest = models.uncompiled(
        models.parameters[rows], rest_of(models.rest, rows), mine.inputs, mine.targets, keys, found
    )
    return [losses, found, *rest.values()]


def judged(models, batch, rows):
    """Return the outputs of some rows for the same inputs."""
    models.module.eval()
    with torch.no_grad():
        given = models.parameters[rows], rest_of(models.rest, rows), batch.inputs[0], models.no_key
        return [models.predict(*given)]


def has_the_same_bits(kind, width, batch, populations, rows=ROWS):
    """Assert that rows of smaller populations, wherever they begin, have the bits of those of the largest."""
    models, examples = begun(kind, width, batch, rows=rows)
    shift = zlib.crc32(f"{kind} {width} {batch}".encode())
    for take in (stepped, judged):
        whole = take(models, examples, slice(0, rows + models.spare))
        assert all(x[:rows].isfinite().all() for x in whole)
        for size in populations:
            start = shift % (rows - size + 1)
            some = take(models, examples, slice(start, start + size + models.spare))
            for x, of_all in zip(some, whole, strict=True):
                assert torch.equal(x[:size], of_all[start : start + size]), (take.__name__, size, start)


@pytest.mark.parametrize("kind", KINDS)
def test_rows_have_the_same_bits_in_every_population(kind):
    has_the_same_bits(kind, 3, 5, (2, 3, 7), rows=10)
    has_the_same_bits(kind, 16, 33, (3, 5), rows=10)


@pytest.mark.parametrize("kind", IMAGES)
def test_rows_have_the_same_bits_where_there_is_one_image_of_one_channel(kind):
    """Torch computes this as one product of all models' weights, which has few rows."""
    has_the_same_bits(kind, 1, 1, (2,), rows=6)


@pytest.mark.slow
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("kind", KINDS)
def test_rows_of_all_sizes_have_the_same_bits_in_every_population(kind, width):
    for i, batch in enumerate(BATCHES):
        if batch == 1 and kind.startswith(("batch norm", "group norm")) and KINDS[kind][1] == ():
            continue  # torch refuses one value
        has_the_same_bits(kind, width, batch, POPULATIONS[(i + width) % 2 :: 2])


@pytest.mark.parametrize("kind", KINDS)
def test_every_row_has_the_gradients_that_it_has_alone(kind):
    found = []
    for executor in ("one by one", "vmapped"):
        models, batch = begun(kind, 5, 6, executor, 3, torch.float64)
        losses = models.differentiate(batch, [2] * len(models.parameters))
        found.append((losses[:3], models.gradients[:3]))
    for alone, stacked in zip(*found, strict=True):
        torch.testing.assert_close(stacked, alone, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("count", range(1, 34))
def test_no_group_that_passes_is_smaller_than_the_smallest_population(count, monkeypatch):
    monkeypatch.setattr(footprint, "PASS", 1)
    models, _ = begun("linear", 3, 5, rows=count)
    groups = models.passes(len(models.parameters), 5)
    assert all(some.stop - some.start >= 3 for some, _ in groups)
    covered = [row for some, own in groups for row in range(some.start, some.start + own)]
    assert covered == list(range(len(models.parameters)))
