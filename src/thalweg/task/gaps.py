"""Missing values of a CSV file: found by one rule, and refused, filled in, or left out with their rows."""

from thalweg import InputError, unknown

MARKS = {"", "na", "n/a", "nan", "+nan", "-nan", "null", "?"}
"""What stands for a missing value in any column, in small letters or capitals."""

WAYS = ("fill", "drop")


def is_gap(text):
    """Return whether a cell says that its value is missing."""
    return text.lower() in MARKS


def without_gaps(path, target, columns, texts, numbers, missing=None, fills=True):
    """Return columns, the target's texts, rows' numbers and a sentence on missing values, which is empty for none.

    With "fill", a missing value is the empty text, and a row without a target is left out; with "drop", a row with
    any is left out, and so it is with "fill" where ``fills`` is False: of texts and pictures, none stands for a
    missing one.

    Raises:
        InputError: values are missing, and it was not said what to do with them: all columns that have such, and how
            many.
    """
    if missing is not None and missing not in WAYS:
        raise unknown("way to take missing values:", missing, WAYS)
    every = {**columns, target: texts}
    found = {name: [i for i, text in enumerate(column) if is_gap(text)] for name, column in every.items()}
    found = {name: rows for name, rows in found.items() if rows}
    if not found:
        return columns, texts, numbers, ""
    counts = [f"{len(rows)} in {name}" for name, rows in found.items()]
    if not fills:
        missing = missing and "drop"
    if missing is None:
        first = min(rows[0] for rows in found.values())
        column = next(name for name, rows in found.items() if rows[0] == first)
        most = max((len(rows), name) for name, rows in found.items())[1]
        leave = f', or leave a column out with --drop "{most}"' if most != target and len(columns) > 1 else ""
        fill = "fill them in with --missing fill, " if fills and list(found) != [target] else ""
        raise InputError(
            f"{path.name} has missing values: {', '.join(counts)} (the first in row {numbers[first]}, column "
            f'"{column}"); {fill}leave their rows out with --missing drop{leave}'
        )
    out = set(found.get(target, [])) if missing == "fill" else {i for rows in found.values() for i in rows}
    kept = [i for i in range(len(texts)) if i not in out]
    if len(kept) < 10:
        raise InputError(
            f"{path.name} has {len(kept)} rows without missing values, and train, valid and test need 10; "
            "fill them in with --missing fill, or leave columns out with --drop"
        )
    said = []
    if filled := [count for count in counts if missing == "fill" and not count.endswith(f" in {target}")]:
        said.append(f"missing values are filled in: {', '.join(filled)}")
    if out:
        why = f"{target} is missing" if missing == "fill" else f"values are missing ({', '.join(counts)})"
        said.append(f"{len(out)} of {len(texts)} rows are left out where {why}")
    columns = {name: ["" if is_gap(column[i]) else column[i] for i in kept] for name, column in columns.items()}
    return columns, [texts[i] for i in kept], [numbers[i] for i in kept], "; ".join(said)
