# SPDX-License-Identifier: Apache-2.0
"""Names of objects. A key is text, its parts are separated by tabs (which are escaped inside the parts):

    bc-lmcache-1  E  <cache>  <model>  <dtype>  <tags>  <chunk hash>  <world size>  <worker>     of the engine
    bc-lmcache-1  M  <model>  <object group>  <salt>  <chunk hash>  <rank>                       of the server

1 is the version of names and of the header (layout.py). <cache> describes the KV of one chunk as the process knows it
before it meets a model: chunk size, layers, heads, head size, MLA. So two models, data types, chunk sizes, ranks or
tensor-parallel sizes never share an object, and neither do engine and server. The agent stores and compares the whole
key. One that would be longer than 1,024 bytes is replaced by a hash of 256 bits of it.

The group of an object is a hash of its key without rank, for the chunk of all tensor-parallel ranks: useless unless all
of it is there, so the agent is asked to evict it as one. 0 would mean none and is never used."""

import functools
import hashlib
import json
from collections.abc import Sequence
from typing import Any, NamedTuple

VERSION = "bc-lmcache-1"
KEY_LEN_MAX = 1024
ANY_RANK = "*"
WORLD_SIZE_SHIFT = 24  # of ObjectKey.kv_rank: world size, global rank, local world size, local rank; 8 bits each


def _part(text: object) -> str:
    return str(text).replace("%", "%25").replace("\t", "%09")


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _bounded(data: bytes) -> bytes:
    if len(data) <= KEY_LEN_MAX:
        return data
    return ("\t".join((VERSION, "H", hashlib.sha256(data).hexdigest()))).encode()


def group_of(text: str) -> int:
    """64 bits of a name without its rank, never 0."""
    return _group_of(_bytes(text))


def _group_of(data: bytes) -> int:
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "little") or 1


def _hex(chunk: bytes | int) -> str:
    return chunk.hex() if isinstance(chunk, bytes) else "%x" % chunk


class Name(NamedTuple):
    key: bytes
    group: int  # 0: not asked for


@functools.lru_cache(maxsize=256)
def _engine_prefix(cache: str, model: str, dtype: str, tags: tuple[tuple[str, object], ...] | None) -> str:
    told = json.dumps(tags, default=str, separators=(",", ":")) if tags else ""
    return "\t".join((VERSION, "E", _part(cache), _part(model), _part(dtype), _part(told), ""))


class EngineNames:
    """Names of LMCache's CacheEngineKey. Any thread.

    cache: describes the KV of one chunk. shared: leave out rank and world size (MLA, where they make no difference)."""

    def __init__(self, cache: str, shared: bool) -> None:
        self._cache = cache
        self._shared = shared

    def of(self, key: Any) -> Name:
        return self._names([key], True)[0]

    def with_group(self, keys: Sequence[Any]) -> list[Name]:
        """As of(), for all of them."""
        return self._names(keys, True)

    def without_group(self, keys: Sequence[Any]) -> list[Name]:
        """The same for all of them, with group 0: for what is looked for and not put."""
        return self._names(keys, False)

    def _names(self, keys: Sequence[Any], grouped: bool) -> list[Name]:
        """The keys of a request differ in little but the chunk, so most of a name is made once."""
        names = []
        known: object = None
        before = after = world = b""
        group = 0
        for key in keys:
            of = (key.model_name, key.dtype, key.tags, key.world_size, key.worker_id, getattr(key, "layer_id", None))
            if of != known:
                known = of
                before, after, world = map(_bytes, self._around(*of))
            chunk = key.chunk_hash
            text = before + (b"%x" % chunk if type(chunk) is int else _hex(chunk).encode())
            data = text + after
            if grouped:
                group = _group_of(text + world)
            names.append(Name(data if len(data) <= KEY_LEN_MAX else _bounded(data), group))
        return names

    def _around(self, model: str, dtype: object, tags: Any, world_size: int, worker: int,
                layer: int | None) -> tuple[str, str, str]:
        """What stands before the chunk's hash in a name, what after it, and what after it in the text of the group."""
        head = _engine_prefix(self._cache, model, str(dtype), tuple(tags) if tags else None)
        rank = ANY_RANK if self._shared else "%d\t%d" % (world_size, worker)
        if layer is not None:
            rank += "\tL%d" % layer
        return head, "\t" + rank, "" if self._shared else "\t%d" % world_size


class ServerNames:
    """Names of ObjectKey, of LMCache's multi-process server. Any thread."""

    def of(self, key: Any) -> Name:
        text = "\t".join((VERSION, "M", _part(key.model_name), str(getattr(key, "object_group_id", 0)),
                          _part(getattr(key, "cache_salt", "")), key.chunk_hash.hex()))
        world = "\t%d" % (key.kv_rank >> WORLD_SIZE_SHIFT)
        return Name(_bounded(_bytes("%s\t%x" % (text, key.kv_rank))), group_of(text + world))
