"""No child of a closed stage reaches the network, and an attempt ends the run even if its error is caught."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import socket
import struct
import subprocess
import sys
import textwrap
import threading
from typing import TYPE_CHECKING, NamedTuple, Self

import pytest

from qlib_shadow_runner.contract import Reason
from qlib_shadow_runner.guard import network_attempt as report
from qlib_shadow_runner.guard.landlock import landlock_abi
from qlib_shadow_runner.guard.layers import available_layers
from qlib_shadow_runner.guard.seccomp import ARCHITECTURES, assemble, filter_source

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

SUPERVISE = """
    import json, os, sys
    from qlib_shadow_runner.contract import Stage
    from qlib_shadow_runner.errors import StageError
    from qlib_shadow_runner.process.supervisor import Supervisor
    closed, command = json.loads(sys.argv[1])
    supervisor = Supervisor(Stage.QRUN, closed=closed)
    supervisor.listen()
    told = {}
    try:
        told["code"] = supervisor.run(command, environ=os.environ, cwd=os.getcwd())
    except StageError as error:
        told |= {"reason": error.reason, "message": error.message, "code": int(error.exit_code)}
    print(json.dumps(told | {"layers": supervisor.layers}))
"""
STAY = """
except BaseException:
    pass
import signal
signal.pause() if {stay} else None
"""
"""Catches every error and never ends, so that the supervisor has to end it."""


class Servers(NamedTuple):
    """A TCP and a UDP server on one port of this machine."""

    tcp: socket.socket
    udp: socket.socket

    @property
    def port(self) -> int:
        """Return the port that both have."""
        return int(self.tcp.getsockname()[1])

    def heard(self) -> bool:
        """Return whether a client has connected or sent something."""
        try:
            self.tcp.accept()[0].close()
        except BlockingIOError:
            try:
                self.udp.recv(1)
            except BlockingIOError:
                return False
        return True


def listen() -> Servers | None:
    """Return servers on a free port; None where another process has the UDP port of that number."""
    tcp, udp = socket.create_server(("127.0.0.1", 0)), socket.socket(type=socket.SOCK_DGRAM)
    try:
        udp.bind(tcp.getsockname())
    except OSError as error:
        tcp.close()
        udp.close()
        if error.errno != errno.EADDRINUSE:
            raise
        return None
    for listening in (tcp, udp):
        listening.setblocking(False)  # noqa: FBT003 - it is the only argument
    return Servers(tcp, udp)


@pytest.fixture
def servers() -> Iterator[Servers]:
    """Listen on a port of 127.0.0.1."""
    found = listen()
    while found is None:
        found = listen()
    with found.tcp, found.udp:
        yield found


def supervise(
    command: Sequence[str], folder: Path, *, closed: bool = True, environ: dict[str, str] | None = None
) -> dict[str, object]:
    """Run a command as a stage does, in a process of its own, and return its result."""
    script = textwrap.dedent(SUPERVISE)
    done = subprocess.run(
        [sys.executable, "-c", script, json.dumps([closed, list(command)])],
        env={**os.environ, **(environ or {})},
        cwd=folder,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        timeout=120,
    )
    told: dict[str, object] = json.loads(done.stdout.splitlines()[-1])
    return told


def python(code: str, *, stay: bool, isolated: bool = False) -> list[str]:
    """Return the command of a Python program that tries, catches everything and stays."""
    lines = textwrap.dedent(code).strip().splitlines()
    body = "try:\n" + textwrap.indent("\n".join(lines), "    ") + STAY.format(stay=stay)
    return [sys.executable, *(["-I"] if isolated else []), "-c", body]


CONNECT = 'import socket; socket.create_connection(("127.0.0.1", PORT), 5)'
RAW_CONNECT = 'import socket; socket.socket().connect(("127.0.0.1", PORT))'
SENDTO = 'import socket; socket.socket(type=socket.SOCK_DGRAM).sendto(b"x", ("127.0.0.1", PORT))'
SENDMSG = 'import socket; socket.socket(type=socket.SOCK_DGRAM).sendmsg([b"x"], [], 0, ("127.0.0.1", PORT))'
NATIVE = """
    import ctypes, socket, struct
    libc = ctypes.CDLL(None)
    address = struct.pack("=HH4s8x", 2, socket.htons(PORT), socket.inet_aton("127.0.0.1"))
    libc.connect(libc.socket(2, 1, 0), address, 16)
