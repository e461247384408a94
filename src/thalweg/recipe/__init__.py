"""Recipes: everything that is chosen around a model, by role. Frozen; they read and write TOML.

A role's value is an ingredient, a chain of ingredients, a whole number or a word, or nothing where the role may be
empty. A range in place of a number is searched.
"""

from thalweg.recipe.recipe import ROLES, Recipe, Settings, Together
from thalweg.recipe.roles import CATALOGUES, CHAINS, OPTIONAL, WORDS, checked, not_known

__all__ = [
    "CATALOGUES", "CHAINS", "OPTIONAL", "ROLES", "WORDS", "Recipe", "Settings", "Together", "checked", "not_known",
]  # fmt: skip
