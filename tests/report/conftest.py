"""Studies as the report finds them: plausible records, written through the store without training anything."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from thalweg.record import Curve, Entry, RecipeRow, RunRecord, Store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

NAMES = (
    "sgd", "momentum", "nesterov", "adagrad", "adadelta", "rmsprop", "adam_uncorrected",
    "adam", "adam_l2", "amsgrad", "yogi", "adamw", "nadam",
)  # fmt: skip
BEST_RATE = {"sgd": 0.5, "momentum": 0.06, "nesterov": 0.06, "adagrad": 0.05, "adadelta": 1.0}
PLATEAU = dict(
    zip(
        NAMES,
        (0.962, 0.974, 0.9745, 0.968, 0.941, 0.970, 0.9705, 0.975, 0.973, 0.9755, 0.974, 0.9752, 0.976),
        strict=True,
    )
)


class Writer:
    """Write a study of invented runs; ``stop`` runs into it, it stops as a killed study would."""

    def __init__(
        self,
        directory: Path,
        names: Iterable[str] = NAMES,
        *,
        trials: int = 8,
        seeds: int = 10,
        epochs: int = 30,
        rates: int = 7,
        stop: int | None = None,
        verdict: bool = True,
        all_diverge: bool = False,
        higher: bool = True,
        manners: Sequence[str] = ("vmapped, 32 together",),
    ) -> None:
        self.names = list(names)
        self.trials, self.seeds, self.epochs, self.rates = trials, seeds, epochs, rates
        self.all_diverge, self.higher, self.manners = all_diverge, higher, manners
        self.random = np.random.default_rng(5)
        self.runs: list[RunRecord] = []
        self.entries: list[Entry] = []
        for name in self.names:
            self.plan(name)
        with Store(directory, write=True) as store:
            store.begin(self.facts(), [RecipeRow(name, self.toml(name, None)) for name in self.names])
            store.add_entries(self.entries)
            for run in self.runs[:stop]:
                store.add_run(run)
            if verdict and stop is None:
                store.put("verdict", self.verdict())

    def facts(self) -> dict[str, Any]:
        metric = {"name": "accuracy", "higher_is_better": True, "unit": "%"}
        if not self.higher:
            metric = {"name": "squared error", "higher_is_better": False, "unit": ""}
        return {
            "task": {
                "name": "digits", "spec": "digits:mlp", "metric": metric,
                "sizes": {"train": 1077, "valid": 360, "test": 360}, "parameters": 4810,
            },
            "protocol": {
                "trials": self.trials, "seeds": self.seeds, "rates": self.rates, "rate_seeds": 3, "seed": 0,
                "command": f"thalweg compare digits --vary optimizer={','.join(self.names)}",
                "epochs": self.epochs, "runs": len({entry.run for entry in self.entries}),
            },
            "environment": {
                "thalweg": "0.1.0", "torch": "2.13.0+cpu", "python": "3.11.2", "numpy": "2.4.6",
                "platform": "Linux-6.1-x86_64", "processor": "Intel Xeon", "cores": 2, "processes": 2,
                "threads": 1, "started": "2026-07-01T10:00:00+00:00",
            },
            "techniques": [
                {
                    "role": "optimizer", "name": name, "summary": "A step against the gradient.",
                    "latex": [r"x \leftarrow x - \frac{\alpha}{2} \left(g\right)"], "symbols": {"lr": r"\alpha"},
                    "vectors": "", "source": "Robbins & Monro 1951, A Stochastic Approximation Method, section 2",
                    "recipes": [name],
                }
                for name in self.names
            ],
            "plan": {"sentences": ["Runs trained 32 together (vmapped): measured 9.1 times as fast as one by one."]},
            "verdict": None,
        }  # fmt: skip

    def toml(self, name: str, rate: float | None, beta: float = 0.9) -> str:
        lr = "{ log_uniform = [1e-4, 1.0] }" if rate is None else repr(rate)
        name = name.replace('"', '\\"')
        return (
            f'batch_size = 32\nepochs = {self.epochs}\n\n[optimizer]\nname = "{name}"\nlr = {lr}\n'
            f'beta1 = {beta}\n\n[[schedule]]\nname = "cosine"\n'
        )

    def plan(self, name: str) -> None:
        best = BEST_RATE.get(name, 0.003)
        self.run("tuning", name, 0, 0, self.default(name), 0.9)
        for trial in range(1, self.trials):
            rate = float(10 ** self.random.uniform(-4, 0))
            self.run("tuning", name, trial, 0, rate, float(1 - 10 ** self.random.uniform(-2, -0.5)))
        for seed in range(self.seeds):
            self.run("defaults", name, 0, seed, self.default(name), 0.9)
            self.run("chosen", name, 0, seed, best * 1.2345, 0.93)
        for index in range(self.rates):
            for seed in range(3):
                self.run("sensitivity", name, index, seed, float(best * 10 ** (index * 0.5 - 1.5)), 0.9)

    def default(self, name: str) -> float:
        return {"sgd": 0.01, "adadelta": 1.0}.get(name, 0.001)

    def run(self, arm: str, name: str, setting: int, repeat: int, rate: float, beta: float) -> None:
        identity = f"{arm}-{name}-{setting}-{repeat}"
        off = np.log10(rate / BEST_RATE.get(name, 0.003))
        diverged = self.all_diverge or off > 1.3 or (arm == "chosen" and name == "yogi" and repeat == 3)
        plateau = PLATEAU.get(name, 0.97) - 0.006 * off**2 - 0.02 * max(0, -off - 0.8) ** 2
        plateau += 0.004 * self.random.standard_normal()
        epoch = np.arange(self.epochs + 1)
        speed = 1.5 * 10 ** (max(0.0, -off) * 0.6)
        valid = plateau - (plateau - 0.1) * np.exp(-epoch / speed) + 0.002 * self.random.standard_normal(len(epoch))
        loss = 2.3 * np.exp(-epoch / speed / 2) + 0.02 * np.exp(0.3 * self.random.standard_normal(len(epoch)))
        loss[0] = np.nan
        if diverged:
            valid[6:], loss[6:] = 0.1, np.nan  # a model of NaNs answers one class
        train, test, last = min(1.0, plateau + 0.02), plateau - 0.003, valid[-1]
        if diverged:
            test, train, last = 0.1, np.nan, np.nan
        if not self.higher:
            valid, train, test, last = 1 - valid, 1 - train, 1 - test, 1 - last
        self.entries.append(Entry(arm, name, setting, repeat, identity))
        self.runs.append(
            RunRecord(
                identity, self.toml(name, rate, beta), repeat, "diverged" if diverged else "finished",
                "the loss became NaN at step 187" if diverged else "",
                self.manners[len(self.runs) % len(self.manners)], 34 * self.epochs,
                0.41 + 0.05 * float(self.random.random()), 8.0 if "ad" in name else 0.0, train, last, test,
                Curve(epoch, 34 * epoch, loss, valid),
            )
        )  # fmt: skip

    def scores(self, name: str, arm: str) -> np.ndarray:
        by_entry = {(e.arm, e.recipe): [] for e in self.entries}
        for entry, run in zip(self.entries, self.runs, strict=True):
            by_entry[entry.arm, entry.recipe].append(run.test)
        return np.array(by_entry[arm, name])

    def verdict(self) -> dict[str, Any]:
        sign = 1 if self.higher else -1
        recipes = []
        for name in self.names:
            for arm in ("chosen", "defaults"):
                scores = self.scores(name, arm)
                lost = int((scores == (0.1 if self.higher else 0.9)).sum())
                half = 2.3 * scores.std() / len(scores) ** 0.5
                recipes.append(
                    {
                        "name": name, "arm": arm, "mean": scores.mean(), "failures": lost,
                        "runs": len(scores), "seeds": [scores.mean() - half, scores.mean() + half],
                        "crossed": [scores.mean() - half - 0.007, scores.mean() + half + 0.007],
                    }
                )  # fmt: skip
        pairs = []
        for i, a in enumerate(self.names):
            for b in self.names[i + 1 :]:
                d = self.scores(a, "chosen") - self.scores(b, "chosen")
                half = 3.2 * d.std() / len(d) ** 0.5
                wide = half + 0.004
                pairs.append(
                    {
                        "a": a, "b": b, "difference": d.mean(), "seeds": [d.mean() - half, d.mean() + half],
                        "crossed": [d.mean() - wide, d.mean() + wide], "claimed": bool(abs(d.mean()) > wide),
                    }
                )  # fmt: skip
        means = {r["name"]: sign * r["mean"] for r in recipes if r["arm"] == "chosen"}
        best = max(means, key=means.__getitem__)
        claimed = {frozenset((p["a"], p["b"])) for p in pairs if p["claimed"]}
        tied = [n for n in self.names if n != best and frozenset((n, best)) not in claimed]
        behind = [
            {"name": n, "difference": means[best] - means[n], "crossed": [0.001, 0.02]}
            for n in self.names
            if n != best and n not in tied
        ]
        return {
            **self.facts()["task"]["metric"], "metric": self.facts()["task"]["metric"]["name"], "level": 0.95,
            "seeds": self.seeds, "examples": 360, "best": best, "tied": [best, *tied], "behind": behind,
            "gains": [
                {"name": n, "difference": 0.004, "seeds": [0.002, 0.006], "crossed": [0.001, 0.007], "claimed": True}
                for n in self.names
            ],
            "unjudged": {}, "detectable": 0.009, "recipes": recipes, "pairs": pairs,
            "tuning": [self.tuning(n) for n in self.names],
            "sentences": [
                f"{best} is best, and cannot be told apart from {len(tied)} others: {', '.join(tied)}.",
                f"{len(behind)} recipes are behind.",
                "With 10 seeds and 360 test examples this study could have seen a difference of 0.9 points.",
            ],
            "warnings": [f"{self.names[0]}: the best learning rate, 1, lies on the edge of its space; widen it."],
        }  # fmt: skip

    def tuning(self, name: str) -> dict[str, Any]:
        found = np.array([run.valid for e, run in zip(self.entries, self.runs, strict=True)
                          if e.arm == "tuning" and e.recipe == name])  # fmt: skip
        found = np.nan_to_num(found, nan=0.1 if self.higher else 0.9)
        best = np.maximum.accumulate(np.sort(found)) if self.higher else np.minimum.accumulate(-np.sort(-found))
        trials = list(range(1, len(best) + 1))
        low = [float(v) - 0.03 for v in best]
        high = [None if n > 4 else float(v) + 0.01 for n, v in zip(trials, best, strict=True)]
        return {"name": name, "trials": trials, "best": best.tolist(), "low": low, "high": high}


@pytest.fixture
def study(tmp_path: Path) -> Callable[..., Path]:
    """Write a small study (two recipes unless named), and return its directory, a new one each time."""
    number = count()

    def build(names: Iterable[str] = ("adam", "sgd"), **more: Any) -> Path:
        settings = {"trials": 3, "seeds": 3, "epochs": 4, "rates": 3, **more}
        directory = tmp_path / f"study {next(number)}"
        Writer(directory, names, **settings)
        return directory

    return build


class Opened:
    """A page in the browser, and what it said and asked for."""

    def __init__(self, browser: Any, path: Path, **more: Any) -> None:
        settings = {"viewport": {"width": 1200, "height": 900}, "accept_downloads": True, **more}
        self.context = browser.new_context(**settings)
        self.context.grant_permissions(["clipboard-read", "clipboard-write"])
        self.page = self.context.new_page()
        self.said: list[str] = []
        self.asked: list[str] = []
        self.address = path.resolve().as_uri()
        self.page.on("console", lambda message: self.said.append(f"{message.type}: {message.text}"))
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.on("dialog", lambda dialog: (self.said.append(f"dialog: {dialog.message}"), dialog.dismiss()))
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.add_init_script(
            "new MutationObserver((_, watch) => { if (document.querySelector('[data-drawn]')) "
            "{ window.first = performance.now(); watch.disconnect(); } })"
            ".observe(document, { subtree: true, attributes: true, childList: true })"
        )
        self.page.goto(self.address)
        self.page.wait_for_selector("html[data-ready]", timeout=60_000)

    def quiet(self) -> bool:
        """Whether it said nothing, and asked for nothing but itself and what it made."""
        own = ("data:", "blob:")
        return not self.said and [url for url in self.asked if not url.startswith(own)] == [self.address]


@pytest.fixture
def opened(browser: Any) -> Any:
    """Open a page in the browser; afterwards it must have said nothing and asked for nothing."""
    pages: list[Opened] = []

    def build(path: Path, **more: Any) -> Opened:
        pages.append(Opened(browser, path, **more))
        return pages[-1]

    yield build
    for one in pages:
        assert one.quiet(), (one.said, one.asked)
        one.context.close()
