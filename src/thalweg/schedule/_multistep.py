from thalweg.schedule._technique import schedule
from thalweg.technique import Choice


@schedule(
    source="He et al. 2016, ResNet, section 4.2",
    counts=("milestones",),
    space={"gamma": Choice((0.1, 0.2, 0.5))},
    generalises=("constant", "step"),
)
def multistep(step, *, steps=None, milestones=(1 / 2, 3 / 4), gamma=0.1):
    """The rate times ``gamma`` at each milestone: a staircase whose stairs need not be as long as each other.

    Milestones count steps; below 1 they are shares of the schedule's length, rounded to whole steps.
    torch: ``MultiStepLR(milestones, gamma)``.

    Use it for convolutional networks whose recipe names the epochs of the falls.
    """
    return gamma ** sum(step >= (round(m * steps) if m < 1 else m) for m in milestones)
