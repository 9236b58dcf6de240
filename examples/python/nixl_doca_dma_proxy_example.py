#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Pushes a buffer or a file to an object of a BlueCache agent through NIXL's backend DOCA_DMA_PROXY, or pulls
it back. README.md beside this file has commands to copy.

Exit status: 0 done, 1 no such object or wrong bytes, 2 usage, 3 no agent (or no plugin) to work with.
"""

import argparse
import glob
import hashlib
import os
import sys
import time

BACKEND = "DOCA_DMA_PROXY"
PLUGIN = "libplugin_%s.so" % BACKEND
DEFAULT_PORT = 18517
MIB = 1 << 20
OBJECT_BYTES_MAX = 1 << 30
DEVICE_ID_OF_OBJECT = 1  # NIXL tells objects apart by this number; any will do while there is only one

EXIT_MISS = 1
EXIT_USAGE = 2
EXIT_NO_AGENT = 3


class Problem(Exception):
    """What went wrong, in a sentence, and the exit status that goes with it."""

    def __init__(self, status, text):
        super().__init__(text)
        self.status = status


# --- options ------------------------------------------------------------------------------------
def parse_options(arguments):
    parser = argparse.ArgumentParser(
        description="Push bytes to an object of a BlueCache agent through NIXL, or pull them back.")
    parser.add_argument("-o", "--operation", choices=("push", "pull"), required=True)
    parser.add_argument("-p", "--pci", default="", metavar="PCI",
                        help="the BlueField's PCI function on this host, for example 0000:ba:00.0 "
                             "(default: the only one)")
    parser.add_argument("-g", "--gpu", default="cpu", metavar="GPU",
                        help="number of the GPU whose memory is used, or cpu for host memory (default: cpu)")
    parser.add_argument("-f", "--object", required=True, metavar="OBJECT", help="the object's key")
    parser.add_argument("-s", "--size", type=int, default=64, metavar="MB",
                        help="bytes to move without --input and --output, in units of 1,048,576 (default: 64)")
    parser.add_argument("-d", "--dpu", default="127.0.0.1", metavar="DPU_IP[:PORT]",
                        help="where the agent listens (default: 127.0.0.1, port %d); with -m comch the name of its "
                             "service (an address stands for the usual one)" % DEFAULT_PORT)
    parser.add_argument("-m", "--mode", choices=("tcp", "comch"), default="tcp",
                        help="how control messages travel: over a network, or through the BlueField itself "
                             "(default: tcp)")
    parser.add_argument("--input", metavar="FILE", help="push this file's bytes instead of a pattern")
    parser.add_argument("--output", metavar="FILE", help="write what was pulled to this file")
    parser.add_argument("--sha256", metavar="HEX", help="what the pulled bytes must hash to")
    parser.add_argument("--timeout", type=float, default=120, metavar="SECONDS",
                        help="give up after this long (default: 120)")
    options = parser.parse_args(arguments)
    if options.operation == "push" and (options.output or options.sha256):
        parser.error("--output and --sha256 are for -o pull")
    if options.operation == "pull" and options.input:
        parser.error("--input is for -o push")
    if options.gpu != "cpu" and not options.gpu.isdigit():
        parser.error("-g takes the number of a GPU, or cpu")
    if not 0 < options.size <= OBJECT_BYTES_MAX // MIB:
        parser.error("-s must be from 1 to %d: an object has at most 1 GiB" % (OBJECT_BYTES_MAX // MIB))
    if options.timeout <= 0:
        parser.error("--timeout must be more than 0")
    if not options.object:
        parser.error("-f must not be empty")
    return options


def address_of(dpu):
    """DPU_IP[:PORT] with the port; an IPv6 address with a port is written [ADDRESS]:PORT."""
    if dpu.startswith("["):
        return dpu if "]:" in dpu else "%s:%d" % (dpu, DEFAULT_PORT)
    if dpu.count(":") > 1:
        return "[%s]:%d" % (dpu, DEFAULT_PORT)
    return dpu if ":" in dpu else "%s:%d" % (dpu, DEFAULT_PORT)


def find_plugin():
    """Tells NIXL where the plugin is. The folder replaces the one that comes with NIXL; who needs both copies
    the plugin there, and needs no variable."""
    if os.environ.get("NIXL_PLUGIN_DIR"):
        return
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    folders = [os.path.join(root, "build", "release", "nixl-plugin"), os.path.join(root, "build", "nixl-plugin")]
    folders += sorted(glob.glob(os.path.join(root, "build", "*", "nixl-plugin")))
    for folder in folders:
        if os.path.exists(os.path.join(folder, PLUGIN)):
            os.environ["NIXL_PLUGIN_DIR"] = folder
            return


# --- bytes --------------------------------------------------------------------------------------
def pattern(key, length):
    """Bytes that look random and are the same for the same key, whoever makes them."""
    import numpy

    seed = int.from_bytes(hashlib.sha256(key.encode()).digest()[:16], "little")
    words = numpy.random.Generator(numpy.random.Philox(key=seed)).integers(
        0, 2 ** 64, (length + 7) // 8, dtype=numpy.uint64)
    return words.view(numpy.uint8)[:length]


def load_file(path):
    import numpy

    try:
        data = numpy.fromfile(path, dtype=numpy.uint8)
    except OSError as error:
        raise Problem(EXIT_USAGE, "cannot read %s: %s" % (path, error.strerror))
    if not 0 < data.size <= OBJECT_BYTES_MAX:
        raise Problem(EXIT_USAGE, "%s has %d bytes; an object made by this example has from 1 byte to 1 GiB"
                      % (path, data.size))
    return data


def digest_of(array):
    return hashlib.sha256(memoryview(array)).hexdigest()


class HostMemory:
    """A buffer of this process."""

    kind = "DRAM"
    device = 0

    def __init__(self, length):
        import numpy

        self.length = length
        self.array = numpy.zeros(length, dtype=numpy.uint8)

    def address(self):
        return self.array.ctypes.data

    def fill(self, data):
        self.array[:] = data

    def bytes(self):
        return self.array


class GpuMemory:
    """A buffer of a GPU."""

    kind = "VRAM"

    def __init__(self, length, gpu):
        import torch

        if not torch.cuda.is_available():
            raise Problem(EXIT_USAGE, "torch finds no CUDA GPU here; use -g cpu for host memory")
        if gpu >= torch.cuda.device_count():
            raise Problem(EXIT_USAGE, "there is no GPU %d; torch finds %d" % (gpu, torch.cuda.device_count()))
        self.length = length
        self.device = gpu
        self.tensor = torch.zeros(length, dtype=torch.uint8, device="cuda:%d" % gpu)
        torch.cuda.synchronize(gpu)

    def address(self):
        return self.tensor.data_ptr()

    def fill(self, data):
        import torch

        self.tensor.copy_(torch.from_numpy(data))
        torch.cuda.synchronize(self.device)

    def bytes(self):
        return self.tensor.cpu().numpy()


# --- NIXL ---------------------------------------------------------------------------------------
def start_hint(options, address):
    text = ("No backend %s for an agent at %s (its own message is above). Is the agent running?\n"
            "Start it on the DPU, or on this machine when DOCA is emulated:\n"
            "    dpu_dma_copy -p 0000:03:00.0 -m 256 -q 8 -b posix -T --root DIRECTORY" % (BACKEND, address))
    if options.mode == "comch":
        text = text.replace(" -T ", " ") + "\n(without -T: it then serves Comch; -d names its --service)"
    return text


def open_agent(options):
    find_plugin()
    os.environ.setdefault("NIXL_LOG_LEVEL", "WARN")
    try:
        from nixl._api import nixl_agent, nixl_agent_config
    except ImportError as error:
        raise Problem(EXIT_NO_AGENT, "NIXL cannot be imported (%s). scripts/setup.sh --python-latest makes an "
                      "environment that has it: build/venv-nixl-latest/bin/python" % error)
    address = address_of(options.dpu) if options.mode == "tcp" else options.dpu
    try:
        agent = nixl_agent("example-%d" % os.getpid(), nixl_agent_config(backends=[]))
        if BACKEND not in agent.get_plugin_list():
            raise RuntimeError(BACKEND + " is not among NIXL's plugins")
    except RuntimeError as error:
        raise Problem(EXIT_NO_AGENT, "%s. Build it (cmake --preset release && cmake --build --preset release) and "
                      "set NIXL_PLUGIN_DIR to the folder of %s" % (error, PLUGIN))
    parameters = {"dpu_addr": address, "mode": options.mode, "timeout_ms": str(int(options.timeout * 1000) or 1)}
    if options.pci:
        parameters["pci_addr"] = options.pci
    try:
        agent.create_backend(BACKEND, parameters)
    except Exception as error:  # the bindings' own types, which differ between versions
        raise Problem(EXIT_NO_AGENT, start_hint(options, address)) from error
    return agent


def size_of_object(agent, key):
    """None when there is no such object."""
    found = agent.query_memory([(0, 1, DEVICE_ID_OF_OBJECT, key)], BACKEND, "OBJ")[0]
    return None if found is None else int(found["size"])


def move(agent, operation, memory, key, timeout):
    """One request: the whole buffer to or from the object. Returns the seconds it took."""
    reach = [(memory.address(), memory.length, memory.device)]
    registered = agent.register_memory([reach[0] + ("",)], memory.kind, backends=[BACKEND])
    named = agent.register_memory([(0, memory.length, DEVICE_ID_OF_OBJECT, key)], "OBJ", backends=[BACKEND])
    local = agent.get_xfer_descs(reach, memory.kind)
    remote = agent.get_xfer_descs([(0, memory.length, DEVICE_ID_OF_OBJECT)], "OBJ")
    handle = agent.initialize_xfer(operation, local, remote, agent.name, backends=[BACKEND])

    begin = time.monotonic()
    state = agent.transfer(handle)
    while state == "PROC":
        # The plugin ends it by itself at its timeout_ms; this is for the case that it cannot.
        if time.monotonic() - begin > timeout + 30:
            raise RuntimeError("the transfer does not end")
        time.sleep(0.0002)
        state = agent.check_xfer_state(handle)
    seconds = time.monotonic() - begin
    if state != "DONE":
        raise RuntimeError("the transfer ended as " + state)

    agent.release_xfer_handle(handle)
    agent.deregister_memory(named, backends=[BACKEND])
    agent.deregister_memory(registered, backends=[BACKEND])
    return seconds


def run_transfer(agent, options, operation, memory):
    try:
        return move(agent, operation, memory, options.object, options.timeout)
    except Exception as error:  # as above
        raise Problem(EXIT_MISS, "%s of '%s' failed: %s (BLUECACHE_LOG=info tells more)"
                      % (options.operation, options.object, error)) from error


def make_memory(options, length):
    return HostMemory(length) if options.gpu == "cpu" else GpuMemory(length, int(options.gpu))


def report(options, memory, seconds, digest):
    print("%s '%s': %d bytes of %s in %.3f s, %.2f GB/s"
          % (options.operation, options.object, memory.length,
             "host memory" if memory.kind == "DRAM" else "GPU %d" % memory.device,
             seconds, memory.length / max(seconds, 1e-9) / 1e9))
    print("sha256 %s" % digest)


def push(options):
    data = load_file(options.input) if options.input else pattern(options.object, options.size * MIB)
    agent = open_agent(options)
    memory = make_memory(options, data.size)
    memory.fill(data)
    report(options, memory, run_transfer(agent, options, "WRITE", memory), digest_of(data))


def pull(options):
    agent = open_agent(options)
    length = size_of_object(agent, options.object)
    if length is None:
        raise Problem(EXIT_MISS, "the agent has no object '%s'; push it first (-o push)" % options.object)
    if length == 0:
        raise Problem(EXIT_MISS, "object '%s' is empty" % options.object)
    wanted = options.sha256
    if not wanted and not options.output:
        wanted = digest_of(pattern(options.object, options.size * MIB))
    memory = make_memory(options, length)
    seconds = run_transfer(agent, options, "READ", memory)
    data = memory.bytes()
    digest = digest_of(data)
    report(options, memory, seconds, digest)
    if options.output:
        try:
            data.tofile(options.output)
        except OSError as error:
            raise Problem(EXIT_USAGE, "cannot write %s: %s" % (options.output, error.strerror))
        print("written to %s" % options.output)
    if wanted and digest != wanted.lower():
        raise Problem(EXIT_MISS, "wrong bytes: sha256 %s was expected%s" % (
            wanted, "" if options.sha256 else ", that of the pattern of %d MB; an object that was pushed with "
            "--input is pulled with --output or --sha256" % options.size))
    if wanted:
        print("verified")


def main(arguments=None):
    options = parse_options(arguments)
    try:
        push(options) if options.operation == "push" else pull(options)
    except Problem as problem:
        print("error: %s" % problem, file=sys.stderr)
        return problem.status
    return 0


if __name__ == "__main__":
    sys.exit(main())
