# SPDX-License-Identifier: Apache-2.0
"""New objects of 1 MiB to `posix`, beside fio and NIXL's own plugin on the same file system."""

import contextlib
import os
import shutil

import machine
from parts import MIB, OURS, STAGING_MIN, alternate, cpu_ms_per_gib, gigabytes, own_party
from programs import Failure, Program, run_fio

BATCH = 64         # objects of 1 MiB in a request
WINDOW = 2         # requests in flight
OURS_SHARED = "BlueCache, shareable memory"
THROUGH_NIXL = "BlueCache through NIXL"
NIXL = "NIXL POSIX"
DEVICE_LOW, DEVICE_HIGH = 0.98, 1.05  # of the objects' bytes: what the device must have moved


# --- the others ---------------------------------------------------------------------------------
def fio_depth(bench):
    """The agent has as many reads in flight; fio is given the same for writes."""
    return max(2 * bench.settings.depth, 16)


def fio_party(bench, folder, stat):
    """New files of 1 MiB, each created, written whole with O_DIRECT and closed; then read in the same order."""
    files = bench.settings.bytes // MIB
    common = ["--name=bench", "--directory=" + folder, "--filename_format=f.$filenum", "--ioengine=io_uring",
              "--iodepth=%d" % fio_depth(bench), "--direct=1", "--bs=1M", "--filesize=1M", "--nrfiles=%d" % files,
              "--size=%d" % bench.settings.bytes, "--file_service_type=sequential",
              "--openfiles=%d" % (2 * fio_depth(bench)), "--fallocate=none"]

    def run(_warm):
        os.mkdir(folder)
        sample = {}
        try:
            for op, kind in (("push", "write"), ("pull", "read")):
                before = machine.device_bytes(stat)
                job = run_fio([*common, "--rw=" + kind, *(["--create_on_open=1"] if op == "push" else [])])
                sample[op + "_device_bytes"] = machine.device_bytes(stat) - before
                sample["bytes"] = job[kind]["io_bytes"]
                sample[op + "_ns"] = max(1, job[kind]["runtime"]) * 1_000_000
                sample[op + "_cpu_ns"] = int((job["usr_cpu"] + job["sys_cpu"]) / 100 * job["job_runtime"] * 1e6)
        finally:
            shutil.rmtree(folder)
        if sample["bytes"] != bench.settings.bytes:
            raise Failure("fio moved %d bytes of %d" % (sample["bytes"], bench.settings.bytes))
        return sample

    return run


def nixl_program(bench, stack, part, backend, *arguments):
    """None when it cannot be measured here."""
    environment = dict(bench.environment)
    if backend == "DOCA_DMA_PROXY":
        # Takes the place of the wheel's own folder, so not for the other.
        environment["NIXL_PLUGIN_DIR"] = os.path.join(bench.settings.build, "nixl-plugin")
    script = os.path.join(os.path.dirname(os.path.abspath(__file__)), "nixl_posix.py")
    name = "NIXL's plugin " + backend
    try:
        if not os.access(bench.settings.python, os.X_OK):
            raise Failure("no Python with NIXL at %s; scripts/setup.sh --python-latest makes one"
                          % bench.settings.python)
        return stack.enter_context(
            Program(name, [bench.settings.python, script, "backend=" + backend, "ring=%d" % bench.settings.ring,
                           *arguments], bench.log("nixl-" + backend), environment))
    except Failure as failure:
        bench.skip(part, name, failure)
        return None


def nixl_files(bench, stack, part, stat):
    """NIXL's own plugin on a folder of its own."""
    folder = os.path.join(bench.scratch, "nixl")
    os.makedirs(folder, exist_ok=True)
    return nixl_program(bench, stack, part, "POSIX", "root=" + folder, "queue=" + bench.settings.nixl_queue,
                        *(["device=" + stat] if stat else []))


def through_nixl_party(bench, proxy, ours, checker, shape):
    objects = shape[0] * shape[2]

    def run(_warm):
        seed = next(bench.seeds)
        prefix = "nixl/%d/" % seed
        sample = proxy.ask("round", *shape, seed)
        checker.ask("check", prefix, shape[1], objects, 1, seed)
        ours.ask("remove", prefix, objects)  # NIXL has no call for it
        return sample

    return run


