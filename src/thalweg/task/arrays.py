"""Arrays in an .npz file: pictures or measurements, and what is predicted, by their names."""

import zipfile
from pathlib import Path

import numpy as np
from torch.nn import functional as F

from thalweg import InputError, Task, split
from thalweg.task.columns import FEW, SHARES
from thalweg.task.images import fits, model_of
from thalweg.task.judged import judge
from thalweg.task.models import MLP

INPUTS = ("x", "images", "data", "inputs", "features")
TARGETS = ("y", "labels", "targets", "target")
NAMES = {"train": ("train",), "valid": ("valid", "val"), "test": ("test",)}


def from_npz(path, name=None, metric=None):
    """Return the task of an .npz file: pictures if its inputs have height and width, else measurements.

    Inputs are called ``x``, ``images``, ``data``, ``inputs`` or ``features``; targets ``y``, ``labels``,
    ``targets`` or ``target``; in capitals or not. For given splits, ``x_train`` or ``train_x`` and so on, with
    ``train``, ``valid`` or ``val``, and ``test``; where there is no ``valid``, it is a quarter of train. Other arrays
    are left out.

    Pictures are ``(N, height, width)``, ``(N, height, width, channels)`` or ``(N, channels, height, width)`` with 1
    to 4 channels. Unsigned levels of 8 or 16 bits become 0 to 1; floats between 0 and 1 stay; others are mapped to
    0 to 1 by the least and the greatest of train. Measurements ``(N, features)`` get train's mean 0 and deviation 1.
    Targets are classes if they are texts, or whole numbers of which at most a third as many differ as there are
    examples; else a quantity, scaled by train. ``(N, 1)`` is ``(N,)``. ``metric`` names one as for tables.

    Raises:
        InputError: a file that is none, or arrays that are not called so, are of other shapes, or of Python objects.
    """
    path = Path(path)
    arrays = read_arrays(path)
    parts = parts_of(path, arrays)
    whole, made, note = targets_of(path, [y for _, y in parts])
    if len(parts) == 1:
        images, _ = parts[0]
        rows = split(len(images), SHARES, 0, whole[0] if made else None)
        pairs = [(images[part], whole[0][part]) for part in rows]
    else:
        pairs = [(x, y) for (x, _), y in zip(parts, whole, strict=True)]
        if len(pairs) == 2:
            (x, y), test = pairs
            most, quarter, rest = split(len(y), (0.7, 0.25, 0.05), 0, y if made else None)
            kept = np.sort(np.concatenate([most, rest]))
            pairs = [(x[kept], y[kept]), (x[quarter], y[quarter]), test]
    deviation = 1.0
    if not made:
        mean, deviation = pairs[0][1].mean(), pairs[0][1].std()
        if not deviation > 0:
            raise InputError(f"the targets of {path.name} are constant in the training examples; nothing to learn")
        pairs = [(x, ((y - mean) / deviation).astype(np.float32)) for x, y in pairs]
    images = pairs[0][0].ndim > 2
    if images:
        fits(sum(len(x) for x, _ in pairs), pairs[0][0].shape[1], pairs[0][0].shape[2:])
        levels, said = levels_of([x for x, _ in pairs])
        model = model_of(levels[0], made or None)
        note = f"{note}; {said}"
        pairs = [(x, y) for x, (_, y) in zip(levels, pairs, strict=True)]
    else:
        features = pairs[0][0].shape[1]
        pairs = [(x.astype(np.float64), y) for x, y in pairs]

        def model():
            return MLP(features, made or None)

    train, valid, test = pairs
    return Task(
        name=name or path.stem, model=model, train=train, valid=valid, test=test, standardize=not images, note=note,
        loss=F.cross_entropy if made else F.mse_loss,
        metric=judge(metric, np.concatenate([valid[1], test[1]]) if made else None, float(deviation)),
    )  # fmt: skip


def read_arrays(path):
    """Return a file's arrays by name, in small letters."""
    try:
        with path.open("rb") as file:
            start = file.read(6)
            file.seek(0)
            if start == b"\x93NUMPY":
                raise InputError(f"{path} holds one array without a name; save both with np.savez(file, x=…, y=…)")
            if start[:2] != b"PK":
                raise EOFError
            with np.load(file, allow_pickle=False) as arrays:
                return {name.lower(): arrays[name] for name in arrays.files}
    except InputError:
        raise
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        why = "it holds Python objects" if "allow_pickle" in str(error) else "it is broken, or none"
        raise InputError(f"{path} cannot be read as .npz: {why}; save arrays of numbers with np.savez") from error


