# SPDX-License-Identifier: Apache-2.0
"""A disk in trouble under a running agent: it fills up, turns read-only, loses its blocks, or its files change, come
from somebody else, or vanish. Whatever happens, a client gets a status or the right bytes, and what the trouble did
not touch goes on. Troubles in the middle of one operation are in tests/unit/backend/test_posix_faults.c."""

import errno
import os
import shutil
import subprocess

import pytest

from agent import AgentEnded
from bluecache_client import CHECKSUM, IO_ERROR, NO_SPACE, NOT_FOUND, OK, PUSH, Client
from nixl_client import pattern
from small_disk import command, disk  # noqa: F401 (a fixture)
from test_faults import files_below, gauges, settles_to, statistics

pytestmark = pytest.mark.once

MIB = 1 << 20
BLOCK = 4096
TABLE_FROM = 704 * 65536  # objects larger than this keep their checksums in a table before the footer
LIVE = {"live/%d" % i: pattern(50 + i, 300000 + i) for i in range(4)}


def push_all(line, objects):
    client = Client()
    for key, data in objects.items():
        assert client.push(key, data) == OK, key


def pull_all(line, objects):
    client = Client()
    for key, data in objects.items():
        assert client.pull(key, len(data)) == (OK, data), key


def pull_statuses(line, objects):
    """Of each: "right", or the status; bytes that came with OK are compared."""
    client = Client()
    answers = {}
    for key, data in objects.items():
        status, got = client.pull(key, len(data))
        assert status != OK or got == data, "%s: wrong bytes" % key
        answers[key] = "right" if status == OK else status
    return answers


def push_statuses(line, objects):
    client = Client()
    return [client.push(key, data) for key, data in objects.items()]


# --- full ---


def fill_all_but(path, left):
    with open(path, "wb", buffering=0) as file:
        try:
            for _ in range(1000):
                file.write(b"x" * MIB)
        except OSError as error:
            assert error.errno == errno.ENOSPC
        os.ftruncate(file.fileno(), file.tell() - left)


def fill_up(line, room):
    client = Client()
    line.hear("full")
    data = pattern(61, room)
    memory = client.memory(data)
    assert client.submit(PUSH, [(memory, 0, "large", 0, room)]).end() == NO_SPACE
    assert client.sizes(["large"]) == [None]
    for key, kept in LIVE.items():
        assert client.pull(key, len(kept)) == (OK, kept), "%s went for a push that could not fit" % key
    line.say("refused")
    line.hear("emptied")
    assert client.submit(PUSH, [(memory, 0, "large", 0, room)]).end() == OK
    assert client.pull("large", room) == (OK, data)


def test_a_disk_that_others_fill_is_a_status(disk, make_agent, run_client, start_client):
    agent = make_agent(options=["--capacity", "1G"])
    before = gauges(agent)
    run_client(agent.address, push_all, LIVE)
    child = start_client(agent.address, fill_up, 16 * MIB)
    others = agent.root / "somebody-elses"
    fill_all_but(others, 2 * MIB)
    child.say("full")
    child.hear("refused")
    others.unlink()
    child.say("emptied")
    child.result()
    settles_to(agent, before)
    assert files_below(agent.root / "tmp") == []
    agent.stop()


# --- read-only ---


def turn_read_only(disk):
    """As ext4 does by itself when it finds an error in what it keeps on the disk."""
    assert command("mount", "-o", "remount,errors=remount-ro", disk.path).returncode == 0
    with open("/proc/self/mountinfo", encoding="utf-8") as mounts:
        device = next(row.split(" - ")[1].split()[1] for row in mounts if row.split()[4] == disk.path)
    trigger = "/sys/fs/ext4/%s/trigger_fs_error" % os.path.basename(device)
    try:
        with open(trigger, "w", encoding="ascii") as file:
            file.write("1")
    except OSError as error:
        pytest.skip("%s: %s" % (trigger, error.strerror))


