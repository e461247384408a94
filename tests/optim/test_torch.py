"""The classes as citizens of torch: whatever torch's own optimizers allow, these allow, and refuse more clearly."""

import copy
import io
import pickle
import subprocess
import sys
import warnings
import weakref

import pytest
import torch
from torch import nn
from torch.optim import lr_scheduler, swa_utils
from torch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook

from thalweg import optim
from thalweg.errors import InputError

CLASSES = [
    getattr(optim, name) for name in optim.__all__ if name[0].isupper() and name not in ("CATALOGUE", "Optimizer")
]
by_class = pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
ELEMENT = [cls for cls in CLASSES if cls.face.plain.scope == "element"]
by_element_class = pytest.mark.parametrize("cls", ELEMENT, ids=lambda cls: cls.__name__)


def _parameters(*shapes, dtype=torch.float32, seed=0):
    generator = torch.Generator().manual_seed(seed)
    shapes = shapes or ((3, 4), (5,), (2, 3, 2))
    return [nn.Parameter(torch.randn(shape, generator=generator).to(dtype)) for shape in shapes]


def _give(params, seed=0):
    generator = torch.Generator().manual_seed(100 + seed)
    for p in params:
        wide = torch.complex64 if p.is_complex() else torch.float32
        p.grad = torch.randn(p.shape, generator=generator, dtype=wide).to(p.dtype)


def _steps(optimizer, params, count, first=0):
    for i in range(first, first + count):
        _give(params, i)
        optimizer.step()


def _snapshot(optimizer):
    """Everything a step could change, by value."""
    params = [p for group in optimizer.param_groups for p in group["params"]]
    state = {
        i: {key: x.clone() if isinstance(x, torch.Tensor) else x for key, x in optimizer.state.get(p, {}).items()}
        for i, p in enumerate(params)
    }
    groups = [
        {key: x for key, x in group.items() if key != "params"} | {"ids": list(map(id, group["params"]))}
        for group in optimizer.param_groups
    ]
    return [p.detach().clone() for p in params], state, copy.deepcopy(groups), len(optimizer.state)


def _assert_unchanged(before, optimizer):
    after = _snapshot(optimizer)
    assert all(torch.equal(a, b) for a, b in zip(before[0], after[0], strict=True))
    assert before[2:] == after[2:]
    for i, kept in before[1].items():
        assert kept.keys() == after[1][i].keys()
        for key, x in kept.items():
            assert torch.equal(x, after[1][i][key]) if isinstance(x, torch.Tensor) else x == after[1][i][key]


# -- groups, closures, tensors as rates ----------------------------------------------------------------


@by_class
def test_groups_step_as_optimizers_of_their_own(cls):
    """Two groups, one added after a step, against two optimizers."""
    one, two = _parameters(), _parameters(seed=1)
    joined = cls([{"params": one, "lr": 0.01}])
    ones, twos = copy.deepcopy((one, two))
    first, second = cls(ones, lr=0.01), cls(twos, lr=0.003)
    _steps(joined, one, 1)
    _steps(first, ones, 1)
    joined.add_param_group({"params": two, "lr": 0.003})
    for i in range(3):
        for params in (one, two, ones, twos):
            _give(params, i)
        for optimizer in (joined, first, second):
            optimizer.step()
    assert all(torch.equal(a, b) for a, b in zip([*one, *two], [*ones, *twos], strict=True))


@by_class
def test_a_closure_is_called_once_with_gradients_enabled(cls):
    (p,) = _parameters((4, 3))
    optimizer, calls = cls([p]), []

    def closure():
        calls.append(torch.is_grad_enabled())
        optimizer.zero_grad()
        loss = p.square().sum()
        loss.backward()
        return loss

    with torch.no_grad():
        loss = optimizer.step(closure)
    assert calls == [True]
    assert loss.requires_grad
    assert optimizer.state[p]["step"] == 1


@by_class
def test_maximizing_is_minimizing_the_negative(cls):
    up, down = _parameters(), _parameters()
    climbing, descending = cls(up, maximize=True), cls(down)
    for i in range(4):
        _give(up, i)
        _give(down, i)
        for p in down:
            p.grad.neg_()
        climbing.step()
        descending.step()
    assert all(torch.equal(a, b) for a, b in zip(up, down, strict=True))


@by_class
@pytest.mark.parametrize("shape", [(), (1,)])
def test_a_rate_may_be_a_tensor_modified_in_place(cls, shape):
    plain, tensor = _parameters(), _parameters()
    first, second = cls(plain, lr=0.5), cls(tensor, lr=torch.full(shape, 0.5))
    for i in range(6):
        first.param_groups[0]["lr"] = 0.5 ** (i + 1)  # exact in any type
        second.param_groups[0]["lr"].fill_(0.5 ** (i + 1))
        _steps(first, plain, 1, i)
        _steps(second, tensor, 1, i)
    assert all(torch.equal(a, b) for a, b in zip(plain, tensor, strict=True))


def test_a_tensor_among_betas_is_seen_when_modified():
    plain, tensor = _parameters(), _parameters()
    beta = torch.tensor(0.5, dtype=torch.float64)
    first, second = optim.Adam(plain, betas=(0.5, 0.999)), optim.Adam(tensor, betas=(beta, 0.999))
    _steps(first, plain, 2)
    _steps(second, tensor, 2)
    first.param_groups[0]["betas"] = (0.75, 0.999)
    beta.fill_(0.75)
    _steps(first, plain, 2, 2)
    _steps(second, tensor, 2, 2)
    assert all(torch.equal(a, b) for a, b in zip(plain, tensor, strict=True))


