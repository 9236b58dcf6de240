# SPDX-License-Identifier: Apache-2.0
"""LMCache's own programs with the L2 adapter: its server, with KV of a client that has no GPU, and its benchmark of an
adapter. The server of LMCache 0.4.3 imports cupy when it starts and so needs a GPU: its adapter interface alone is
tested for it, in test_l2_adapter.py."""

import json
import os
import pathlib
import re
import socket
import subprocess
import sys
import time
import urllib.request

import pytest
from plugin_support import PACKAGE

pytestmark = pytest.mark.lmcache("0.5.6")

LMCACHE = pathlib.Path(sys.executable).parent / "lmcache"
SECONDS = 100
REQUESTS = 2
SERVER = ["--host", "127.0.0.1", "--l1-size-gb", "0.05", "--eviction-policy", "LRU", "--http-host", "127.0.0.1",
          "--disable-observability", "--supported-transfer-mode", "auto", "--chunk-size", "64"]
CLIENT = ["--mode", "cpu", "--interval", "0", "--num-tokens", "256", "--num-blocks", "64", "--kvcache-shape-spec",
          "(2,64,16,2,64):bfloat16:4", "--format", "json"]


@pytest.fixture
def environment(world):
    from agent import BUILD, HOST_PCI

    return dict(os.environ, DOCA_EMU_WORLD=world, BLUECACHE_PCI_ADDR=HOST_PCI, PYTHONPATH=str(PACKAGE),
                BLUECACHE_LIBRARY=str(BUILD / "host" / "libbluecache.so"), OMP_NUM_THREADS="1", PYTHONHASHSEED="0",
                LMCACHE_TRACK_USAGE="false", LMCACHE_DISABLE_BANNER="1", LMCACHE_LOG_LEVEL="INFO")


def adapter(address):
    return ["--l2-adapter", json.dumps({
        "type": "plugin", "module_path": "bluecache.lmcache", "class_name": "BlueCacheL2Adapter",
        "adapter_params": {"dpu_addr": address}})]


def free_port():
    with socket.socket() as it:
        it.bind(("127.0.0.1", 0))
        return it.getsockname()[1]


class Server:
    """`lmcache server`, ended by its process id."""

    def __init__(self, folder, environment, address):
        self.rpc, self.http = free_port(), free_port()
        self.environment = environment
        self.log = folder / ("server %d.log" % self.rpc)
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(
                [LMCACHE, "server", "--port", str(self.rpc), "--http-port", str(self.http), *SERVER, *adapter(address)],
                env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def wait(self, condition):
        deadline = time.monotonic() + SECONDS
        while True:
            assert self.process.poll() is None and time.monotonic() < deadline, self.log.read_text(errors="replace")[-4000:]
            try:
                if condition(self.ask("/status")["storage_manager"]):
                    return
            except OSError:
                pass
            time.sleep(0.1)

    def ask(self, path, body=None):
        request = urllib.request.Request("http://127.0.0.1:%d%s" % (self.http, path),
                                         data=None if body is None else json.dumps(body).encode(),
                                         headers={"content-type": "application/json"})
        with urllib.request.urlopen(request, timeout=SECONDS) as answer:
            return json.load(answer)

    def counters(self):
        return self.ask("/status")["storage_manager"]["l2_adapters"][0]["counters"]

    def client(self):
        """LMCache's client: looks up, stores what is not there, retrieves. (chunks found at first, checksums of the KV
        that came back), of each request."""
        done = subprocess.run([LMCACHE, "bench", "server", "--rpc-url", "tcp://127.0.0.1:%d" % self.rpc, "--url",
                               "http://127.0.0.1:%d" % self.http, "--start", "0", "--end", str(REQUESTS), *CLIENT],
                              env=self.environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=SECONDS)
        assert done.returncode == 0, done.stdout + done.stderr
        found = [int(count) for count in re.findall(r"/cold\] LOOKUP: (\d+)/4 chunks hit", done.stdout)]
        sums = re.findall(r"/warm\] CHECKSUM: (\w+) \(4 chunks\)", done.stdout)
        assert len(found) == len(sums) == REQUESTS, done.stdout
        return found, sums

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(30)
            raise


@pytest.fixture
def start_server(tmp_path, environment):
    servers = []

    def start(address):
        servers.append(Server(tmp_path, environment, address))
        return servers[-1]

    yield start
    for server in servers:
        if server.process.poll() is None:
            server.stop()


def ready(state):
    return list(state["l2_adapters"][0]["agents"].values()) == ["ready"]


def test_kv_survives_the_server(make_agent, start_server):
    """A second server, which starts empty, finds at the agent what the first one stored."""
    agent = make_agent(backend="posix")
    first = start_server(agent.address)
    first.wait(ready)
    found, sums = first.client()
    assert found == [0] * REQUESTS
    first.wait(lambda state: state["l2_adapters"][0]["counters"]["puts"] == 4 * REQUESTS)
    assert first.counters()["regions_extra"] == 0, "its memory is registered once"
    first.stop()
    second = start_server(agent.address)
    second.wait(ready)
    assert second.client() == ([4] * REQUESTS, sums)
    told = second.counters()
    assert told["gets"] >= 4 * REQUESTS and told["gets_failed"] == told["gets_missed"] == told["puts"] == 0


def test_the_server_works_on_without_an_agent(make_agent, start_server):
    agent = make_agent(backend="dram")
    agent.stop()
    server = start_server(agent.address)
    server.wait(lambda state: list(state["l2_adapters"][0]["agents"].values()) == ["connecting"])
    assert server.client()[0] == [0] * REQUESTS, "LMCache's L1 serves it"
    agent.start()
    server.wait(ready)
    server.ask("/cache/clear", {"tier": "l1", "force": True})
    assert server.client()[0] == [0] * REQUESTS
    server.wait(lambda state: state["l2_adapters"][0]["counters"]["puts"] == 4 * REQUESTS)
    server.ask("/cache/clear", {"tier": "l1", "force": True})
    assert server.client()[0] == [4] * REQUESTS


def test_lmcaches_benchmark_of_an_adapter(make_agent, environment):
    agent = make_agent(backend="dram")
    done = subprocess.run([LMCACHE, "bench", "l2", *adapter(agent.address), "--no-skip-verify", "--rounds", "2",
                           "--in-flight", "3", "--lookup-max-hit-rate", "0.5", "--format", "json"],
                          env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=SECONDS)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "keys data verified OK" in done.stdout, done.stdout
    metrics = json.loads(done.stdout[done.stdout.index("{\n"):done.stdout.rindex("}") + 1])["metrics"]
    results = {metrics[name]["operation"]: metrics[name] for name in ("op_0", "op_1", "op_2")}
    assert results["Load"]["total_success"] == results["Load"]["total_keys"] == 2 * 3 * 32
    assert results["Store"]["total_success"] == 2 * 3 * 32 and results["Lookup"]["total_success"] == 3 * 32