def test_a_disk_that_turns_read_only_serves_what_it_has(disk, make_agent, run_client):
    agent = make_agent()
    before = gauges(agent)
    run_client(agent.address, push_all, LIVE)
    turn_read_only(disk)
    statuses = run_client(agent.address, push_statuses, {"new/%d" % i: b"x" * 100000 for i in range(3)})
    assert set(statuses) == {IO_ERROR}
    run_client(agent.address, pull_all, LIVE)
    assert agent.log().count("Read-only file system") == 1
    assert statistics(agent)["bluecache_posix_io_errors_total"] >= 3
    settles_to(agent, before)
    agent.stop()
    # An agent that cannot write is not one to start.
    with pytest.raises(AgentEnded):
        agent.start()
    assert "Read-only file system" in agent.log()


# --- blocks that are lost ---


def test_a_disk_whose_blocks_are_gone_gives_misses_and_errors(disk, make_agent, run_client):
    """The file behind the loop device is cut short: reads and writes beyond its end are I/O errors."""
    agent = make_agent()
    objects = {"gone/%d" % i: pattern(70 + i, 2 * MIB) for i in range(12)}
    before = gauges(agent)
    run_client(agent.address, push_all, objects)
    subprocess.run(["sync", "-f", str(agent.root)], check=True)
    os.truncate(disk.image, 4 * MIB)
    answers = run_client(agent.address, pull_statuses, objects)
    assert set(answers.values()) <= {"right", IO_ERROR, CHECKSUM, NOT_FOUND}
    assert list(answers.values()).count("right") < len(objects)
    statuses = run_client(agent.address, push_statuses, {"more/%d" % i: pattern(90, 2 * MIB) for i in range(3)})
    assert set(statuses) <= {OK, IO_ERROR, NO_SPACE}
    again = run_client(agent.address, pull_statuses, objects)
    assert set(again.values()) <= {"right", IO_ERROR, CHECKSUM, NOT_FOUND}
    settles_to(agent, before)
    agent.stop()


# --- bytes that change ---


