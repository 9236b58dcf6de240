# SPDX-License-Identifier: Apache-2.0
"""What the options become: in a process with the patched LMCache, without an agent unless one is named."""

import dataclasses
import importlib
import logging
import re
import tempfile

import lmc
import yaml
from fake_nixl import FakeError, World

CHECKS = {}


def option(function):
    CHECKS[function.__name__] = function
    return function


def check(line, name):
    CHECKS[name]()


class Lines(logging.Handler):
    """What a module of LMCache logs."""

    def __init__(self, module="lmcache.v1.storage_backend.nixl_transfers"):
        super().__init__()
        self.text = ""
        importlib.import_module(module).logger.addHandler(self)

    def emit(self, record):
        self.text += record.getMessage() + "\n"


def made(local_worker=0, worker=0, device="cpu", **extra):
    from lmcache.v1.storage_backend.nixl_storage_backend import NixlStorageConfig

    cfg = lmc.nixl_config(None, **extra)
    cfg.nixl_buffer_device = device
    return NixlStorageConfig.from_cache_engine_config(cfg, lmc.metadata(worker, 16, local_worker))


def refused(error, words, **extra):
    try:
        made(**extra)
    except error as exc:
        assert words in str(exc), exc
        return
    raise AssertionError("accepted: %s" % extra)


@option
def names_and_devices():
    from lmcache.v1.storage_backend.nixl_storage_backend import NixlObjectPool, NixlStaticStorageBackend

    for pool_size in (0, 8):
        for device in ("cpu", "cuda"):
            for extra in ({}, {"nixl_extra_obj_backends": ["DOCA_DMA_PROXY"]}, {"nixl_backend": "OBJ"},
                          {"nixl_backend": "MY_STORE", "nixl_extra_obj_backends": ["MY_STORE"]}):
                assert made(pool_size=pool_size, device=device, **extra).dynamic_storage == (pool_size == 0)
        refused(AssertionError, "Invalid NIXL backend", pool_size=pool_size, nixl_backend="MY_STORE")
        refused(AssertionError, "Invalid NIXL backend", pool_size=pool_size, nixl_backend="O")
        refused(ValueError, "nixl_extra_obj_backends", pool_size=pool_size, nixl_extra_obj_backends="MY_STORE")
    refused(AssertionError, "Invalid NIXL backend", pool_size=8, nixl_backend="POSIX", device="cuda")
    refused(ValueError, "Invalid device", device="xpu")
    refused(AssertionError, "save_unfull_chunk", options={"save_unfull_chunk": True})
    assert made(pool_size=8, options={"save_unfull_chunk": True}).pool_size == 8
    for name, extra in (("DOCA_DMA_PROXY", ()), ("OBJ", ()), ("MY_STORE", ("MY_STORE",))):
        assert isinstance(NixlStaticStorageBackend.createPool(name, 4, None, False, extra), NixlObjectPool)
    for name in ("B", "OB", "MY_STORE"):
        try:
            NixlStaticStorageBackend.createPool(name, 4, None, False)
        except ValueError:
            continue
        raise AssertionError("a pool for %s" % name)


@option
def static_names_do_not_collide():
    from lmcache.v1.storage_backend.nixl_storage_backend import NixlObjectPool

    pools = [NixlObjectPool(200) for _ in range(4)]
    names = [name for pool in pools for name in pool.keys]
    assert len(set(names)) == 800 and all(re.fullmatch(r"obj_\d+_[0-9a-f]{32}", name) for name in names)


@option
def dynamic_names_are_the_same_in_every_process():
    import types

    from lmcache.v1.storage_backend.nixl_storage_backend import NixlDynamicStorageBackend

    def name(key):
        return NixlDynamicStorageBackend._format_object_key(types.SimpleNamespace(), key)

    assert name(lmc.key(0xabc)) == "test_model_1_0_abc_bfloat16"
    many = [lmc.key(n, worker=w, world=4) for n in range(50) for w in range(4)]
    assert len({name(key) for key in many}) == 200
    odd = name(lmc.key(1, model="a/b c\u00e9@d"))
    assert odd == "a_b%20c%C3%A9_d_1_0_1_bfloat16"
    assert len(name(lmc.key(2 ** 63, model="m" * 500)).encode()) < 1024


