"""A technique's formula as LaTeX, read off its source."""

from __future__ import annotations

import ast
import re

from thalweg.augment import AugmentTechnique
from thalweg.technique import Technique

__all__ = ["latex", "symbol"]


def latex(technique: Technique) -> list[str]:
    r"""Return the formula as LaTeX, a line for each of its statements.

    >>> from thalweg import optim
    >>> latex(optim.sgd)
    ['x \\leftarrow x - \\alpha \\, g']
    """
    # Most formulas give anew what they take first.
    first = technique.formula.__code__.co_varnames[0]
    anew = _RETURNED.get(technique.kind, rf"{_name(first)} \leftarrow ")
    if getattr(technique, "place", "") == "loss":
        anew = r"\Omega = "
    if isinstance(technique, AugmentTechnique):
        anew = _OF_STAGES[technique.stage]
    lines = []
    statements = technique.statements()
    if technique.kind == "dropout":
        statements = [_Shares().visit(statement) for statement in statements]
    for statement in statements:
        match statement:
            case ast.Assign(targets=[ast.Name() | ast.Tuple() as target], value=value):
                lines.append(rf"{_tex(target)} \leftarrow {_tex(value)}")
            case ast.Return(value=ast.Tuple(elts=[*_, value])) if technique.kind == "stop":
                lines.append(anew + _tex(value))
            case ast.Return(value=ast.Tuple(elts=[value, *_])):  # the rest is kept, or was measured on the way
                lines.append(anew + _tex(value))
            case ast.Return(value=ast.expr() as value):
                lines.append(anew + _tex(value))
            case _:
                raise AssertionError(f"a formula is assignments and a return, not {ast.unparse(statement)}")
    return lines


def symbol(name: str) -> str:
    r"""Return what a hyperparameter is written as in the formulas.

    >>> symbol("lr"), symbol("beta1"), symbol("p")
    ('\\alpha', '\\beta_1', 'p')
    """
    return name if name == "p" else _name(name)  # an optimizer's p is the parameter: x in formulas


_RETURNED = {
    "schedule": "", "loss": "L = ", "stop": r"\mathrm{stop} = ", "prune": "s = ", "init": r"w \leftarrow ",
    "activation": "y = ", "norm": "y = ", "dropout": "y = ",
}  # fmt: skip
"""What kinds return that is not what they take first."""

_OF_STAGES = {
    "geometry": "M = ", "field": "d = ",
    "level": r"x \leftarrow ", "grain": r"x \leftarrow ", "last": r"x \leftarrow ",
    "colour": "C = ", "kernel": "w = ", "separable": "w = ", "hole": r"\mathrm{erased} = ",
    "veil": r"\mathrm{veil} = ",
    "whole": r"\mathrm{picture} \leftarrow ", "chosen": r"\mathrm{steps} = ", "mixture": r"\mathrm{steps} = ",
    "mix": r"\lambda = ", "word": r"\mathrm{word} \leftarrow ", "letters": r"\mathrm{word} \leftarrow ",
    "order": r"\mathrm{partner} = ", "gap": r"\mathrm{inserted} = ", "mask": r"\mathrm{word} \leftarrow ",
    "mask_gap": r"\mathrm{inserted} = ", "sentence": r"\mathrm{chosen} = ",
}  # fmt: skip
"""What augmentations return, by their stage; see `thalweg.augment.AugmentTechnique`."""


class _Shares(ast.NodeTransformer):
    """Calls a share that leaves p, as everyone does; elsewhere p are parameters, and printed as x."""

    def visit_Name(self, node: ast.Name) -> ast.Name:
        return ast.Name({"p": "leaving"}.get(node.id, node.id), node.ctx)


