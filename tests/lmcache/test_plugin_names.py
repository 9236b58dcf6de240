# SPDX-License-Identifier: Apache-2.0
"""What the storage plugin stores: keys, groups, and the header in front of every object. Needs no agent, and no
LMCache."""

import sys
import types

import plugin_support

sys.path.insert(0, str(plugin_support.PACKAGE))

import pytest  # noqa: E402
from bluecache.lmcache import keys, layout  # noqa: E402
from bluecache.lmcache.layout import Layout, LayoutError  # noqa: E402

WHOLE = Layout("KV_2LTD", ((2, 30, 256, 192),), ("bfloat16",), 2 * 30 * 256 * 192 * 2)


def engine_key(**changes):
    fields = {"model_name": "test/model", "world_size": 2, "worker_id": 0, "chunk_hash": 0x1234, "dtype": "torch.bfloat16",
              "tags": None}
    return types.SimpleNamespace(**{**fields, **changes})


def server_key(**changes):
    fields = {"chunk_hash": b"\x12\x34", "model_name": "test/model", "kv_rank": 0x02000200, "object_group_id": 0,
              "cache_salt": ""}
    return types.SimpleNamespace(**{**fields, **changes})


# ---- keys ----------------------------------------------------------------------------------------

OTHERS = [
    {"model_name": "test/other"}, {"world_size": 4}, {"worker_id": 1}, {"chunk_hash": 0x1235}, {"chunk_hash": -0x1234},
    {"chunk_hash": b"\x12\x36"}, {"dtype": "torch.float16"}, {"tags": (("user", "a"),)}, {"tags": (("user", "b"),)},
    {"tags": (("user", "a"), ("x", "y"))}, {"tags": (("user", "a&x=y"),)}, {"layer_id": 0}, {"layer_id": 1},
    {"model_name": "test/model\ttorch.bfloat16"}, {"model_name": "test/model%09torch.bfloat16"},
]


def test_keys_of_different_things_differ():
    names = keys.EngineNames("256.30.2.3.64", False)
    made = [names.of(engine_key())] + [names.of(engine_key(**change)) for change in OTHERS]
    made += [keys.EngineNames("128.30.2.3.64", False).of(engine_key()), keys.ServerNames().of(server_key())]
    assert len({name.key for name in made}) == len(made)
    assert all(0 < len(name.key) <= keys.KEY_LEN_MAX and name.key.startswith(b"bc-lmcache-1\t") for name in made)
    assert names.of(engine_key()) == made[0]


def test_ranks_and_layers_of_one_chunk_are_one_group():
    names = keys.EngineNames("256.30.2.3.64", False)
    ranks = [names.of(engine_key(worker_id=rank)) for rank in range(2)]
    layers = [names.of(engine_key(worker_id=rank, layer_id=layer)) for rank in range(2) for layer in range(3)]
    assert len({name.group for name in ranks + layers}) == 1 and ranks[0].group != 0
    assert len({name.key for name in ranks + layers}) == 8
    others = [{"chunk_hash": 0x1235}, {"world_size": 4}, {"model_name": "m"}, {"tags": (("user", "a"),)}]
    assert ranks[0].group not in {names.of(engine_key(**change)).group for change in others}


def test_shared_mla_is_one_object_for_all_ranks_and_sizes():
    names = keys.EngineNames("256.30.1.1.576.mla", True)
    assert len({names.of(engine_key(worker_id=rank, world_size=size)) for rank, size in [(0, 1), (0, 2), (1, 2)]}) == 1
    assert names.of(engine_key()) != keys.EngineNames("256.30.1.1.576.mla", False).of(engine_key())


def test_keys_that_are_too_long_are_hashed():
    names = keys.EngineNames("256.30.2.3.64", False)
    long = [names.of(engine_key(model_name="m" * 2000 + str(number))) for number in range(2)]
    assert long[0].key != long[1].key and all(len(name.key) <= keys.KEY_LEN_MAX for name in long)
    assert long[0].group != long[1].group


