"""What runs left behind: rows in a study's SQLite file."""

from thalweg.record.lock import StoreError
from thalweg.record.store import SCHEMA, Curve, Entry, RecipeRow, RunRecord, Store

__all__ = ["SCHEMA", "Curve", "Entry", "RecipeRow", "RunRecord", "Store", "StoreError"]