def regions(size):
    """Name of a region of an object's file -> offset in it. The layout is docs/internals/posix-format.md."""
    data_end = -(-size // BLOCK) * BLOCK
    table = -(-(-(-size // 65536)) // 1024) * BLOCK if size > TABLE_FROM else 0
    footer = data_end + table
    places = {"first byte": 0, "middle": size // 2, "last byte": size - 1, "padding": data_end - 1}
    if table != 0:
        places.update({"first checksum of the table": data_end, "padding of the table": footer - 1})
    fields = {"magic": 0, "version": 8, "table_len": 12, "uuid": 16, "hash": 32, "data_len": 48, "file_len": 56,
              "object_version": 64, "tenant": 72, "key_len": 76, "flags": 78, "crc_count": 80, "table_crc": 84,
              "meta": 88, "key": 152, "end of the key": 152 + 1023, "reserved": 1176, "checksums": 1276,
              "checksum of the footer": 4092}
    places.update({"footer, " + name: footer + offset for name, offset in fields.items()})
    return places


def flip(path, offset):
    with open(path, "r+b") as file:
        file.seek(offset)
        byte = file.read(1)[0]
        file.seek(offset)
        file.write(bytes([byte ^ 1 << offset % 8]))
        os.fsync(file.fileno())


def path_of(agent, before):
    """Of the one file that came since."""
    new = set(files_below(agent.root / "objects")) - before
    assert len(new) == 1
    return new.pop()


@pytest.mark.parametrize("restart", [False, True], ids=["live", "restart"])
@pytest.mark.parametrize("size", [200001, TABLE_FROM + 65537], ids=["footer", "table"])
def test_a_flipped_bit_is_never_served(make_agent, run_client, size, restart):
    agent = make_agent(options=["--capacity", "3G"])
    run_client(agent.address, push_all, LIVE)
    places = regions(size)
    data = pattern(80, size)
    paths = {}
    for region in places:
        before = set(files_below(agent.root / "objects"))
        run_client(agent.address, push_all, {region: data})
        paths[region] = path_of(agent, before)
    if restart:
        agent.stop()
    for region, offset in places.items():
        flip(paths[region], offset)
    if restart:
        agent.start()
    answers = run_client(agent.address, pull_statuses, {region: data for region in places})
    for region, answer in answers.items():
        if region == "padding":
            assert answer == "right", "padding is of no interest"
        else:
            assert answer in (NOT_FOUND, CHECKSUM), "%s: %s" % (region, answer)
    # From then on a miss, with the file gone, and room for the object.
    bad = [region for region in places if region != "padding"]
    assert set(run_client(agent.address, pull_statuses, {region: data for region in bad}).values()) == {NOT_FOUND}
    assert not any(os.path.exists(paths[region]) for region in bad)
    run_client(agent.address, push_all, {region: data for region in bad[:3]})
    run_client(agent.address, pull_all, dict({region: data for region in bad[:3]}, **LIVE))
    agent.stop()


# --- files of others ---


def test_files_of_others_are_left_alone(make_agent, run_client):
    agent = make_agent()
    run_client(agent.address, push_all, LIVE)
    agent.stop()
    foreign = {"notes.txt": b"mine", "objects/0/0/readme": b"mine too", "tmp/w0-1.bak": b"and this",
               "objects/0/0/" + "0" * 31 + ".obj": b"nearly a name", "tmp/other/file": b"deep"}
    for name, text in foreign.items():
        path = agent.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text)
    link = agent.root / "objects" / "1" / "1" / ("1" * 32 + ".obj")
    target = agent.folder / "outside"
    target.write_bytes(b"outside of the store")
    link.symlink_to(target)
    agent.start()
    run_client(agent.address, pull_all, LIVE)
    run_client(agent.address, push_all, {"new/%d" % i: pattern(i, 100000) for i in range(20)})
    agent.stop()
    agent.start()
    for name, text in foreign.items():
        assert (agent.root / name).read_bytes() == text, name
    assert target.read_bytes() == b"outside of the store"
    run_client(agent.address, pull_all, LIVE)
    agent.stop()


def test_a_folder_of_others_needs_to_be_asked_for(make_agent, tmp_path):
    (tmp_path / "agent" / "store").mkdir(parents=True)
    (tmp_path / "agent" / "store" / "thesis.tex").write_bytes(b"do not lose me")
    with pytest.raises(AgentEnded):
        make_agent()
    assert (tmp_path / "agent" / "store" / "thesis.tex").read_bytes() == b"do not lose me"
    assert sorted(os.listdir(tmp_path / "agent" / "store")) == ["thesis.tex"]
    assert "--format" in (tmp_path / "agent" / "agent.log").read_text()


def test_a_second_agent_on_a_root_is_refused(make_agent, run_client):
    agent = make_agent()
    run_client(agent.address, push_all, LIVE)
    with pytest.raises(AgentEnded):
        make_agent("second", options=["--root", str(agent.root)])
    log = (agent.folder.parent / "second" / "agent.log").read_text()
    assert "in use" in log and str(agent.process.pid) in log
    run_client(agent.address, pull_all, LIVE)
    agent.stop()
    # A lock is of a living agent, not of a file.
    agent.start()
    agent.kill()
    agent.start()
    run_client(agent.address, pull_all, LIVE)
    agent.stop()


# --- a root that vanishes ---


def test_a_root_that_vanishes_is_misses_and_errors(make_agent, run_client):
    agent = make_agent(workers=2)
    before = gauges(agent)
    run_client(agent.address, push_all, LIVE)
    shutil.rmtree(agent.root)
    answers = run_client(agent.address, pull_statuses, LIVE)
    # What is open in the agent is still there, as long as it is.
    assert set(answers.values()) <= {"right", NOT_FOUND, IO_ERROR}
    assert set(run_client(agent.address, push_statuses, LIVE)) == {IO_ERROR}
    settles_to(agent, before)
    agent.stop()
    # With the folder there again, it is a new store.
    agent.root.mkdir()
    agent.start()
    assert set(run_client(agent.address, pull_statuses, LIVE).values()) == {NOT_FOUND}
    run_client(agent.address, push_all, LIVE)
    run_client(agent.address, pull_all, LIVE)
    agent.stop()
