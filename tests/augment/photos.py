"""Two photographs: those that come with scikit-learn."""

from functools import cache
from pathlib import Path

import cv2
import numpy as np
import sklearn.datasets

FOLDER = Path(sklearn.datasets.__file__).parent / "images"


@cache
def photos() -> list[np.ndarray]:
    """Return them, uint8, ``(427, 640, 3)``, red first."""
    return [cv2.cvtColor(cv2.imread(str(FOLDER / name)), cv2.COLOR_BGR2RGB) for name in ("china.jpg", "flower.jpg")]