_GREEK = {
    "variance": r"\sigma^2", "mean_kept": r"\bar{x}_\mathrm{kept}", "variance_kept": r"\sigma^2_\mathrm{kept}",
    "parts": r"x_\mathrm{group}", "groups": "G", "slope": "a", "std": r"\sigma", "cut": "c", "sparsity": "s",
    "fan_in": r"n_\mathrm{in}", "fan_out": r"n_\mathrm{out}", "gain": r"\gamma", "branches": "L", "depth": "m",
    "strength": r"\lambda", "smoothing": r"\varepsilon", "output": "f", "targets": "t", "losses": r"\ell",
    "leaving": "p", "keep": "m", "noise": r"\varepsilon", "square": "s",
    "lr": r"\alpha", "beta": r"\beta", "beta1": r"\beta_1", "beta2": r"\beta_2", "eps": r"\epsilon",
    "rho": r"\rho", "momentum": r"\rho", "weight_decay": r"\lambda", "psi": r"\psi", "mu": r"\mu",
    "gamma": r"\gamma", "delta": r"\Delta", "pi": r"\pi", "p": "x", "mu_next": r"\mu_{t+1}",
    "beta3": r"\beta_3", "rho_inf": r"\rho_\infty", "x0": "x_0", "d0": "d_0", "g_last": "g_{t-1}",
    "eps1": r"\epsilon_1", "eps2": r"\epsilon_2", "change": r"\Delta", "trust": r"\eta",
    "weights": r"\textstyle\sum\alpha^2", "precondition_frequency": "f", "dampening": r"\tau",
    "mean": r"\bar{x}", "slow": r"\tilde{x}", "threshold": r"\theta", "decay": r"\gamma", "alpha": r"\alpha",
    "rising": r"\gamma_n", "share": r"\eta", "size": r"\ell", "limit": r"\ell",
    "growth": r"\mu", "metric": "y", "cycle": "k", "length": "T",
    "mu_product": r"\textstyle\prod\mu", "lr_decay": r"\eta", "v_max": r"v_{\max}", "step": "i", "steps": "n",
}  # fmt: skip


def _name(name: str) -> str:
    for accent in ("hat", "bar"):
        if name.endswith(f"_{accent}"):
            return rf"\{accent}{{{_name(name.removesuffix(f'_{accent}'))}}}"
    if numbered := re.fullmatch(r"([a-z])(\d+)", name):
        return _GREEK.get(name, f"{numbered[1]}_{{{numbered[2]}}}")
    return _GREEK.get(name, name if len(name) == 1 else rf"\mathrm{{{name.replace('_', chr(92) + '_')}}}")


_WORDS = {
    "orthogonal": "NewtonSchulz", "eigenvectors": "eigenvectors", "orthonormal": "QR", "spacing": "spacing",
    "aspect": "rows/columns", "longest": "longest", "erf": "erf", "erfinv": "erf^{-1}", "expm1": "expm1",
    "log_softmax": "log\\,softmax", "count": "count", "divided": "group", "joined": "ungroup",
    "rank": "rank", "rows": "rows", "diagonal": "I", "centred": "δ",
}  # fmt: skip
_RELATIONS: dict[type[ast.cmpop], str] = {
    ast.Lt: "<", ast.LtE: r"\le", ast.Gt: ">", ast.GtE: r"\ge", ast.Eq: "=",
    ast.NotEq: r"\ne",
}  # fmt: skip
_PRECEDENCE = {ast.Add: 1, ast.Sub: 1, ast.Mult: 2, ast.MatMult: 2, ast.Div: 3, ast.FloorDiv: 3, ast.Pow: 4}


