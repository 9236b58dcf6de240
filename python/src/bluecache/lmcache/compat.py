# SPDX-License-Identifier: Apache-2.0
"""Everything that differs between releases of LMCache, and what is known of its inside. What can be seen is looked at;
no version number is compared.

    names that moved      Bitmap, the base classes
    the pool              which buffers an allocator has, and when it gives them back
    memory objects        their bytes, their layout, a new one of a given layout"""

import functools
import importlib
import inspect
import logging
from collections.abc import Callable
from typing import Any

import torch
from lmcache.logging import init_logger
from lmcache.v1.memory_management import MemoryFormat, MemoryObj

from bluecache.lmcache.counters import logger
from bluecache.lmcache.layout import TOKEN_DIMENSION, Layout, LayoutError, natural_length
from bluecache.lmcache.regions import Place

_BITMAP_HOMES = ("lmcache.lmcache_native", "lmcache.native_storage_ops")
_BUFFERS = ("buffer", "_buffer", "cpu_buffer", "gpu_buffer")
_INNER = ("pin_allocator", "allocator", "cpu_allocator", "gpu_allocator")


def use_lmcache_log() -> None:
    """Our lines look like LMCache's, and obey LMCACHE_LOG_LEVEL."""
    if not logger.handlers:
        theirs: logging.Logger = init_logger(logger.name)
        logger.setLevel(theirs.level)


def bitmap_class() -> Any:
    """LMCache's native Bitmap. ImportError: it is in none of the places that are known."""
    for home in _BITMAP_HOMES:
        try:
            return importlib.import_module(home).Bitmap
        except (ImportError, AttributeError):
            continue
    raise ImportError("this release of LMCache has its Bitmap in none of " + ", ".join(_BITMAP_HOMES))


def store_result(successful: bool, length: int) -> Any:
    """What pop_completed_store_tasks gives for a task: once a bool, later an L2StoreResult."""
    result = getattr(importlib.import_module("lmcache.v1.distributed.internal_api"), "L2StoreResult", None)
    return successful if result is None else result(successful, length)


# ---- the pool ------------------------------------------------------------------------------------


def pools(allocator: Any) -> list[Place]:
    """The buffers that an allocator cuts its objects from, as far as they can be seen. Overlaps are left out."""
    found: dict[tuple[int, int], Place] = {}
    seen: set[int] = set()

    def look(at: Any) -> None:
        if at is None or id(at) in seen:
            return
        seen.add(id(at))
        for name in _BUFFERS:
            tensor = getattr(at, name, None)
            if isinstance(tensor, torch.Tensor) and tensor.numel() > 0 and tensor.is_contiguous():
                place = Place(tensor.data_ptr(), tensor.numel() * tensor.element_size(), _device(tensor))
                found[place.address, -1 if place.device is None else place.device] = place
        for name in _INNER:
            look(getattr(at, name, None))

    look(allocator)
    return list(found.values())


def _device(tensor: torch.Tensor) -> int | None:
    if tensor.device.type == "cpu":
        return None
    if tensor.device.type != "cuda":
        raise LayoutError("memory on device %s cannot be reached" % tensor.device.type)
    return tensor.device.index or 0


def run_before_close(allocator: Any, call: Callable[[], None]) -> None:
    """LMCache closes its pool before it closes a storage plugin, and with it unmaps memory that transfers may still
    use. `call` runs first."""
    close = allocator.close

    def close_after(*arguments: Any, **named: Any) -> Any:
        call()
        return close(*arguments, **named)

    allocator.close = close_after


# ---- memory objects ------------------------------------------------------------------------------


def dtype_name(dtype: Any) -> str:
    return str(dtype).removeprefix("torch.")


def place_of(obj: Any) -> Place:
    """Its logical bytes. LayoutError: they are not in a tensor."""
    raw = getattr(obj, "raw_data", None)
    if not isinstance(raw, torch.Tensor) or not raw.is_contiguous():
        raise LayoutError("the object's bytes are in no tensor")
    length = int(obj.get_size())
    if not 0 < length <= raw.nbytes:
        raise LayoutError("the object has %d bytes" % length)
    return Place(raw.data_ptr(), length, None if raw.is_cpu else _device(raw))


class Describer:
    """Place and layout of memory objects that mostly look alike: what equals the one before is not worked out again.
    One thread."""

    def __init__(self) -> None:
        self._seen: tuple[Any, Any, Any, int] | None = None
        self._layout: Layout | None = None

    def of(self, obj: Any) -> tuple[Place, Layout]:
        """LayoutError: see place_of and layout_of."""
        place = place_of(obj)
        meta = obj.meta
        seen = (getattr(meta, "shapes", None) or meta.shape, getattr(meta, "dtypes", None) or meta.dtype, meta.fmt,
                place.length)
        if self._layout is None or seen != self._seen:
            self._layout = layout_of(obj)
            self._seen = seen
        return place, self._layout