@by_class
def test_a_changed_hyperparameter_counts_from_the_next_step(cls):
    changed, a = _parameters(), _parameters()
    optimizer, first = cls(changed, lr=0.01), cls(a, lr=0.01)
    _steps(optimizer, changed, 2)
    _steps(first, a, 2)
    optimizer.param_groups[0]["lr"] = 0.002
    second = cls(a, lr=0.002)
    second.load_state_dict({**first.state_dict(), "param_groups": second.state_dict()["param_groups"]})
    _steps(optimizer, changed, 2, 2)
    _steps(second, a, 2, 2)
    assert all(torch.equal(x, y) for x, y in zip(changed, a, strict=True))


def test_parameters_come_with_names_or_without():
    net = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1))
    optimizer = optim.Adam(net.named_parameters())
    assert optimizer.param_groups[0]["param_names"] == ["0.weight", "0.bias", "1.weight", "1.bias"]
    assert optimizer.state_dict()["param_groups"][0]["param_names"][0] == "0.weight"
    with pytest.raises(InputError, match="with/without names"):
        optimizer.add_param_group({"params": [nn.Parameter(torch.ones(2))]})
    assert len(optimizer.param_groups) == 1


# -- what parameters and gradients may be --------------------------------------------------------------


@by_element_class
@pytest.mark.parametrize("dtype", [torch.complex64, torch.complex128], ids=str)
def test_complex_numbers_are_pairs_of_real_ones(cls, dtype):
    params = _parameters((4, 3), (5,), dtype=dtype)
    reals = [nn.Parameter(torch.view_as_real(p.detach()).clone()) for p in params]
    first, second = cls(params), cls(reals)
    for i in range(4):
        _give(params, i)
        for p, real in zip(params, reals, strict=True):
            real.grad = torch.view_as_real(p.grad).clone()
            p.grad = p.grad.conj().clone().conj()  # conjugated only when it is read
        first.step()
        second.step()
    for p, real in zip(params, reals, strict=True):
        assert torch.equal(torch.view_as_real(p.detach()), real)


@pytest.mark.parametrize("cls", [c for c in CLASSES if c not in ELEMENT], ids=lambda cls: cls.__name__)
def test_complex_matrices_are_refused_where_the_formula_sees_the_whole(cls):
    params = _parameters((4, 3), dtype=torch.complex64)
    optimizer = cls(params)
    before = _snapshot(optimizer)
    _give(params)
    with pytest.raises(InputError, match="does not take complex parameters"):
        optimizer.step()
    _assert_unchanged(before, optimizer)


@by_class
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_short_numbers_have_long_state(cls, dtype):
    """bfloat16 and float16: state is float32, and survives a state dict bit for bit; a number without axes too."""
    params = _parameters((3, 4), (5,), (), dtype=dtype)
    optimizer = cls(params)
    _steps(optimizer, params, 3)
    again = copy.deepcopy(params)
    other = cls(again)
    other.load_state_dict(optimizer.state_dict())
    for kept in (optimizer.state[params[0]], optimizer.state[params[2]], other.state[again[2]]):
        assert {x.dtype for key, x in kept.items() if x.dim() or key.startswith(("exp", "mom"))} <= {torch.float32}
    _steps(optimizer, params, 3, 3)
    _steps(other, again, 3, 3)
    for p, q in zip(params, again, strict=True):
        assert p.dtype == dtype
        assert p.isfinite().all()
        assert torch.equal(p, q)


SPARSE = [cls for cls in CLASSES if cls.face.plain.sparse]


@pytest.mark.parametrize("cls", SPARSE, ids=lambda cls: cls.__name__)
@pytest.mark.parametrize("maximize", [False, True])
def test_a_sparse_gradient_moves_what_it_names(cls, maximize):
    """Rows of an embedding, one named twice, against the same gradient made dense."""
    sparse, dense = _parameters((6, 3)), _parameters((6, 3))
    first, second = (cls(params, lr=0.1, maximize=maximize) for params in (sparse, dense))
    for i in range(3):
        values = torch.randn(3, 3, generator=torch.Generator().manual_seed(i))
        sparse[0].grad = torch.sparse_coo_tensor(torch.tensor([[1, 4, 1]]), values, (6, 3), check_invariants=True)
        dense[0].grad = sparse[0].grad.to_dense()
        first.step()
        second.step()
    assert torch.allclose(sparse[0], dense[0], rtol=1e-6, atol=1e-7)


@by_class
def test_a_sparse_gradient_is_taken_or_refused_before_anything_changes(cls):
    params = _parameters((4, 3), (6, 3))
    optimizer = cls(params)
    _steps(optimizer, params, 1)
    before = _snapshot(optimizer)
    _give(params)
    params[1].grad = params[1].grad.to_sparse()
    if cls in SPARSE:
        optimizer.step()
        assert not torch.equal(params[1], before[0][1])
    else:
        with pytest.raises(InputError, match="does not take sparse gradients"):
            optimizer.step()
        _assert_unchanged(before, optimizer)


