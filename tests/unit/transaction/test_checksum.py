"""The checksum of cputune's own files."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cputune.transaction.checksum import sealed, unsealed


@given(st.binary(max_size=300))
def test_what_was_sealed_comes_back(data: bytes) -> None:
    text = data.decode("utf-8", "surrogateescape")
    assert unsealed(sealed(text)) == text


def test_the_checksum_is_a_line_of_its_own() -> None:
    assert sealed("123456789\n") == "123456789\ncrc32 e0117757\n"
    assert sealed("123456789") == "123456789crc32 cbf43926\n"  # the check value of CRC-32


def test_each_bit_counts() -> None:
    whole = sealed("quota 50000\ninode 7\n").encode()
    for bit in range(8 * len(whole)):
        flipped = bytearray(whole)
        flipped[bit // 8] ^= 1 << bit % 8
        assert unsealed(flipped.decode("utf-8", "surrogateescape")) is None, bit


@pytest.mark.parametrize("text", ["", "crc32 00000000", "\0" * 40, "quota 5\n", "crc32 16DCF2D4\n"])
def test_what_was_not_sealed_is_damaged(text: str) -> None:
    assert unsealed(text) is None
