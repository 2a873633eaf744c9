"""What stays on a device, and how often the rest is read, counted by hand and by trying."""

import itertools
from math import ceil

import pytest

from tessera.puzzle.models import architecture, loading, memory
from tessera.puzzle.scores.schedule import GIB, Needs, plan

#: Bytes: ends 10, layers of 4, variants of a layer 3, states of 1 for each of 2 variants and the parent's two, work 5.
NEEDS = Needs(ends=10, layer=4, variants=3, state=1, work=5)


def test_all_fits():
    # 10 + 8 layers, variants of 4, and 4 * 2 + 2 states of one batch
    least = 10 + 8 * 4 + 4 * 3 + 10 + 5
    made = plan(NEEDS, 2, 8, 4, 6, least)
    assert (made.resident, made.batches, made.layers, made.keeps_variants) == (8, 1, 4, True)
    assert (made.passes, made.loads) == (6, 8) and sum(made.memory.values()) == least
    assert not plan(NEEDS, 2, 8, 4, 6, least - 1).keeps_variants


def test_one_layer_with_one_batch():
    least = 10 + 4 + 3 + 4 + 5
    made = plan(NEEDS, 2, 8, 4, 6, least)
    assert (made.resident, made.batches, made.layers, made.passes, made.loads) == (0, 1, 1, 24, 24 * 8)
    with pytest.raises(ValueError, match=r"puzzle\.compute\.memory: scores need 26\.00 GiB .* may hold 25\.00 GiB"):
        plan(Needs(*(GIB * size for size in (10, 4, 3, 1, 5))), 2, 8, 4, 6, (least - 1) * GIB)


@pytest.mark.parametrize("memory", [27, 31, 40, 47, 60, 66, 80, 200])
def test_no_other_way_reads_less(memory):
    made = plan(NEEDS, 2, 8, 4, 6, memory)
    assert sum(made.memory.values()) <= memory
    assert made.loads == made.resident + made.passes * (8 - made.resident)
    ways = [
        resident + ceil(6 / batches) * ceil(4 / layers) * (8 - resident)
        for resident, batches, layers in itertools.product(range(9), range(1, 7), range(1, 5))
        if 10 + min(resident + 1, 8) * 4 + 3 + batches * (2 * layers + 2) + 5 <= memory
    ]
    assert made.loads == min(ways)


def test_needs_are_those_of_the_model(parent, variants):
    needs = memory.scores(architecture.read(parent()), variants, 12)
    model = loading.load(parent())
    assert needs.layer == 4 * sum(p.numel() for p in model.module(0).parameters())
    assert needs.ends + 3 * needs.layer == 4 * sum(p.numel() for p in model.parameters())
    assert needs.state == 4 * 85 * 12 * 32