"""
ASYNC = """
    import asyncio
    asyncio.run(asyncio.wait_for(asyncio.open_connection("127.0.0.1", PORT), 5))
"""
SPAWNED = """
    import multiprocessing, socket
    socket.AF_INET
    process = multiprocessing.get_context("spawn").Process(
        target=socket.create_connection, args=(("127.0.0.1", PORT), 5)
    )
    process.start(); process.join()
"""
NON_BLOCKING = """
    import select, socket
    client = socket.socket(); client.setblocking(False)
    client.connect_ex(("127.0.0.1", PORT))
    select.select([], [client], [], 5)
"""


def grandchild(code: str, *flags: str) -> str:
    """Return code that lets a child of the child do it."""
    program = [*flags, "-c", textwrap.dedent(code)]
    return (
        f"import subprocess, sys; subprocess.run([sys.executable, *{program!r}], stderr=subprocess.DEVNULL)"
    )


def escaped(code: str) -> str:
    """Return code that lets a grandchild do it that has left the process group."""
    return f"""
    import subprocess, sys
    subprocess.Popen([sys.executable, "-c", {textwrap.dedent(code)!r}], start_new_session=True).wait()
"""


PYTHONS: dict[str, tuple[str, bool]] = {
    "Python": (CONNECT, False),
    "Python, by hand": (RAW_CONNECT, False),
    "Python over UDP": (SENDTO, False),
    "asyncio": (ASYNC, False),
    "without blocking": (NON_BLOCKING, False),
    "a Python grandchild": (grandchild(CONNECT), False),
    "a grandchild that left the group": (escaped(CONNECT), False),
    "multiprocessing": (SPAWNED, False),
    "isolated Python": (RAW_CONNECT, True),
    "isolated Python over UDP": (SENDTO, True),
    "isolated Python, sendmsg": (SENDMSG, True),
    "an isolated grandchild": (grandchild(RAW_CONNECT, "-I"), False),
    "the C library": (NATIVE, True),
    "the C library below hooked Python": (NATIVE, False),
}


def clients(port: int, *, stay: bool) -> dict[str, list[str]]:
    """Return every program that tries to reach the port."""
    found = {
        name: python(code.replace("PORT", str(port)), stay=stay, isolated=isolated)
        for name, (code, isolated) in PYTHONS.items()
    }
    pause = "; sleep infinity" if stay else ""
    found["a shell"] = ["bash", "-c", f"exec 3<>/dev/tcp/127.0.0.1/{port}{pause}"]
    found["a shell over UDP"] = ["bash", "-c", f"echo x >/dev/udp/127.0.0.1/{port}{pause}"]
    return found


CLIENTS = list(clients(0, stay=True))


@pytest.mark.parametrize("name", CLIENTS)
def test_an_attempt_is_refused_and_ends_the_run(tmp_path: Path, servers: Servers, name: str):
    """By any program: no connection is made, and the address is reported."""
    told = supervise(clients(servers.port, stay=True)[name], tmp_path)
    assert (told["reason"], told["code"]) == (Reason.SHADOW_PROMISE_BROKEN, 12)
    assert f"tried to connect to 127.0.0.1:{servers.port} (" in str(told["message"])
    assert "spec.dataset.source" in str(told["message"])
    assert not servers.heard()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", CLIENTS)
def test_without_the_guard_the_same_attempt_succeeds(tmp_path: Path, servers: Servers, name: str):
    """So the test above can fail."""
    told = supervise(clients(servers.port, stay=False)[name], tmp_path, closed=False)
    assert "reason" not in told
    assert servers.heard()


@pytest.mark.parametrize(
    ("code", "address"),
    [
        ('import socket; socket.create_connection(("::1", 443), 5)', "[::1]:443"),
        ('import socket; socket.socket(10).connect(("2001:db8::7", 443))', "[2001:db8::7]:443"),
        ('import socket; socket.socket(10, 2).sendto(b"x", ("::1", 53))', "[::1]:53"),
    ],
)
@pytest.mark.parametrize("isolated", [False, True], ids=["hooked", "isolated"])
def test_ipv6_addresses_are_reported(tmp_path: Path, code: str, address: str, *, isolated: bool):
    """By Python's hook or by the kernel alone."""
    told = supervise(python(code, stay=True, isolated=isolated), tmp_path)
    assert told["reason"] == Reason.SHADOW_PROMISE_BROKEN
    assert f"tried to connect to {address} (" in str(told["message"])


