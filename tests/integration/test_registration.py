# SPDX-License-Identifier: Apache-2.0
"""Registration as NIXL really does it: stale metadata, numbers used again, what is refused; and backends that
cannot be made."""

import time

import pytest

from nixl_client import BACKEND, Client, fails_with


def reuse_number(line):
    client = Client()
    memory = client.memory(b"A" * 4096)
    local = [(memory.address(), 4096, 0)]

    def push(number, value):
        memory.array[:] = ord(value)
        handle = client.prepare_raw("WRITE", local, [(0, 4096, number)])
        client.post(handle)
        client.finish(handle)
        client.nixl.release_xfer_handle(handle)

    first = client.register_object(7, "stale-A", 4096)
    push(7, "A")
    client.deregister_object(first)
    # Wheel 1.1.0 keeps the metadata of the first registration and comes with it.
    second = client.register_object(7, "stale-B", 4096)
    push(7, "B")
    client.deregister_object(second)
    assert client.query(["stale-A", "stale-B"]) == [4096, 4096]
    assert client.pull("stale-A", 4096) == b"A" * 4096
    assert client.pull("stale-B", 4096) == b"B" * 4096
    with fails_with("NotFound", "Backend", "Unknown", "InvalidParam"):
        push(7, "C")
    assert client.pull("stale-B", 4096) == b"B" * 4096


def test_number_used_again_names_the_new_object(make_agent, run_client):
    agent = make_agent(backend="dram")
    run_client(agent.address, reuse_number)


def register_twice(line):
    client = Client()
    first = client.register_object(7, "key", 4096)
    second = client.register_object(7, "key", 4096)
    with fails_with("Backend"):
        client.register_object(7, "other key", 4096)
    client.deregister_object(first)
    with fails_with("Backend"):
        client.register_object(7, "other key", 4096)
    client.deregister_object(second)
    client.deregister_object(client.register_object(7, "other key", 4096))


def test_number_names_one_key_at_a_time(make_agent, start_client):
    agent = make_agent(backend="dram")
    child = start_client(agent.address, register_twice)
    child.result()
    assert "device number 7 is registered for object 'key' and cannot name 'other key' as well" in child.log()


def use_empty_metadata(line):
    client = Client()
    memory = client.memory(b"decimal")
    registration = client.register_object(4711, "", 4096)
    handle = client.prepare_raw("WRITE", [(memory.address(), 7, 0)], [(0, 7, 4711)])
    client.post(handle)
    client.finish(handle)
    client.nixl.release_xfer_handle(handle)
    client.deregister_object(registration)
    assert client.pull("4711", 7) == b"decimal"


def test_number_without_metadata_is_the_key(make_agent, run_client):
    agent = make_agent(backend="dram")
    run_client(agent.address, use_empty_metadata)


def register_again_and_again(line, rounds):
    client = Client()
    for value in range(rounds):
        memory = client.memory(bytes([value % 256]) * 70000)
        client.run("WRITE", [(memory, 0, "object", 0, 70000)])
        memory.deregister()
        assert client.pull("object", 70000) == bytes([value % 256]) * 70000


def test_memory_is_registered_again_and_again(make_agent, run_client):
    agent = make_agent(backend="dram", options=["--regions-max", "8"])
    run_client(agent.address, register_again_and_again, 100)


def do_what_is_not_supported(line):
    client = Client()
    memory = client.memory(4096)
    with fails_with("Backend", "NotFound"):
        client.nixl.register_memory([(0, 4096, 3, "/tmp/file")], "FILE", backends=[BACKEND])
    with fails_with("Backend"):
        client.nixl.register_memory([(0, 4096, 0, "")], "DRAM", backends=[BACKEND])  # not mapped
    with fails_with("Backend"):
        client.nixl.register_memory([(memory.address(), 4096, 0, "")], "VRAM", backends=[BACKEND])  # no GPU
    with fails_with("NotSupported", "Backend"):
        client.nixl.query_memory([(0, 4096, 0, "")], BACKEND, "DRAM")
    local = client.nixl.get_xfer_descs([(memory.address(), 4096, 0)], "DRAM")
    remote = client.nixl.get_xfer_descs([(0, 4096, client.number_of("object"))], "OBJ")
    with fails_with("Backend", "NotSupported"):
        client.nixl.initialize_xfer("WRITE", local, remote, client.name, b"a notification", backends=[BACKEND])
    with fails_with("NotSupported", "NotFound", "InvalidParam", "Backend"):
        client.nixl.initialize_xfer("WRITE", local, local, client.name, backends=[BACKEND])
    client.push("object", b"still works")
    assert client.pull("object", 11) == b"still works"


def test_what_is_not_supported_is_refused(make_agent, run_client):
    agent = make_agent(backend="dram")
    run_client(agent.address, do_what_is_not_supported)


def read_parameters(line):
    from nixl._api import nixl_agent, nixl_agent_config

    agent = nixl_agent("client", nixl_agent_config(backends=[]))
    assert agent.get_plugin_list() == [BACKEND]
    assert sorted(agent.get_plugin_mem_types(BACKEND)) == ["DRAM_SEG", "OBJ_SEG", "VRAM_SEG"]
    parameters = agent.get_plugin_params(BACKEND)
    assert set(parameters) == {"dpu_addr", "pci_addr", "mode", "timeout_ms", "away_ms"}
    agent.create_backend(BACKEND, parameters)  # all of them given back, as they came
    assert sorted(agent.get_backend_mem_types(BACKEND)) == ["DRAM_SEG", "OBJ_SEG", "VRAM_SEG"]
    return parameters


def test_parameters_can_be_read_and_given_back(make_agent, run_client):
    agent = make_agent(backend="dram")
    parameters = run_client(agent.address, read_parameters)
    assert parameters["dpu_addr"] == agent.address
    assert parameters["mode"] == agent.address.mode
    assert parameters["timeout_ms"] == "20000"


def fail_to_open(line, parameters):
    begin = time.monotonic()
    with fails_with("Backend"):
        Client(**parameters)
    return time.monotonic() - begin


@pytest.mark.parametrize("transport", ["tcp"])
@pytest.mark.parametrize("parameters, sentence", [
    ({"dpu_addr": "127.0.0.1:1"}, "no agent listens at 127.0.0.1:1"),
    ({"dpu_addr": "127.0.0.1:none"}, "127.0.0.1:none"),
    ({"pci_addr": "0000:99:00.0"}, "0000:99:00.0"),
    ({"mode": "comch"}, "comch"),
    ({"mode": "rdma"}, "rdma"),
    ({"timeout_ms": "soon"}, "timeout_ms is 'soon'"),
    ({"timeout_ms": "0"}, "timeout_ms is '0'"),
    ({"num_threads": "4"}, "unknown parameter 'num_threads'"),
], ids=lambda value: " ".join("%s=%s" % pair for pair in value.items()) if isinstance(value, dict) else "")
def test_backend_that_cannot_work_fails_at_once_and_says_why(make_agent, start_client, parameters, sentence):
    agent = make_agent(backend="dram")
    child = start_client(agent.address, fail_to_open, parameters)
    assert child.result() < 5
    lines = [line for line in child.log().splitlines() if line.startswith("DOCA_DMA_PROXY: error: ")]
    assert len(lines) == 1 and sentence in lines[0]


def make_two(line):
    first, second = Client("first"), Client("second")
    first.push("object", b"from one engine")
    assert second.pull("object", 15) == b"from one engine"


def test_two_backends_live_in_one_process(make_agent, run_client):
    agent = make_agent(backend="dram")
    run_client(agent.address, make_two)
