"""Studies in all states, written through the store without training anything; and a browser."""

import numpy as np
import pytest

from thalweg.record import Curve, Entry, RecipeRow, RunRecord, Store

METRIC = {"name": "accuracy", "higher_is_better": True, "unit": "%"}


def record(identity, seed=0, valid=0.9, epochs=3, status="finished", reason=""):
    """A run's record with a course that rises to its metric."""
    course = valid * np.linspace(0, 1, epochs + 1)
    losses = np.array([np.nan, *(1 / (1 + np.arange(epochs)))])
    curve = None if status == "failed" else Curve(np.arange(epochs + 1), 10 * np.arange(epochs + 1), losses, course)
    return RunRecord(
        identity, "", seed, status, reason, "one by one", 10 * epochs, 0.1, 8.0, valid, valid, valid, curve=curve
    )


class Written:
    """A study that a test writes as it likes; open, as one that runs, until it is closed."""

    def __init__(self, directory, names=("sgd", "adam"), runs=12, metric=METRIC):
        self.directory, self.store = directory, Store(directory, write=True)
        facts = {
            "task": {"name": "digits", "metric": metric},
            "protocol": {"runs": runs, "command": "thalweg compare x"},
        }
        self.store.begin({**facts, "plan": {}}, [RecipeRow(name, "") for name in names])

    def add(self, recipe, arm="chosen", repeat=0, **more):
        """Write a run that is done."""
        identity = f"{arm}/{recipe}/{repeat}"
        self.plan(recipe, arm, repeat)
        self.store.add_run(record(identity, seed=repeat, **more))
        return identity

    def plan(self, recipe, arm="chosen", repeat=0):
        """Write that a run is to be made."""
        setting, of = (repeat, 0) if arm == "tuning" else (0, repeat)
        self.store.add_entries([Entry(arm, recipe, setting, of, f"{arm}/{recipe}/{repeat}")])

    def progress(self, **more):
        """Write how far it is."""
        facts = {"what": "chosen settings", "runs": 4, "runs_done": 1, "epochs": 12, "epochs_done": 3, "said": []}
        self.store.put("progress", {**facts, "began": 1000.0, "at": 1006.0, "courses": [], **more})


@pytest.fixture
def written(tmp_path):
    """Return what writes a study, and close it at the end."""
    made = []

    def build(**more):
        made.append(Written(tmp_path / f"study{len(made)}", **more))
        return made[-1]

    yield build
    for one in made:
        one.store.close()
