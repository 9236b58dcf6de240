# SPDX-License-Identifier: Apache-2.0
"""dpu_dma_copy as a program: its exit status and its sentences, without a client."""

import os
import signal
import socket
import subprocess
import time

import pytest

from agent import DPU_PCI, PROGRAM, Agent

SECONDS = 30


def environment(world, **variables):
    kept = {name: value for name, value in os.environ.items()
            if not name.startswith(("BLUECACHE_", "DOCA_EMU_", "NOTIFY_"))}
    return dict(kept, DOCA_EMU_WORLD=world, **variables)


@pytest.fixture
def run(world):
    """Runs the program to its end: (status, stdout, stderr)."""

    def run_program(*arguments, **variables):
        done = subprocess.run([str(PROGRAM), *map(str, arguments)], env=environment(world, **variables),
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=SECONDS)
        return done.returncode, done.stdout, done.stderr

    return run_program


def test_help_names_every_option_of_the_readme(run):
    status, text, errors = run("--help")
    assert status == 0 and errors == ""
    for option in ("-p", "-m", "-q", "-b", "-T", "--listen", "--root", "--device", "--format", "--capacity",
                   "--config", "--workers", "--rep", "--service", "--print-config", "--preflight"):
        assert option in text.replace("--[no-]", "--")
    assert run("--version")[1].startswith("dpu_dma_copy ")


def test_config_is_printed_and_read_back(run, tmp_path):
    status, printed, _ = run("-T", "-m", "64", "--workers", "2", "-b", "dram", "--hello-timeout", "2s",
                             "--print-config", BLUECACHE_AGENT_DEPTH="32")
    assert status == 0 and "32" in printed
    file = tmp_path / "agent.yaml"
    file.write_text(printed)
    assert run("--config", file, "--print-config") == (0, printed, "")
    # The command line has the last word.
    again = run("--config", file, "-m", "128", "--print-config")[1]
    assert again != printed and "128" in again


@pytest.mark.parametrize("arguments, sentence", [
    (["-T", "-b", "tape"], "no such backend"),
    (["-T", "--no-such-option"], "no-such-option"),
    (["-T", "-q", "0"], "-q"),
    (["-T", "-m", "16", "--workers", "16"], "-m"),
    (["-T", "--chunk", "100K"], "--chunk"),
    (["-T", "stray"], "stray"),
    (["--listen", "127.0.0.1:0"], "-T"),
    (["--service", ""], "--service"),
    (["--service", "a/b"], "--service"),
    (["-T", "--config", "/no/such/file.yaml"], "/no/such/file.yaml"),
    (["-T", "--device", "/dev/null"], "--device"),
])
def test_wrong_usage_is_status_2_and_a_sentence(run, arguments, sentence):
    status, output, errors = run(*arguments)
    assert status == 2 and output == ""
    assert errors.startswith("dpu_dma_copy: ") and sentence in errors and errors.count("\n") == 1


def test_unknown_key_of_a_file_is_named_with_its_line(run, tmp_path):
    file = tmp_path / "agent.yaml"
    file.write_text("tcp: true\nworkerz: 2\n")
    status, _, errors = run("--config", file)
    assert status == 2 and "%s:2" % file in errors and "workerz" in errors


def start_arguments(root, *more):
    return ["-p", DPU_PCI, "-T", "-m", "16", "--listen", "127.0.0.1:0", "--root", root, *more]


def test_device_that_is_not_there(run, tmp_path):
    status, _, errors = run(*start_arguments(tmp_path), "-p", "0000:77:00.0")
    assert status == 1 and "0000:77:00.0" in errors and DPU_PCI in errors


def test_second_agent_on_the_same_root_is_refused(run, make_agent):
    agent = make_agent(backend="posix", memory_mb=16)
    status, _, errors = run(*start_arguments(agent.root))
    assert status == 1 and str(agent.root) in errors and str(agent.process.pid) in errors
    # The first one never noticed.
    agent.stop()
    assert run(*start_arguments(agent.root, "--preflight"))[0] == 0


def test_address_in_use_is_refused(run, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as other:
        address = "127.0.0.1:%d" % other.getsockname()[1]
        status, _, errors = run(*start_arguments(tmp_path), "--listen", address)
        assert status == 1 and address in errors and "--listen" in errors
    assert run(*start_arguments(tmp_path), "--preflight")[0] == 0


def test_read_only_root_is_refused(run, tmp_path):
    root = tmp_path / "root"
    root.mkdir()
    if os.geteuid() != 0:
        root.chmod(0o555)
        status, _, errors = run(*start_arguments(root))
    else:
        mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "ro,size=1m", "tmpfs", str(root)],
                                 capture_output=True)
        if mounted.returncode != 0:
            pytest.skip("mounting a read-only file system is not allowed here, and root may write everywhere")
        try:
            status, _, errors = run(*start_arguments(root))
        finally:
            subprocess.run(["umount", "-l", str(root)], check=True)
    assert status == 1 and str(root) in errors
    assert "Read-only" in errors or "Permission" in errors


def test_foreign_directory_is_not_made_a_store(run, tmp_path):
    (tmp_path / "thesis.doc").write_text("mine")
    status, _, errors = run(*start_arguments(tmp_path))
    assert status == 1 and "--format" in errors
    assert os.listdir(tmp_path) == ["thesis.doc"]
    assert run(*start_arguments(tmp_path, "--format", "--preflight"))[0] == 0
    assert (tmp_path / "thesis.doc").read_text() == "mine"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_ends_it_well(make_agent, workers, number):
    agent = make_agent(backend="dram", memory_mb=32, workers=workers)
    process, agent.process = agent.process, None
    process.send_signal(number)
    assert process.wait(SECONDS) == 0
    assert "draining" in agent.log() and "ended" in agent.log()


def test_signal_during_the_start_ends_it(tmp_path, world):
    agent = Agent(tmp_path / "agent", world, memory_mb=64)
    for milliseconds in (0, 2, 5, 10, 20):
        process = subprocess.Popen([*agent.command, "--listen", "127.0.0.1:0"], env=environment(world),
                                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(milliseconds / 1000)
        process.terminate()
        # Before main() has blocked the signal it ends by it; from then on it ends well.
        assert process.wait(SECONDS) in (0, -signal.SIGTERM)


def test_service_manager_is_told(tmp_path, world):
    path = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(path)
        manager.settimeout(SECONDS)
        process = subprocess.Popen([str(PROGRAM), *start_arguments(str(tmp_path / "root"))],
                                   env=environment(world, NOTIFY_SOCKET=path), stdout=subprocess.DEVNULL,
                                   stderr=subprocess.PIPE, text=True)
        try:
            if "libsystemd" not in subprocess.run(["ldd", str(PROGRAM)], capture_output=True, text=True).stdout:
                pytest.skip("built without libsystemd")
            assert b"READY=1" in manager.recv(4096)
            process.terminate()
            assert b"STOPPING=1" in manager.recv(4096)
            assert process.wait(SECONDS) == 0
        finally:
            process.kill()
            process.communicate()
