"""What a schedule refuses."""

import pytest

from thalweg import schedule
from thalweg.errors import InputError


@pytest.mark.parametrize("steps", [0, -3, 1.5, float("nan")])
def test_a_length_that_is_neither_steps_nor_a_share_is_refused(steps):
    with pytest.raises(InputError):
        schedule.cosine(steps)


def test_a_schedule_longer_than_the_run_is_refused():
    with pytest.raises(InputError, match="lasts 150 steps, and the run has 100"):
        (schedule.warmup(100) >> schedule.cosine(50)).multipliers(100)


def test_an_open_schedule_cannot_be_called_before_its_length_is_known():
    with pytest.raises(InputError, match="say how many steps cosine lasts"):
        schedule.cosine()(3)


def test_an_unknown_hyperparameter_is_named():
    with pytest.raises(InputError, match=r'unknown hyperparameter of cosine "ends"; did you mean "end"\?'):
        schedule.cosine(ends=0.1)
