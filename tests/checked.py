"""One check of `thalweg.inspect.check` by itself."""

from thalweg import inspect


def found(task, name, recipe=None):
    """Return the finding of one check, made alone."""
    kept = dict(inspect.CHECKS)
    try:
        for other in kept.keys() - {name}:
            del inspect.CHECKS[other]
        return inspect.check(task, recipe)[name]
    finally:
        inspect.CHECKS.clear()
        inspect.CHECKS.update(kept)
