"""Fused multiply-adds without an instruction for them: the one rounding of exact arithmetic, bit for bit."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from fractions import Fraction

import numpy as np
import pytest

numba = pytest.importorskip("numba", reason="the extra numba is not installed")

from numba.extending import intrinsic  # noqa: E402

from auparity.accelerated.numba import fused, instructions, together  # noqa: E402
from auparity.parity_tests.processors.kinds import kinds_here  # noqa: E402

DIGITS = {np.float32: 24, np.float64: 53}
LEAST = {np.float32: Fraction(1, 2**149), np.float64: Fraction(1, 2**1074)}


def rounded(value, kind):
    """An exact number, rounded to nearest, ties to even."""
    if not value:
        return 0.0
    exponent = abs(value.numerator).bit_length() - value.denominator.bit_length()
    if Fraction(2) ** exponent > abs(value):
        exponent -= 1
    quantum = max(Fraction(2) ** (exponent - DIGITS[kind] + 1), LEAST[kind])
    return float(round(value / quantum) * quantum)


def fused_exactly(a, b, c, kind):
    exact = [Fraction(float(x)) * Fraction(float(y)) + Fraction(float(z)) for x, y, z in zip(a, b, c, strict=True)]
    return np.array([rounded(value, kind) for value in exact], kind)


@intrinsic
def emulated(typing_context, a, b, c):
    def generate(context, builder, signature, args):
        make = fused._single if signature.return_type == numba.types.float32 else fused._double
        return make(builder, *args, 0)

    return a(a, b, c), generate


@numba.njit(error_model="numpy")
def emulated_of(a, b, c, out):
    for i in range(len(a)):
        out[i] = emulated(a[i], b[i], c[i])


def ours(a, b, c, kind):
    out = np.empty(len(a), kind)
    emulated_of(a, b, c, out)
    return out


def numbers(kind, seed, count=4000):
    """Products and summands of all relations: far apart, of one size, and such that nearly everything cancels."""
    rng = np.random.default_rng(seed)
    a, b, c = (rng.uniform(-2, 2, count).astype(kind) for _ in range(3))
    c *= (2.0 ** rng.integers(-40, 40, count)).astype(kind)
    c[::4] = -(a[::4] * b[::4])
    c[1::4] = np.nextafter(-(a[1::4] * b[1::4]), kind(1))
    return a, b, c


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_one_rounding_of_exact_arithmetic(kind):
    a, b, c = numbers(kind, 7)
    found = ours(a, b, c, kind)
    assert np.array_equal(found, fused_exactly(a, b, c, kind))
    assert (found != a * b + c).mean() > 0.1  # where two roundings would have shown


def test_sums_whose_first_rounding_ends_in_the_middle_of_two_floats():
    """The case in which rounding to float64 and then to float32 goes wrong: half a unit and a trifle."""
    unit = np.float32(2.0**-23)
    a = np.array([1 + unit, 1 + unit, 1 - unit, -(1 + unit)], np.float32)
    b = np.array([2.0**-24, 2.0**-24, 2.0**-24, 2.0**-24], np.float32)
    a, b = np.concatenate([a, a]), np.concatenate([b, b])
    c = np.array([1, 1 + unit, 1 + unit, -1, 2.0**40, -(2.0**40), 3, 1 - unit], np.float32)
    tiny = np.array([2.0**-60], np.float32)
    a, b, c = np.append(a, tiny), np.append(b, tiny), np.append(c, np.float32(1 + unit))
    assert np.array_equal(ours(a, b, c, np.float32), fused_exactly(a, b, c, np.float32))
    for low in (2.0**-100, -(2.0**-100)):  # a product that float64 cannot hold beside a sum in the middle
        middle = np.float32(low), np.float32(1), np.float32(1)
        found = ours(*(np.array([value]) for value in middle), np.float32)
        assert found[0] == fused_exactly([middle[0]], [middle[1]], [middle[2]], np.float32)[0]


def test_small_floats_that_lose_digits():
    rng = np.random.default_rng(3)
    a, b = (rng.uniform(-1, 1, 2000).astype(np.float32) for _ in range(2))
    b *= np.float32(2.0**-130)
    c = (rng.uniform(-1, 1, 2000) * 2.0**-127).astype(np.float32)
    assert np.array_equal(ours(a, b, c, np.float32), fused_exactly(a, b, c, np.float32))


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_what_is_no_number_and_what_has_no_end_stays_so(kind):
    big, inf, nan = np.finfo(kind).max, kind(np.inf), kind(np.nan)
    a = np.array([inf, nan, 1, 1, big, -big, inf, inf, 0.0, -0.0, -0.0], kind)
    b = np.array([1, 1, 1, 1, 2, 2, 0, 1, 1, 1, 1], kind)
    c = np.array([1, 1, inf, nan, 0, 0, 0, -inf, 0.0, 0.0, -0.0], kind)
    found = ours(a, b, c, kind)
    expected = np.array([inf, nan, inf, nan, inf, -inf, nan, nan, 0.0, 0.0, -0.0], kind)
    assert np.array_equal(found, expected, equal_nan=True)
    assert np.array_equal(np.signbit(found[8:]), np.signbit(expected[8:]))


@pytest.fixture
def told(monkeypatch):
    def tell(**environment):
        for name in (instructions.NAME, instructions.FEATURES):
            monkeypatch.delenv(name, raising=False)
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        instructions.features.cache_clear()

    yield tell
    monkeypatch.undo()
    instructions.features.cache_clear()


def test_tiles_and_fused_operations_follow_what_numba_is_told(told):
    told(NUMBA_CPU_NAME="haswell", NUMBA_CPU_FEATURES="+avx2,+fma,-avx512f")
    assert instructions.has("avx2")
    assert not instructions.has_wide_registers()
    assert not instructions.has_bfloat16_products()
    told(NUMBA_CPU_NAME="skylake-avx512", NUMBA_CPU_FEATURES="+avx512f, +avx512bf16")
    assert instructions.has_wide_registers()
    assert instructions.has_bfloat16_products()
    told(NUMBA_CPU_NAME="generic")
    assert instructions.features() == {}
    told()
    from llvmlite import binding

    assert instructions.features() == dict(binding.get_host_cpu_features())
    told(NUMBA_CPU_NAME="haswell")  # Numba keeps the features of this processor
    assert instructions.features() == dict(binding.get_host_cpu_features())


def test_only_a_processor_of_x86_64_does_without_the_instruction(told, monkeypatch):
    told(NUMBA_CPU_FEATURES="+avx")
    monkeypatch.setattr(fused.platform, "machine", lambda: "x86_64")
    assert not fused.is_instruction()
    monkeypatch.setattr(fused.platform, "machine", lambda: "aarch64")
    assert fused.is_instruction()


def test_tiles_give_the_same_bits_on_every_processor_that_this_one_can_play():
    own, *others = kinds_here()
    if not others:
        pytest.skip("this processor can play no other")
    found = {}
    for kind in (own, *others):
        command = [sys.executable, "-m", "auparity.parity_tests.unit.helpers.tile_bits"]
        alone = kind.of(os.environ) | {together.INSIDE: "1"}  # no processes that compile what other runs need
        done = subprocess.run(command, env=alone, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        found[kind.name] = json.loads(done.stdout)
    assert all(each["right"] for each in found.values())
    assert len({json.dumps(each["hashes"]) for each in found.values()}) == 1, found
    assert not found["no-avx"]["instruction"]
    assert "avx2" not in found or (found["avx2"]["instruction"] and found["avx2"]["units"] != found["native"]["units"])