@pytest.mark.parametrize(
    ("code", "address"),
    [
        ('import urllib.request; urllib.request.urlopen("https://broker.example/")', "broker.example:443"),
        ('import socket; socket.gethostbyname("broker.example")', "broker.example"),
        ('import socket; socket.getaddrinfo("localhost", 5000)', "localhost:5000"),
    ],
)
def test_names_are_reported_as_they_were_looked_up(tmp_path: Path, code: str, address: str):
    """The name says more than the number would."""
    told = supervise(python(code, stay=True), tmp_path)
    assert told["reason"] == Reason.SHADOW_PROMISE_BROKEN
    assert f"tried to connect to {address} (" in str(told["message"])


def test_a_lookup_by_native_code_is_reported_as_the_name_server(tmp_path: Path):
    """The kernel sees only the address that the C library connects to."""
    lookup = python('import socket; socket.gethostbyname("broker.example")', stay=True, isolated=True)
    told = supervise(lookup, tmp_path)
    assert told["reason"] == Reason.SHADOW_PROMISE_BROKEN
    assert ":53 (" in str(told["message"])


def test_the_line_of_code_is_reported(tmp_path: Path):
    """The innermost line that is not the standard library's."""
    program = tmp_path / "leak.py"
    program.write_text("import urllib.request\n\n\nurllib.request.urlopen('http://broker.example/')\n")
    told = supervise([sys.executable, str(program)], tmp_path)
    assert "leak.py, process " in str(told["message"])
    assert f", at {program}:4)" in str(told["message"])


PROBES = """
    import multiprocessing, os, socket, subprocess
    probe = socket.socket(socket.AF_INET6)          # as urllib3 does when it is imported
    try:
        probe.bind(("::1", 0))
    except OSError:
        pass
    socket.socket().setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    socket.gethostname(); socket.getaddrinfo("127.0.0.1", None)
    one, two = socket.socketpair(); one.sendall(b"x"); assert two.recv(1) == b"x"
    served = socket.socket(socket.AF_UNIX); served.bind("served"); served.listen()
    socket.socket(socket.AF_UNIX).connect("served"); served.accept()
    os.remove("served")
    with multiprocessing.Manager() as manager:
        assert dict(manager.dict(a=1)) == {"a": 1}
    subprocess.run(["true"], check=True)
"""


def test_probes_and_local_sockets_are_allowed(tmp_path: Path):
    """Libraries probe for IPv6, and processes talk to each other through local sockets."""
    told = supervise([sys.executable, "-c", textwrap.dedent(PROBES)], tmp_path)
    assert told == {"code": 0, "layers": available_layers()}


class Accomplice:
    """A process that is not closed, and passes an open connection over a local socket."""

    def __init__(self, folder: Path, port: int) -> None:
        self.local = socket.socket(socket.AF_UNIX)
        self.local.bind(str(folder / "accomplice"))
        self.local.listen()
        self._folder, self._port = folder, port
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> Self:
        """Wait for one client, or for one that waits for this."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop waiting."""
        with contextlib.suppress(OSError):
            self.local.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self.local.close()

    def _serve(self) -> None:
        with contextlib.suppress(OSError), contextlib.ExitStack() as opened:
            client = opened.enter_context(self.local.accept()[0])
            connection = opened.enter_context(socket.create_connection(("127.0.0.1", self._port)))
            if client.recv(1) == b"r":  # it listens itself
                client = opened.enter_context(socket.socket(socket.AF_UNIX))
                client.connect(str(self._folder / "child"))
            socket.send_fds(client, [b"x"], [connection.fileno()])
            client.recv(1)


