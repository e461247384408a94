from thalweg.stop._technique import stop


@stop(source="the recipe's number of epochs", restores=False)
def never(metric, best, waited):
    """Training goes on to its last epoch, whatever the metric does, and ends with the last weights.

    What was best is noted all the same; ``patience`` acts on it.

    Use it with schedules that fall to their end, where stopping early would cut off the best part.

    Source: none; it is what happens without a way to stop.
    """
    better = metric < best
    best = metric if better else best
    return best, 0 if better else waited + 1, False
