"""What runs left behind: rows in a study's SQLite file."""

from thalweg.record.store import Curve, Entry, RecipeRow, RunRecord, Store, StoreError

__all__ = ["Curve", "Entry", "RecipeRow", "RunRecord", "Store", "StoreError"]
