# SPDX-License-Identifier: Apache-2.0
"""A NIXL agent without NIXL, for what cannot be ordered from a real one: objects lie in a dictionary, and the test
says when a transfer ends and how. Numbers name objects in one flat map, as in NIXL's own object plugins."""

import ctypes
import threading
import time


class FakeError(Exception):
    """Any of the exceptions that NIXL's binding raises."""


class World:
    """What a test orders and sees. install() puts fake agents in the place of NIXL's."""

    def __init__(self):
        self.objects = {}
        self.hold = set()  # operations, "READ" or "WRITE", that stay in progress
        self.outcome = {}  # of an operation: "ERR", or an exception; DONE without one
        self.query_error = None
        self.queries = []  # how many keys each asked for
        self.agents = []
        self.reused = []  # numbers that were registered while they named another object
        self.overlaps = 0  # calls that another thread was in
        self.slow = 0.0  # seconds that a registration takes
        self.posted = []  # (operation, keys)
        self.params = []

    def install(self):
        from lmcache.v1.storage_backend import nixl_storage_backend

        nixl_storage_backend.NixlAgent = lambda name, conf: Agent(self)
        return self


class _Handle:
    def __init__(self, operation, pairs):
        self.operation = operation
        self.pairs = pairs  # (address, length, key)
        self.released = False


class Agent:
    def __init__(self, world):
        self.world = world
        self.names = {}  # number -> key
        self.pages = []
        self.inside = 0
        self.guard = threading.Lock()
        self.registered = []
        world.agents.append(self)

    def __getattribute__(self, name):
        """Notes calls that overlap, as they would in NIXL's own lists."""
        value = object.__getattribute__(self, name)
        if name not in ("register_memory", "deregister_memory", "prep_xfer_dlist", "make_prepped_xfer"):
            return value

        def watched(*arguments, **keywords):
            with self.guard:
                self.inside += 1
                self.world.overlaps += self.inside > 1
            try:
                return value(*arguments, **keywords)
            finally:
                with self.guard:
                    self.inside -= 1

        return watched

    def create_backend(self, backend, params):
        self.world.params.append(dict(params))

    def register_memory(self, descs, mem_type=None):
        if self.world.slow:
            time.sleep(self.world.slow)
        self.registered.append((mem_type, list(descs)))
        if mem_type == "OBJ":
            for _, _, number, key in descs:
                if number in self.names:
                    self.world.reused.append(number)
                self.names[number] = key
        else:
            self.pages = [(address, length) for address, length, _, _ in descs]
        return (mem_type, list(descs))

    def deregister_memory(self, registration):
        mem_type, descs = registration
        for _, _, number, _ in descs if mem_type == "OBJ" else ():
            self.names.pop(number, None)

    def get_xfer_descs(self, descs, mem_type=None):
        return list(descs)

    def prep_xfer_dlist(self, agent_name, descs, mem_type=None):
        return list(descs)

    def release_dlist_handle(self, handle):
        pass

    def make_prepped_xfer(self, operation, local, local_indices, remote, remote_indices):
        pairs = [(local[i][0], remote[j][1], self.names[remote[j][2]])
                 for i, j in zip(local_indices, remote_indices, strict=True)]
        return _Handle(operation, pairs)

    def release_xfer_handle(self, handle):
        assert not handle.released, "released twice"
        handle.released = True

    def transfer(self, handle):
        self.world.posted.append((handle.operation, [key for _, _, key in handle.pairs]))
        return self._state(handle)

    def check_xfer_state(self, handle):
        assert not handle.released, "looked at after its release"
        return self._state(handle)

    def _state(self, handle):
        if handle.operation in self.world.hold:
            return "PROC"
        outcome = self.world.outcome.get(handle.operation)
        if isinstance(outcome, Exception):
            raise outcome
        if outcome is None and handle.operation == "READ":
            if any(key not in self.world.objects for _, _, key in handle.pairs):
                raise FakeError("NIXL_ERR_NOT_FOUND")
            for address, length, key in handle.pairs:
                ctypes.memmove(address, self.world.objects[key], length)
        elif outcome is None:
            for address, length, key in handle.pairs:
                self.world.objects[key] = ctypes.string_at(address, length)
        return outcome or "DONE"

    def query_memory(self, descs, backend, mem_type=None):
        self.world.queries.append(len(descs))
        if self.world.query_error is not None:
            raise self.world.query_error
        return [{"size": str(len(self.world.objects[key]))} if key in self.world.objects else None
                for _, _, _, key in descs]
