"""What a module keeps outside its parameters and buffers, in a form that can be compared."""

from __future__ import annotations

import dis
import hashlib
import marshal
import random
import sys
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache, partial
from itertools import count
from types import CodeType, FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

__all__ = ["Held", "changed", "held", "held_by"]

Held = dict[str, tuple[Any, ...]]
"""By dotted name, what is held there: its kind, ``"type"``, ``"none"``, ``"value"``, ``"tensor"``, ``"generator"``,
``"alias"`` (a parameter or buffer, held a second time) or ``"object"``, and then what it is compared by."""

OWN = frozenset(vars(nn.Module()))
"""What torch keeps in every module."""

GENERATORS = (torch.Generator, np.random.Generator, np.random.RandomState, random.Random)

NUMBERS = (bool, int, float, complex)

DEEP = 6
"""How many containers and objects inside one another are looked into."""

MANY = 1000
"""How many items of one container are looked at one by one."""

ALL = 50_000
"""How many things are looked at."""


def held(module: nn.Module) -> Held:
    """Return what a module keeps outside its parameters and buffers, and what all modules of its classes share.

    Types of all its parts; attributes of its parts, and what is inside them; attributes of the user's own classes;
    generators and numbers that their methods take from the file around them. Tensors, arrays and generators count by
    value, functions by where they were written. It never raises on account of what it meets.

    >>> class Scaled(nn.Linear):
    ...     def __init__(self):
    ...         super().__init__(2, 2)
    ...         self.scale = [1.0, 2.0]
    >>> changed(held(Scaled()), held(nn.Linear(2, 2)))
    ['', 'scale']
    """
    reader = _Reader(module)
    for name, part in module.named_modules():
        reader.part(name, part)
    for cls in dict.fromkeys(cls for part in module.modules() for cls in type(part).__mro__):
        if not _is_torch(cls):
            reader.shared(cls)
    return reader.found


def held_by(function: Any) -> Held:
    """Return what a function, or an object that is called, keeps, and what it shares with all else.

    Its attributes, with parameters and buffers; what it closes over; attributes of the user's own classes; and all
    that it takes from the file around it, but modules. It never raises on account of what it meets.

    >>> def made(state):
    ...     return lambda output, y: state["n"]
    >>> changed(held_by(made({"n": 0})), held_by(made({"n": 1})))
    ['state']
    """
    reader = _AroundReader(nn.Module())
    reader.read("", function, 0)
    return {name.lstrip("."): value for name, value in reader.found.items()}


def changed(one: Held, other: Held) -> list[str]:
    """Return the names of what differs, in order."""
    return [name for name in dict.fromkeys([*one, *other]) if one.get(name) != other.get(name)]


def _is_torch(cls: type) -> bool:
    return cls.__module__.partition(".")[0] in ("torch", "builtins", "typing", "abc")


