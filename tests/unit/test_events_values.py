"""What a caller logs becomes a plain float or plain JSON data, copied; what cannot is refused with its value."""

from __future__ import annotations

import argparse
import collections
import dataclasses
import enum
import functools
import math
import sys
from datetime import date, datetime, timezone
from decimal import Decimal
from fractions import Fraction
from pathlib import Path, PurePosixPath
from types import MappingProxyType, SimpleNamespace
from typing import Any

import msgspec
import numpy as np
import pytest
import torch
from pydantic import BaseModel, SecretStr

from trackbridge.errors import MisuseError
from trackbridge.events.values import as_json, as_json_object, as_scalar, as_step, clean_text

ONE_NUMBER = [
    0.5, 1, -(10**20), np.float32(0.5), np.float64(0.5), np.float16(0.5), np.int64(3), np.uint8(3), np.array(0.5),
    np.array([0.5]), np.array([[3]]), torch.tensor(0.5), torch.tensor([0.5]), torch.tensor([[3]]),
    torch.tensor(0.5, dtype=torch.bfloat16), torch.tensor(0.5, requires_grad=True), torch.nn.Parameter(torch.ones(1)),
    Fraction(1, 2), math.nan, math.inf, np.float32("-inf"), torch.tensor(math.nan),
]  # fmt: skip


@pytest.mark.parametrize("value", ONE_NUMBER, ids=lambda value: f"{type(value).__module__}.{type(value).__name__}")
def test_one_number_of_any_make_is_a_float(value: Any) -> None:
    scalar = as_scalar("loss", value)
    assert type(scalar) is float
    expected = float(value.detach() if isinstance(value, torch.Tensor) else np.ravel(value)[0])
    assert scalar == expected or (math.isnan(scalar) and math.isnan(expected))


def test_a_scalar_is_copied_at_the_call() -> None:
    tensor = torch.tensor(0.5)
    scalar = as_scalar("loss", tensor)
    tensor += 1
    assert scalar == 0.5


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (True, r"metric 'loss' is the bool True; .* log int\(value\)"),
        (np.True_, r"is the bool True"),
        (torch.tensor(False), r"is the bool False"),
        ("0.5", r"metric 'loss' is '0.5' \(str\); expected a number"),
        (None, r"is None \(NoneType\)"),
        ([0.5], r"is \[0.5\] \(list\)"),
        ({"a": 1}, r"\{'a': 1\} \(dict\).*Settings belong in run.log_config"),
        (np.array([1.0, 2.0]), r"has 2 elements; a metric is one number: log its mean, or tb.Histogram"),
        (torch.zeros(3, 4), r"has 12 elements"),
        (torch.zeros(0), r"has 0 elements"),
        (np.array([]), r"has 0 elements"),
        (1 + 2j, r"\(complex\)"),
        (torch.tensor(1 + 2j), r"\(Tensor\)"),
        (Decimal("0.5"), r"Decimal\('0.5'\) \(Decimal\)"),
        (np.str_("0.5"), r"\(str_\)"),
        (np.datetime64("2024-01-01"), r"\(datetime64\)"),
        (10**400, r"an int too large for a float64"),
        (float, r"is builtins.float \(type\)"),
        (len, r"is builtins.len"),
    ],
    ids=lambda value: str(value)[:20],
)
def test_what_is_not_one_number_is_refused_with_its_value(value: object, message: str) -> None:
    with pytest.raises(MisuseError, match=message):
        as_scalar("loss", value)


@pytest.mark.parametrize("step", [0, 3, np.int64(3), 2**63 - 1])
def test_a_step_is_an_integer_of_any_make(step: Any) -> None:
    assert as_step(step) == int(step)
    assert type(as_step(step)) is int


@pytest.mark.parametrize(
    ("step", "message"),
    [
        (1.0, r"step is 1.0 \(float\); expected an integer: optimizer updates completed"),
        ("3", r"'3' \(str\)"),
        (None, r"None"),
        (True, r"True \(bool\)"),
        (-1, r"step is -1; expected 0 or more"),
        (2**63, r"step is 9223372036854775808"),
        (torch.tensor(3.5), r"\(Tensor\)"),
    ],
)
def test_other_steps_are_refused_with_their_value(step: object, message: str) -> None:
    with pytest.raises(MisuseError, match=message):
        as_step(step)


class Colour(enum.Enum):
    RED = "red"


class Level(enum.IntEnum):
    HIGH = 3


class Strategy(str, enum.Enum):
    STEPS = "steps"


@dataclasses.dataclass
class Optimizer:
    name: str
    betas: tuple[float, float] = (0.9, 0.999)


class Model(BaseModel):
    layers: int = 2
    where: Path = Path("a/b")