@pytest.mark.parametrize("cls", SPARSE, ids=lambda cls: cls.__name__)
def test_a_decay_of_all_elements_has_no_sparse_step(cls):
    (p,) = _parameters((6, 3))
    optimizer = cls([p], weight_decay=0.1)
    p.grad = torch.ones(6, 3).to_sparse()
    with pytest.raises(InputError, match="with weight_decay does not take sparse gradients"):
        optimizer.step()
    assert not optimizer.state


def _laid_out(kind, x):
    """Return the same numbers otherwise laid out."""
    match kind:
        case "transposed":
            return x.transpose(0, 1).clone(memory_format=torch.contiguous_format).transpose(0, 1)
        case "channels last":
            return x.clone(memory_format=torch.channels_last)
        case "every other":
            return torch.stack([x, x], -1)[..., 0]
    return x.clone()


@by_class
@pytest.mark.parametrize("of_p", ["contiguous", "transposed", "channels last", "every other"])
@pytest.mark.parametrize("of_g", ["contiguous", "transposed", "channels last", "every other"])
def test_layout_changes_nothing(cls, of_p, of_g):
    (plain,) = _parameters((4, 3, 2, 2))
    other = nn.Parameter(_laid_out(of_p, plain.detach()))
    strides = other.stride()
    first, second = cls([plain]), cls([other])
    for i in range(3):
        _give([plain], i)
        other.grad = _laid_out(of_g, plain.grad)
        first.step()
        second.step()
    assert torch.allclose(plain, other, rtol=1e-5, atol=1e-7)
    assert other.stride() == strides


@by_class
def test_an_expanded_gradient_is_read_and_an_expanded_parameter_refused(cls):
    p, q = _parameters((4, 3), (4, 3))
    q.data.copy_(p)
    first, second = cls([p]), cls([q])
    for _ in range(2):
        p.grad = torch.ones(1, 3).expand(4, 3)
        q.grad = torch.ones(4, 3)
        first.step()
        second.step()
    assert torch.equal(p, q)
    wide = torch.ones(1, 3).expand(4, 3).requires_grad_()
    optimizer = cls([p, wide])
    before = _snapshot(optimizer)
    wide.grad = torch.ones(4, 3)
    with pytest.raises(InputError, match="is expanded"):
        optimizer.step()
    _assert_unchanged(before, optimizer)


@by_class
def test_odd_sizes_are_taken(cls):
    """No elements, no axes, one element; alone and among others."""
    params = _parameters((0,), (), (1,), (3, 0), (1, 1), (2, 3))
    optimizer = cls(params)
    before = [p.detach().clone() for p in params]
    _steps(optimizer, params, 3)
    moved = [not torch.equal(p, q) for p, q in zip(params, before, strict=True)]
    assert moved == [False, True, True, False, True, True]


@by_class
def test_parameters_in_one_piece_of_memory_step_alone(cls):
    """Views into one buffer, as flattened modules have them; what lies between them stays."""
    buffer = torch.randn(40, generator=torch.Generator().manual_seed(0))
    views = [
        buffer[0:12].view(3, 4).requires_grad_(),
        buffer[14:19].requires_grad_(),
        buffer[20:40:2].requires_grad_(),
    ]
    alone = [nn.Parameter(v.detach().clone()) for v in views]
    rest = buffer[[12, 13, 19, 21, 39]].clone()
    first, second = cls(views), cls(alone)
    _steps(first, views, 3)
    _steps(second, alone, 3)
    assert all(torch.allclose(v, a, rtol=1e-6, atol=1e-7) for v, a in zip(views, alone, strict=True))
    assert torch.equal(buffer[[12, 13, 19, 21, 39]], rest)


@by_class
def test_a_gradient_may_come_later_and_go_again(cls):
    """A parameter counts its own steps: as if it were alone in its optimizer."""
    params = _parameters((4, 3), (4, 3))
    late = copy.deepcopy(params[1])
    optimizer, alone = cls(params), cls([late])
    for i in range(6):
        _give(params, i)
        late.grad = params[1].grad.clone()
        if i in (0, 1, 4):
            params[1].grad = None
        else:
            alone.step()
        if i == 0:
            assert not optimizer.state.get(params[1])
        optimizer.step()
    if cls.face.plain.scope != "model":
        assert torch.equal(params[1], late)
    assert int(optimizer.state[params[1]]["step"]) == 3
    assert int(optimizer.state[params[0]]["step"]) == 6


@by_class
def test_no_gradients_no_change(cls):
    params = _parameters()
    optimizer = cls(params)
    before = _snapshot(optimizer)
    optimizer.step()
    _assert_unchanged(before, optimizer)
    _steps(optimizer, params, 1)
    before = _snapshot(optimizer)
    optimizer.zero_grad()
    assert all(p.grad is None for p in params)
    optimizer.step()
    _assert_unchanged(before, optimizer)


# -- what autograd, memory and users must be able to rely on --------------------------------------------


@by_class
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
def test_a_stale_graph_is_found_out(cls, dtype):
    params = _parameters((4, 3), (5,), dtype=dtype)
    optimizer = cls(params)
    _steps(optimizer, params, 1)
    for p in params:
        loss = p.square().sum()  # keeps p for its backward pass
        version = p._version
        _steps(optimizer, params, 1)
        assert p._version > version
        with pytest.raises(RuntimeError, match="modified by an inplace operation"):
            loss.backward()