def layout_of(obj: Any) -> Layout:
    """LayoutError: it is no tensor of a known type."""
    meta = obj.meta
    shapes = getattr(meta, "shapes", None) or [meta.shape]
    dtypes = getattr(meta, "dtypes", None) or [meta.dtype]
    if any(dtype is None for dtype in dtypes):
        raise LayoutError("the object has no data type")
    return _layout(meta.fmt.name, tuple(shapes), tuple(dtypes), int(obj.get_size()))


@functools.lru_cache(maxsize=1024)
def _layout(fmt: str, shapes: tuple[Any, ...], dtypes: tuple[Any, ...], length: int) -> Layout:
    return Layout(fmt, tuple(tuple(int(n) for n in shape) for shape in shapes),
                  tuple(dtype_name(dtype) for dtype in dtypes), length)


def whole_chunk(metadata: Any) -> Layout:
    """What the engine stores for a chunk with all its tokens. Asked each time: the groups of layers become known after
    the storage backends were made."""
    shapes = tuple(tuple(int(n) for n in shape) for shape in metadata.get_shapes())
    dtypes = tuple(dtype_name(dtype) for dtype in metadata.get_dtypes())
    return Layout("KV_MLA_FMT" if metadata.use_mla else "KV_2LTD", shapes, dtypes, natural_length(shapes, dtypes))


def cache_text(metadata: Any) -> str:
    """The KV of a chunk, as far as every process knows it from its start, the scheduler's too; part of every key."""
    layers, kv, chunk, heads, head = (int(n) for n in metadata.kv_shape)
    return "%d.%d.%d.%d.%d%s" % (metadata.chunk_size, layers, kv, heads, head, ".mla" if metadata.use_mla else "") + (
        "" if chunk == metadata.chunk_size else ".%d" % chunk)


def allocate(backend: Any, layout: Layout) -> Any:
    """A memory object from LMCache's pool, which makes room if it can without waiting; None: it cannot, or the layout
    is unknown to this release."""
    try:
        fmt = MemoryFormat[layout.fmt]
        dtypes = [getattr(torch, name) for name in layout.dtypes]
    except (KeyError, AttributeError):
        return None
    if layout.length != layout.natural_length():
        return None
    obj = backend.allocate([torch.Size(shape) for shape in layout.shapes], dtypes, fmt=fmt, eviction=True,
                           busy_loop=False)
    assert obj is None or isinstance(obj, MemoryObj)
    return obj


def allocate_all(backend: Any, layout: Layout, count: int) -> list[Any]:
    """So many objects at once, at half the time of as many calls of allocate(); or none, when there is no room for all
    of them without eviction."""
    take = getattr(backend, "batched_allocate", None)
    if take is None or layout.length != layout.natural_length():
        return []
    try:
        objects = take([torch.Size(shape) for shape in layout.shapes], [getattr(torch, name) for name in layout.dtypes],
                       count, fmt=MemoryFormat[layout.fmt], eviction=False, busy_loop=False)
    except (KeyError, AttributeError, TypeError, NotImplementedError):  # of this release, or this allocator
        return []
    return objects or []


class _Found(list[Any]):
    """True even when it is empty: LMCache takes a list that is not for "ask the next backend", which ends in a list of
    None."""

    def __bool__(self) -> bool:
        return True


@functools.cache
def _spoils_what_precedes_a_miss() -> bool:
    """Older releases (0.4.3) drop the chunk in front of one that cannot be had, count it as loaded all the same, and
    keep references to those behind it. They do nothing of it when the list of objects ends in front of the miss."""
    try:
        from lmcache.v1.cache_engine import LMCacheEngine
        source = inspect.getsource(LMCacheEngine._process_tokens_internal)
    except (ImportError, AttributeError, OSError, TypeError):
        return False
    return "end < last_failed_block_start" in source


def answer(objects: list[Any]) -> list[Any]:
    """What batched_get_blocking gives to the engine: one object per key, None for a miss; with a release that would
    compute with wrong KV then, those before the first miss. References to others are given back."""
    if not _spoils_what_precedes_a_miss() or None not in objects:
        return objects
    count = objects.index(None)
    for obj in objects[count:]:
        if obj is not None:
            obj.ref_count_down()
    return _Found(objects[:count])


def is_kv(layout: Layout) -> bool:
    return layout.fmt in TOKEN_DIMENSION


def narrow(obj: Any, length: int) -> bool:
    """Says that an object holds only `length` bytes; False: this release has no such thing."""
    if not hasattr(obj, "set_used_size"):
        return False
    obj.set_used_size(length)
    return True