PASSED = """
    import os, socket
    with socket.socket(socket.AF_UNIX) as local:
        local.connect("accomplice")
        local.send(b"p")
        passed = socket.recv_fds(local, 1, 1)[1][0]
        os.write(passed, b"leaked")
"""
PASSED_INWARDS = """
    import os, socket
    with socket.socket(socket.AF_UNIX) as local, socket.socket(socket.AF_UNIX) as listening:
        listening.bind("child"); listening.listen()
        local.connect("accomplice")
        local.send(b"r")
        with listening.accept()[0] as accepted:
            passed = socket.recv_fds(accepted, 1, 1)[1][0]
        os.write(passed, b"leaked")
"""
PASSED_NATIVE = """
    import ctypes, os, socket
    with socket.socket(socket.AF_UNIX) as local:
        local.connect("accomplice")
        local.send(b"p")
        data, control = ctypes.create_string_buffer(1), ctypes.create_string_buffer(64)
        vector = (ctypes.c_void_p * 2)(ctypes.addressof(data), 1)
        at, into = ctypes.addressof(vector), ctypes.addressof(control)
        message = (ctypes.c_void_p * 8)(0, 0, at, 1, into, 64, 0, 0)
        ctypes.CDLL(None).recvmmsg(local.fileno(), message, 1, 0, None)
        os.write(int.from_bytes(control[16:20], "little"), b"leaked")
"""


def leaked(folder: Path, servers: Servers, code: str, *, closed: bool, environ: dict[str, str]) -> bytes:
    """Return what a program has sent through the connection that an accomplice passed to it."""
    with Accomplice(folder, servers.port):
        supervise(python(code, stay=False, isolated=True), folder, closed=closed, environ=environ)
    try:
        client = servers.tcp.accept()[0]
    except BlockingIOError:  # it never asked
        return b""
    with client:
        return client.recv(100)


@pytest.mark.parametrize("code", [PASSED, PASSED_INWARDS, PASSED_NATIVE], ids=["to", "from", "natively"])
def test_a_connection_that_another_process_has_opened_cannot_be_received(
    tmp_path: Path, servers: Servers, code: str
):
    """A local socket passes bytes, and no descriptors: by Python or native code, with or without Landlock."""
    assert leaked(tmp_path, servers, code, closed=False, environ={}) == b"leaked"
    for missing in (NO_LANDLOCK, NO_ASKING):
        inner = tmp_path / missing[:9].strip()
        inner.mkdir()
        assert leaked(inner, servers, code, closed=True, environ=old_kernel(inner, missing)) == b""


@pytest.mark.parametrize("call", ["pidfd_getfd", "ptrace", "process_vm_writev", "recvmsg", "recvmmsg"])
def test_calls_that_take_over_what_others_have_opened_are_refused(tmp_path: Path, call: str):
    """Before the kernel looks at their arguments, which are wrong here."""
    number = getattr(ARCHITECTURES[os.uname().machine], call)
    code = (
        "import ctypes; libc = ctypes.CDLL(None, use_errno=True); "
        f"libc.syscall({number}, -1, -1, -1, -1, -1, -1); raise SystemExit(ctypes.get_errno())"
    )
    command = [sys.executable, "-c", code]
    assert supervise(command, tmp_path)["code"] == errno.EPERM
    assert supervise(command, tmp_path, closed=False)["code"] not in (0, errno.EPERM)


@pytest.mark.parametrize("family", ["AF_NETLINK", "AF_PACKET", "AF_VSOCK"])
def test_other_socket_families_are_refused(tmp_path: Path, family: str):
    """A virtual machine's host, a raw interface."""
    code = (
        f"import socket, sys\ntry: socket.socket(socket.{family}, 3)\nexcept OSError as e: sys.exit(e.errno)"
    )
    assert supervise([sys.executable, "-c", code], tmp_path)["code"] == 97


