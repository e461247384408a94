"""What a technique is: a name, a formula, its hyperparameters, where to search them, and its source.

An ingredient is a technique with hyperparameters filled in, or left as a range to search. Nothing here
knows what any formula computes.
"""

from thalweg.technique._limits import limits_of, takes
from thalweg.technique._search import Choice, Distribution, LogUniform, Uniform
from thalweg.technique._stub import package_stub, technique_stub
from thalweg.technique._technique import Chain, Ingredient, Technique, by_name
from thalweg.technique._told import about

__all__ = [
    "Chain", "Choice", "Distribution", "Ingredient", "LogUniform", "Technique", "Uniform", "about", "by_name",
    "limits_of", "package_stub", "takes", "technique_stub",
]  # fmt: skip
