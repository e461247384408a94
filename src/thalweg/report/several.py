"""Several studies on one page: who is ahead on which task, recipe by task, and each study's own verdict."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from altair.utils.schemapi import debug_mode

from thalweg.record import StoreError
from thalweg.report import across, lottery, words
from thalweg.report.charts import ranks
from thalweg.report.methods import counted
from thalweg.report.reading import Study, flat, read
from thalweg.report.scale import Scale, scale_of
from thalweg.report.tables import crossed_edge, ranked, shown
from thalweg.report.writing import placed, put, rendered

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["render", "write"]


def write(directories: Sequence[Path | str], path: Path | str) -> Path:
    """Write the page; see :func:`thalweg.report.write_several`."""
    page = placed(path)
    if page.name == "report.html" and (page.parent / "study.db").exists():
        raise StoreError(f"{page} is the report of the study in {page.parent}; write this page elsewhere")
    return put(render(_read(directories)), page)


def _read(directories: Sequence[Path | str]) -> list[Study]:
    places = [Path(directory).resolve() for directory in directories]
    for directory, place in zip(directories, places, strict=True):
        if places.count(place) > 1:
            raise StoreError(f"{directory} is named twice; name every study once")
        if lottery.holds_one(directory):
            raise StoreError(f"{directory} holds a lottery, which has no recipes to set beside others'")
    return [read(directory) for directory in directories]


def render(studies: Sequence[Study]) -> str:
    """Return the page as HTML."""
    labels, scales = _labels(studies), [scale_of(study) for study in studies]
    claims = across.claimed(studies, labels)
    names = across.ordered(studies, claims)
    data: dict[str, Any] = {}
    charts: dict[str, Any] = {}
    told: dict[str, str] = {}
    figures = []
    with debug_mode(False):  # what Vega-Lite takes is checked in the tests, not anew for each page
        for i, (study, scale, label) in enumerate(zip(studies, scales, labels, strict=True)):
            if table := ranked(study, scale):
                source = f"ranks-{i}"
                data[source] = table
                charts[source] = ranks(study, scale, {source: table}, source)
                told[source] = f"{label}: {words.ranks_told(table, scale)}"
                figures.append({"name": source, "title": f"{label}: test {scale.axis}"})
    sentences = across.sentences(claims, names)
    return rendered(
        "several.html.j2",
        names=names,
        charts=charts,
        data=data,
        copies={},
        title=sentences[0],
        headline=sentences[0],
        lead=sentences[1:],
        summary=[counted(len(studies), "study").replace("studys", "studies"), counted(len(names), "recipe")],
        warnings=_unlike(studies, labels),
        figures=figures,
        told=told,
        shown=shown(*data.values()),
        edge=any(crossed_edge(table) for table in data.values()),
        heads=[{"label": label, "axis": scale.axis} for label, scale in zip(labels, scales, strict=True)],
        grid=[_row(name, place, studies, scales, claims) for place, name in enumerate(names)],
        studies=[_told(*one) for one in zip(studies, scales, labels, strict=True)],
        version=next((s.environment["thalweg"] for s in studies if s.environment.get("thalweg")), ""),
    )


def _labels(studies: Sequence[Study]) -> list[str]:
    """Return what each study is called: its task, and its directory too where tasks repeat."""
    tasks = [str(study.task.get("name") or study.directory.name) for study in studies]
    names = [study.directory.resolve().name for study in studies]
    both = [f"{task} ({name})" for task, name in zip(tasks, names, strict=True)]
    return [
        task if tasks.count(task) == 1 else two if both.count(two) == 1 else f"{task} ({study.directory})"
        for task, two, study in zip(tasks, both, studies, strict=True)
    ]


def _row(
    name: str, place: int, studies: Sequence[Study], scales: Sequence[Scale], claims: Sequence[across.Claims | None]
) -> dict[str, Any]:
    cells = []
    for study, scale in zip(studies, scales, strict=True):
        judged = study.judged.get((name, "chosen"), {})
        mean = study.mean(name) if name in study.names else None
        cells.append(
            {
                "mean": scale.number(mean),
                "interval": scale.interval(scale.possible(judged.get("crossed") or judged.get("seeds"))),
                "group": study.group.get(name, ""),
                "there": name in study.names,
                "failed": int(judged.get("failures") or 0),
            }
        )
    having = [one for one in claims if one and name in one.judged]
    record = {"ahead": sum(one.ahead(name) for one in having), "behind": sum(one.behind(name) for one in having)}
    return {"name": name, "place": place, "cells": cells, **record, "of": len(having)}


def _unlike(studies: Sequence[Study], labels: Sequence[str]) -> list[str]:
    """Return a sentence for each name that stands for different recipes."""
    seen: dict[str, tuple[str, str]] = {}
    told: dict[str, list[str]] = {}
    for study, label in zip(studies, labels, strict=True):
        for recipe in study.recipes:
            first, declared = seen.setdefault(recipe.name, (label, recipe.declared))
            ours, theirs = flat(recipe.declared), flat(declared)
            differ = [
                path
                for path in (*theirs, *(p for p in ours if p not in theirs))
                if ours.get(path) != theirs.get(path)
            ]
            if differ:
                told.setdefault(recipe.name, []).append(f"on {label} not as on {first} ({', '.join(differ[:6])})")
    return [f"{name} is not one and the same recipe: {'; '.join(where)}." for name, where in told.items()]


def _told(study: Study, scale: Scale, label: str) -> dict[str, Any]:
    return {
        "label": label,
        "sentences": words.headline(study, scale),
        "facts": words.summary(study)[1:],
        "examples": (study.task.get("sizes") or {}).get("test"),
        "warnings": len((study.verdict or {}).get("warnings") or []),
        "directory": str(study.directory),
        "command": study.protocol.get("command") or "",
    }