@by_class
def test_no_gradient_is_kept_alive(cls):
    params = _parameters()
    optimizer = cls(params)
    _steps(optimizer, params, 2)
    gone = [weakref.ref(p.grad) for p in params]
    optimizer.zero_grad()
    assert [ref() for ref in gone] == [None] * len(params)


@by_class
def test_removed_parameters_are_let_go(cls):
    (p,), (q,) = _parameters((4, 3)), _parameters((4, 3))
    optimizer = cls([{"params": [p]}, {"params": [q]}])
    _steps(optimizer, [p, q], 2)
    del optimizer.state[q]
    optimizer.param_groups.pop()
    _steps(optimizer, [p], 1)
    gone = weakref.ref(q)
    del q
    assert gone() is None


@by_class
def test_data_given_anew_is_what_is_stepped(cls):
    """``p.data = …``, a state replaced, and a state's dictionary replaced, between steps."""
    params, twins = _parameters(), _parameters()
    first, second = cls(params), cls(twins)
    _steps(first, params, 2)
    _steps(second, twins, 2)
    old = [p.data for p in params]
    unmoved = [x.clone() for x in old]
    for p in params:
        p.data = p.data.clone()
        for key, x in first.state[p].items():
            if key != "step":
                first.state[p][key] = x.clone()
    _steps(first, params, 2, 2)
    for p in params:
        first.state[p] = {key: x.clone() for key, x in first.state[p].items()}
    _steps(first, params, 2, 4)
    _steps(second, twins, 4, 2)
    assert all(torch.equal(a, b) for a, b in zip(params, twins, strict=True))
    assert all(torch.equal(a, b) for a, b in zip(old, unmoved, strict=True))


@by_element_class
@pytest.mark.parametrize(
    "change", ["shorter", "longer", "float64", "reshaped state", "shorter state", "state's type"]
)
def test_what_no_longer_fits_is_refused_not_written_past(cls, change):
    params = _parameters((5, 4), (3, 4))
    optimizer = cls(params)
    _steps(optimizer, params, 2)
    p = params[0]
    keys = [key for key, x in optimizer.state[p].items() if x.shape == p.shape]
    if "state" in change and not keys:
        pytest.skip("keeps nothing for each element")
    match change:
        case "shorter" | "longer":
            p.data = torch.ones((2, 4) if change == "shorter" else (9, 4))
        case "float64":
            p.data = p.data.double()
        case "reshaped state":
            optimizer.state[p][keys[0]] = torch.ones(4, 5)
        case "shorter state":
            optimizer.state[p][keys[0]].resize_(2, 4)
        case "state's type":
            optimizer.state[p][keys[0]] = optimizer.state[p][keys[0]].double()
    _give(params)
    before = _snapshot(optimizer)
    if keys:
        with pytest.raises(InputError, match=r'the state of .* keeps ".*" as'):
            optimizer.step()
        _assert_unchanged(before, optimizer)
    else:  # nothing is kept that could be wrong
        optimizer.step()
        assert not torch.equal(p, before[0][0])


def test_a_swapped_tensor_is_what_is_stepped():
    """``swap_tensors`` changes what a Python object stands for, with all that autograd knows of it."""
    params, twins = _parameters(), _parameters()
    first, second = optim.Adam(params), optim.Adam(twins)
    _steps(first, params, 2)
    _steps(second, twins, 2)
    for p in params:
        torch.utils.swap_tensors(p, nn.Parameter(p.detach().clone()))
    _steps(first, params, 2, 2)
    _steps(second, twins, 2, 2)
    assert all(torch.equal(a, b) for a, b in zip(params, twins, strict=True))


def test_a_single_number_still_to_be_negated_is_negated():
    """The imaginary part of a conjugate is a view that says "negate me when read"."""
    p, q = nn.Parameter(torch.ones(1)), nn.Parameter(torch.ones(1))
    first, second = optim.SGD([p], lr=0.1), optim.SGD([q], lr=0.1)
    for _ in range(2):
        p.grad = torch.view_as_complex(torch.tensor([[1.0, 3.0]])).conj().imag
        assert p.grad.is_neg()
        q.grad = torch.tensor([-3.0])
        first.step()
        second.step()
    assert torch.equal(p, q)


@by_class
def test_hooks_are_called_as_torch_calls_them(cls):
    params, calls = _parameters(), []
    optimizer = cls(params)
    handles = [
        register_optimizer_step_pre_hook(lambda *a: calls.append("every pre")),
        register_optimizer_step_post_hook(lambda *a: calls.append("every post")),
        optimizer.register_step_pre_hook(lambda *a: calls.append("pre")),
        optimizer.register_step_post_hook(lambda *a: calls.append("post")),
    ]
    _steps(optimizer, params, 1)
    assert calls == ["every pre", "pre", "post", "every post"]
    for handle in handles:
        handle.remove()
    _steps(optimizer, params, 1)
    assert len(calls) == 4


def test_a_profiler_sees_each_step_under_torchs_name():
    optimizer = optim.Adam([torch.nn.Parameter(torch.ones(3))])
    optimizer.param_groups[0]["params"][0].grad = torch.ones(3)
    with torch.profiler.profile() as seen:
        optimizer.step()
        optimizer.step()
    assert {e.key: e.count for e in seen.key_averages()}["Optimizer.step#Adam.step"] == 2


