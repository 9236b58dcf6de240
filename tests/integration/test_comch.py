# SPDX-License-Identifier: Apache-2.0
"""What only Comch has: functions, representors and service names, several agents beside each other, and an engine that
is asked. Everything else runs over Comch in the other files."""

import os
import subprocess
import time

import pytest

import wire
from agent import BUILD, DPU_PCI, HOST_PCI, way_to
from bluecache_client import CANCELLED, DISCONNECTED, OK, PULL, PUSH, SHUTTING_DOWN, Client, until
from nixl_client import pattern
from test_faults import gauges, settles_to

pytestmark = [pytest.mark.once, pytest.mark.parametrize("transport", ["comch"])]

MIB = 1 << 20
SECONDS = 30
OTHER_HOST = "0000:bb:00.0"
TICKS = os.sysconf("SC_CLK_TCK")


@pytest.fixture
def two_functions(tmp_path):
    """A table of the emulation in which the DPU has two functions of hosts behind it."""
    table = tmp_path / "devices"
    table.write_text("host %s ibdev=mlx5_0 type=pf\nhost %s ibdev=mlx5_2 type=pf\ndpu %s rep=%s,%s\n"
                     % (HOST_PCI, OTHER_HOST, DPU_PCI, HOST_PCI, OTHER_HOST))
    return {"DOCA_EMU_DEVICES": str(table)}


def start(agent, *options, **variables):
    """An agent that is expected not to start: (status, what it says)."""
    ended = subprocess.run([*agent.command, *options], env=dict(agent.environment, **variables), text=True,
                           stdin=subprocess.DEVNULL, capture_output=True, timeout=SECONDS)
    return ended.returncode, ended.stderr


def ping(agent, address, **variables):
    return subprocess.run([str(BUILD / "tools" / "bluecache"), "--timeout", "5", "ping"],
                          env={**agent.environment, **way_to(address), **variables}, text=True,
                          stdin=subprocess.DEVNULL, capture_output=True, timeout=SECONDS)


def test_agent_serves_over_comch_unless_told_otherwise(make_agent):
    agent = make_agent(backend="dram", memory_mb=32)
    assert "-T" not in agent.command and "--listen" not in agent.command
    assert "listening on comch:%s/%s/%s" % (DPU_PCI, HOST_PCI, agent.service) in agent.log()
    assert ping(agent, agent.address).returncode == 0


def test_several_functions_have_to_be_chosen_from(make_agent, two_functions):
    agent = make_agent(backend="dram", memory_mb=32)
    agent.stop()
    status, said = start(agent, **two_functions)
    assert status == 1 and HOST_PCI in said and OTHER_HOST in said and "--rep" in said
    status, said = start(agent, "--rep", "0000:99:00.0", **two_functions)
    assert status == 1 and HOST_PCI in said and OTHER_HOST in said


def test_function_that_is_chosen_is_served_and_no_other(make_agent, two_functions, tmp_path):
    agent = make_agent(backend="dram", memory_mb=32)
    agent.stop()
    agent.command += ["--rep", OTHER_HOST]
    agent.environment.update(two_functions)
    agent.start()
    reached = ping(agent, agent.address, BLUECACHE_PCI_ADDR=OTHER_HOST)
    assert reached.returncode == 0, reached.stderr
    assert ping(agent, agent.address).returncode != 0


def test_agents_beside_each_other_have_names(make_agent):
    agents = [make_agent(name, backend="dram", memory_mb=32) for name in ("one", "two")]
    for agent in agents:
        assert ping(agent, agent.address).returncode == 0
    # A third finds its name taken, and the second never notices.
    status, said = start(agents[1], "--root", str(agents[0].root))
    assert status == 1 and "--service" in said
    assert ping(agents[1], agents[1].address).returncode == 0


def processor_seconds(process):
    with open("/proc/%d/stat" % process.pid, encoding="ascii") as stat:
        fields = stat.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def test_idle_agent_takes_next_to_nothing(make_agent):
    """A bound that only an engine which is asked all the time passes, whatever else the machine does."""
    agent = make_agent(backend="dram", workers=2, memory_mb=32)
    with wire.Client(agent.wire_address) as client:
        assert client.greet()[0] == wire.OK
        time.sleep(1.2)  # after a second of silence the engine is looked at once a millisecond
        before = processor_seconds(agent.process)
        time.sleep(2)
        assert processor_seconds(agent.process) - before < 0.6
        client.send(wire.PING, b"awake", request_id=2)
        assert client.receive() == (wire.PONG, 2, b"awake")


def push_and_pull_many(line, seed, rounds):
    client = Client()
    memory = client.memory(2 * MIB)
    for number in range(rounds):
        data = pattern(1000 * seed + number, MIB)
        memory.write(data)
        memory.write(bytes(MIB), MIB)
        key = "client %d/%d" % (seed, number)
        assert client.submit(PUSH, [(memory, 0, key, 0, MIB)]).end() == OK
        assert client.submit(PULL, [(memory, MIB, key, 0, MIB)]).end() == OK
        assert memory.read(MIB, MIB) == data
    assert client.close() == 0


def test_eight_clients_at_once(make_agent, start_client):
    agent = make_agent(backend="posix", workers=2, memory_mb=64)
    before = gauges(agent)
    children = [start_client(agent.address, push_and_pull_many, seed, 10) for seed in range(8)]
    for child in children:
        child.result()
    settles_to(agent, before)


def push_until_the_end(line):
    client = Client(timeout_ms=5000)
    memory = client.memory(4 * MIB)
    line.say("pushing")
    request, statuses = None, []
    while not isinstance(request, int) and set(statuses) <= {OK}:
        request = client.try_submit(PUSH, [(memory, 0, "object", 0, 4 * MIB)])
        if not isinstance(request, int):
            statuses.append(request.end())
    assert client.close() == 0
    return statuses


def test_stop_during_traffic_ends_well_and_tells_everybody(make_agent, start_client):
    agent = make_agent(backend="posix", workers=2, memory_mb=64, options=["--drain-timeout", "2s"])
    children = [start_client(agent.address, push_until_the_end) for _ in range(4)]
    for child in children:
        child.hear("pushing")
    before = agent.log()
    agent.stop()
    assert "draining" not in before
    for child in children:
        statuses = child.result()
        assert set(statuses) <= {OK, CANCELLED, DISCONNECTED, SHUTTING_DOWN}, statuses


def lose_the_agent(line):
    client = Client(timeout_ms=1500)
    assert client.push("before", pattern(1, MIB)) == OK
    line.say("stored")
    line.hear("gone")
    begin = time.monotonic()
    until(lambda: client.ping(100) != 0, "nobody notices")
    took = time.monotonic() - begin
    line.say("noticed")
    line.hear("back")
    until(lambda: client.ping(1000) == 0, "the agent is not found again")
    assert client.pull("before", MIB) == (OK, pattern(1, MIB))
    assert client.close() == 0
    return took


def test_killed_agent_is_noticed_and_found_again(make_agent, start_client):
    agent = make_agent(backend="posix", memory_mb=32)
    child = start_client(agent.address, lose_the_agent)
    child.hear("stored")
    agent.kill()
    child.say("gone")
    child.hear("noticed")
    agent.start()
    child.say("back")
    assert child.result() < 1


def test_name_is_free_at_once_after_a_kill(make_agent):
    agent = make_agent(backend="dram", memory_mb=32)
    for _ in range(5):
        assert ping(agent, agent.address).returncode == 0
        agent.kill()
        agent.start()
    assert ping(agent, agent.address).returncode == 0
