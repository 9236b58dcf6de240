# SPDX-License-Identifier: Apache-2.0
"""doca-emu as its own project: built, installed, moved, and used through pkg-config by programs that know nothing but
the SDK's interface. Each program is compiled as a meson build of the SDK's samples would."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PROGRAMS = Path(__file__).resolve().parent / "programs"
MODULES = ("doca-common", "doca-dma", "doca-comch", "doca-erasure-coding", "doca-argp")
HOST = "ba:00.0"
DPU = "0000:03:00.0"
TIMEOUT_S = 60

# Name: side that it runs on, and the modules beyond doca-common and doca-argp.
USES = {
    "list_devices": ("DPU", ["doca-dma", "doca-comch"]),
    "local_copy": ("DPU", ["doca-dma"]),
    "copy_host": ("HOST", []),
    "copy_dpu": ("DPU", ["doca-dma"]),
    "erasure": ("DPU", ["doca-erasure-coding"]),
    "comch_server": ("DPU", ["doca-comch"]),
    "comch_client": ("HOST", ["doca-comch"]),
}


def run(*command: str | Path, timeout: float = TIMEOUT_S, **kwargs) -> subprocess.CompletedProcess:
    return subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=timeout,
                          stdin=subprocess.DEVNULL, **kwargs)


def check(*command: str | Path, **kwargs) -> str:
    done = run(*command, **kwargs)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def install(folder: Path, api: str) -> Path:
    """Builds and installs a prefix, and moves it to where it was not installed."""
    build, first, prefix = folder / "build", folder / "first", folder / "moved" / "prefix"
    launcher = ["-DCMAKE_C_COMPILER_LAUNCHER=ccache"] if shutil.which("ccache") else []
    check("cmake", "-S", ROOT / "doca-emu", "-B", build, f"-DBC_DOCA_EMU_API={api}", "-DCMAKE_BUILD_TYPE=Release",
          "-DCMAKE_INSTALL_LIBDIR=lib", *launcher)
    check("cmake", "--build", build, "--parallel", "2", timeout=300)
    check("cmake", "--install", build, "--prefix", first)
    prefix.parent.mkdir()
    first.rename(prefix)
    return prefix


class Prefix:
    def __init__(self, path: Path):
        self.path = path
        self.env = {**os.environ, "PKG_CONFIG_PATH": str(path / "lib" / "pkgconfig")}
        self.env.pop("LD_LIBRARY_PATH", None)

    def pkg_config(self, *arguments: str) -> str:
        return check("pkg-config", *arguments, env=self.env).strip()

    def compile(self, name: str, to: Path, *, static: bool = False) -> Path:
        side, modules = USES[name]
        compiler = os.environ.get("CC", "cc")
        flags = self.pkg_config("--cflags", "doca-common", "doca-argp", *modules).split()
        libs = self.pkg_config("--libs", *(["--static"] if static else []), "doca-common", "doca-argp", *modules)
        if static:
            libs = re.sub(r"-l(doca_\w+)", r"-l:lib\1.a", libs)
        program = to / name
        check(compiler, "-std=gnu11", "-Wall", "-Wextra", "-Werror", "-O1", "-g", "-D", "DOCA_ALLOW_EXPERIMENTAL_API",
              f"-DDOCA_ARCH_{side}", *flags, PROGRAMS / f"{name}.c", PROGRAMS / "common.c", "-o", program, *libs.split())
        return program


@pytest.fixture(scope="session")
def prefix(tmp_path_factory) -> Prefix:
    return Prefix(install(tmp_path_factory.mktemp("prefix"), "3.0"))


@pytest.fixture(scope="session")
def programs(prefix, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("programs")
    for name in USES:
        prefix.compile(name, folder)
    return folder


@pytest.fixture
def world(tmp_path, monkeypatch):
    """Exports and servers of this test are seen by this test alone."""
    monkeypatch.setenv("DOCA_EMU_WORLD", str(tmp_path / "world"))
    (tmp_path / "world").mkdir()


def test_modules_tell_where_they_are_and_what_they_need(prefix):
    for module in MODULES:
        assert prefix.pkg_config("--modversion", module) == "3.0.0058"
        assert Path(prefix.pkg_config("--variable=libdir", module)).resolve() == prefix.path / "lib"
        library = "lib" + module.replace("-", "_")
        assert (prefix.path / "lib" / f"{library}.a").is_file()
        assert (prefix.path / "lib" / f"{library}.so").is_file()
        libs = prefix.pkg_config("--libs", module).split()
        assert "-ldoca_common" in libs
    assert "-lisal" in prefix.pkg_config("--libs", "--static", "doca-erasure-coding")


def test_nothing_of_the_build_is_left_in_the_prefix(prefix):
    for file in (prefix.path / "lib" / "pkgconfig").iterdir():
        assert "/tmp" not in file.read_text() and str(ROOT) not in file.read_text()
    headers = {file.name for file in (prefix.path / "include").iterdir()}
    assert {"doca_argp.h", "doca_comch.h", "doca_dma.h", "doca_erasure_coding.h", "doca_version.h"} <= headers


def test_devices_and_representors_are_listed(programs, world):
    lines = check(programs / "list_devices").splitlines()
    assert lines[0].startswith("device 0000:ba:00.0 mlx5_0 exports 1 imports 0 dma 1 2097152 x 64")
    assert lines[1].startswith("device 0000:03:00.0 mlx5_1 exports 0 imports 1 dma 1")
    assert lines[2].startswith("  representor 0000:ba:00.0 type 0 vuid ")
    assert len(lines) == 3


@pytest.mark.parametrize("pieces", [1, 5])
def test_local_copy(programs, world, pieces):
    out = check(programs / "local_copy", "-p", DPU, "-t", "a text to copy", "-np", str(pieces))
    assert "copied 15 bytes: a text to copy" in out


def test_program_linked_with_the_static_libraries(prefix, tmp_path, world):
    program = prefix.compile("local_copy", tmp_path, static=True)
    assert "libdoca" not in check("ldd", program)
    assert "copied 6 bytes: hello" in check(program, "-p", DPU, "--text", "hello")


@pytest.mark.parametrize("pieces", [1, 3])
def test_erasure_coding(programs, world, pieces):
    out = check(programs / "erasure", "-p", DPU, "-t", "redundancy", "--pieces", str(pieces))
    assert out.splitlines() == ["update: right", "recover: right"]


class Exporter:
    """copy_host, which holds its memory until it is told to go on."""

    def __init__(self, programs: Path, folder: Path, *arguments: str):
        self.files = ["-d", folder / "desc", "-b", folder / "info"]
        command = [programs / "copy_host", "-p", HOST, *self.files, *arguments]
        self.process = subprocess.Popen([str(word) for word in command], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        text=True)
        assert self.process.stdout.readline() == "ready\n"

    def finish(self) -> str:
        out, _ = self.process.communicate("\n", timeout=TIMEOUT_S)
        assert self.process.returncode == 0
        return out

    def kill(self):
        self.process.kill()
        self.process.communicate(timeout=TIMEOUT_S)


@pytest.fixture
def exporter(programs, tmp_path, world):
    started = []

    def start(*arguments: str) -> Exporter:
        started.append(Exporter(programs, tmp_path, *arguments))
        return started[-1]

    yield start
    for one in started:
        one.kill()


@pytest.mark.parametrize("pieces", [1, 4])
def test_host_to_dpu(programs, exporter, pieces):
    host = exporter("-t", "text of the host")
    out = check(programs / "copy_dpu", "-p", DPU, *host.files, "-np", str(pieces))
    assert out.splitlines() == ["status DOCA_SUCCESS", "local: text of the host"]
    assert host.finish() == "memory: text of the host\n"


def test_dpu_to_host(programs, exporter):
    host = exporter("-t", "text of the host", "-w")
    check(programs / "copy_dpu", "-p", DPU, *host.files, "-w", "-t", "what the DPU says")
    assert host.finish() == "memory: what the DPU say\n"


def test_write_into_a_read_only_export_fails(programs, exporter):
    host = exporter("-t", "text of the host")
    done = run(programs / "copy_dpu", "-p", DPU, *host.files, "-w", "-t", "what the DPU says")
    assert done.returncode != 0 and "status DOCA_ERROR_IO_FAILED" in done.stdout
    assert host.finish() == "memory: text of the host\n"


def test_import_by_the_wrong_function_fails(programs, exporter):
    host = exporter("-t", "text of the host")
    done = run(programs / "copy_dpu", "-p", HOST, *host.files)
    assert done.returncode != 0 and "create_from_export" in done.stderr
    assert "status" not in done.stdout


def test_import_after_the_exporter_died_fails(programs, exporter):
    host = exporter("-t", "text of the host")
    host.kill()
    done = run(programs / "copy_dpu", "-p", DPU, *host.files)
    assert done.returncode != 0 and "create_from_export" in done.stderr


def test_comch_message_and_answer(programs, world):
    server = subprocess.Popen([programs / "comch_server", "-p", DPU, "-r", HOST, "-t", "pong"], stdout=subprocess.PIPE,
                              text=True)
    try:
        assert server.stdout.readline() == "ready\n"
        assert check(programs / "comch_client", "-p", HOST, "-t", "ping") == "answer: pong\n"
        out, _ = server.communicate(timeout=TIMEOUT_S)
        assert out.splitlines() == ["message: ping", "client is gone"]
        assert server.returncode == 0
    finally:
        server.kill()
        server.communicate(timeout=TIMEOUT_S)


def test_comch_without_a_server_comes_back_to_idle(programs, world):
    done = run(programs / "comch_client", "-p", HOST, "-t", "ping")
    assert done.returncode != 0 and "There is no server" in done.stderr


def test_arguments(programs, tmp_path):
    copy = programs / "local_copy"
    usage = check(copy, "--help")
    for word in ("--version", "--log-level", "--sdk-log-level", "--json", "-np, --pieces", "(mandatory)"):
        assert word in usage
    assert check(copy, "-v") == "compiled 3.0.0058, running 3.0.0058\n"
    for wrong, complaint in (
        (["-t", "x"], "--pci-addr is missing"),
        (["-p"], "'-p' needs a value"),
        (["-p", DPU, "--nothing"], "unknown argument '--nothing'"),
        (["-p", DPU, "left over"], "unknown argument 'left over'"),
        (["-p", DPU, "-np", "3x"], "--pieces: '3x' is not a whole number"),
        (["-p", DPU, "-np", "0"], "--pieces: '0' was refused"),
        (["-p", DPU, "-p", DPU], "--pci-addr is given more than once"),
        (["-p", DPU, "--write=yes"], "takes no value"),
        (["-p", "0000:0000:03:00.0"], "--pci-addr: '0000:0000:03:00.0' was refused"),
        (["-p", DPU, "-w"], "do not go together"),
        (["-p", DPU, "-l", "55x"], "is not a whole number"),
        (["-p", DPU, "-l", "5000"], "--log-level: '5000' was refused"),
        (["-p", DPU, "-j", tmp_path / "nothing"], "cannot be read"),
    ):
        done = run(copy, *wrong)
        assert done.returncode != 0 and complaint in done.stderr, (wrong, done.stderr)
        assert "Usage: local_copy" in done.stdout


def test_arguments_in_every_form(programs, world):
    copy = programs / "local_copy"
    for arguments in (["-p", DPU, "-t", "same"], [f"-p{DPU}", "-tsame"], ["--pci-addr", DPU, "--text", "same"],
                      [f"--pci-addr={DPU}", "--text=same"], ["-p", DPU, "-t", "same", "-np=2"]):
        assert "copied 5 bytes: same" in check(copy, *arguments)


def test_log_levels(programs, world):
    copy = programs / "local_copy"
    assert "Done" in check(copy, "-p", DPU, "-t", "x")
    quiet = run(copy, "-p", DPU, "-t", "x", "-l", "40")
    assert quiet.returncode == 0 and "Done" not in quiet.stdout + quiet.stderr
    assert "The context went from state" in check(copy, "-p", DPU, "-t", "x", "-l", "60")
    sdk = run(copy, "-p", DPU, "-t", "x", "--sdk-log-level", "50")
    assert sdk.returncode == 0 and "software emulation" in sdk.stderr


def test_arguments_from_a_json_file(programs, tmp_path, world):
    file = tmp_path / "arguments.json"

    def write(general: dict, program: dict):
        file.write_text(json.dumps({"doca_general_flags": general, "doca_program_flags": program}))

    write({"log-level": 40}, {"pci-addr": DPU, "text": "from a file", "pieces": 2, "write": False})
    out = check(programs / "local_copy", "-j", file)
    assert "copied 12 bytes: from a file" in out and "Done" not in out
    write({}, {"pci-addr": DPU, "pieces": "2"})
    assert "has a wrong type" in run(programs / "local_copy", "-j", file).stderr
    write({}, {"pci-addr": DPU, "nothing": 1})
    assert "has no parameter 'nothing'" in run(programs / "local_copy", "--json", file).stderr


def test_experimental_functions_warn_unless_allowed(prefix, tmp_path):
    source = tmp_path / "warn.c"
    source.write_text("#include <doca_erasure_coding.h>\n#include <doca_dma.h>\n"
                      "int main(void) { return doca_ec_destroy(0) != doca_dma_destroy(0); }\n")
    flags = prefix.pkg_config("--cflags", "doca-erasure-coding", "doca-dma").split()
    done = run(os.environ.get("CC", "cc"), "-fsyntax-only", *flags, source)
    assert done.returncode == 0
    assert done.stderr.count("warning") == 1 and "doca_ec_destroy" in done.stderr


def test_prefix_in_the_shape_of_2_7(tmp_path, world):
    old = Prefix(install(tmp_path, "2.7"))
    assert old.pkg_config("--modversion", "doca-dma") == "2.7.0085"
    server = old.compile("comch_server", tmp_path)  # takes the name of 2.7 for an event
    assert check(server, "-v") == "compiled 2.7.0085, running 2.7.0085\n"
    assert "copied 2 bytes: x" in check(old.compile("local_copy", tmp_path), "-p", DPU, "-t", "x")