@by_class
def test_hooks_of_state_dicts_may_replace_them(cls):
    params, calls = _parameters(), []
    optimizer = cls(params)
    _steps(optimizer, params, 2)
    optimizer.register_state_dict_pre_hook(lambda o: calls.append("before saving"))
    optimizer.register_state_dict_post_hook(lambda o, found: {"wrapped": found})
    saved = optimizer.state_dict()
    assert list(saved) == ["wrapped"]
    other = cls(copy.deepcopy(params))
    other.register_load_state_dict_pre_hook(lambda o, given: given["wrapped"])
    other.register_load_state_dict_post_hook(lambda o: calls.append(len(o.state)))
    other.load_state_dict(saved)
    assert calls == ["before saving", len(params)]


@by_class
@pytest.mark.parametrize("way", ["deepcopy", "pickle", "torch.save"])
def test_copies_go_on_by_themselves(cls, way):
    params = _parameters()
    optimizer = cls(params)
    _steps(optimizer, params, 3)
    match way:
        case "deepcopy":
            others, other = copy.deepcopy((params, optimizer))
        case "pickle":
            others, other = pickle.loads(pickle.dumps((params, optimizer)))
        case "torch.save":
            file = io.BytesIO()
            torch.save(optimizer.state_dict(), file)
            file.seek(0)
            others = copy.deepcopy(params)
            other = cls(others)
            other.load_state_dict(torch.load(file, weights_only=True))
    _steps(other, others, 2, 3)
    _steps(optimizer, params, 2, 3)
    assert all(torch.equal(a, b) for a, b in zip(params, others, strict=True))
    assert repr(other) == repr(optimizer)


@by_class
def test_a_state_dict_is_loaded_by_copy(cls):
    params = _parameters()
    optimizer = cls(params)
    _steps(optimizer, params, 2)
    others = copy.deepcopy(params)
    other = cls(others)
    other.load_state_dict(optimizer.state_dict())
    before = _snapshot(optimizer)
    _steps(other, others, 2, 2)
    _assert_unchanged(before, optimizer)


@by_class
def test_profilers_compilers_and_scalers_find_what_they_look_for(cls):
    """A gradient scaler steps by its unscaled gradient, and not at all if that is not finite."""
    params = _parameters()
    optimizer = cls(params)
    scaler = torch.amp.GradScaler("cpu", init_scale=4.0)
    before = [p.detach().clone() for p in params]
    for value in (float("inf"), 4.0):
        scaler.scale(torch.ones(()))
        for p in params:
            p.grad = torch.full_like(p, value)
        scaler.unscale_(optimizer)
        scaler.step(optimizer)
        scaler.update()
        moved = [not torch.equal(p, q) for p, q in zip(params, before, strict=True)]
        assert not any(moved) or value == 4.0
    assert all(torch.equal(p.grad, torch.full_like(p, 2.0)) for p in params) or all(
        p.grad.isfinite().all() for p in params
    )
    with torch.profiler.profile() as profile:
        optimizer.step()
    assert any(f"Optimizer.step#{cls.__name__}.step" in event.key for event in profile.key_averages())


# -- exchange with torch ---------------------------------------------------------------------------------

EXCHANGE = [
    ("SGD", {"lr": 0.1}),
    ("SGD", {"lr": 0.1, "weight_decay": 0.01}),
    ("SGD", {"lr": 0.05, "momentum": 0.9}),
    ("SGD", {"lr": 0.05, "momentum": 0.9, "weight_decay": 0.01, "dampening": 0.1}),
    ("SGD", {"lr": 0.05, "momentum": 0.9, "nesterov": True}),
    ("Adagrad", {"lr": 0.1, "lr_decay": 0.01, "initial_accumulator_value": 0.3}),
    ("Adadelta", {"lr": 0.5}),
    ("RMSprop", {"lr": 0.01}),
    ("RMSprop", {"lr": 0.01, "momentum": 0.9, "centered": True}),
    ("Adam", {"lr": 0.01}),
    ("Adam", {"lr": 0.01, "amsgrad": True, "weight_decay": 0.1}),
    ("Adamax", {"lr": 0.01}),
    ("AdamW", {"lr": 0.01}),
    ("AdamW", {"lr": 0.01, "amsgrad": True, "maximize": True}),
    ("NAdam", {"lr": 0.01}),
    ("RAdam", {"lr": 0.01}),
    ("Adafactor", {"lr": 0.01}),
    ("Muon", {"lr": 0.01}),
]


