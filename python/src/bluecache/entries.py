# SPDX-License-Identifier: Apache-2.0
"""Entry, and how a batch of entries or keys becomes the array that the library reads.

Every row is packed as 64-bit words: for 1,024 entries that takes a quarter of a millisecond, and filling as many ctypes
structures three times (from tuples) or six times (field by field) as long. All keys lie one behind the other in one
bytes object, which has to stay alive, as the array, until the library's call is over."""

from collections.abc import Mapping, Sequence
import ctypes
import struct
from typing import TYPE_CHECKING, NamedTuple, overload

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


# struct bc_entry and struct bc_key: pointers, sizes and numbers, all of 64 bits.
_ENTRY = struct.Struct("=7Q")
_PAIR = struct.Struct("=14Q")
_KEY = struct.Struct("=2Q")


class Packed:
    """An array for the library: `address` and `count`, valid as long as this object lives."""

    __slots__ = ("address", "count", "_rows", "_keys")

    def __init__(self, rows: bytearray, keys: bytes, count: int) -> None:
        # The first byte holds the whole buffer. An array type of its length would be made anew each time, slowly.
        self._rows = ctypes.c_char.from_buffer(rows) if rows else ctypes.c_char()
        self._keys = keys
        self.address = ctypes.addressof(self._rows)
        self.count = count


def _join(keys: Sequence[bytes]) -> tuple[bytes, int]:
    """All of them as one object, and its address."""
    try:
        joined = b"".join(keys)
    except TypeError:
        raise TypeError("keys must be bytes") from None
    if sum(map(len, keys)) != len(joined):
        raise TypeError("keys must be bytes")  # views of wider items: their len() does not count bytes
    return joined, ctypes.cast(ctypes.c_char_p(joined), ctypes.c_void_p).value or 0


class HeadedEntries(Sequence[Entry]):
    """Entries of objects that begin with a head of `head_len` bytes: of each its head, then its body. Given as columns,
    which are packed at a quarter of the time that as many entries take.

    head_offsets: in `head`, of each object. memories, offsets, lengths: of the bodies. groups: None for none."""

    __slots__ = ("_head", "_head_offsets", "_head_len", "_memories", "_offsets", "_lengths", "_keys", "_groups")

    def __init__(self, head: "Memory", head_offsets: Sequence[int], head_len: int,
                 memories: Sequence["Memory"], offsets: Sequence[int], lengths: Sequence[int], keys: Sequence[bytes],
                 groups: Sequence[int] | None) -> None:
        self._head = head
        self._head_offsets = head_offsets
        self._head_len = head_len
        self._memories = memories
        self._offsets = offsets
        self._lengths = lengths
        self._keys = keys
        self._groups = groups

    def __len__(self) -> int:
        return 2 * len(self._keys)

    @overload
    def __getitem__(self, index: int) -> Entry: ...

    @overload
    def __getitem__(self, index: slice) -> list[Entry]: ...

    def __getitem__(self, index: int | slice) -> Entry | list[Entry]:
        if isinstance(index, slice):
            return [self[at] for at in range(*index.indices(len(self)))]
        place, is_body = divmod(range(len(self))[index], 2)
        key, group = self._keys[place], 0 if self._groups is None else self._groups[place]
        if not is_body:
            return Entry(self._head, self._head_offsets[place], key, 0, self._head_len, group)
        return Entry(self._memories[place], self._offsets[place], key, self._head_len, self._lengths[place], group)

    def pack(self, handles: Mapping["Memory", int]) -> Packed:
        """As pack_entries(self, handles)."""
        keys = self._keys
        if not keys:
            raise ValueError("a request needs at least one entry")
        joined, address = _join(keys)
        rows = bytearray(_PAIR.size * len(keys))
        pack_into, size, at = _PAIR.pack_into, _PAIR.size, 0
        head, head_len = handles[self._head], self._head_len
        groups = [0] * len(keys) if self._groups is None else self._groups
        columns = (keys, self._head_offsets, self._memories, self._offsets, self._lengths, groups)
        if {len(column) for column in columns} != {len(keys)}:
            raise ValueError("the columns are not of one length")
        try:
            for key, head_offset, memory, offset, length, group in zip(*columns):
                key_len = len(key)
                pack_into(rows, at, head, head_offset, address, key_len, 0, head_len, group,
                          handles[memory], offset, address, key_len, head_len, length, group)
                at += size
                address += key_len
        except struct.error:
            raise ValueError("object %d: offsets, length and group are whole numbers from 0 to 2**64 - 1"
                             % (at // size)) from None
        return Packed(rows, joined, len(self))


def pack_keys(keys: Sequence[bytes]) -> Packed:
    """struct bc_key[]. TypeError: something is not bytes."""
    if isinstance(keys, (bytes, bytearray, str)):
        raise TypeError("a sequence of keys is needed, each of them bytes")
    joined, address = _join(keys)
    rows = bytearray(_KEY.size * len(keys))
    at = 0
    for key in keys:
        _KEY.pack_into(rows, at, address, len(key))
        at += _KEY.size
        address += len(key)
    return Packed(rows, joined, len(keys))


def pack_entries(entries: Sequence[Entry], handles: Mapping["Memory", int]) -> Packed:
    """struct bc_entry[]. handles: of any memory; what it raises goes on. TypeError, ValueError: no entries, or a field
    is missing, not of its type or below zero."""
    if isinstance(entries, HeadedEntries):
        return entries.pack(handles)
    try:
        keys = [entry[2] for entry in entries]
    except (TypeError, IndexError):
        raise TypeError("entries must be a sequence of bluecache.Entry") from None
    if not keys:
        raise ValueError("a request needs at least one entry")
    joined, address = _join(keys)
    rows = bytearray(_ENTRY.size * len(keys))
    pack_into, size, at = _ENTRY.pack_into, _ENTRY.size, 0
    try:
        for memory, memory_offset, key, object_offset, length, group in entries:
            pack_into(rows, at, handles[memory], memory_offset, address, len(key), object_offset, length, group)
            at += size
            address += len(key)
    except struct.error:
        raise ValueError("entry %d: offsets, length and group are whole numbers from 0 to 2**64 - 1"
                         % (at // size)) from None
    return Packed(rows, joined, len(keys))