@option
def names_of_a_batch_are_those_of_its_keys():
    from lmcache.utils import CacheEngineKey, LayerCacheEngineKey
    from lmcache.v1.storage_backend import nixl_backends

    class Named:
        _format_object_key = nixl_backends.NixlDynamicBackend._format_object_key
        _object_names = nixl_backends.NixlDynamicBackend._object_names

    def tagged(number, tag):
        return CacheEngineKey("m", 1, 0, number, lmc.DTYPE, {"lmcache.tag.user": tag})

    named = Named()
    keys = [lmc.key(n, worker=w, world=8, model=m) for m in ("a/b c@d", "5_5", "_5_") for w in (5, 6) for n in (5, 6, 5)]
    keys += [lmc.key(n, model="%x" % nixl_backends._PROBE) for n in (5, 6)] + [lmc.key(-5), lmc.key(2 ** 64 - 1)]
    keys += [tagged(n, tag) for tag in ("x", "y", "_5_") for n in (5, 6)]
    keys += [LayerCacheEngineKey("m", 1, 0, n, lmc.DTYPE, layer_id=layer) for layer in (0, 1) for n in (5, 6)]
    for order in (keys, keys[::-1], keys[::2] + keys[1::2]):
        assert named._object_names(order) == [named._format_object_key(key) for key in order]
    assert named._object_names([]) == [] and len(set(named._object_names(keys))) == len(set(keys))


@option
def transfers_are_looked_at_when_they_may_be_over():
    import time
    import types

    from lmcache.v1.storage_backend.nixl_transfers import Transfers, _pauses

    now = time.monotonic()
    assert 0 < next(_pauses(None, now, 0.2)) <= 0.151 and next(_pauses(None, now, 1000)) == 0.2
    assert next(_pauses(None, now, 0)) < 0.01 and next(_pauses(None, now - 10, 0.001)) == 0.005
    assert len(list(_pauses(-1.0, now, 0))) == 0

    def pace(seconds, objects=1, kind="READ"):
        transfer = types.SimpleNamespace(kind=(kind, objects), begin=time.monotonic() - seconds, objs=[0] * objects)
        made._note_pace(transfer)
        return made._paces[transfer.kind]

    made = Transfers(None, None)
    assert 10 <= pace(10) < 11 and 12 < pace(1000) < 13 and 1 <= pace(1) < 1.2 and 50 <= pace(50, kind="WRITE") < 51
    assert 2 <= pace(8, 4) < 2.2


@option
def parameters_are_strings_and_ours_stay_ours():
    given = {"dpu_addr": "10.0.0.1:1", "timeout_ms": 1500, "flag": True}
    params = made(params=given).backend_params
    assert params == {"dpu_addr": "10.0.0.1:1", "timeout_ms": "1500", "flag": "true", "away_ms": "0"}
    assert given == {"dpu_addr": "10.0.0.1:1", "timeout_ms": 1500, "flag": True}
    assert made().backend_params == {"away_ms": "0", "timeout_ms": "5000"}
    assert made(params={"away_ms": "100"}).backend_params["away_ms"] == "100"
    assert made(nixl_backend="OBJ", params={"a": "b"}).backend_params == {"a": "b"}


@option
def endpoints_are_spread_over_the_workers_of_a_host():
    listed = ["10.0.0.1:18517", {"dpu_addr": "10.0.0.2:18517", "pci_addr": "0000:ba:00.1", "mode": "tcp"}]
    for worker in range(6):
        params = made(local_worker=worker, worker=worker + 8, nixl_endpoint_list=listed,
                      params={"timeout_ms": "900"}).backend_params
        expected = {"dpu_addr": "10.0.0.1:18517"} if worker % 2 == 0 else listed[1]
        assert params == {**expected, "timeout_ms": "900", "away_ms": "0"}, params
    assert made(nixl_endpoint_list=["[::1]:18517"]).backend_params["dpu_addr"] == "[::1]:18517"
    params = made(nixl_backend="OBJ", nixl_endpoint_list=["https://a", "https://b"], local_worker=1).backend_params
    assert params == {"endpoint_override": "https://b"}


@option
def bad_endpoints_are_refused_by_name():
    for listed in ([], "10.0.0.1:1", {"dpu_addr": "10.0.0.1:1"}, ()):
        refused(ValueError, "nixl_endpoint_list must be a list", nixl_endpoint_list=listed)
    for entry in ("10.0.0.1", "10.0.0.1:", ":1", "10.0.0.1:0", "10.0.0.1:70000", "10.0.0.1:x", "", 7, None, {},
                  {"pci_addr": "0000:ba:00.0"}, {"dpu_addr": "10.0.0.1:1", "adress": "x"},
                  {"dpu_addr": "10.0.0.1:1", "mode": 1}, {"dpu_addr": 1}):
        # Of any worker: a mistake in one entry is told on the first start, whoever uses it.
        refused(ValueError, "nixl_endpoint_list entry", nixl_endpoint_list=["10.0.0.9:9", entry], local_worker=0)