@pytest.fixture
def float64():
    """torch keeps some of its scalars, such as NAdam's product, in the default type."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize(("name", "arguments"), EXCHANGE)
@pytest.mark.parametrize("fused", [None, True])
def test_torch_and_we_take_over_from_each_other(float64, name, arguments, fused):
    """7 steps of the one, 7 of the other, 7 of the one again, against 21 of torch alone: 1e-12."""
    if fused and name not in ("SGD", "Adam", "AdamW", "Adagrad"):
        pytest.skip("torch has no fused form")
    fused = {} if fused is None else {"fused": True}
    shapes = [(3, 4), (5, 2)] if name == "Muon" else [(3, 4), (5,), (2, 3, 2)]
    alone = _parameters(*shapes, dtype=torch.float64)
    starts = copy.deepcopy(alone), copy.deepcopy(alone)
    reference = getattr(torch.optim, name)(alone, **arguments)
    _steps(reference, alone, 21)
    for params, order in zip(starts, [(torch.optim, optim, torch.optim), (optim, torch.optim, optim)], strict=True):
        optimizer = None
        for turn, home in enumerate(order):
            following = getattr(home, name)(params, **arguments, **(fused if home is torch.optim else {}))
            if optimizer is not None:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore", FutureWarning)
                    following.load_state_dict(copy.deepcopy(optimizer.state_dict()))
            optimizer = following
            _steps(optimizer, params, 7, 7 * turn)
        for a, b in zip(alone, params, strict=True):
            assert (a - b).abs().max() <= 1e-12


@pytest.mark.parametrize("name", ["Adam", "AdamW", "NAdam", "RAdam", "Adadelta", "RMSprop"])
def test_a_state_saved_where_it_could_be_captured_is_stepped_here(name):
    """torch writes ``capturable`` into its groups on accelerators; that is how it steps, not what the state is."""
    theirs = getattr(torch.optim, name)(_parameters())
    _steps(theirs, theirs.param_groups[0]["params"], 2)
    saved = theirs.state_dict()
    saved["param_groups"][0]["capturable"] = True
    params = copy.deepcopy(theirs.param_groups[0]["params"])
    optimizer = getattr(optim, name)(params)
    optimizer.load_state_dict(saved)
    _steps(optimizer, params, 1, 2)
    assert optimizer.state[params[0]]["step"] == 3


SCHEDULERS = {
    "StepLR": lambda o: lr_scheduler.StepLR(o, 3, 0.5),
    "MultiStepLR": lambda o: lr_scheduler.MultiStepLR(o, [2, 5], 0.5),
    "ConstantLR": lambda o: lr_scheduler.ConstantLR(o, 0.5, 4),
    "LinearLR": lambda o: lr_scheduler.LinearLR(o, 0.1, total_iters=6),
    "ExponentialLR": lambda o: lr_scheduler.ExponentialLR(o, 0.9),
    "PolynomialLR": lambda o: lr_scheduler.PolynomialLR(o, 8, 2.0),
    "LambdaLR": lambda o: lr_scheduler.LambdaLR(o, lambda t: 1 / (1 + t)),
    "MultiplicativeLR": lambda o: lr_scheduler.MultiplicativeLR(o, lambda t: 0.95),
    "CosineAnnealingLR": lambda o: lr_scheduler.CosineAnnealingLR(o, 8),
    "CosineAnnealingWarmRestarts": lambda o: lr_scheduler.CosineAnnealingWarmRestarts(o, 3),
    "ReduceLROnPlateau": lambda o: lr_scheduler.ReduceLROnPlateau(o, factor=0.5, patience=1),
    "CyclicLR": lambda o: lr_scheduler.CyclicLR(o, 1e-3, 1e-2, 3, cycle_momentum=_has_momentum(o)),
    "OneCycleLR": lambda o: lr_scheduler.OneCycleLR(o, 1e-2, total_steps=12, cycle_momentum=_has_momentum(o)),
    "SequentialLR": lambda o: lr_scheduler.SequentialLR(
        o, [lr_scheduler.LinearLR(o, 0.1, total_iters=3), lr_scheduler.CosineAnnealingLR(o, 6)], [3]
    ),
    "ChainedScheduler": lambda o: lr_scheduler.ChainedScheduler(
        [lr_scheduler.LinearLR(o, 0.1, total_iters=3), lr_scheduler.ExponentialLR(o, 0.9)]
    ),
    "SWALR": lambda o: swa_utils.SWALR(o, swa_lr=1e-3, anneal_epochs=4),
}


def _has_momentum(optimizer):
    return "betas" in optimizer.defaults or "momentum" in optimizer.defaults


def _scheduled(optimizer, params, make, steps=10):
    scheduler, rates = make(optimizer), []
    for i in range(steps):
        _steps(optimizer, params, 1, i)
        scheduler.step(*([1.0] if isinstance(scheduler, lr_scheduler.ReduceLROnPlateau) else []))
        group = optimizer.param_groups[0]
        rates.append((float(group["lr"]), group.get("momentum"), group.get("betas")))
    return rates


@pytest.mark.parametrize("scheduler", SCHEDULERS)
@pytest.mark.parametrize(
    "name", ["SGD", "RMSprop", "Adam", "AdamW", "NAdam", "RAdam", "Adadelta", "Adagrad", "Adafactor"]
)
def test_schedulers_move_both_alike(float64, scheduler, name):
    arguments = {"momentum": 0.9} if name == "SGD" else {}
    params = _parameters((3, 4), (5,), dtype=torch.float64)
    theirs = copy.deepcopy(params)
    ours = _scheduled(getattr(optim, name)(params, lr=0.01, **arguments), params, SCHEDULERS[scheduler])
    reference = getattr(torch.optim, name)(theirs, lr=0.01, **arguments)
    assert ours == _scheduled(reference, theirs, SCHEDULERS[scheduler])
    assert all((a - b).abs().max() <= 1e-12 for a, b in zip(params, theirs, strict=True))


@by_class
def test_every_scheduler_drives_every_class(cls):
    """With a tensor as rate, which schedulers modify in place."""
    for make in SCHEDULERS.values():
        params = _parameters((3, 4), (5,))
        _scheduled(cls(params, lr=torch.tensor(0.01)), params, make, steps=5)
        assert all(p.isfinite().all() for p in params)


# -- what cannot be ---------------------------------------------------------------------------------------


@by_class
def test_what_no_optimizer_can_be_made_of(cls):
    name, p = cls.__name__, nn.Parameter(torch.ones(2, 2))
    for params, message in [
        ([], "got no parameters"),
        ([{"params": []}], "got no parameters"),
        (p, "put the one in a list"),
        (nn.Linear(2, 2), r"takes parameters, such as model.parameters\(\), not Linear"),
        (None, "takes parameters"),
        ([p, p], "the same parameter twice"),
        ([{"params": [p]}, {"params": p}], "two groups of .* have the same parameter"),
        ([{"lr": 0.1}], '"params" in it'),
        ([{"params": {p}}], "in a list, not as set"),
        ([3.0], "updates tensors, not float"),
        ([p * 2], "updates leaves"),
        ([{"params": [p], "lrr": 0.1}], 'in a group "lrr"; did you mean "lr"'),
        ([("p", p), nn.Parameter(torch.ones(1))], "names"),
    ]:
        with pytest.raises(InputError, match=message):
            cls(params)
    for arguments, message in [
        ({"lrr": 0.1}, f'unknown argument of {name} "lrr"; did you mean "lr"'),
        ({"weight_decya": 0.1}, "unknown argument"),
        ({"lr": -0.1}, "lr of"),
        ({"lr": float("nan")}, "lr of"),
        ({"lr": torch.tensor([0.1, 0.2])}, "takes one number, not a tensor of 2"),
        ({"lr": "fast"}, "lr of"),
        ({"capturable": True}, "no capturable form"),
        ({"differentiable": True}, "no differentiable form"),
        ({"executor": "fuse"}, 'unknown executor "fuse"; did you mean "fused"'),
    ]:
        with pytest.raises(InputError, match=message):
            cls([p], **arguments)


@by_class
def test_a_group_that_cannot_be_is_not_added(cls):
    params = _parameters()
    optimizer = cls(params)
    _steps(optimizer, params, 2)
    before = _snapshot(optimizer)
    new = nn.Parameter(torch.ones(2, 2))
    given = {"params": [new], "lr": -1.0}
    for group in (
        given,
        {"params": [new], "lr": float("nan")},
        {"params": [params[0]]},
        {"params": [new, new]},
        {"params": [new], "rate": 0.1},
        {"params": [("new", new)]},
        {"lr": 0.1},
        [new],
    ):
        with pytest.raises(InputError):
            optimizer.add_param_group(group)
        _assert_unchanged(before, optimizer)
    assert given == {"params": [new], "lr": -1.0}


@by_class
@pytest.mark.parametrize("key", ["lr", "weight_decay"])
@pytest.mark.parametrize("value", [-1.0, float("nan")])
def test_a_step_with_a_bad_hyperparameter_changes_nothing(cls, key, value):
    """Set in the second group after a step: the first group does not move either."""
    one, two = _parameters(), _parameters(seed=1)
    optimizer = cls([{"params": one}, {"params": two}])
    if key not in optimizer.param_groups[1]:
        pytest.skip(f"has no {key}")
    _steps(optimizer, [*one, *two], 2)
    optimizer.param_groups[1][key] = value
    before = copy.deepcopy(_snapshot(optimizer)[0])
    state = copy.deepcopy(_snapshot(optimizer)[1])
    with pytest.raises(InputError, match=key):
        _steps(optimizer, [*one, *two], 1)
    after = _snapshot(optimizer)
    assert all(torch.equal(a, b) for a, b in zip(before, after[0], strict=True))
    assert all(torch.equal(x, after[1][i][k]) for i, kept in state.items() for k, x in kept.items())


@by_class
@pytest.mark.parametrize("stepped", [0, 2])
def test_a_gradient_of_another_type_changes_nothing(cls, stepped):
    params = _parameters((3, 4), (5, 2))
    optimizer = cls(params)
    _steps(optimizer, params, stepped)
    _give(params)
    params[1].grad = None
    params[1].grad_dtype = torch.float64
    params[1].grad = torch.ones(5, 2, dtype=torch.float64)
    before = _snapshot(optimizer)
    with pytest.raises(
        InputError, match=r"a gradient is torch.float64 \(5, 2\) on cpu, and its parameter torch.float32"
    ):
        optimizer.step()
    _assert_unchanged(before, optimizer)


@by_class
def test_a_saved_state_that_does_not_fit_changes_nothing(cls):
    params = _parameters((3, 4), (5,))
    optimizer = cls(params)
    _steps(optimizer, params, 2)
    before = _snapshot(optimizer)
    wrong = []
    for shapes in ([(4, 3), (5,)], [(3, 4), (5,), (2,)], [(3, 4), ()]):
        others = _parameters(*shapes)
        other = cls(others)
        _steps(other, others, 2)
        wrong.append(other.state_dict())
    two = cls([{"params": [p]} for p in _parameters((3, 4), (5,))])
    good = copy.deepcopy(optimizer.state_dict())
    wrong += [
        two.state_dict(),
        {},
        {"state": {}},
        {"model": good},
        {**good, "state": {**good["state"], 7: {"step": 1}}},
        {**good, "state": {0: {**good["state"][0], "mystery": 1}}},
        {**good, "state": {0: {"step": float("nan")}}},
        {**good, "param_groups": [{**good["param_groups"][0], "lr": -1.0}]},
        {**good, "param_groups": [{"params": [0, 1], "alpha": 0.9}]},
    ]
    if not cls.face.plain.state:
        wrong = wrong[1:2] + wrong[3:]  # without state, another shape is not seen
    for saved in wrong:
        with pytest.raises(InputError):
            optimizer.load_state_dict(saved)
        _assert_unchanged(before, optimizer)


def test_another_optimizers_state_is_refused():
    """All pairs of torch's optimizers whose states differ in what they keep or are set by."""
    saved = {}
    for name in ("SGD", "Adagrad", "Adadelta", "RMSprop", "Adam", "NAdam"):
        params = _parameters()
        theirs = getattr(torch.optim, name)(params, **({"momentum": 0.9} if name == "SGD" else {}))
        _steps(theirs, params, 2)
        saved[name] = theirs.state_dict()
    for mine in saved:
        for other, state in saved.items():
            params = _parameters()
            optimizer = getattr(optim, mine)(params)
            if mine == other:
                optimizer.load_state_dict(state)
                continue
            before = _snapshot(optimizer)
            with pytest.raises(InputError, match="is not"):
                optimizer.load_state_dict(state)
            _assert_unchanged(before, optimizer)


