# SPDX-License-Identifier: Apache-2.0
"""What the crash tests store. Size and bytes of an object follow from its key and version, so that any process can
tell what it has read: the right bytes of which version of which key, or anything else."""

import hashlib
import struct

import numpy

KIB = 1 << 10
PAGE = 4 * KIB
SIZES = (4 * KIB, 4 * KIB, 5000, 16 * KIB, 64 * KIB, 64 * KIB + 1, 100000, 256 * KIB, 1024 * KIB, 1024 * KIB + 777,
         3000001, 8192 * KIB)
SIZE_MAX = max(SIZES)
STAMP = struct.Struct("<16sQQ")  # of the key, version, page: at the begin of every page
NOISE_LEN = 2 * SIZE_MAX

_noise = None


def _noise_at(start, length):
    global _noise
    if _noise is None:
        _noise = numpy.frombuffer(numpy.random.Generator(numpy.random.PCG64(20)).bytes(NOISE_LEN), numpy.uint8)
    return _noise[start:start + length]


def _mark(key):
    return hashlib.blake2b(key.encode(), digest_size=16).digest()


def _draw(key, version):
    return int.from_bytes(hashlib.blake2b(b"%d" % version, key=key.encode(), digest_size=8).digest(), "little")


def size_of(key, version):
    return SIZES[_draw(key, version) % len(SIZES)]


def contents(key, version):
    """An array of bytes."""
    size = size_of(key, version)
    pages = -(-size // PAGE)
    data = numpy.empty(pages * PAGE, numpy.uint8)
    data[:] = _noise_at((_draw(key, version) >> 8) % SIZE_MAX, len(data))
    stamps = b"".join(STAMP.pack(_mark(key), version, page) for page in range(pages))
    data.reshape(pages, PAGE)[:, :STAMP.size] = numpy.frombuffer(stamps, numpy.uint8).reshape(pages, STAMP.size)
    return data[:size]


def version_of(key, data, whole=True):
    """Of which version of the key are these bytes, or (not whole) its first ones? An AssertionError says what they are
    instead."""
    data = numpy.frombuffer(data, numpy.uint8)
    assert len(data) >= STAMP.size, "%s: %d bytes are none of its versions" % (key, len(data))
    mark, version, page = STAMP.unpack(data[:STAMP.size].tobytes())
    assert mark == _mark(key) and page == 0, "%s: bytes of another key: %s" % (key, data[:STAMP.size].tobytes().hex())
    expected = contents(key, version)
    if not whole:
        expected = expected[:len(data)]
    assert len(data) == len(expected), "%s: %d bytes are not version %d" % (key, len(data), version)
    wrong = numpy.flatnonzero(data != expected)
    assert len(wrong) == 0, "%s: %d bytes are not those of version %d, from %d to %d" % (
        key, len(wrong), version, wrong[0], wrong[-1])
    return version