# --- rows ---------------------------------------------------------------------------------------
def posix_parties(bench, stack, agent, stat):
    shape = (BATCH, MIB, bench.settings.bytes // MIB // BATCH, WINDOW)
    device = ["device=" + stat] if stat else []
    checker = stack.enter_context(bench.checker(agent))
    malloc = stack.enter_context(bench.client(agent, "malloc", *device))
    shared = stack.enter_context(bench.client(agent, "shared", *device))
    parties = {OURS: own_party(bench, malloc, checker, shape, remove=True),
               OURS_SHARED: own_party(bench, shared, checker, shape, remove=True)}
    if shutil.which("fio") is None:
        bench.skip("posix", "fio", "fio is not installed; scripts/setup.sh --bench installs it")
    else:
        parties["fio"] = fio_party(bench, os.path.join(bench.scratch, "fio"), stat)
    theirs = nixl_files(bench, stack, "posix", stat)
    if theirs is not None:
        parties[NIXL] = lambda _warm: theirs.ask("round", *shape, next(bench.seeds))
        proxy = nixl_program(bench, stack, "posix", "DOCA_DMA_PROXY", "addr=" + agent.address, *device)
        if proxy is not None:
            parties[THROUGH_NIXL] = through_nixl_party(bench, proxy, malloc, checker, shape)
    return parties


def device_note(samples, peer_samples, op, stat):
    """Whether the device moved the bytes that the programs say; what is wrong otherwise."""
    if stat is None:
        return "device bytes not checked: the file system's device is not in /sys/dev/block"
    words = []
    for who, some in (("BlueCache", samples), ("the other", peer_samples)):
        shares = sorted(sample[op + "_device_bytes"] / sample["bytes"] for sample in some)
        if shares[0] < DEVICE_LOW or shares[-1] > DEVICE_HIGH:
            words.append("%s: %.2f to %.2f of the objects' bytes" % (who, shares[0], shares[-1]))
    return "the device moved other than the objects' bytes; " + "; ".join(words) if words else "device bytes agree"


def posix_rows(bench, samples, stat):
    pairs = [(OURS_SHARED, "shareable memory", "fio", 0.85), (OURS, "malloc'd memory", "fio", 0.85),
             (OURS, "malloc'd memory", NIXL, 1.0), (OURS_SHARED, "shareable memory", NIXL, 1.0),
             (THROUGH_NIXL, "malloc'd memory, through NIXL", NIXL, 1.0)]
    pairs = [pair for pair in pairs if pair[0] in samples and pair[2] in samples]
    for op in ("push", "pull"):
        for name, how, peer, aim in pairs:
            bench.row("posix", "%s 1 MiB objects, %s" % (op, how), peer, "GB/s", gigabytes(samples[name], op),
                      gigabytes(samples[peer], op), "higher", ("ratio", ">=", aim),
                      note=device_note(samples[name], samples[peer], op, stat))
    done = set()
    for op in ("push", "pull"):
        for name, how, peer, _ in pairs:
            if (op, name) in done:
                continue
            done.add((op, name))
            what = "posix %s, %s" % (op, how)
            theirs = cpu_ms_per_gib(samples[peer], op)
            bench.row("cpu", "host, " + what, peer, "ms/GiB", cpu_ms_per_gib(samples[name], op), theirs, "lower")
            if name != THROUGH_NIXL:
                bench.row("cpu", "agent, " + what, peer, "ms/GiB",
                          cpu_ms_per_gib(samples[name], op, "_agent_cpu_ns"), theirs, "lower")


def measure_posix(bench):
    """new objects of 1 MiB to posix with O_DIRECT (4 GiB, or --bytes) against fio and NIXL's plugin POSIX, with the
    device's bytes from /sys; the same through NIXL; processor time"""
    store = os.path.join(bench.scratch, "store")
    os.mkdir(store)
    stat = machine.device_stat(bench.settings.root)
    with contextlib.ExitStack() as stack:
        agent = stack.enter_context(bench.agent("posix", STAGING_MIN, "--root", store))
        samples = alternate(bench, "posix", posix_parties(bench, stack, agent, stat))
    shutil.rmtree(store)
    posix_rows(bench, samples, stat)
