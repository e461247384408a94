"""The metrics by which the task of a file can be judged, by name."""

from dataclasses import replace

from thalweg import InputError, absolute_error, accuracy, balanced_accuracy, squared_error

OF_CLASSES = ("accuracy", "balanced_accuracy")
OF_QUANTITIES = ("relative_squared_error", "squared_error", "absolute_error")

relative_squared_error = replace(squared_error, name="relative squared error")
"""Squared error over the variance of the training targets: 1 is what always saying their mean comes to."""


def judge(name, classes=None, deviation=1.0):
    """Return a metric by its name; where there is none, accuracy for classes, relative squared error for quantities.

    Args:
        name: one of ``OF_CLASSES`` or ``OF_QUANTITIES``, or None.
        classes: of the examples of valid and test, whole numbers; None where targets are quantities.
        deviation: by which targets were divided: errors are in the units that they had before.
    """
    known, others = (OF_QUANTITIES, OF_CLASSES) if classes is None else (OF_CLASSES, OF_QUANTITIES)
    name = known[0] if name is None else name
    if name not in known:
        kinds = ("a quantity", "classes") if classes is None else ("classes", "a quantity")
        why = f"is for {kinds[1]}, and what is predicted is {kinds[0]}" if name in others else "is not known"
        raise InputError(f"the metric {name} {why}; choose one of {', '.join(known)}")
    if name == "balanced_accuracy":
        return balanced_accuracy(classes)
    if name in ("squared_error", "absolute_error"):
        plain, factor = (squared_error, deviation**2) if name == "squared_error" else (absolute_error, deviation)

        def undone(output, y):
            return factor * plain.outcomes(output, y)

        return replace(plain, outcomes=undone)
    return accuracy if name == "accuracy" else relative_squared_error
