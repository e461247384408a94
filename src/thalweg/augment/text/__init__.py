"""Texts: edits as spans on the string as it was given, and what executes policies of them."""

from thalweg.augment.text._edits import Edit, Edited
from thalweg.augment.text._safety import Safety

__all__ = ["Edit", "Edited", "Safety"]