def test_io_uring_is_refused(tmp_path: Path):
    """Its operations pass no filter."""
    code = (
        "import ctypes; libc = ctypes.CDLL(None, use_errno=True); "
        "libc.syscall(425, 1, bytes(120)); raise SystemExit(ctypes.get_errno())"
    )
    assert supervise([sys.executable, "-c", code], tmp_path)["code"] == 1


OLD_KERNEL = """
    from qlib_shadow_runner.guard import syscalls
    real = syscalls.syscall
    def old(number, *arguments):
        if {missing}:
            raise OSError(38, "Function not implemented")
        return real(number, *arguments)
    syscalls.syscall = old
"""
NO_LANDLOCK = "number == 444"
NO_ASKING = "number in (277, 317) and arguments[0] == 2"
NO_SECCOMP = "number in (277, 317)"
NOTHING = "True"


def old_kernel(folder: Path, missing: str) -> dict[str, str]:
    """Return the environment of a kernel that lacks a feature."""
    (folder / "old").mkdir()
    content = textwrap.dedent(OLD_KERNEL.format(missing=missing))
    (folder / "old" / "sitecustomize.py").write_text(content)
    return {"PYTHONPATH": str(folder / "old")}


@pytest.mark.parametrize(
    ("missing", "lacks"),
    [
        (NO_LANDLOCK, {"landlock"}),
        (NO_ASKING, {"seccomp-notify"}),
        (NO_SECCOMP, {"seccomp-notify", "seccomp"}),
        (NOTHING, {"landlock", "seccomp-notify", "seccomp"}),
    ],
    ids=["no Landlock", "no asking", "no seccomp", "none"],
)
@pytest.mark.parametrize("name", ["Python", "a Python grandchild"])
def test_on_an_old_kernel_the_other_layers_hold(
    tmp_path: Path, servers: Servers, missing: str, lacks: set[str], name: str
):
    """Each is enough to end a run for Python's usual ways; which hold is told."""
    command = clients(servers.port, stay=True)[name]
    told = supervise(command, tmp_path, environ=old_kernel(tmp_path, missing))
    layers = {layer.partition("-abi")[0] for layer in map(str, told["layers"])}  # type: ignore[call-overload]
    assert layers.isdisjoint(lacks)
    assert "audit-hook" in layers
    assert (told["reason"], servers.heard()) == (Reason.SHADOW_PROMISE_BROKEN, False)


@pytest.mark.parametrize("missing", [NO_LANDLOCK, NO_ASKING], ids=["no Landlock", "no asking"])
@pytest.mark.parametrize("name", ["the C library", "isolated Python over UDP", "asyncio", "a shell over UDP"])
def test_native_code_is_refused_by_seccomp_alone(tmp_path: Path, servers: Servers, missing: str, name: str):
    """With or without a kernel that can tell who tried."""
    command = clients(servers.port, stay=False)[name]
    supervise(command, tmp_path, environ=old_kernel(tmp_path, missing))
    assert not servers.heard()


def test_native_tcp_is_refused_by_landlock_alone(tmp_path: Path, servers: Servers):
    """Where the kernel has it; the layer is named where it holds."""
    assert landlock_abi() >= 4, "the tests need Linux 6.7 or later to see Landlock at work"
    command = clients(servers.port, stay=False)["the C library"]
    supervise(command, tmp_path, environ=old_kernel(tmp_path, NO_SECCOMP))
    assert not servers.heard()


def test_the_launcher_closes_the_network_without_a_supervisor(servers: Servers):
    """`python -m qlib_shadow_runner.guard -- command` is of use by hand."""
    launcher = [sys.executable, "-P", "-m", "qlib_shadow_runner.guard", "--"]
    for name in ("Python", "the C library", "a shell over UDP"):
        subprocess.run(
            [*launcher, *clients(servers.port, stay=False)[name]],
            check=False,
            capture_output=True,
            timeout=60,
        )
    assert not servers.heard()


