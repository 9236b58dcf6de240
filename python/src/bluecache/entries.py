# SPDX-License-Identifier: Apache-2.0
"""Entry, and how a batch of entries or keys becomes the array that the library reads.

The array is built column by column as 64-bit words: for 1,024 entries that takes a third of the time of filling as many
ctypes structures, see the measurement in docs/python.md. All keys lie one behind the other in one bytes object, which
has to stay alive, as the array, until the library's call is over."""

from array import array
from collections.abc import Iterable, Mapping, Sequence
import ctypes
from itertools import accumulate, chain
from typing import TYPE_CHECKING, NamedTuple

from bluecache import _abi
from bluecache.status import Status

if TYPE_CHECKING:
    from bluecache.memory import Memory


class Entry(NamedTuple):
    """One piece of a request: bytes [memory_offset, memory_offset + length) of a memory, and bytes [object_offset,
    object_offset + length) of the object that `key` names.

    Push: the entries of a request that name one key must cover the object from 0 to its end, without gap or overlap,
    in any order; together they replace it, all or nothing. Pull: any range of the object."""

    memory: "Memory"
    memory_offset: int  #: bytes from the registered address
    key: bytes  #: 1 to KEY_LEN_MAX bytes of any value
    object_offset: int  #: bytes
    length: int  #: bytes
    group: int = 0  #: push: objects that are of no use without one another, dropped together; 0: none


class ObjectInfo(NamedTuple):
    """What a query tells of a key."""

    status: Status  #: OK: the object exists; NOT_FOUND; KEY_TOO_LONG; ...
    size: int  #: bytes
    version: int  #: grows with every replacement, within one life of the agent


def _address_of(data: bytes) -> int:
    return ctypes.cast(ctypes.c_char_p(data), ctypes.c_void_p).value or 0


def _lay_out(keys: Sequence[bytes]) -> tuple[bytes, Iterable[int], list[int]]:
    """All keys as one object, the address of each, the length of each."""
    try:
        blob = b"".join(keys)
    except TypeError:
        raise TypeError("keys must be bytes") from None
    lengths = list(map(len, keys))
    if sum(lengths) != len(blob):
        raise TypeError("keys must be bytes")  # views of wider items: their len() does not count bytes
    return blob, accumulate(lengths, initial=_address_of(blob)), lengths


class Packed:
    """An array for the library: `address` and `count`, valid as long as this object lives."""

    __slots__ = ("address", "count", "_words", "_blob")

    def __init__(self, words: "array[int]", blob: bytes, count: int) -> None:
        self.address = words.buffer_info()[0]
        self.count = count
        self._words = words
        self._blob = blob


def pack_keys(keys: Sequence[bytes]) -> Packed:
    """struct bc_key[]. TypeError: something is not bytes."""
    blob, addresses, lengths = _lay_out(keys)
    return Packed(array("Q", chain.from_iterable(zip(addresses, lengths))), blob, len(lengths))


def columns_of(entries: Sequence[Entry]) -> list[tuple[object, ...]]:
    """The entries' memories, memory offsets, keys, object offsets, lengths and groups.

    ValueError: there are none, or one has not six fields."""
    try:
        columns = list(zip(*entries, strict=True))
    except ValueError:
        columns = []
    except TypeError:
        raise TypeError("entries must be a sequence of bluecache.Entry") from None
    if len(columns) != 6:
        raise ValueError("a request needs at least one entry, and each has six fields: see bluecache.Entry")
    return columns


def pack_entries(columns: Sequence[Sequence[object]], handles: Mapping[object, int]) -> Packed:
    """struct bc_entry[]. handles: of each memory that occurs. TypeError, ValueError: a field is not of its type or
    below zero."""
    memories, memory_offsets, keys, object_offsets, lengths, groups = columns
    blob, addresses, key_lengths = _lay_out(keys)  # type: ignore[arg-type]
    rows = [map(handles.__getitem__, memories), memory_offsets, addresses, key_lengths, object_offsets, lengths, groups]
    try:
        words = array("Q", chain.from_iterable(zip(*rows)))
    except OverflowError:
        raise ValueError("offsets, lengths and groups of entries lie between 0 and 2**64 - 1") from None
    except TypeError:
        raise TypeError("offsets, lengths and groups of entries are whole numbers") from None
    return Packed(words, blob, len(key_lengths))
