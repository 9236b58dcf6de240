# SPDX-License-Identifier: Apache-2.0
"""bluecache.h for ctypes: structures and prototypes, nothing else. tests/python/test_package_abi.py compares every
size, offset and value here with what the C compiler says.

Arrays of bc_entry, bc_key and bc_object_info are packed and unpacked by the module struct (entries.py, client.py);
their structures stand here for the comparison."""

import ctypes
from ctypes import POINTER, c_bool, c_char, c_char_p, c_int, c_int64, c_size_t, c_uint32, c_uint64, c_void_p

KEY_LEN_MAX = 1024
OBJECT_SIZE_MAX = 1 << 30

MEMORY_HOST = 0
MEMORY_CUDA = 1

MODES = {"tcp": 0, "comch": 1}


class ClientOptions(ctypes.Structure):
    _fields_ = [
        ("dpu_addr", c_char_p), ("pci_addr", c_char_p), ("mode", c_char_p), ("timeout_ms", c_uint64),
        ("name", c_char_p), ("requests_max", c_uint32),
    ]


class ErrorText(ctypes.Structure):
    _fields_ = [("text", c_char * 256)]


class ClientInfo(ctypes.Structure):
    _fields_ = [
        ("connected", c_bool), ("emulated", c_bool), ("reconnects", c_uint64), ("session_id", c_uint64),
        ("requests_max", c_uint32), ("entries_max", c_uint32), ("regions_max", c_uint32),
        ("object_size_max", c_uint64), ("chunk_len", c_uint32), ("agent", c_char * 64), ("dpu_addr", c_char * 128),
        ("pci_addr", c_char * 16),
    ]


class Entry(ctypes.Structure):
    _fields_ = [
        ("memory", c_void_p), ("memory_offset", c_uint64), ("key", c_void_p), ("key_len", c_size_t),
        ("object_offset", c_uint64), ("length", c_uint64), ("group", c_uint64),
    ]


class SubmitOptions(ctypes.Structure):
    _fields_ = [("timeout_ms", c_uint64)]


class Key(ctypes.Structure):
    _fields_ = [("data", c_void_p), ("len", c_size_t)]


class ObjectInfo(ctypes.Structure):
    _fields_ = [("status", c_int), ("size", c_uint64), ("version", c_uint64)]


class Stat(ctypes.Structure):
    _fields_ = [
        ("name", c_char_p), ("kind", c_int), ("value", c_int64), ("p50", c_uint64), ("p99", c_uint64),
        ("sum", c_uint64),
    ]


STRUCTURES: dict[str, type[ctypes.Structure]] = {
    "bc_client_options": ClientOptions, "bc_error": ErrorText, "bc_client_info": ClientInfo, "bc_entry": Entry,
    "bc_submit_options": SubmitOptions, "bc_key": Key, "bc_object_info": ObjectInfo, "bc_stat": Stat,
}

STAT_VISIT = ctypes.CFUNCTYPE(None, c_void_p, POINTER(Stat))

# name: (result, arguments). Arrays are given by address.
PROTOTYPES: dict[str, tuple[object, list[object]]] = {
    "bc_client_open": (c_int, [POINTER(ClientOptions), POINTER(c_void_p), POINTER(ErrorText)]),
    "bc_client_close": (c_int, [c_void_p]),
    "bc_client_get_info": (None, [c_void_p, POINTER(ClientInfo)]),
    "bc_client_fd": (c_int, [c_void_p]),
    "bc_client_clear_fd": (None, [c_void_p]),
    "bc_memory_register": (c_int, [c_void_p, c_void_p, c_size_t, c_int, c_uint32, POINTER(c_void_p)]),
    "bc_memory_unregister": (c_int, [c_void_p, c_void_p]),
    "bc_memory_alloc": (c_int, [c_size_t, POINTER(c_void_p)]),
    "bc_memory_free": (None, [c_void_p]),
    "bc_submit": (c_int, [c_void_p, c_int, c_void_p, c_size_t, POINTER(SubmitOptions), POINTER(c_void_p)]),
    "bc_submit_try": (c_int, [c_void_p, c_int, c_void_p, c_size_t, POINTER(SubmitOptions), POINTER(c_void_p)]),
    "bc_request_test": (c_int, [c_void_p]),
    "bc_request_wait": (c_int, [c_void_p, c_uint64]),
    "bc_request_entry_status": (c_int, [c_void_p, c_size_t]),
    "bc_request_bytes": (c_uint64, [c_void_p]),
    "bc_request_cancel": (None, [c_void_p]),
    "bc_request_free": (c_int, [c_void_p]),
    "bc_query": (c_int, [c_void_p, c_void_p, c_size_t, c_uint64, c_void_p]),
    "bc_remove": (c_int, [c_void_p, c_void_p, c_size_t, c_uint64, c_void_p]),
    "bc_ping": (c_int, [c_void_p, c_uint64, POINTER(c_uint64)]),
    "bc_stats": (c_int, [c_void_p, c_uint64, STAT_VISIT, c_void_p]),
    "bc_version": (c_char_p, []),
    "bc_status_name": (c_char_p, [c_uint32]),
    "bc_status_text": (c_char_p, [c_uint32]),
}

# These take no lock and never wait: holding the GIL costs less than giving it back.
QUICK = ("bc_request_entry_status", "bc_request_bytes", "bc_version", "bc_status_name", "bc_status_text")
