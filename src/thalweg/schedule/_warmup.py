from thalweg.schedule._technique import schedule


@schedule(source="Goyal et al. 2017, section 2.2; Ma & Yarats 2021")
def warmup(step, *, steps=0.05):
    """The rate rises in a line: the first of n steps uses 1/n of it, the n-th all of it; then it stays.

    No step is spent at rate 0. Alone it lasts 5% of the run; what follows is said with ``>>``.

    Use it in front of any other schedule for transformers, large batches, high rates, and adaptive optimizers.
    """
    return min(step + 1, steps) / steps