def _tex(node: ast.expr, outer: int = 0) -> str:
    match node:
        case ast.Name(id=name):
            return _name(name)
        case ast.Constant(value=value):
            digits, _, power = (f"{value:g}" if isinstance(value, int | float) else str(value)).partition("e-")
            return rf"{digits} \cdot 10^{{-{int(power)}}}" if power else digits
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return f"-{_tex(operand, 2)}"
        case ast.BinOp(left=left, op=ast.Div(), right=right):
            text = rf"\frac{{{_tex(left)}}}{{{_tex(right)}}}"
            return rf"\left({text}\right)" if outer > 4 else text
        case ast.BinOp(left=left, op=ast.FloorDiv(), right=right):
            return rf"\left\lfloor \frac{{{_tex(left)}}}{{{_tex(right)}}} \right\rfloor"
        case ast.BinOp(left=left, op=ast.Mod(), right=right):
            return rf"\left({_tex(left, 3)} \bmod {_tex(right, 4)}\right)"
        case ast.BinOp(left=left, op=ast.Pow(), right=ast.Constant(value=0.5)):
            return rf"\sqrt{{{_tex(left)}}}"
        case ast.BinOp(left=left, op=ast.Pow(), right=right):
            return f"{_tex(left, 5)}^{{{_tex(right)}}}"
        case ast.BinOp(left=left, op=ast.BitAnd(), right=right):
            return rf"{_tex(left)} \wedge {_tex(right)}"
        case ast.BinOp(left=left, op=op, right=right):
            level = _PRECEDENCE[type(op)]
            sign = {ast.Add: " + ", ast.Sub: " - ", ast.Mult: r" \, ", ast.MatMult: r" \, "}[type(op)]
            text = _tex(left, level) + sign + _tex(right, level + (not isinstance(op, ast.Add)))
            return rf"\left({text}\right)" if level < outer else text
        case ast.Call(func=ast.Name(id="sqrt"), args=[argument]):
            return rf"\sqrt{{{_tex(argument)}}}"
        case ast.Call(func=ast.Name(id="maximum" | "minimum" | "min" | "max" | "lower" as name), args=[a, b]):
            return rf"\{'min' if name == 'lower' else name[:3]}\left({_tex(a)}, {_tex(b)}\right)"
        case ast.Call(func=ast.Name(id="log1p"), args=[argument]):
            return rf"\log\left(1 + {_tex(argument, 1)}\right)"
        case ast.Call(
            func=ast.Name(id="over_batch" | "over_example" | "over_group" | "over_space" as name), args=[of]
        ):
            return rf"\overline{{{_tex(of)}}}^\mathrm{{{name.removeprefix('over_')}}}"
        case ast.Call(func=ast.Name(id="sign" | "cos" | "log" | "exp" as name), args=[argument]):
            word = r"\operatorname{sign}" if name == "sign" else rf"\{name}"
            return rf"{word}\left({_tex(argument)}\right)"
        case ast.Call(func=ast.Name(id="copysign"), args=[size, of]):
            return _tex(size, 3) + rf" \, \operatorname{{sign}}\left({_tex(of)}\right)"
        case ast.Call(func=ast.Name(id="abs"), args=[argument]):
            return rf"\left|{_tex(argument)}\right|"
        case ast.Call(func=ast.Name(id="floor" | "round" as name), args=[argument]):
            return rf"\left\lfloor {_tex(argument)} \right\r{'floor' if name == 'floor' else 'ceil'}"
        case ast.Call(func=ast.Name(id="sum"), args=[ast.GeneratorExp(elt=what, generators=[each])]):
            return rf"\sum_{{{_tex(each.target)} \in {_tex(each.iter)}}} \left[{_tex(what)}\right]"
        case ast.Attribute(value=value, attr="T"):
            return rf"{_tex(value, 5)}^\top"
        case ast.Call(func=ast.Name(id="where"), args=[condition, a, b]):
            return _tex(ast.IfExp(condition, a, b))
        case ast.Call(func=ast.Name(id="norm"), args=[argument]):
            return rf"\left\lVert {_tex(argument)} \right\rVert"
        case ast.Call(func=ast.Name(id="unit_norm"), args=[argument]):
            return rf"\left\lVert {_tex(argument)} \right\rVert_\mathrm{{unit}}"
        case ast.Call(func=ast.Name(id="unit_mean"), args=[argument]):
            return rf"\overline{{{_tex(argument)}}}_\mathrm{{unit}}"
        case ast.Call(func=ast.Name(id="absolute"), args=[argument]):
            return rf"\left|{_tex(argument)}\right|"
        case ast.Call(func=ast.Name(id="total"), args=[argument]):
            return rf"\textstyle\sum \left({_tex(argument)}\right)"
        case ast.Call(func=ast.Name(id="mean"), args=[argument, ast.Name(id="targets"), *among]):
            over = rf"_{{{_tex(among[0])}}}" if among else ""
            return rf"\operatorname{{mean}}{over}\left({_tex(argument)}\right)"
        case ast.Call(func=ast.Name(id="at_class"), args=[of, targets]):
            return (
                rf"\left({_tex(of)}\right)_{{{_tex(targets)}}}"
                if not isinstance(of, ast.Name)
                else (rf"{_tex(of)}_{{{_tex(targets)}}}")
            )
        case ast.Call(func=ast.Name(id="over_others"), args=[of, targets]):
            return rf"\textstyle\sum_{{j \ne {_tex(targets)}}} {_tex(of)}"
        case ast.Call(func=ast.Name(id="class_mean"), args=[of]):
            return rf"\operatorname{{mean}}_j\left({_tex(of)}\right)"
        case ast.Call(func=ast.Name(id="each"), args=[output, targets]):
            return rf"\ell\left({_tex(output)}, {_tex(targets)}\right)"
        case ast.Call(func=ast.Name(id="least"), args=[of, _, share]):
            return rf"{_tex(share)} \text{{ least }} {_tex(of)}"
        case ast.Call(func=ast.Name(id="mean"), args=[argument, *axes]):
            over = rf"_{{{_tex(axes[0])}}}" if axes else ""
            return rf"\operatorname{{mean}}{over}\left({_tex(argument)}\right)"
        case ast.Call(func=ast.Name(id="matrix" | "like"), args=[argument, *_]):  # the same numbers in another shape
            return _tex(argument, outer)
        case ast.Call(func=ast.Name(id=name), args=[argument, *_]) if name in _WORDS:
            return rf"\operatorname{{{_WORDS[name]}}}\left({_tex(argument)}\right)"
        case ast.Compare(left=left, ops=[ast.Is()], comparators=[ast.Constant(value=None)]):
            return rf"\text{{no }} {_tex(left)}"
        case ast.IfExp(test=test, body=body, orelse=orelse):
            rows = [rf"{_tex(body)} & {_tex(test)}"]
            while isinstance(orelse, ast.IfExp):
                rows.append(rf"{_tex(orelse.body)} & {_tex(orelse.test)}")
                orelse = orelse.orelse
            cases = r" \\ ".join([*rows, rf"{_tex(orelse)} & \text{{else}}"])
            return rf"\begin{{cases}} {cases} \end{{cases}}"
        case ast.BoolOp(op=op, values=values):
            word = "or" if isinstance(op, ast.Or) else "and"
            return rf" \text{{ {word} }} ".join(_tex(value) for value in values)
        case ast.Compare(left=left, ops=[op], comparators=[right]) if type(op) in _RELATIONS:
            text = f"{_tex(left)} {_RELATIONS[type(op)]} {_tex(right)}"
            return rf"\left[{text}\right]" if outer else text  # 1 where it holds
        case ast.Call(func=ast.Name(id="power"), args=[of, exponent]):
            return f"{_tex(of, 5)}^{{{_tex(exponent)}}}"
        case ast.Call(func=ast.Name(id="root"), args=[argument]):
            return rf"\sqrt{{{_tex(argument)}}}"
        case ast.Call(func=ast.Name(id="float"), args=[argument]):
            return _tex(argument, outer)
        case ast.Call(func=ast.Name(id=name), args=arguments, keywords=[]):
            word = name.replace("_", r"\_")
            return rf"\operatorname{{{word}}}\left({', '.join(map(_tex, arguments))}\right)"
        case ast.Tuple(elts=parts) | ast.List(elts=parts):
            return rf"\left({', '.join(map(_tex, parts))}\right)"
        case ast.Starred(value=value) | ast.Attribute(value=value, attr="text"):
            return _tex(value, outer)
        case ast.Lambda(args=ast.arguments(args=[argument]), body=body):
            return rf"{_name(argument.arg)} \mapsto {_tex(body)}"
        case ast.Subscript(value=value, slice=ast.Slice(lower=None, upper=ast.expr() as upper)):
            return rf"{_tex(value, 5)}_{{\text{{first }} {_tex(upper)}}}"
        case ast.Subscript(value=value, slice=index):
            return rf"{_tex(value, 5)}_{{{_tex(index)}}}"
    raise AssertionError(f"no LaTeX for {ast.unparse(node)}")