Point = collections.namedtuple("Point", "x y")


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (None, None),
        (True, True),
        (10**30, 10**30),
        ("\u00fc", "\u00fc"),
        (PurePosixPath("a/b"), "a/b"),
        (Colour.RED, "red"),
        (Level.HIGH, 3),
        (Strategy.STEPS, "steps"),
        ({Strategy.STEPS: 1, Colour.RED: 2, 3: 4, None: 5}, {"steps": 1, "Colour.RED": 2, "3": 4, "None": 5}),
        ((1, [2, (3,)]), [1, [2, [3]]]),
        ({3, 1, 2}, [1, 2, 3]),
        (frozenset({"b", "a"}), ["a", "b"]),
        ({"a", 1}, ["a", 1]),
        (Optimizer("adamw"), {"name": "adamw", "betas": [0.9, 0.999]}),
        (Model(), {"layers": 2, "where": "a/b"}),
        (SecretStr("swordfish"), "SecretStr('**********')"),
        (Point(1, 2), [1, 2]),
        (MappingProxyType({"a": 1}), {"a": 1}),
        (SimpleNamespace(a=1), {"a": 1}),
        (argparse.Namespace(lr=2e-5), {"lr": 2e-5}),
        (collections.OrderedDict(b=1, a=2), {"b": 1, "a": 2}),
        (date(2024, 1, 2), "2024-01-02"),
        (datetime(2024, 1, 2, 3, tzinfo=timezone.utc), "2024-01-02T03:00:00+00:00"),
        (b"abc", "<3 bytes>"),
        (np.float32(0.5), 0.5),
        (np.float64(0.5), 0.5),
        (np.int64(3), 3),
        (np.bool_(True), True),
        (np.str_("a"), "a"),
        (np.arange(3), [0, 1, 2]),
        (np.dtype("float32"), "dtype('float32')"),
        (torch.tensor([[1.0, 2.0]]), [[1.0, 2.0]]),
        (torch.float32, "torch.float32"),
        (torch.device("cpu"), "device(type='cpu')"),
        (Fraction(1, 2), "Fraction(1, 2)"),
        (len, "builtins.len"),
        (torch.nn.GELU, "torch.nn.modules.activation.GELU"),
        (math.inf, math.inf),
    ],
    ids=lambda value: type(value).__name__,
)
def test_any_object_has_a_plain_form(value: object, plain: object) -> None:
    copied = as_json(value)
    assert copied == plain
    assert type(copied) is type(plain)
    assert msgspec.json.decode(msgspec.json.encode(as_json([value]))) is not None


def test_a_plain_form_is_a_copy() -> None:
    config = {"a": [1, {"b": 2}]}
    copied = as_json(config)
    config["a"][1]["b"] = 3  # type: ignore[index]  # this is the dict above
    assert copied == {"a": [1, {"b": 2}]}


def test_functions_and_their_like_are_named_never_called() -> None:
    def explode(*arguments: object) -> None:
        raise AssertionError("called")

    class Callable:
        __call__ = explode
        __str__ = __repr__ = explode

    assert as_json(explode).endswith("explode")
    assert as_json(lambda: explode()).endswith("<lambda>")
    assert as_json(functools.partial(explode, 1)) == "functools.partial"
    assert as_json(Callable()).endswith("Callable")


def test_an_object_whose_repr_fails_is_named_with_the_failure() -> None:
    class Broken:
        def __repr__(self) -> str:
            raise RuntimeError

    assert as_json({"x": Broken()}) == {"x": "<Broken: repr failed with RuntimeError>"}


def test_two_objects_of_one_kind_have_one_plain_form() -> None:
    class Schedule:
        pass

    assert as_json(Schedule()) == as_json(Schedule())
    assert as_json(Schedule()).endswith("Schedule object>")


def test_long_texts_of_objects_are_cut_and_large_arrays_are_not_spelled_out() -> None:
    assert len(as_json(Fraction(10**2000, 3))) == 503
    assert len(as_json(np.zeros(100_000))) <= 503


def test_a_very_large_int_is_kept_and_one_python_will_not_spell_is_hexadecimal() -> None:
    assert as_json(10**4000) == 10**4000
    assert as_json(-(2**100_000)) == hex(-(2**100_000))
    assert msgspec.json.decode(msgspec.json.encode(as_json([10**4000]))) == [10**4000]


def test_nesting_is_copied_to_two_hundred_levels_and_a_cycle_is_refused() -> None:
    deep: Any = 1
    for _ in range(190):
        deep = [deep]
    assert as_json(deep) == deep
    for levels in (1, 300):
        cycle: Any = []
        inner = cycle
        for _ in range(levels):
            inner.append([])
            inner = inner[0]
        inner.append(cycle)
        with pytest.raises(MisuseError, match=r"config is nested deeper than 200 levels: does it contain itself\?"):
            as_json_object("config", {"x": cycle})


def test_lone_surrogates_become_escapes() -> None:
    assert clean_text("caf\u00e9 \U0001f600") == "caf\u00e9 \U0001f600"
    assert clean_text("a\udcffb") == "a\\udcffb"
    assert as_json({"k\ud800": ["\udcff"]}) == {"k\\ud800": ["\\udcff"]}


@pytest.mark.parametrize("value", [{"a": 1}, Optimizer("x"), Model(), MappingProxyType({})])
def test_mappings_dataclasses_and_models_are_objects(value: object) -> None:
    assert isinstance(as_json_object("config", value), dict)


@pytest.mark.parametrize("value", [3, "a", None, [("a", 1)], Optimizer, np.zeros(3)])
def test_other_things_are_no_objects(value: object) -> None:
    with pytest.raises(MisuseError, match=r"config is .*; expected a mapping, a dataclass, a pydantic model or an"):
        as_json_object("config", value)


def test_torch_and_numpy_are_recognised_without_being_imported() -> None:
    import subprocess

    script = "import sys, trackbridge.events.values; sys.exit(int(any(n in sys.modules for n in ('torch', 'numpy'))))"
    assert subprocess.run([sys.executable, "-c", script]).returncode == 0
