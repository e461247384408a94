from thalweg.schedule._technique import schedule


@schedule(source="Smith 2017, Cyclical learning rates, section 3.1", counts=("half",), endless=True)
def triangular(step, *, steps=None, half=1 / 8, low=0.1, gamma=1.0):
    """The rate climbs in a line from ``low`` to 1 and back, again and again, each peak ``gamma`` times the last.

    ``half`` counts the steps of a climb; below 1 it is a share of the schedule's length, rounded to whole steps.
    torch: ``CyclicLR(low · lr, lr, half)``; γ = ½ is its mode ``"triangular2"``. torch moves the momentum the other
    way unless ``cycle_momentum=False``; here the rate alone moves.

    Use it where a good rate is known only roughly, so that the run passes through a range of rates.
    """
    length = max(1, round(half * steps)) if half < 1 else half
    return low + (1 - low) * (1 - abs(step / length % 2 - 1)) * gamma ** (step // (2 * length))
