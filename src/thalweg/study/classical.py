"""The classical models that recipes are held against: their settings, in the order in which they are tried.

Each has eight settings, its usual ones first. What is measured in distances or penalised sees inputs with mean 0 and
standard deviation 1, fitted on train; trees do not care.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import starmap
from typing import Any

import numpy as np
from sklearn.compose import TransformedTargetRegressor
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.multioutput import MultiOutputRegressor
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC, SVR
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

__all__ = ["CLASSICAL", "MOST", "Classical", "fitted"]

MOST = 8
"""How many settings each has."""


@dataclass(frozen=True)
class Classical:
    """A classical model.

    Attributes:
        classes, quantities: what it is called where targets are classes, and where they are quantities.
        settings: hyperparameters, the usual ones first; ``MOST`` of them.
        make: ``(settings, classes, *, inputs, key) -> estimator`` of scikit-learn, not fitted.
        scales: whether it sees standardised inputs.
        draws: whether it draws random numbers, and so depends on a seed.
        probabilities: whether it has probabilities of classes.
        turned: what stands in its place where targets are quantities, if that is no kind of its own.
    """

    classes: str
    quantities: str
    settings: tuple[Mapping[str, Any], ...]
    make: Callable[..., Any]
    scales: bool = True
    draws: bool = False
    probabilities: bool = True
    turned: str = ""

    def what(self, classes: bool) -> str:
        """Return what it is, in words."""
        return self.classes if classes else self.quantities

    def shown(self, name: str, classes: bool) -> str:
        """Return its name as sentences have it."""
        return f"{name} (as {self.turned})" if self.turned and not classes else name


def _knn(settings: Mapping[str, Any], classes: bool, *, inputs: Any, **_: Any) -> Any:
    made = KNeighborsClassifier if classes else KNeighborsRegressor
    return made(n_neighbors=min(settings["n_neighbors"], inputs.shape[0]), weights=settings["weights"])


def _svm(settings: Mapping[str, Any], classes: bool, *, inputs: Any, **_: Any) -> Any:
    values = {"C": settings["C"]}
    if settings["widths"] != 1:  # in units of scikit-learn's own, 1 / (features × variance)
        mean = float(inputs.mean())
        variance = float((inputs.multiply(inputs) if hasattr(inputs, "multiply") else inputs**2).mean()) - mean**2
        values["gamma"] = float(f"{settings['widths'] / (inputs.shape[1] * max(variance, 1e-12)):.3g}")
    return SVC(**values) if classes else SVR(**values)


def _logistic(settings: Mapping[str, Any], classes: bool, **_: Any) -> Any:
    strength = settings["C"]
    return LogisticRegression(C=strength, max_iter=2000) if classes else Ridge(alpha=1 / strength)


def _trees(settings: Mapping[str, Any], classes: bool, *, key: int | None, **_: Any) -> Any:
    made = RandomForestClassifier if classes else RandomForestRegressor
    return made(n_estimators=100, **settings, random_state=key)


def _grid(*names: str) -> Callable[..., tuple[Mapping[str, Any], ...]]:
    """Return a function that names the values of each setting."""
    return lambda *rows: tuple(starmap(lambda *row: dict(zip(names, row, strict=True)), rows))


CLASSICAL: dict[str, Classical] = {
    "knn": Classical(
        "k nearest neighbours", "k nearest neighbours (regression)",
        _grid("n_neighbors", "weights")(
            (5, "uniform"), (1, "uniform"), (5, "distance"), (15, "distance"),
            (3, "uniform"), (15, "uniform"), (9, "distance"), (31, "distance"),
        ),
        _knn,
    ),
    "svm": Classical(
        "support vector machine, RBF kernel", "support vector regression, RBF kernel",
        _grid("C", "widths")((1, 1), (10, 1), (0.1, 1), (100, 0.1), (100, 1), (10, 0.1), (1, 3), (1000, 0.1)),
        _svm, probabilities=False,
    ),
    "logistic": Classical(
        "logistic regression, L2 penalty", "ridge regression, in place of logistic regression",
        _grid("C")((1.0,), (0.1,), (10.0,), (0.01,), (100.0,), (0.001,), (1000.0,), (0.0001,)),
        _logistic, turned="ridge",
    ),
    "trees": Classical(
        "random forest of 100 trees", "random forest of 100 regression trees",
        _grid("max_features", "min_samples_leaf")(
            ("sqrt", 1), (0.5, 1), ("sqrt", 3), (0.25, 1), ("log2", 1), (0.5, 3), ("sqrt", 9), (0.25, 3),
        ),
        _trees, scales=False, draws=True,
    ),
}  # fmt: skip
"""By the name that one types. Where targets are quantities, each is its own kind's regression."""


def fitted(name: str, setting: int, key: int, inputs: Any, targets: np.ndarray) -> tuple[Any, str]:
    """Return a model fitted on train, and how scikit-learn writes it.

    Args:
        name: one of `CLASSICAL`.
        setting: its place among the settings.
        key: what it draws from, if it draws.
        inputs: shape ``(examples, features)``, dense or sparse.
        targets: classes, shape ``(examples,)``, or quantities, shape ``(examples,)`` or ``(examples, outputs)``.
    """
    model = CLASSICAL[name]
    classes = targets.dtype.kind in "iub"
    scaling = model.scales and isinstance(inputs, np.ndarray)  # bags of tokens have unit length instead
    seen = StandardScaler().fit_transform(inputs) if scaling else inputs
    plain = model.make(model.settings[setting], classes, inputs=seen, key=key)
    declared = " ".join(repr(model.make(model.settings[setting], classes, inputs=seen, key=None)).split())
    made = plain
    if name == "svm" and not classes:  # its margin and penalty are in units of the targets
        made = MultiOutputRegressor(plain) if targets.ndim > 1 else plain
        made = TransformedTargetRegressor(made, transformer=StandardScaler())
    if scaling:
        made = make_pipeline(StandardScaler(), made)
    with warnings.catch_warnings(), threadpool_limits(1):
        # What stopped early is a line to beat all the same; it is validation that chooses.
        warnings.simplefilter("ignore", ConvergenceWarning)
        return made.fit(inputs, targets), declared
