"""The controls of lottery tickets are real controls, and a ticket goes back to what was there."""

from itertools import pairwise

import pytest
import torch
from tickets import NAMES, RECIPE, STEPS, net

from small import small_digits
from thalweg import prune
from thalweg.study.tickets.chain import Chain
from thalweg.study.tickets.ticket import KINDS, Terms, Ticket, fresh_seed, next_masks, other_seed
from thalweg.task import fingerprint
from thalweg.train import Member, Population, begin
from thalweg.train.checkpoint import Checkpoints
from thalweg.train.made import model_of
from thalweg.train.pruned import copied
from thalweg.train.state import masks_in


@pytest.fixture(scope="module")
def task():
    return small_digits(net)


def chain_of(task, tmp_path, terms, executor="one by one", **more):
    tickets = [Ticket(i, seed) for i, seed in enumerate(terms.run_seeds())]
    tmp_path.mkdir(exist_ok=True)
    return Chain(
        task, RECIPE.resolved(), terms, fingerprint(task), tickets, executor=executor, together=8,
        checkpoints=Checkpoints(tmp_path), tell=more.pop("tell", lambda _: None), **more,
    )  # fmt: skip


def counts(masks):
    return {name: int(mask.sum()) for name, mask in masks.items()}


# -- controls ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=["layer", pytest.param("global", marks=pytest.mark.slow)])
def level(request, task, tmp_path_factory):
    """A chain at its second level, its ticket, and what that level begins with, by kind."""
    terms = Terms(rounds=2, rate=0.5, seeds=1, rewind=4, scope=request.param)
    chain = chain_of(task, tmp_path_factory.mktemp("chain"), terms)
    (ticket,) = chain.tickets
    seen = {}
    for at in (0, 1):
        runs = chain._runs(ticket)
        chain._train(runs)
        chain._end_level(ticket, runs)
        seen[at] = {kind: chain.begin(ticket, kind, at + 1) for kind in KINDS}
    return chain, ticket, seen


def test_controls_keep_as_many_weights_of_each_layer(level):
    _, _, seen = level
    for at in (0, 1):
        masks = {kind: masks_in(state) for kind, state in seen[at].items()}
        assert list(masks["ticket"]) == NAMES
        for kind in ("random mask", "fresh weights", "other data order"):
            assert counts(masks[kind]) == counts(masks["ticket"])
        assert sum(counts(masks["one-shot"]).values()) == sum(counts(masks["ticket"]).values())
    for name, mask in masks["ticket"].items():
        assert not (mask & ~masks_in(seen[0]["ticket"])[name]).any(), "what is gone stays gone"
    assert counts(masks["ticket"])["4.weight"] == round(0.75 * round(0.75 * 120))


def test_the_random_mask_is_another_from_the_same_weights(level):
    _, ticket, seen = level
    own, random = seen[1]["ticket"], seen[1]["random mask"]
    for name in NAMES:
        mine, its = masks_in(own)[name], masks_in(random)[name]
        assert 0 < int((mine & its).sum()) < int(mine.sum())
        early = ticket.early.tensors[f"model/{name}"]
        assert torch.equal(random.tensors[f"model/{name}"], early * its)
        assert torch.equal(own.tensors[f"model/{name}"], early * mine)
    assert not torch.equal(masks_in(random)["0.weight"], masks_in(seen[0]["random mask"])["0.weight"])
    assert (random.step, random.member.seed) == (own.step, own.member.seed) == (4, ticket.seed)


def test_fresh_weights_are_of_another_seed_under_the_tickets_mask(level):
    chain, ticket, seen = level
    fresh = seen[1]["fresh weights"]
    other = model_of(chain.task, chain.recipe, fresh_seed(ticket.seed, 2)).state_dict()
    first = model_of(chain.task, chain.recipe, ticket.seed).state_dict()
    for name in NAMES:
        mask = masks_in(seen[1]["ticket"])[name]
        assert torch.equal(masks_in(fresh)[name], mask)
        assert torch.equal(fresh.tensors[f"model/{name}"], other[name] * mask)
        assert not (fresh.tensors[f"model/{name}"] == first[name])[mask].any()
    assert not torch.equal(fresh.tensors["model/0.bias"], first["0.bias"])
    assert (fresh.step, fresh.facts, fresh.member.seed) == (0, {}, ticket.seed)
    seeds = {fresh_seed(seed, at) for seed in (1, 2) for at in (1, 2, 3)}
    assert len(seeds) == 6


