# SPDX-License-Identifier: Apache-2.0
"""A NIXL program, as short as tests want it. It is used in child processes only: NIXL keeps a plugin, and the
plugin its emulated world, for the life of a process."""

import contextlib
import time

BACKEND = "DOCA_DMA_PROXY"
POLL_SECONDS = 0.0002
END_SECONDS = 60
OBJECT_MAX = 1 << 30


class Memory:
    """A registered buffer."""

    def __init__(self, client, array):
        self.client = client
        self.array = array
        self.descs = client.nixl.register_memory([(array.ctypes.data, array.nbytes, 0, "")], "DRAM",
                                                 backends=[BACKEND])

    def address(self, offset=0):
        return self.array.ctypes.data + offset

    def deregister(self):
        self.client.nixl.deregister_memory(self.descs, backends=[BACKEND])


class Client:
    """An agent of NIXL with our backend alone. Parameters that are not given come from the environment."""

    def __init__(self, name="client", **parameters):
        from nixl._api import nixl_agent, nixl_agent_config

        self.nixl = nixl_agent(name, nixl_agent_config(backends=[]))
        self.name = name
        self.nixl.create_backend(BACKEND, {key: str(value) for key, value in parameters.items()})
        self.objects = {}  # key -> (device number, registration)
        self.next_number = 1

    # --- registration ---
    def memory(self, length_or_data):
        import numpy

        if isinstance(length_or_data, int):
            array = numpy.zeros(length_or_data, dtype=numpy.uint8)
        else:
            array = numpy.frombuffer(length_or_data, dtype=numpy.uint8).copy()
        return Memory(self, array)

    def number_of(self, key):
        """The device number of a key, registered when it is new."""
        if key not in self.objects:
            number = self.next_number
            self.next_number += 1
            self.objects[key] = (number, self.register_object(number, key))
        return self.objects[key][0]

    def register_object(self, number, key, length=OBJECT_MAX):
        return self.nixl.register_memory([(0, length, number, key)], "OBJ", backends=[BACKEND])

    def deregister_object(self, registration):
        self.nixl.deregister_memory(registration, backends=[BACKEND])

    # --- transfers ---
    def prepare(self, operation, pieces):
        """operation: WRITE pushes, READ pulls. pieces: (memory, offset in it, key, offset in the object, length)."""
        local = [(memory.address(offset), length, 0) for memory, offset, _, _, length in pieces]
        remote = [(offset, length, self.number_of(key)) for _, _, key, offset, length in pieces]
        return self.prepare_raw(operation, local, remote)

    def prepare_raw(self, operation, local, remote):
        return self.nixl.initialize_xfer(operation, self.nixl.get_xfer_descs(local, "DRAM"),
                                         self.nixl.get_xfer_descs(remote, "OBJ"), self.name, backends=[BACKEND])

    def post(self, handle):
        return self.nixl.transfer(handle)

    def finish(self, handle, seconds=END_SECONDS):
        """Waits for the end: nothing when it is DONE, the bindings' exception when it failed."""
        deadline = time.monotonic() + seconds
        while self.nixl.check_xfer_state(handle) == "PROC":
            assert time.monotonic() < deadline, "the transfer does not end"
            time.sleep(POLL_SECONDS)

    def run(self, operation, pieces, seconds=END_SECONDS):
        handle = self.prepare(operation, pieces)
        try:
            if self.post(handle) == "PROC":
                self.finish(handle, seconds)
        finally:
            self.nixl.release_xfer_handle(handle)

    # --- whole objects ---
    def push(self, key, data, seconds=END_SECONDS):
        memory = self.memory(data)
        try:
            self.run("WRITE", [(memory, 0, key, 0, len(data))], seconds)
        finally:
            memory.deregister()

    def pull(self, key, length, offset=0, seconds=END_SECONDS):
        memory = self.memory(length)
        try:
            self.run("READ", [(memory, 0, key, offset, length)], seconds)
            return memory.array.tobytes()
        finally:
            memory.deregister()

    def query(self, keys):
        """A list of sizes; None for an object that is not there."""
        found = self.nixl.query_memory([(0, 1, number, key) for number, key in enumerate(keys)], BACKEND, "OBJ")
        return [None if info is None else int(info["size"]) for info in found]


@contextlib.contextmanager
def fails_with(*names):
    """The block must raise one of the bindings' exceptions: NotFound, Backend, RemoteDisconnect, Cancelled, ..."""
    try:
        yield
    except Exception as error:
        expected = ["nixl%sError" % name for name in names]
        if type(error).__name__ not in expected:
            raise AssertionError("%r, and not %s" % (error, " or ".join(expected))) from error
    else:
        raise AssertionError("nothing failed; %s was expected" % " or ".join(names))


def pattern(seed, length):
    """Reproducible bytes."""
    import numpy

    words = numpy.random.Generator(numpy.random.Philox(key=seed)).integers(
        0, 2 ** 64, (length + 7) // 8, dtype=numpy.uint64)
    return words.view(numpy.uint8)[:length].tobytes()
