# SPDX-License-Identifier: Apache-2.0
"""What an object is: a header of HEADER_LEN bytes, then the bytes of LMCache's memory object as they are.

The header says how to read the rest: format, shapes, data types, length. LMCache asks for a chunk by its key alone, and
a chunk at the end of a prompt may be shorter than the others, so the reader learns from the header what to allocate. It
also keeps a reader from taking bytes of another layout for its own. Header and bytes are two entries of one request,
which tile the object: nothing is copied for it.

    0  8 bytes  magic               16  8 bytes  length of what follows the header
    8  2 bytes  version             24  4 bytes  CRC-32 of the text
   10  2 bytes  zero                28  4 bytes  zero
   12  4 bytes  length of the text  32  text: JSON {"fmt", "shapes", "dtypes"}; then zeros

Numbers are little endian. Headers of one layout are equal byte by byte, so they are compared, and written from one
place in memory."""

import functools
import json
import math
import struct
import zlib
from typing import Any, NamedTuple

HEADER_LEN = 1024
OBJECT_SIZE_MAX = 1 << 30
MAGIC = b"bc-lmc\r\n"
FORMAT_VERSION = 1

_FIXED = struct.Struct("<8sHHIQI4x")
_TEXT_LEN_MAX = HEADER_LEN - _FIXED.size
_DIMENSIONS_MAX = 16

# Bytes of an element. A data type that is not here cannot be stored.
ITEM_LEN = {
    "bool": 1, "uint8": 1, "int8": 1, "float8_e4m3fn": 1, "float8_e5m2": 1, "float8_e4m3fnuz": 1,
    "float8_e5m2fnuz": 1, "uint16": 2, "int16": 2, "float16": 2, "bfloat16": 2, "uint32": 4, "int32": 4, "float32": 4,
    "uint64": 8, "int64": 8, "float64": 8,
}

# Which dimension counts tokens, by LMCache's names of formats: those that hold KV, and may be short of a whole chunk.
TOKEN_DIMENSION = {"KV_2LTD": 2, "KV_T2D": 0, "KV_2TD": 1, "KV_MLA_FMT": 2}


class LayoutError(ValueError):
    """The layout cannot be stored, or a header is none."""


class Layout(NamedTuple):
    """Format, and per group of layers a shape and a data type; length: bytes in all, usually what they come to."""

    fmt: str
    shapes: tuple[tuple[int, ...], ...]
    dtypes: tuple[str, ...]
    length: int

    def natural_length(self) -> int:
        return natural_length(self.shapes, self.dtypes)

    def is_part_of(self, whole: "Layout") -> bool:
        """The same, with at most as many tokens."""
        dimension = TOKEN_DIMENSION.get(self.fmt)
        if (dimension is None or self.fmt != whole.fmt or self.dtypes != whole.dtypes
                or len(self.shapes) != len(whole.shapes) or self.length != self.natural_length()):
            return False
        tokens = set()
        for mine, other in zip(self.shapes, whole.shapes):
            if len(mine) != len(other) or len(mine) <= dimension or not 0 < mine[dimension] <= other[dimension]:
                return False
            if mine[:dimension] + mine[dimension + 1:] != other[:dimension] + other[dimension + 1:]:
                return False
            tokens.add(mine[dimension])
        return len(tokens) == 1


def natural_length(shapes: tuple[tuple[int, ...], ...], dtypes: tuple[str, ...]) -> int:
    """Bytes of the tensors. LayoutError: a data type that is unknown here."""
    try:
        return sum(math.prod(shape) * ITEM_LEN[dtype] for shape, dtype in zip(shapes, dtypes, strict=True))
    except (KeyError, ValueError) as error:
        raise LayoutError("no such layout: %s" % error) from None


@functools.lru_cache(maxsize=1024)
def encode(layout: Layout) -> bytes:
    """HEADER_LEN bytes. LayoutError: too many groups, or too long."""
    if not 0 < layout.length <= OBJECT_SIZE_MAX - HEADER_LEN:
        raise LayoutError("an object of %d bytes cannot be stored" % layout.length)
    layout.natural_length()
    text = json.dumps({"fmt": layout.fmt, "shapes": layout.shapes, "dtypes": layout.dtypes}, separators=(",", ":"),
                      sort_keys=True).encode()
    if len(text) > _TEXT_LEN_MAX:
        raise LayoutError("the header of %d groups has no room" % len(layout.shapes))
    fixed = _FIXED.pack(MAGIC, FORMAT_VERSION, 0, len(text), layout.length, zlib.crc32(text))
    return (fixed + text).ljust(HEADER_LEN, b"\0")


@functools.lru_cache(maxsize=1024)
def decode(header: bytes) -> Layout:
    """LayoutError: not a header of this version, or one that contradicts itself. header: HEADER_LEN bytes, of any
    content."""
    magic, version, _, text_len, length, checksum = _FIXED.unpack_from(header)
    if magic != MAGIC or version != FORMAT_VERSION or text_len > _TEXT_LEN_MAX:
        raise LayoutError("no header of version %d" % FORMAT_VERSION)
    text = header[_FIXED.size:_FIXED.size + text_len]
    if zlib.crc32(text) != checksum or not 0 < length <= OBJECT_SIZE_MAX - HEADER_LEN:
        raise LayoutError("a damaged header")
    try:
        told = json.loads(text)
        layout = Layout(str(told["fmt"]), tuple(_shape(shape) for shape in told["shapes"]),
                        tuple(str(dtype) for dtype in told["dtypes"]), length)
    except (ValueError, KeyError, TypeError):
        raise LayoutError("a header that cannot be read") from None
    if length > layout.natural_length():
        raise LayoutError("a header with more bytes than its shapes have")
    return layout


def _shape(numbers: Any) -> tuple[int, ...]:
    shape = tuple(int(number) for number in numbers)
    if not 0 < len(shape) <= _DIMENSIONS_MAX or min(shape) < 0 or max(shape) > OBJECT_SIZE_MAX:
        raise ValueError("a shape of %r" % (shape,))
    return shape