class _Reader:
    """Reads one module.

    Attributes:
        found: what was read so far.
    """

    def __init__(self, module: nn.Module) -> None:
        self.found: Held = {}
        self.modules = {id(part): name for name, part in module.named_modules()}
        tensors = (*module.named_parameters(), *module.named_buffers())
        self.tensors = {id(x): name for name, x in tensors}
        self.met: set[int] = set()

    def part(self, name: str, part: nn.Module) -> None:
        """Read a module's type and attributes."""
        self.found[name] = ("type", f"{type(part).__module__}.{type(part).__qualname__}")
        # Those of torch's recurrent layers are kept in step with the parameters by torch itself.
        ours = vars(part).items() if not (_is_torch(type(part)) and isinstance(part, nn.RNNBase)) else ()
        for key, value in list(ours):
            if key not in OWN:
                self.read(f"{name}.{key}".lstrip("."), value, 0)

    def shared(self, cls: type) -> None:
        """Read a class's attributes, and what its methods take from around them."""
        for key, value in list(vars(cls).items()):
            if isinstance(value, FunctionType):
                for name, around in _around(value, set()):
                    self.read(name, around, 0)
            elif not (key.startswith("__") or isinstance(value, _NEVER) or hasattr(value, "__get__")):
                self.read(f"{cls.__name__}.{key}", value, 0)

    def read(self, name: str, value: Any, depth: int) -> None:
        """Read a value; what cannot be read counts by its type."""
        if len(self.found) >= ALL:
            return
        try:
            self.found[name] = self._leaf(value) or ("object", type(value).__qualname__)
            if depth < DEEP:
                self._inside(name, value, depth + 1)
        except Exception:
            self.found[name] = ("object", type(value).__qualname__)

    def _leaf(self, value: Any) -> tuple[Any, ...] | None:
        match value:
            case None:
                return ("none",)
            case bool() | int() | float() | complex() | str() | bytes() | np.generic():
                return ("value", type(value).__qualname__, repr(value))
            case torch.dtype() | torch.device():
                return ("value", type(value).__qualname__, repr(value))
            case Tensor() if id(value) in self.tensors:
                return ("alias", self.tensors[id(value)])
            case Tensor():
                return ("tensor", tuple(value.shape), str(value.dtype), _bytes_of(value))
            case np.ndarray():
                return ("tensor", value.shape, str(value.dtype), _hash(np.ascontiguousarray(value).tobytes()))
            case nn.Module():
                known = self.modules.get(id(value))
                return ("type", f"{type(value).__module__}.{type(value).__qualname__}", known)
            case FunctionType():
                code = value.__code__
                return ("value", value.__module__, value.__qualname__, code.co_code, code.co_firstlineno)
            case MethodType():
                return ("value", value.__func__.__module__, value.__func__.__qualname__)
            case type() | ModuleType():
                return ("value", repr(value))
            case count():
                return ("value", "count", repr(value))
        if isinstance(value, GENERATORS):
            return ("generator", _state_of(value))
        if callable(value) and isinstance(getattr(value, "__name__", None), str):
            return ("value", type(value).__qualname__, str(value.__module__), value.__name__)
        if type(value) in (list, tuple, dict, set, frozenset):
            try:
                return ("value", type(value).__qualname__, _hash(marshal.dumps(value, 2)))
            except ValueError:  # there is more than numbers and strings in it
                return ("value", type(value).__qualname__, len(value))
        if isinstance(value, list | tuple | Mapping | set | frozenset | deque):
            return ("value", type(value).__qualname__, len(value))
        return None

    def _inside(self, name: str, value: Any, depth: int) -> None:
        """Read what is inside a value, once."""
        if self.found[name][-1:] and isinstance(self.found[name][-1], bytes):
            return  # compared whole
        for key, item in self._items(value):
            self.read(f"{name}.{key}", item, depth)

    def _items(self, value: Any) -> Iterable[tuple[Any, Any]]:
        if isinstance(value, (str, bytes, Tensor, np.generic, *NUMBERS, *GENERATORS, *_NEVER)) or value is None:
            return ()
        if id(value) in self.met or (isinstance(value, nn.Module) and id(value) in self.modules):
            return ()
        self.met.add(id(value))
        match value:
            case Mapping():
                return [(_word(key, i), item) for i, (key, item) in zip(range(MANY), value.items(), strict=False)]
            case list() | tuple() | deque():
                return list(zip(range(MANY), value, strict=False))
            case nn.Module():
                own = {key: x for key, x in vars(value).items() if key not in OWN}
                return {**dict(value.named_parameters()), **dict(value.named_buffers()), **own,
                        **dict(value.named_children())}.items()  # fmt: skip
            case FunctionType():
                code, given = value.__code__, value.__defaults__ or ()
                cells = [cell.cell_contents for cell in value.__closure__ or ()]
                names = code.co_varnames[code.co_argcount - len(given) : code.co_argcount]
                more = {**(value.__kwdefaults__ or {}), **vars(value)}
                return [*zip(code.co_freevars, cells, strict=False), *zip(names, given, strict=False), *more.items()]
            case partial():
                return [("func", value.func), ("args", value.args), ("keywords", value.keywords)]
            case MethodType():
                return [("self", value.__self__)]
        return list(vars(value).items()) if _is_open(type(value)) and hasattr(value, "__dict__") else ()


