"""CRC64 as OSS states it (`x-oss-hash-crc64ecma`): of bytes, and of two runs of bytes joined.

The polynomial is ECMA-182, reflected, with all bits set at the start and flipped at the end: what
the catalogues call CRC-64/XZ. OSS, COS and KS3 write it as an unsigned decimal number.
"""

from functools import lru_cache

import fastcrc

_POLYNOMIAL = 0xC96C5795D7870F42  # reflected: the highest bit stands for x^0
_ONE = 1 << 63  # x^0
_BYTE = 1 << 55  # x^8
_MASK = (1 << 64) - 1


def crc64(data: bytes | bytearray | memoryview, value: int = 0) -> int:
    """Return the CRC64 of what gave `value` so far, followed by `data`. Copies nothing."""
    return fastcrc.crc64.xz(data, value)


def crc64_combine(first: int, second: int, second_length: int) -> int:
    """Return the CRC64 of two runs of bytes joined, from the CRC64 of each.

    `second_length` is the number of bytes of the second run.
    """
    return _product(first, _zeros(second_length)) ^ second


@lru_cache(maxsize=64)  # an upload has two lengths of parts: all but the last, and the last
def _zeros(length: int) -> int:
    """What to multiply a CRC64 by to see `length` zero bytes behind it: x^(8 * length)."""
    result, power = _ONE, _BYTE
    while length:
        if length & 1:
            result = _product(result, power)
        power = _product(power, power)
        length >>= 1
    return result


def _product(a: int, b: int) -> int:
    """Multiply two polynomials over GF(2), modulo the CRC's polynomial."""
    product = 0
    while a:
        if a & _ONE:
            product ^= b
        a = (a << 1) & _MASK
        b = (b >> 1) ^ _POLYNOMIAL if b & 1 else b >> 1
    return product