@by_class
def test_what_hooks_keep_in_the_state_passes_through(cls):
    """Entries that are no parameter's, as torch's own hooks are shown to use."""
    params = _parameters()
    optimizer = cls(params)
    optimizer.register_state_dict_pre_hook(lambda o: o.state.__setitem__("epoch", 7))
    _steps(optimizer, params, 1)
    saved = optimizer.state_dict()
    assert saved["state"]["epoch"] == 7
    other = cls(copy.deepcopy(params))
    other.load_state_dict(saved)
    assert other.state["epoch"] == 7
    _steps(other, other.param_groups[0]["params"], 1, 1)


@by_class
@pytest.mark.parametrize(
    ("default", "counts"), [(torch.float16, torch.float32), (torch.bfloat16, torch.float32), (torch.float64,) * 2]
)
def test_steps_are_counted_in_a_type_that_can(cls, default, counts):
    """A float16 would stop at 2048."""
    params = _parameters()
    torch.set_default_dtype(default)
    try:
        optimizer = cls(params)
        _steps(optimizer, params, 1)
        other = cls(copy.deepcopy(params))
        other.load_state_dict(optimizer.state_dict())
    finally:
        torch.set_default_dtype(torch.float32)
    for kept in (*optimizer.state.values(), *other.state.values()):
        assert kept["step"].dtype == counts