def parts_of(path, arrays):
    """Return pairs of inputs and targets: one, or those of train, valid (where it is there) and test."""
    found = pair_of(path, arrays, [""])
    if found is not None:
        return [found]
    splits = {part: pair_of(path, arrays, words) for part, words in NAMES.items()}
    if splits["train"] is None or splits["test"] is None:
        names = ", ".join(sorted(arrays)) or "nothing"
        raise InputError(
            f"{path.name} has {names}; call them x and y, images and labels, or x_train, y_train, x_test, y_test"
        )
    pairs = [pair for pair in splits.values() if pair is not None]
    shapes = [pair[0].shape[1:] for pair in pairs]
    if len(set(shapes)) > 1:
        raise InputError(f"the inputs of {path.name} differ in shape between splits: {shapes[0]} and {shapes[-1]}")
    return pairs


def pair_of(path, arrays, words):
    """Return inputs, ``(N, features)`` or ``(N, channels, height, width)``, and targets, ``(N,)``; or None."""
    names = [
        {f"{base}_{word}", f"{word}_{base}"} if word else {base} for base in (*INPUTS, *TARGETS) for word in words
    ]
    there = [name for some in names for name in sorted(some) if name in arrays]
    x = [name for name in there if any(base in name.split("_") for base in INPUTS)]
    y = [name for name in there if name not in x]
    if not x or not y:
        return None
    if len(x) > 1 or len(y) > 1:
        raise InputError(
            f"{path.name} has {' and '.join(x if len(x) > 1 else y)}, which say the same; keep one of them"
        )
    inputs, targets = arrays[x[0]], arrays[y[0]]
    where = f"{x[0]} of {path.name}"
    if inputs.dtype.kind not in "buif":
        raise InputError(f"{where} is of type {inputs.dtype}, and must hold numbers")
    if targets.ndim == 2 and targets.shape[1] == 1:
        targets = targets[:, 0]
    if targets.ndim != 1:
        raise InputError(f"{y[0]} of {path.name} has shape {targets.shape}; give one class or one number an example")
    if len(inputs) != len(targets):
        raise InputError(f"{path.name}: {x[0]} has {len(inputs)} examples, and {y[0]} {len(targets)}")
    if not inputs.size:
        raise InputError(f"{where} is empty: its shape is {inputs.shape}")
    if inputs.ndim == 2:
        return inputs, targets
    if inputs.ndim == 3:
        return inputs[:, None], targets
    if inputs.ndim == 4 and inputs.shape[3] <= 4:
        return inputs.transpose(0, 3, 1, 2), targets
    if inputs.ndim == 4 and inputs.shape[1] <= 4:
        return inputs, targets
    raise InputError(
        f"{where} has shape {inputs.shape}; pictures are (N, height, width), with 1 to 4 channels first or last, and "
        "measurements (N, features)"
    )


def targets_of(path, parts):
    """Return targets of each part as numbers, how many classes there are (0 for a quantity), and a note."""
    every = np.concatenate(parts)
    if every.dtype.kind == "f" and not np.isfinite(every).all():
        first = int((~np.isfinite(every)).argmax())
        raise InputError(f"{path.name}: the target of example {first} is NaN or infinite; drop it or fill it in")
    if every.dtype.kind not in "buifUS":
        raise InputError(f"the targets of {path.name} are of type {every.dtype}; give numbers or texts")
    known = np.unique(every)
    whole = every.dtype.kind != "f" or ((known == np.round(known)).all() and len(known) <= FEW)
    if not (whole and len(known) <= len(every) / 3) and every.dtype.kind not in "US":
        return [part.astype(np.float64) for part in parts], 0, f"a quantity ({len(known)} different numbers)"
    if len(known) == 1:
        raise InputError(f"all targets of {path.name} are the same; there is nothing to learn")
    shown = ", ".join(str(value) for value in known[:5].tolist()) + (", …" if len(known) > 5 else "")
    return [np.searchsorted(known, part) for part in parts], len(known), f"{len(known)} classes ({shown})"


def levels_of(parts):
    """Return pictures as float32 from 0 to 1, and a sentence on them."""
    first = parts[0]
    count, size = sum(map(len, parts)), f"{first.shape[2]} × {first.shape[3]}"
    said = f"{count} pictures of {size}"
    if first.dtype in (np.uint8, np.uint16):
        return [x / np.float32(np.iinfo(x.dtype).max) for x in parts], said
    with np.errstate(invalid="ignore"):
        low, high = float(first.min()), float(first.max())
    inside = first.dtype.kind == "f" and low >= 0 and high <= 1
    if inside or not low < high:  # those with NaN are refused with their number
        return [x.astype(np.float32) for x in parts], said
    scaled = [((x.astype(np.float64) - low) / (high - low)).astype(np.float32) for x in parts]
    return scaled, f"{said}, whose levels of {low:g} to {high:g} became 0 to 1"
