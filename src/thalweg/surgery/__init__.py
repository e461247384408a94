"""Surgery: techniques put into a model that knows nothing of them, and without editing it."""

from thalweg.surgery._operate import Change, Operation, operate

__all__ = ["Change", "Operation", "operate"]


def __dir__() -> list[str]:
    return __all__
