"""What runs left behind: rows in a study's SQLite file."""

from thalweg.record.lock import StoreError, is_held, unwritable
from thalweg.record.store import SCHEMA, BaselineRecord, Curve, Entry, RecipeRow, RunRecord, Store

__all__ = [
    "SCHEMA",
    "BaselineRecord",
    "Curve",
    "Entry",
    "RecipeRow",
    "RunRecord",
    "Store",
    "StoreError",
    "is_held",
    "unwritable",
]
