"""Seeds: derived the same for ever, apart from each other, and applied to what is there."""

from __future__ import annotations

import random
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import torch

import trackbridge as tb
from trackbridge.errors import MisuseError
from trackbridge.run.seeds import derive

# If one of these changed, no run of before could be repeated.
GOLDEN: dict[tuple[str | int, ...], int] = {
    (): 154724242,
    ("data", 42): 537003001,
    ("dropout", 0, 1, 0): 936925976,
    ("dropout", 12345, 500, 3): 459286407,
    ("größe", 2**64, -1): 187562619,
}


def test_derived_seeds_never_change() -> None:
    assert {parts: derive(*parts) for parts in GOLDEN} == GOLDEN


def test_derived_seeds_have_31_bits_and_are_spread_over_them() -> None:
    seeds = [derive("dropout", 1, step, 0) for step in range(20_000)]

    assert all(0 <= seed < 2**31 for seed in seeds)
    assert len(set(seeds)) > 19_995
    assert abs(sum(seeds) / len(seeds) / 2**30 - 1) < 0.02


def test_parts_are_kept_apart() -> None:
    assert derive("a", "bc") != derive("ab", "c")
    assert derive("a", 1, 2) != derive("a", 12)


def test_seeds_that_are_neighbours_have_no_step_in_common() -> None:
    by_seed = [{tb.Seeds(dropout=seed).step_seed(step) for step in range(1000)} for seed in (12345, 12346)]

    assert not by_seed[0] & by_seed[1]


def test_the_step_seed_depends_on_dropout_step_and_rank_alone() -> None:
    seeds = tb.Seeds(init=1, data=2, dropout=3)

    assert seeds.step_seed(7) == tb.Seeds(init=9, data=9, dropout=3).step_seed(7) == seeds.step_seed(7, rank=0)
    assert (
        len({seeds.step_seed(7), seeds.step_seed(8), seeds.step_seed(7, rank=1), tb.Seeds(dropout=4).step_seed(7)}) == 4
    )
    assert tb.Seeds().step_seed(7) == tb.Seeds(dropout=0).step_seed(7)


def draws() -> tuple[float, float, float]:
    return random.random(), float(np.random.rand()), float(torch.rand(1))


def test_apply_seeds_every_generator() -> None:
    first, second, other_init, other_data = (
        (seeds.apply(), draws())[1]
        for seeds in (
            tb.Seeds(init=1, data=2),
            tb.Seeds(init=1, data=2, dropout=9),
            tb.Seeds(init=9, data=2),
            tb.Seeds(init=1, data=9),
        )
    )

    assert first == second
    assert other_init[:2] == first[:2]
    assert other_init[2] != first[2]
    assert other_data[2] == first[2]
    assert other_data[0] != first[0]
    assert other_data[1] != first[1]


def test_seeds_that_are_not_given_leave_their_generators_alone() -> None:
    tb.Seeds(all=1).apply()
    first = draws()
    tb.Seeds(all=1).apply()
    tb.Seeds(dropout=5).apply()

    assert draws() == first


def test_initial_weights_follow_the_init_seed_and_dropout_the_step() -> None:
    def losses(seeds: tb.Seeds) -> tuple[torch.Tensor, list[torch.Tensor]]:
        seeds.apply()
        model = torch.nn.Sequential(torch.nn.Linear(8, 8), torch.nn.Dropout(0.5))
        outputs = []
        for step in (1, 2):
            torch.manual_seed(seeds.step_seed(step))
            outputs.append(model(torch.ones(1, 8)))
        return model[0].weight, outputs

    weights, outputs = losses(tb.Seeds(init=1, data=2, dropout=3))
    same_weights, other_outputs = losses(tb.Seeds(init=1, data=2, dropout=4))

    assert torch.equal(weights, same_weights)
    assert not torch.equal(outputs[0], outputs[1])
    assert not all(torch.equal(a, b) for a, b in zip(outputs, other_outputs, strict=True))


def test_applying_seeds_imports_nothing() -> None:
    script = (
        "import sys, trackbridge as tb; tb.Seeds(all=1).apply(); print(sorted({'torch', 'numpy'} & set(sys.modules)))"
    )

    assert subprocess.run([sys.executable, "-c", script], capture_output=True, text=True).stdout == "[]\n"


def test_one_number_sets_all() -> None:
    seeds = tb.Seeds(all=7)

    assert (seeds.init, seeds.data, seeds.dropout, seeds.all) == (7, 7, 7, 7)
    assert seeds == tb.Seeds(all=7)
    assert tb.Seeds(init=7, data=7, dropout=7).all is None


@pytest.mark.parametrize("seed", [-1, 2**32, 1.0, "1", True, np.int64(1)])
@pytest.mark.parametrize("name", ["init", "data", "dropout", "all"])
def test_what_is_no_seed_is_refused(name: str, seed: Any) -> None:
    with pytest.raises(MisuseError, match=f"seed '{name}' is .*expected an integer from 0 to 4294967295"):
        tb.Seeds(**{name: seed})


def test_all_beside_another_seed_is_refused() -> None:
    with pytest.raises(MisuseError, match="either `all` or the single seeds"):
        tb.Seeds(all=1, init=2)


def test_seeds_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        tb.Seeds(init=1).init = 2  # type: ignore[misc]
