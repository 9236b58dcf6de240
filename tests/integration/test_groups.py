# SPDX-License-Identifier: Apache-2.0
"""Objects of a group leave the cache together: beyond the capacity, across a restart, while others push and pull, and
when one of them is damaged on the disk."""

import pytest
from bluecache_client import CHECKSUM, NOT_FOUND, OK, PULL, PUSH, Client, until

pytestmark = pytest.mark.once

MEMBERS = 4
SIZE = 256 * 1024
GROUPS = 96  # three times what there is room for
CAPACITY = ["--capacity", "32M"]


@pytest.fixture(params=[1, 4], ids=["1 worker", "4 workers"])
def workers(request):
    return request.param


def names(group):
    return ["group %s rank %d" % (group, rank) for rank in range(MEMBERS)]


def number(group):
    """What the protocol knows of a group's name."""
    return hash_of(str(group))


def hash_of(text):
    value = 14695981039346656037
    for byte in text.encode():
        value = (value ^ byte) * 1099511628211 % 2 ** 64
    return value


def transfer(client, op, memory, group):
    entries = [(memory, rank * SIZE, name, 0, SIZE) for rank, name in enumerate(names(group))]
    groups = [number(group)] * MEMBERS if op == PUSH else None
    return client.submit(op, entries, groups=groups).end()


def present(client, groups):
    """Of each group, how many of its objects are there."""
    keys = [name for group in groups for name in names(group)]
    sizes = client.sizes(keys)
    return [sum(size is not None for size in sizes[at:at + MEMBERS]) for at in range(0, len(sizes), MEMBERS)]


def whole(client, groups):
    """Waits until of each group all objects are there, or none; those that are there."""
    groups = list(groups)
    until(lambda: set(present(client, groups)) <= {0, MEMBERS}, "a group is whole or gone")
    return {group for group, count in zip(groups, present(client, groups)) if count == MEMBERS}


def fill(line, backend):
    client = Client()
    memory = client.memory(MEMBERS * SIZE)
    for group in range(GROUPS):
        memory.write(bytes([group]) * memory.length)
        assert transfer(client, PUSH, memory, group) == OK
    left = whole(client, range(GROUPS))
    assert GROUPS - 1 in left and 8 <= len(left) <= 32
    values = client.stats()
    gone = values["bluecache_%s_evictions_total" % backend] + values["bluecache_%s_group_evictions_total" % backend]
    assert gone == (GROUPS - len(left)) * MEMBERS
    assert values["bluecache_%s_objects" % backend] == len(left) * MEMBERS
    for group in left:
        assert transfer(client, PULL, memory, group) == OK
        assert memory.read() == bytes([group]) * memory.length
    return sorted(left)


def look(line, expected):
    """After a restart: what is left, and that its groups still are groups."""
    client = Client()
    memory = client.memory(MEMBERS * SIZE)
    left = whole(client, range(GROUPS))
    assert left == set(expected) if expected is not None else left
    before = left
    for group in range(GROUPS, GROUPS + 24):
        assert transfer(client, PUSH, memory, group) == OK
    left = whole(client, range(GROUPS + 24))
    assert before - left and GROUPS + 23 in left


def test_groups_leave_whole(make_agent, run_client, backend, workers):
    agent = make_agent(backend=backend, workers=workers, options=CAPACITY)
    left = run_client(agent.address, fill, backend)
    if backend == "posix":
        agent.stop()
        agent.start()
        run_client(agent.address, look, left)


def test_what_a_smaller_store_has_no_room_for_leaves_whole(make_agent, run_client, workers):
    agent = make_agent(backend="posix", workers=workers, options=CAPACITY)
    run_client(agent.address, fill, "posix")
    agent.stop()
    agent.command[agent.command.index("32M")] = "20M"
    agent.start()
    run_client(agent.address, look, None)


def play(line, player, rounds):
    """Pushes its groups over and over, and pulls what it finds."""
    client = Client()
    memory = client.memory(MEMBERS * SIZE)
    for turn in range(rounds):
        group = "%d of %d" % (turn * 7 % 24, player)
        assert transfer(client, PUSH, memory, group) == OK
        assert transfer(client, PULL, memory, "%d of %d" % (turn * 5 % 24, (player + 1) % 3)) in (OK, NOT_FOUND)
    line.say("done")
    line.hear("all are done")
    left = whole(client, ["%d of %d" % (index, player) for index in range(24)])
    return len(left)


def test_groups_are_whole_after_a_crowd(make_agent, start_client, backend, workers):
    agent = make_agent(backend=backend, workers=workers, options=CAPACITY)
    children = [start_client(agent.address, play, player, 60) for player in range(3)]
    for child in children:
        child.hear("done")
    for child in children:
        child.say("all are done")
    assert 8 <= sum(child.result() for child in children) <= 32


def find_damage(line):
    client = Client()
    memory = client.memory(MEMBERS * SIZE)
    for group in ("damaged", "good"):
        assert transfer(client, PUSH, memory, group) == OK
    line.say("pushed")
    line.hear("damaged")
    entry = (memory, 0, names("damaged")[1], 0, SIZE)
    assert client.submit(PULL, [entry]).end() == CHECKSUM
    assert whole(client, ["damaged", "good"]) == {"good"}
    assert present(client, ["damaged"]) == [0]


def test_a_damaged_object_takes_its_group_along(make_agent, start_client, workers):
    agent = make_agent(backend="posix", workers=workers, options=CAPACITY)
    child = start_client(agent.address, find_damage)
    child.hear("pushed")
    victims = [path for path in agent.root.glob("objects/*/*/*.obj") if names("damaged")[1].encode() in path.read_bytes()]
    assert len(victims) == 1
    with open(victims[0], "r+b") as file:
        file.write(b"x")
    child.say("damaged")
    child.result()