class _AroundReader(_Reader):
    """Reads all that is around functions, and around the methods of what it meets, of whatever kind it is."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__(module)
        self.classes: set[type] = set()

    def _inside(self, name: str, value: Any, depth: int) -> None:
        met = id(value) in self.met
        super()._inside(name, value, depth)
        if isinstance(value, FunctionType):
            if not (met or _is_librarys(value.__module__)):
                self._named(value, depth)
        else:
            for cls in (value if isinstance(value, type) else type(value)).__mro__:
                self._of_class(cls, depth)

    def _named(self, function: FunctionType, depth: int) -> None:
        """Read what a function takes from the file around it."""
        for name in _globals(function.__code__):
            if name in function.__globals__ and not isinstance(value := function.__globals__[name], ModuleType):
                self.read(name, value, depth)

    def _of_class(self, cls: type, depth: int) -> None:
        """Do what `shared` does, once."""
        if cls in self.classes or _is_librarys(cls.__module__):
            return
        self.classes.add(cls)
        for key, value in list(vars(cls).items()):
            if isinstance(method := getattr(value, "__func__", value), FunctionType):
                self._named(method, depth)
            elif not (key.startswith("__") or isinstance(value, _NEVER) or hasattr(value, "__get__")):
                self.read(f"{cls.__name__}.{key}", value, depth)


def _is_librarys(module: str | None) -> bool:
    """Return whether a function or class is not the user's own, nor of a library of models or losses."""
    root = str(module).partition(".")[0]
    return root in ("torch", "numpy", "thalweg") or root in sys.stdlib_module_names - {"__main__"}


_NEVER = (type, ModuleType)

_PLAIN = ("types", "argparse", "collections")
"""Of Python's own modules, those whose objects are there to hold attributes."""


def _is_open(cls: type) -> bool:
    """Return whether objects are looked into: not what Python or torch keep for themselves, as a logger does."""
    root = cls.__module__.partition(".")[0]
    return root in _PLAIN or not (root in sys.stdlib_module_names or cls.__module__.startswith("torch._"))


def _word(key: Any, place: int) -> str:
    return str(key) if isinstance(key, str | int) else f"{type(key).__name__} {place}"


def _around(function: FunctionType, met: set[CodeType]) -> Iterator[tuple[str, Any]]:
    """Yield the generators and numbers that a function, and those of its file that it calls, take from around it."""
    known = function.__globals__
    todo = [function.__code__]
    while todo:
        code = todo.pop()
        if code in met:
            continue
        met.add(code)
        for name in _globals(code):
            value = known.get(name)
            if isinstance(value, FunctionType) and value.__globals__ is known:
                todo.append(value.__code__)
            elif value is torch.default_generator:
                continue
            elif isinstance(value, (*GENERATORS, *NUMBERS)):
                yield name, value


_LOADS = frozenset(op for op in dis.opmap if op in ("LOAD_GLOBAL", "LOAD_NAME") or op.endswith("_OR_GLOBALS"))
"""What takes a name from the file; ``co_names`` has those of attributes too."""


@lru_cache(maxsize=4096)
def _globals(code: CodeType) -> tuple[str, ...]:
    """Return the names that code, with the functions inside it, takes from the file around it."""
    own = [step.argval for step in dis.get_instructions(code) if step.opname in _LOADS]
    inner = [name for one in code.co_consts if isinstance(one, CodeType) for name in _globals(one)]
    return tuple(dict.fromkeys([*own, *inner]))


def _state_of(generator: Any) -> bytes:
    """Return where a generator stands."""
    if isinstance(generator, torch.Generator):
        return _hash(generator.get_state().numpy().tobytes())
    if isinstance(generator, random.Random):
        return _hash(repr(generator.getstate()).encode())
    numpy = isinstance(generator, np.random.RandomState)
    state = generator.get_state(legacy=False) if numpy else generator.bit_generator.state
    with np.printoptions(threshold=2**20):  # the words of a Mersenne twister
        return _hash(repr(state).encode())


def _bytes_of(x: Tensor) -> bytes:
    try:
        dense = x.detach().cpu().to_dense().reshape(-1).contiguous()
        return _hash(dense.view(torch.uint8).numpy().tobytes())
    except Exception:  # it has no values, as on the device "meta"
        return b""


def _hash(content: bytes) -> bytes:
    return hashlib.blake2b(content, digest_size=16).digest()
