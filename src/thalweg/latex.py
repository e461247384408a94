"""A technique's formula as LaTeX, read off its source."""

from __future__ import annotations

import ast

from thalweg.technique import Technique

__all__ = ["latex"]


def latex(technique: Technique) -> list[str]:
    r"""Return the formula as LaTeX, a line for each of its statements.

    >>> from thalweg import optim
    >>> latex(optim.sgd)
    ['x \\leftarrow x - \\alpha \\, g']
    """
    lines = []
    for statement in technique.statements():
        match statement:
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                lines.append(rf"{_name(name)} \leftarrow {_tex(value)}")
            case ast.Return(value=ast.Tuple(elts=[value, *_])):
                lines.append(rf"x \leftarrow {_tex(value)}")
            case ast.Return(value=ast.expr() as value):
                lines.append(_tex(value))
            case _:
                raise AssertionError(f"a formula is assignments and a return, not {ast.unparse(statement)}")
    return lines


_GREEK = {
    "lr": r"\alpha", "beta": r"\beta", "beta1": r"\beta_1", "beta2": r"\beta_2", "eps": r"\epsilon",
    "rho": r"\rho", "momentum": r"\rho", "weight_decay": r"\lambda", "psi": r"\psi", "mu": r"\mu",
    "gamma": r"\gamma", "delta": r"\Delta", "pi": r"\pi", "p": "x", "mu_next": r"\mu_{t+1}",
    "mu_product": r"\textstyle\prod\mu", "lr_decay": r"\eta", "v_max": r"v_{\max}", "step": "i", "steps": "n",
}  # fmt: skip


def _name(name: str) -> str:
    if name.endswith("_hat"):
        return rf"\hat{{{_name(name.removesuffix('_hat'))}}}"
    return _GREEK.get(name, name if len(name) == 1 else rf"\mathrm{{{name}}}")


_PRECEDENCE = {ast.Add: 1, ast.Sub: 1, ast.Mult: 2, ast.Div: 3, ast.FloorDiv: 3, ast.Pow: 4}


def _tex(node: ast.expr, outer: int = 0) -> str:
    match node:
        case ast.Name(id=name):
            return _name(name)
        case ast.Constant(value=value):
            return f"{value:g}" if isinstance(value, int | float) else str(value)
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return f"-{_tex(operand, 2)}"
        case ast.BinOp(left=left, op=ast.Div(), right=right):
            return rf"\frac{{{_tex(left)}}}{{{_tex(right)}}}"
        case ast.BinOp(left=left, op=ast.FloorDiv(), right=right):
            return rf"\left\lfloor \frac{{{_tex(left)}}}{{{_tex(right)}}} \right\rfloor"
        case ast.BinOp(left=left, op=ast.Pow(), right=right):
            return f"{_tex(left, 5)}^{{{_tex(right)}}}"
        case ast.BinOp(left=left, op=op, right=right):
            level = _PRECEDENCE[type(op)]
            sign = {ast.Add: " + ", ast.Sub: " - ", ast.Mult: r" \, "}[type(op)]
            text = _tex(left, level) + sign + _tex(right, level + (not isinstance(op, ast.Add)))
            return rf"\left({text}\right)" if level < outer else text
        case ast.Call(func=ast.Name(id="sqrt"), args=[argument]):
            return rf"\sqrt{{{_tex(argument)}}}"
        case ast.Call(func=ast.Name(id="maximum" | "min" as name), args=[a, b]):
            return rf"\{name[:3]}\left({_tex(a)}, {_tex(b)}\right)"
        case ast.Call(func=ast.Name(id="sign" | "cos" as name), args=[argument]):
            word = r"\operatorname{sign}" if name == "sign" else r"\cos"
            return rf"{word}\left({_tex(argument)}\right)"
        case ast.IfExp(test=test, body=body, orelse=orelse):
            cases = rf"{_tex(body)} & {_tex(test)} \\ {_tex(orelse)} & \text{{else}}"
            return rf"\begin{{cases}} {cases} \end{{cases}}"
        case ast.Compare(left=left, ops=[ast.Lt()], comparators=[right]):
            return f"{_tex(left)} < {_tex(right)}"
    raise AssertionError(f"no LaTeX for {ast.unparse(node)}")