def test_a_missing_command_is_reported(tmp_path: Path):
    """And the code that shells have for it."""
    launcher = [sys.executable, "-P", "-m", "qlib_shadow_runner.guard", "--", "/nowhere/qrun"]
    done = subprocess.run(launcher, check=False, capture_output=True, text=True, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (
        127,
        "/nowhere/qrun cannot be started: No such file or directory\n",
    )


def test_a_sitecustomize_of_the_image_is_loaded(tmp_path: Path):
    """A company's own base image may need it."""
    (tmp_path / "sitecustomize.py").write_text("import os; os.environ['THEIRS'] = 'yes'\n")
    code = "import os, sys; sys.exit(os.environ.get('THEIRS') != 'yes')"
    told = supervise([sys.executable, "-c", code], tmp_path, environ={"PYTHONPATH": str(tmp_path)})
    assert told["code"] == 0


def test_a_process_that_leaves_the_group_ends_with_the_stage(tmp_path: Path):
    """A daemon would go on without a supervisor."""
    code = (
        "import subprocess; p = subprocess.Popen(['sleep', 'infinity'], start_new_session=True); "
        "print(p.pid, file=open('pid', 'w'))"
    )
    supervise([sys.executable, "-c", code], tmp_path)
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)


HOSTILE = """
    import os, socket
    if "QLIB_SHADOW_GUARD" in os.environ:
        try:
            socket.create_connection(("127.0.0.1", PORT), 5)
        except OSError:
            pass
"""
RESEARCH: dict[str, object] = {"dataset": {"source": {"synthetic": {"symbols": 20, "days": 1000}}}}


def test_a_broken_promise_is_in_every_document_of_the_stage(
    tmp_path: Path, servers: Servers, stage_environ: Callable[..., dict[str, str]]
):
    """Exit code, result, termination message and metadata; an outcome that is never tried again."""
    (tmp_path / "theirs").mkdir()
    content = textwrap.dedent(HOSTILE).replace("PORT", str(servers.port))
    (tmp_path / "theirs" / "sitecustomize.py").write_text(content)
    environ = {**stage_environ(RESEARCH), "PYTHONPATH": str(tmp_path / "theirs")}
    command = [sys.executable, "-m", "qlib_shadow_runner", "stage"]
    subprocess.run([*command, "download"], env=environ, check=True, capture_output=True)
    done = subprocess.run([*command, "qrun"], env=environ, check=False, capture_output=True, text=True)
    folder = tmp_path / "data/artifacts/trading-ops/qlib-shadow/demo-1"
    result, message, metadata = (
        json.loads(path.read_bytes())
        for path in (folder / "results/qrun.json", tmp_path / "termination-log", folder / "RUN_METADATA.json")
    )
    assert (done.returncode, result["exitCode"], result["reason"]) == (12, 12, "ShadowPromiseBroken")
    assert result == message
    assert (metadata["status"], metadata["reason"]) == ("failed", "ShadowPromiseBroken")
    assert metadata["network_guard"] == available_layers()
    assert f"network closed by {', '.join(available_layers())}" in (folder / "stdout.log").read_text()
    assert "Traceback" not in done.stderr
    assert not servers.heard()


def test_the_name_of_the_pipe_is_the_same_in_the_hook():
    """The hook may import nothing of the project."""
    hook = (report.__file__).replace("network_attempt.py", "site/sitecustomize.py")
    with open(hook) as source:  # noqa: PTH123
        assert f'ENV_CHANNEL = "{report.ENV_CHANNEL}"' in source.read()


@pytest.mark.parametrize(
    "line", [b"", b"{", b"[]", b'{"address": "x"}', b'{"address":"x","pid":"y","place":""}']
)
def test_a_malformed_line_is_no_attempt(line: bytes):
    """Any process of the stage could write into the pipe."""
    assert report.NetworkAttempt.parse(line) is None


@pytest.mark.parametrize("machine", ARCHITECTURES)
@pytest.mark.parametrize("asking", [True, False])
def test_every_jump_of_the_filter_stays_inside(machine: str, *, asking: bool):
    """On the architecture that is not at hand as well."""
    program = assemble(filter_source(ARCHITECTURES[machine], asking=asking))
    instructions = list(struct.iter_unpack("<HBBI", program))
    assert instructions[-1][0] == 0x06  # a return
    for here, (_, yes, no, _) in enumerate(instructions[:-1]):
        assert here + 1 + max(yes, no) < len(instructions)
