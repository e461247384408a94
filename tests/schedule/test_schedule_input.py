"""What a schedule refuses."""

import pytest

from thalweg import optim, schedule
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


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: schedule.cosine_restarts(growth=0.5), "growth of cosine_restarts takes a number from 1 up, not 0.5"),
        (
            lambda: schedule.step(every=0),
            "every of step takes whole numbers of steps or shares of its length below 1",
        ),
        (lambda: schedule.multistep(milestones=[]), r"milestones of multistep takes a list of numbers such as \[0.5"),
        (lambda: schedule.multistep(milestones=30), r"milestones of multistep takes a list of numbers"),
        (lambda: schedule.multistep(milestones=[3, "4"]), "milestones of multistep takes a number, not '4'"),
        (lambda: schedule.one_cycle(pct_start=1), "pct_start of one_cycle takes a number from 0 up to, but not, 1"),
        (lambda: schedule.Schedule((optim.adam(),)), "adam is not a schedule, such as schedule.cosine"),
    ],
)
def test_what_cannot_be_computed_is_refused_when_it_is_said(make, message):
    with pytest.raises(InputError, match=message):
        make()


def test_milestones_are_searched_as_lists():
    import thalweg as tw

    recipe = tw.Recipe(schedule=schedule.multistep(milestones=tw.Choice(([0.5, 0.75], (0.3,)))))
    assert "milestones = [\n    [\n        0.5" in recipe.toml()
    assert tw.Recipe.from_toml(recipe.toml()) == recipe
    assert recipe.resolved({"schedule.0.milestones": (0.3,)}).schedule == schedule.multistep(
        milestones=[0.3], gamma=0.1
    )
