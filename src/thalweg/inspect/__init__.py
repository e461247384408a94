"""Looking at a task, a model or an optimizer without changing it."""

from thalweg.inspect._range_test import RangeTest, range_test

__all__ = ["RangeTest", "range_test"]