def _network(seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 2))


@pytest.mark.filterwarnings("ignore")
def test_a_compiled_training_step_calls_it_as_it_stands():
    inputs = torch.linspace(-1, 1, 32).view(8, 4)
    nets = [_network(), _network()]
    optimizers = [optim.Adam(net.parameters(), lr=0.1) for net in nets]

    def train(net, optimizer):
        optimizer.zero_grad()
        net(inputs).square().mean().backward()
        optimizer.step()

    compiled = torch.compile(train, backend="eager")
    for _ in range(3):
        compiled(nets[0], optimizers[0])
        train(nets[1], optimizers[1])
    assert all(torch.equal(p, q) for p, q in zip(nets[0].parameters(), nets[1].parameters(), strict=True))
    assert {int(kept["step"]) for kept in optimizers[0].state.values()} == {3}


SHARDED = """
import sys
import torch, torch.distributed
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from thalweg import optim
torch.distributed.init_process_group("gloo", init_method=f"file://{sys.argv[1]}", rank=0, world_size=1)
mesh, inputs = init_device_mesh("cpu", (1,)), torch.linspace(-1, 1, 32).view(8, 4)
for name in sys.argv[2:]:
    torch.manual_seed(0)
    whole, sharded = (nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 2)) for _ in range(2))
    sharded.load_state_dict(whole.state_dict())
    fully_shard(sharded, mesh=mesh)
    optimizers = [getattr(optim, name)(net.parameters(), lr=0.01) for net in (whole, sharded)]
    for i in range(6):
        for net, optimizer in zip((whole, sharded), optimizers):
            optimizer.zero_grad()
            net(inputs).square().mean().backward()
            optimizer.step()
        if i == 3:
            optimizers[1].load_state_dict(optimizers[1].state_dict())
    for p, q in zip(whole.parameters(), sharded.parameters(), strict=True):
        assert torch.allclose(p, q.full_tensor(), rtol=1e-5, atol=1e-7), name
torch.distributed.destroy_process_group()
"""


@pytest.mark.slow
def test_sharded_parameters_step_as_whole_ones(tmp_path):
    """``fully_shard`` over one process: parameters, gradients and state are ``DTensor``s."""
    names = [cls.__name__ for cls in ELEMENT]
    command = [sys.executable, "-c", SHARDED, str(tmp_path / "meeting"), *names]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