@option
def override_is_warned_of():
    lines = Lines()
    params = made(params={"dpu_addr": "10.0.0.7:1"}, nixl_endpoint_list=["10.0.0.1:1"]).backend_params
    assert params["dpu_addr"] == "10.0.0.1:1"
    assert "overrides nixl_backend_params.dpu_addr (10.0.0.7:1)" in lines.text
    lines.text = ""
    made(params={"dpu_addr": "10.0.0.1:1"}, nixl_endpoint_list=["10.0.0.1:1"])
    assert "overrides" not in lines.text
    made(nixl_backend="POSIX", pool_size=4, nixl_path="nowhere", nixl_endpoint_list=["10.0.0.1:1"])
    assert "POSIX does not use it" in lines.text
    refused(ValueError, "nixl_presence_cache_only needs", nixl_presence_cache_only=True)


@option
def what_the_table_says_of_the_other_options():
    plain = made()
    for extra in ({"nixl_path": ["/a", "/b"]}, {"nixl_path_sharding": "by_gpu"}, {"use_direct_io": True},
                  {"nixl_sync_mode": "strict"}, {"nixl_enable_prog_thread": False}, {"nixl_use_hugepages": True}):
        assert dataclasses.replace(made(**extra), path=None, use_direct_io=False) == plain, extra
    lines = Lines("lmcache.v1.config_base")
    made(options={"local_cpu_use_hugepages": True})
    assert "Unknown configuration key: local_cpu_use_hugepages" in lines.text
    made(options={"enable_p2p": False})
    World().install()
    cfg = lmc.nixl_config(None)
    cfg.nixl_buffer_size += 1
    try:
        with lmc.backends(cfg):
            raise RuntimeError("a buffer that is no whole number of pages")
    except AssertionError as exc:
        assert "multiple" in str(exc)
    try:
        lmc.config({"enable_nixl_storage": True, "nixl_backend": "DOCA_DMA_PROXY", "nixl_pool_size": 0},
                   nixl_buffer_device="cpu")
        raise RuntimeError("no buffer size")
    except AssertionError:
        pass


def what_056_says(line):
    """Of the same configuration, unpatched."""
    base = {"enable_nixl_storage": True, "nixl_backend": "DOCA_DMA_PROXY", "nixl_pool_size": 0}
    p2p = {"enable_p2p": True, "enable_controller": True, "controller_pull_url": "localhost:1",
           "controller_reply_url": "localhost:2", "lmcache_worker_ports": [3], "p2p_host": "localhost",
           "p2p_init_ports": [4], "p2p_lookup_ports": [5], "transfer_channel": "nixl"}
    said = []
    for extra, options in (({}, {"nixl_buffer_size": lmc.PAGE}), ({"nixl_presence_cache_only": True}, {}),
                           ({}, p2p), ({}, {})):
        try:
            with lmc.backends(lmc.config({**base, **extra}, nixl_buffer_device="cpu", **options)):
                said.append("accepted")
        except (AssertionError, ValueError) as exc:
            said.append(str(exc))
    return said


@option
def presence_cache_only_asks_nobody():
    world = World().install()
    wanted = lmc.keys(range(4))
    with lmc.nixl_store(lmc.nixl_config(None, nixl_presence_cache=True)) as store:
        store.put(wanted)
        assert store.backend.batched_contains(wanted) == 4
        assert world.queries == []
    with lmc.nixl_store(lmc.nixl_config(None, nixl_presence_cache=True)) as store:
        assert store.backend.batched_contains(wanted[:2]) == 2  # asks, and knows from then on
        assert world.queries == [2]
        assert store.backend.batched_contains(wanted) == 4
        assert world.queries == [2, 2]
        store.backend.remove(wanted[3])
        assert store.backend.batched_contains(wanted) == 4
        assert world.queries == [2, 2, 1]
    with lmc.nixl_store(lmc.nixl_config(None, nixl_presence_cache=True, nixl_presence_cache_only=True)) as store:
        assert [store.backend.contains(key) for key in wanted] == [False] * 4
        assert store.backend.batched_contains(wanted) == 0 and store.contains_async(wanted) == 0
        assert store.get(wanted[:2]) == [True] * 2  # what was got is known to be there
        assert store.backend.batched_contains(wanted) == 2
        assert world.queries == [2, 2, 1]
        world.objects.clear()
        assert store.get(wanted[:2]) == [None] * 2  # and known to be gone when it is
        assert store.backend.batched_contains(wanted) == 0


@option
def callbacks_come_once_for_what_is_stored():
    world = World().install()
    for extra in ({}, {"nixl_async_put": True}, {"pool_size": 8}):
        told = []
        with lmc.nixl_store(lmc.nixl_config(None, **extra)) as store:
            wanted = lmc.keys(range(4))
            store.put(wanted, on_complete_callback=told.append)
            lmc.until(lambda: len(told) == 4, "the callbacks")
            assert told == wanted
            world.outcome["WRITE"] = "ERR"
            store.put(lmc.keys(range(4, 6)), on_complete_callback=told.append)
            world.outcome.clear()
        assert told == wanted
        world.objects.clear()


