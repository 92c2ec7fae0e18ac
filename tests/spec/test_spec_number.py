"""Formats and registers: ranges, the house form of errors, reading from text."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwsim.spec import Format, InputError, Overflow, Register, bits_for, operand_format, require


@pytest.mark.parametrize("bits", range(1, 65))
def test_format_ends_are_those_of_twos_complement_and_binary(bits: int) -> None:
    assert (Format(bits).lo, Format(bits).hi) == (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
    assert (Format(bits, False).lo, Format(bits, False).hi) == (0, 2**bits - 1)


@pytest.mark.parametrize("signed", [True, False])
@pytest.mark.parametrize("bits", range(1, 65))
def test_storage_is_the_smallest_dtype_that_holds_both_ends(bits: int, signed: bool) -> None:
    form = Format(bits, signed)
    info = np.iinfo(form.storage)
    assert info.min <= form.lo
    assert info.max >= form.hi
    assert info.bits == 8 or info.bits // 2 < bits
    assert (info.min < 0) == signed


def test_formats_and_registers_print_as_the_command_line_writes_them() -> None:
    assert str(Format(4)) == "int4"
    assert str(Format(12, signed=False)) == "uint12"
    assert str(Register(16, Overflow.SATURATE)) == "16:saturate"


REFUSED = [
    (lambda: Format(0), "bits must be an integer from 1 to 64, not 0"),
    (lambda: Format(65), "bits must be an integer from 1 to 64, not 65"),
    (lambda: operand_format(1), "bits must be an integer from 2 to 16, not 1"),
    (lambda: operand_format(17), "bits must be an integer from 2 to 16, not 17"),
    (lambda: operand_format(17, field="--weight-bits"), "--weight-bits must be an integer from 2 to 16, not 17"),
    (lambda: Register(7, Overflow.WRAP), "register bits must be an integer from 8 to 48, not 7"),
    (lambda: Register(49, Overflow.WRAP), "register bits must be an integer from 8 to 48, not 49"),
]


@pytest.mark.parametrize(("build", "message"), REFUSED, ids=[message for _, message in REFUSED])
def test_widths_out_of_range_are_refused_in_the_house_form(build: object, message: str) -> None:
    assert callable(build)
    with pytest.raises(InputError) as error:
        build()
    assert str(error.value) == message


@pytest.mark.parametrize("bits", range(2, 17))
def test_every_operand_width_is_accepted(bits: int) -> None:
    assert operand_format(bits, signed=False) == Format(bits, signed=False)


@pytest.mark.parametrize("overflow", Overflow)
@pytest.mark.parametrize("bits", range(8, 49))
def test_a_register_reads_back_what_it_prints(bits: int, overflow: Overflow) -> None:
    register = Register(bits, overflow)
    assert Register.parse(str(register)) == register
    assert register.format == Format(bits)


@pytest.mark.parametrize(
    "text",
    ["", "16", "16:", ":wrap", "7:wrap", "49:saturate", "16:clamp", "16:Wrap", "-16:wrap", "16.0:wrap", "16:wrap:", "1_6:wrap",
     "²:wrap", " 16:wrap", "0x10:wrap", "16 :wrap", "9" * 50 + ":wrap"],
)  # fmt: skip
def test_text_that_is_no_register_is_refused_with_the_option_and_what_is_allowed(text: str) -> None:
    with pytest.raises(InputError) as error:
        Register.parse(text, "--acc")
    assert str(error.value) == f"--acc must be BITS:wrap or BITS:saturate with BITS from 8 to 48, not {text!r}"


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.integers(-(2**60), 2**60), st.integers(-(2**60), 2**60))
def test_bits_for_is_the_smallest_width_that_holds_both(a: int, b: int) -> None:
    bits = bits_for(min(a, b), max(a, b))
    assert Format(bits).lo <= min(a, b) <= max(a, b) <= Format(bits).hi
    assert bits == 1 or not (Format(bits - 1).lo <= min(a, b) and max(a, b) <= Format(bits - 1).hi)


def test_require_raises_the_house_form_only_where_the_condition_fails() -> None:
    require(True, "x", "y", "z")
    with pytest.raises(InputError, match=r"^x must be y, not z$"):
        require(False, "x", "y", "z")
