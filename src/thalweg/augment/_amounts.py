"""What a sample's random numbers come to, in the words of the field: angles, factors, shares."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from thalweg.augment.image._plane import between, floor, log_between

__all__ = ["amount"]


def amount(name: str, drawn: Sequence[float], values: dict[str, Any]) -> str:
    """Return the amounts of a step, or an empty string where there are none in few words.

    Args:
        name: of the technique.
        drawn: its random numbers.
        values: its hyperparameters.

    >>> amount("brightness", [0.8], {"limit": 0.2})
    '+12 %'
    """
    return _AMOUNTS[name](drawn, values) if name in _AMOUNTS else ""


def _either_way(u: float, limit: float) -> float:
    return float(between(u, -limit, limit))


def _percent(share: float) -> str:
    """Return a share of the whole with its sign.

    >>> _percent(0.125), _percent(-0.0625), _percent(0.0)
    ('+12.5 %', '-6.2 %', '0 %')
    """
    number = f"{100 * share:+.1f}".removesuffix(".0")
    return f"{'0' if number in ('+0', '-0') else number} %"


def _moved(across: float, down: float, limit: float) -> list[str]:
    if not limit:
        return []
    x, y = _either_way(across, limit), _either_way(down, limit)
    return [f"moved {abs(x):.1%} {'right' if x > 0 else 'left'} and {abs(y):.1%} {'down' if y > 0 else 'up'}"
            .replace("%", " %")]  # fmt: skip


def _rotated(u: float, limit: float) -> list[str]:
    return [f"rotated {_either_way(u, limit):.1f}°"] if limit else []


def _ssr(u: Sequence[float], values: dict[str, Any]) -> str:
    scaled = [f"×{1 + _either_way(u[1], values['scale']):.2f}"] if values["scale"] else []
    return ", ".join([*_rotated(u[0], values["rotate"]), *scaled, *_moved(u[2], u[3], values["shift"])])


def _affine(u: Sequence[float], values: dict[str, Any]) -> str:
    lean, grown = ([_either_way(each, values[name]) for each in pair]
                   for name, pair in (("shear", u[:2]), ("scale", u[2:4])))  # fmt: skip
    found = [f"sheared {lean[0]:.1f}° across and {lean[1]:.1f}° down"] if values["shear"] else []
    found += [f"×{1 + grown[0]:.2f} across and ×{1 + grown[1]:.2f} down"] if values["scale"] else []
    return ", ".join([*found, *_rotated(u[4], values["rotate"]), *_moved(u[5], u[6], values["shift"])])


def _factor(u: Sequence[float], values: dict[str, Any]) -> str:
    return f"×{1 + _either_way(u[0], values['limit']):.2f}"


def _falling(what: str) -> Callable[[Sequence[float], dict[str, Any]], str]:
    def said(u: Sequence[float], values: dict[str, Any]) -> str:
        count = floor(between(u[0], values["count"] / 5, values["count"] + 1.0))
        return f"{count:.0f} {what} at {_either_way(u[1], values['slant']):.0f}°"

    return said


def _at(share: float, x: float, y: float) -> str:
    return f"{100 * share:.0f} % at {100 * x:.0f} % across and {100 * y:.0f} % down"


_AMOUNTS: dict[str, Callable[[Sequence[float], dict[str, Any]], str]] = {
    "ssr": _ssr,
    "affine": _affine,
    "brightness": lambda u, values: _percent(_either_way(u[0], values["limit"])),
    "contrast": _factor,
    "saturation": _factor,
    "sharpen": lambda u, values: _percent(between(u[0], 0.0, values["limit"])),
    "gamma": lambda u, values: f"exponent {log_between(u[0], 1 / values['limit'], values['limit']):.2f}",
    "hue": lambda u, values: f"turned {_either_way(u[0], values['limit']):.1f}°",
    "blur": lambda u, values: f"sigma {between(u[0], 0.1, values['limit']):.2f} pixels",
    "noise": lambda u, values: f"sigma {100 * between(u[0], 0.0, values['limit']):.1f} %",
    "salt_and_pepper": lambda u, values: f"{100 * between(u[0], 0.0, values['limit']):.1f} % of levels",
    "jpeg": lambda u, values: f"quality {floor(between(u[0], values['least'], 101.0)):.0f}",
    "motion_blur": lambda u, values: (
        f"{between(u[0], 1.0, values['limit']):.1f} pixels at {between(u[1], 0.0, 180.0):.0f}°"
    ),
    "fog": lambda u, values: f"takes {100 * between(u[0], values['limit'] / 5, values['limit']):.0f} % of the light",
    "rain": _falling("drops"),
    "snow": _falling("flakes"),
    "shadow": lambda u, values: _at(between(u[0], values["limit"] / 2, values["limit"]), u[1], u[2]),
    "sun_flare": lambda u, values: _at(between(u[0], values["limit"] / 2, values["limit"]), u[1], u[2] / 2),
    "posterise": lambda _, values: f"{values['bits']} bits",
    "solarise": lambda _, values: f"from {100 * values['threshold']:.0f} % up",
}
"""Written out from the formulas, whose tests hold these against what they do."""