@option
def same_key_twice_is_stored_once():
    world = World().install()
    for pool_size in (0, 8):
        with lmc.nixl_store(lmc.nixl_config(None, pool_size=pool_size, nixl_async_put=True)) as store:
            a, b = lmc.keys(range(2))
            world.hold = {"WRITE"}
            world.posted.clear()
            store.begin_put([a, a, b])
            store.begin_put([a, b])
            store.begin_put([])
            assert [len(names) for _, names in world.posted] == [2]
            world.hold = set()
            store.settle([a, b])
            assert store.get([a, b]) == [True, True]


@option
def pinned_objects_and_those_being_read_keep_their_slots():
    world = World().install()
    with lmc.nixl_store(lmc.nixl_config(None, pool_size=4)) as store:
        first = lmc.keys(range(4))
        store.put(first)
        assert store.backend.contains(first[0], pin=True)
        store.put(lmc.keys(range(4, 7)))
        assert store.get(first[:1]) == [True]
        assert [store.backend.contains(key) for key in first] == [True, False, False, False]
        store.backend.unpin(first[0])
        import threading

        world.hold = {"READ"}
        thread = threading.Thread(target=store.get, args=(lmc.keys([4, 5]),))
        thread.start()
        lmc.until(lambda: world.posted[-1][0] == "READ", "the read")
        # Taken out of the index while it is read: its slot is not for anybody else yet.
        reading = set(world.posted[-1][1])
        assert store.backend.remove(lmc.key(4))
        store.put(lmc.keys(range(20, 24)))
        assert not reading & {name for operation, names in world.posted[-1:] for name in names}
        world.hold = set()
        thread.join(lmc.WAIT_SECONDS)
        store.put(lmc.keys(range(30, 34)))
        assert store.get(lmc.keys(range(30, 34))) == [True] * 4


@option
def backend_that_cannot_be_made_says_where_it_looked():
    from lmcache.v1.storage_backend import nixl_storage_backend

    class Away:
        def __init__(self, *arguments):
            pass

        def create_backend(self, name, params):
            raise FakeError("NIXL_ERR_BACKEND")

    nixl_storage_backend.NixlAgent = Away
    for params, words in (({"dpu_addr": "10.0.0.3:5", "pci_addr": "0000:ba:00.0"}, "dpu_addr 10.0.0.3:5, pci_addr"),
                          ({}, "127.0.0.1:18517")):
        try:
            with lmc.backends(lmc.nixl_config(None, params=params)):
                raise AssertionError("it was made")
        except RuntimeError as exc:
            assert words in str(exc) and "NIXL_PLUGIN_DIR" in str(exc), exc


# --- the file ---


def use_file(line, path, address):
    from lmcache.v1.config import LMCacheEngineConfig

    lines = Lines("lmcache.v1.config_base")
    cfg = LMCacheEngineConfig.from_file(path)
    cfg.validate()
    text = yaml.safe_load(open(path, encoding="utf-8"))
    for name, value in text.items():
        assert getattr(cfg, name) == value, name
    assert "nknown" not in lines.text, lines.text
    assert cfg.extra_config["nixl_backend_params"]["dpu_addr"] == address
    # Pages of the test's size, so that the buffer need not be as large as that of a real model.
    assert cfg.nixl_buffer_size % (256 * 1024) == 0
    cfg.nixl_buffer_size, cfg.nixl_buffer_device, cfg.chunk_size = 8 * lmc.PAGE, "cpu", lmc.CHUNK
    with lmc.nixl_store(cfg) as store:
        store.put(lmc.keys(range(4)))
        assert store.get(lmc.keys(range(4))) == [True] * 4


def load_with_all(line, text):
    from lmcache.v1 import config as configs

    names = set(configs._CONFIG_DEFINITIONS)
    taken = re.sub(r"(?m)^(\s*)# ([a-z_]+): (\S.*)$", r"\1\2: \3", text)
    given = re.findall(r"(?m)^(?:# )?([a-z_]+):", text)
    assert set(given) <= names, set(given) - names
    assert taken != text
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        file.write(taken)
        file.flush()
        cfg = configs.LMCacheEngineConfig.from_file(file.name)
    cfg.validate()
    known = {"enable_nixl_storage", "nixl_backend", "nixl_extra_obj_backends", "nixl_pool_size", "nixl_backend_params",
             "nixl_presence_cache", "nixl_presence_cache_only", "nixl_async_put", "nixl_endpoint_list"}
    assert set(cfg.extra_config) <= known, set(cfg.extra_config) - known