def test_pruning_at_once_goes_by_the_whole_models_weights(level):
    chain, ticket, seen = level
    whole = chain._module(ticket, ticket.full)
    mask = masks_in(seen[1]["one-shot"])
    expected = prune.magnitude().masks(whole, keep=0.25, scope="layer")
    if chain.terms.scope == "layer":
        assert all(torch.equal(mask[name], expected[name]) for name in NAMES[:2])
    assert not torch.equal(mask["0.weight"], masks_in(seen[1]["ticket"])["0.weight"])
    assert torch.equal(masks_in(seen[0]["one-shot"])["0.weight"], masks_in(seen[0]["ticket"])["0.weight"])


def test_whole_units_go_with_what_others_take_from_them(level):
    chain, ticket, seen = level
    whole = chain._module(ticket, ticket.full)
    masks = masks_in(seen[0]["whole units"])
    if chain.terms.scope == "layer":
        assert [int(masks[name].any(1).sum()) for name in NAMES] == [12, 6, 10]
    for name, taker in pairwise(NAMES):
        stays = masks[name].any(1)
        assert torch.equal(masks[name], stays[:, None] & masks[name].any(0))
        assert torch.equal(masks[taker].any(0), stays)
        norms = whole.get_parameter(name).norm(dim=1)
        if chain.terms.scope == "layer":
            assert norms[stays].min() > norms[~stays].max()


def test_the_other_data_order_is_all_that_is_different(level):
    _, ticket, seen = level
    own, other = seen[1]["ticket"], seen[1]["other data order"]
    assert other.member.seed == other_seed(ticket.seed) != ticket.seed
    assert all(torch.equal(x, other.tensors[name]) for name, x in own.tensors.items())


# -- rewinding ---------------------------------------------------------------------------------------------------


def steps_of(task, state):
    """Return a run after each of its steps."""
    found = []
    population = Population(task, "vmapped", 1, [state])
    list(population.run(on_step=lambda population: found.append(copied(population.snapshot()[0]))))
    return found


@pytest.mark.parametrize("step", [0, 2, 3, 4])
def test_a_ticket_goes_back_to_what_the_run_was_at_that_step(task, tmp_path, step):
    terms = Terms(rounds=1, rate=0.5, seeds=2, rewind=step)
    chain = chain_of(task, tmp_path, terms, "vmapped")
    runs = [run for ticket in chain.tickets for run in chain._runs(ticket)]
    chain._train(runs)
    for ticket in chain.tickets:
        member = Member(chain.recipe, ticket.seed)
        state = begin(task, member)
        kept = [state, *steps_of(task, state)]
        expected = kept[step]
        assert ticket.early.step == step
        assert ticket.early.tensors.keys() == expected.tensors.keys()
        assert all(torch.equal(x, expected.tensors[name]) for name, x in ticket.early.tensors.items())
        whole = chain._module(ticket, next(run.result for run in runs if run.ticket is ticket).weights)
        ticket.masks = next_masks(whole, terms, None)
        back = chain.begin(ticket, "ticket", 1)
        assert back.step == step
        if step:
            gone = torch.cat(
                [
                    ~ticket.masks[name].flatten()
                    if name in ticket.masks
                    else torch.zeros(p.numel(), dtype=torch.bool)
                    for name, p in net().named_parameters()
                ]
            )
            for i in (0, 1):
                assert not back.tensors[f"optimizer/{i}"][gone].any()
                same = back.tensors[f"optimizer/{i}"][~gone] == expected.tensors[f"optimizer/{i}"][~gone]
                assert same.all()
        # What stands at an epoch's end is kept once that has been judged, so that it begins the next one.
        assert chain._place(back) == step % STEPS