@pytest.mark.parametrize("shared", [False, True])
def test_what_is_looked_for_has_the_key_of_what_is_put(shared):
    names = keys.EngineNames("256.30.2.3.64", shared)
    wanted = [engine_key()] + [engine_key(**change) for change in OTHERS] + [engine_key(), engine_key(chunk_hash=7)]
    wanted += [engine_key(model_name="m" * 2000), engine_key(model_name="\udc80")]
    found = names.without_group(wanted)
    assert [name.key for name in found] == [names.of(key).key for key in wanted]
    assert {name.group for name in found} == {0}


def test_keys_of_the_server():
    names = keys.ServerNames()
    others = [{"model_name": "m"}, {"kv_rank": 0x02010201}, {"object_group_id": 1}, {"cache_salt": "a"},
              {"chunk_hash": b"\x12\x35"}]
    made = [names.of(server_key())] + [names.of(server_key(**change)) for change in others]
    assert len({name.key for name in made}) == len(made)
    assert made[2].group == made[0].group and made[2].key != made[0].key, "ranks of a chunk are one group"
    assert len({name.group for name in made}) == len(made) - 1
    older = server_key()
    del older.object_group_id, older.cache_salt  # as in 0.4.3
    assert names.of(older) == made[0]


# ---- headers -------------------------------------------------------------------------------------

LAYOUTS = [
    WHOLE,
    Layout("KV_2LTD", ((2, 30, 1, 192),), ("float32",), 2 * 30 * 192 * 4),
    Layout("KV_MLA_FMT", ((1, 27, 256, 576),), ("float8_e4m3fn",), 27 * 256 * 576),
    Layout("KV_2LTD", ((2, 20, 256, 192), (2, 10, 256, 64)), ("bfloat16", "uint8"), 2 * 20 * 256 * 192 * 2 + 2 * 10 * 256 * 64),
    Layout("EC_TD", ((77, 4096),), ("float16",), 77 * 4096 * 2),
    Layout("BINARY", ((4096,),), ("uint8",), 1000),
]


@pytest.mark.parametrize("given", LAYOUTS, ids=lambda given: given.fmt)
def test_a_header_says_what_was_written(given):
    header = layout.encode(given)
    assert len(header) == layout.HEADER_LEN and layout.decode(header) == given


def test_damaged_headers_are_refused():
    header = layout.encode(WHOLE)
    used = len(header.rstrip(b"\0"))
    for at in range(used):
        if at in (10, 11, 28, 29, 30, 31):  # written as zero, not looked at
            continue
        broken = bytearray(header)
        broken[at] ^= 0x20
        try:
            told = layout.decode(bytes(broken))
        except LayoutError:
            continue
        assert told.length != WHOLE.length and at in range(16, 24), "byte %d" % at
    for other in (b"", b"\0" * layout.HEADER_LEN, b"\xff" * layout.HEADER_LEN):
        with pytest.raises(LayoutError):
            layout.decode(other.ljust(layout.HEADER_LEN, b"\0"))


@pytest.mark.parametrize("bad", [
    WHOLE._replace(dtypes=("complex64",)), WHOLE._replace(length=0), WHOLE._replace(length=layout.OBJECT_SIZE_MAX),
    WHOLE._replace(dtypes=("bfloat16", "bfloat16")), WHOLE._replace(shapes=((2,),) * 300, dtypes=("uint8",) * 300, length=600),
])
def test_layouts_that_cannot_be_stored(bad):
    with pytest.raises(LayoutError):
        layout.encode(bad)


def short(tokens, **changes):
    return WHOLE._replace(shapes=((2, 30, tokens, 192),), length=2 * 30 * tokens * 192 * 2, **changes)


def test_a_chunk_may_be_short_of_tokens_and_nothing_else():
    assert WHOLE.is_part_of(WHOLE) and short(1).is_part_of(WHOLE) and short(255).is_part_of(WHOLE)
    for other in (short(257), short(0), short(100)._replace(dtypes=("float16",)), short(100)._replace(fmt="KV_T2D"),
                  short(100)._replace(length=4), WHOLE._replace(shapes=((2, 29, 256, 192),), length=2 * 29 * 256 * 192 * 2),
                  WHOLE._replace(shapes=((2, 30, 256, 192),) * 2, dtypes=("bfloat16",) * 2, length=WHOLE.length * 2),
                  Layout("EC_TD", ((256, 192),), ("bfloat16",), 256 * 192 * 2)):
        assert not other.is_part_of(WHOLE), other
