from thalweg.schedule._technique import schedule


@schedule(source="Robbins & Monro 1951", endless=True)
def constant(step, *, steps=None):
    """The rate as it is: the multiplier 1."""
    return 1.0
