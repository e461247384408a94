"""Laws that every technique keeps, of whatever kind."""

import copy
import pickle

import pytest

from thalweg.catalogue import KINDS

TECHNIQUES = [technique for members in KINDS.values() for technique in members.values()]


@pytest.mark.parametrize("technique", TECHNIQUES, ids=lambda technique: f"{technique.kind}-{technique.name}")
def test_it_is_itself_after_being_pickled_and_copied(technique):
    """So are ingredients: frameworks put them into checkpoints, and worker processes get them through a pipe."""
    for again in (pickle.loads(pickle.dumps(technique)), copy.copy(technique), copy.deepcopy(technique)):
        assert again is technique
    ingredient = technique()
    assert pickle.loads(pickle.dumps(ingredient)) == ingredient == copy.deepcopy(ingredient)
