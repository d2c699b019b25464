"""Watches one job from outside, so that nothing of it outlives its limit.

A small process of its own between the runner and the worker: ``python -I -S supervisor.py PARENT
ORDER``, where ORDER is JSON (``command``, ``seconds``, ``grace_seconds``, ``data_bytes``,
``file_bytes``, ``output``, ``output_bytes``). It starts the worker in a session of its own with
its limits set, keeps the deadline, asks with SIGTERM, insists with SIGKILL, and afterwards kills
every descendant: as their subreaper (Linux) it inherits those that left the group. If the runner
dies, it is told by a signal and ends the job too. Standard output carries JSON lines: the worker's
progress as it comes, and at last how it ended.

Standard library only, and single-threaded: between fork and exec it may run Python.
"""

import contextlib
import ctypes
import json
import os
import resource
import selectors
import signal
import sys
import time
from pathlib import Path
from typing import Any

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
SWEEP_SECONDS = 5.0
PROGRESS_LINE_BYTES = 600
"""So that a message stays below what a pipe takes in one piece, escapes included."""
PROGRESS_PAUSE_SECONDS = 0.05


class Supervisor:
    """One worker's life."""

    def __init__(self, order: dict[str, Any]) -> None:
        self.order = order
        self.started = time.monotonic()
        self.deadline = self.started + float(order["seconds"])
        self.kill_at: float | None = None
        self.killed = False
        self.timed_out = False
        self.stops = 0
        self.stops_done = 0
        self.status: int | None = None
        self.output = BoundedOutput(int(order["output_bytes"]))
        self.progress = b""
        self.speak_at = 0.0
        self.selector = selectors.DefaultSelector()

    def run(self) -> dict[str, Any]:
        wake_read, wake_write = os.pipe()
        os.set_blocking(wake_read, False)
        os.set_blocking(wake_write, False)
        signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
        signal.signal(signal.SIGTERM, self._on_stop)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        for ignored in (signal.SIGINT, signal.SIGHUP):
            signal.signal(ignored, signal.SIG_IGN)
        output_read, output_write = os.pipe()
        progress_read, progress_write = os.pipe()
        self.worker = self._start(output_write, progress_write)
        os.close(output_write)
        os.close(progress_write)
        for descriptor in (wake_read, output_read, progress_read):
            os.set_blocking(descriptor, False)
            self.selector.register(descriptor, selectors.EVENT_READ)
        readers = {output_read: self.output.add, progress_read: self._forward}
        while self.status is None:
            self._read(self._seconds_to_wait(), readers)
            self._reap()
            self._press()
        seconds = time.monotonic() - self.started
        swept = self._sweep()
        self._read(0.0, readers)
        self.output.save(Path(self.order["output"]))
        return {
            "status": self.status,
            "timed_out": self.timed_out,
            "stopped": self.stops > 0,
            "swept": swept,
            "seconds": seconds,
        }

    def _on_stop(self, *_: object) -> None:
        self.stops += 1

    def _start(self, output: int, progress: int) -> int:
        """Fork and exec the worker; its process id."""
        environment = {**os.environ, "NETCOMPRESS_PROGRESS_FD": str(progress)}
        supervisor = os.getpid()
        pid = os.fork()
        if pid:
            return pid
        try:
            os.setsid()
            for ignored in (signal.SIGINT, signal.SIGHUP):
                signal.signal(ignored, signal.SIG_DFL)
            _prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() != supervisor:
                os._exit(1)
            _limit(resource.RLIMIT_CORE, 0)
            _limit(resource.RLIMIT_FSIZE, int(self.order["file_bytes"]))
            _limit(resource.RLIMIT_DATA, int(self.order["data_bytes"]))
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            os.dup2(output, 1)
            os.dup2(output, 2)
            os.set_inheritable(progress, True)
            command = self.order["command"]
            os.execve(command[0], command, environment)
        except BaseException as error:
            os.write(2, f"the worker cannot be started: {error}\n".encode())
        finally:
            os._exit(127)

    def _seconds_to_wait(self) -> float:
        until = self.deadline if self.kill_at is None else self.kill_at
        return 1.0 if self.killed else min(max(0.0, until - time.monotonic()), 60.0)

    def _read(self, seconds: float, readers: dict[int, Any]) -> None:
        """Take what the pipes hold; at most 1 MiB each, so that signals get their turn."""
        for key, _ in self.selector.select(seconds):
            for _ in range(16):
                try:
                    data = os.read(key.fd, 65536)
                except BlockingIOError:
                    break
                if not data:
                    self.selector.unregister(key.fd)
                    break
                if key.fd in readers:
                    readers[key.fd](data)

    def _forward(self, data: bytes) -> None:
        """Pass the newest whole progress line on; one that is too long is dropped."""
        *lines, self.progress = (self.progress + data).split(b"\n")
        self.progress = self.progress[:PROGRESS_LINE_BYTES]
        whole = [line for line in lines if len(line) < PROGRESS_LINE_BYTES]
        now = time.monotonic()
        if whole and now >= self.speak_at:
            self.speak_at = now + PROGRESS_PAUSE_SECONDS
            os.set_blocking(1, False)
            with contextlib.suppress(OSError):  # a runner that does not listen misses it
                _say({"progress": whole[-1].decode("utf-8", "replace")})
            os.set_blocking(1, True)

    def _reap(self) -> None:
        """Collect every child that ended, adopted ones too."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if pid == self.worker:
                self.status = os.waitstatus_to_exitcode(status)

    def _press(self) -> None:
        """TERM at the deadline or when asked to stop; KILL after the grace, or when asked twice."""
        if self.status is not None:
            return
        now = time.monotonic()
        if self.kill_at is None and (now >= self.deadline or self.stops):
            self.timed_out = not self.stops
            self.stops_done = self.stops
            self.kill_at = now + float(self.order["grace_seconds"])
            _kill_group(self.worker, signal.SIGTERM)
        elif self.kill_at is not None and (now >= self.kill_at or self.stops > self.stops_done):
            self.stops_done = self.stops
            self.killed = True
            _kill_group(self.worker, signal.SIGKILL)

    def _sweep(self) -> int:
        """Kill what is left of the job, in its group or out of it; how many there were."""
        if sys.platform != "linux":  # no /proc: the group is all that can be found
            _kill_group(self.worker, signal.SIGKILL)
        until = time.monotonic() + SWEEP_SECONDS
        seen: set[int] = set()
        while time.monotonic() < until:
            self._reap()
            left = descendants(os.getpid())
            if not left:
                break
            seen |= left
            for pid in left:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.01)
        return len(seen)


class BoundedOutput:
    """The first and the last bytes of a stream without end."""

    def __init__(self, limit_bytes: int) -> None:
        self.half = limit_bytes // 2
        self.head = bytearray()
        self.tail = bytearray()
        self.dropped = 0

    def add(self, data: bytes) -> None:
        room = self.half - len(self.head)
        self.head += data[:room] if room > 0 else b""
        self.tail += data[max(0, room) :]
        if len(self.tail) > 2 * self.half:  # seldom, so that the cost stays linear
            self._trim()

    def _trim(self) -> None:
        excess = max(0, len(self.tail) - self.half)
        del self.tail[:excess]
        self.dropped += excess

    def save(self, path: Path) -> None:
        self._trim()
        gap = f"\n[... {self.dropped} bytes left out ...]\n".encode() if self.dropped else b""
        with contextlib.suppress(OSError):  # a full disk must not hide how the job ended
            path.write_bytes(bytes(self.head) + gap + bytes(self.tail))


def descendants(ancestor: int) -> set[int]:
    """Process ids of all living descendants (Linux; elsewhere none are seen)."""
    parents: dict[int, int] = {}
    try:
        names = [name for name in os.listdir("/proc") if name.isdigit()]  # noqa: PTH208
    except OSError:
        return set()
    for name in names:
        try:
            stat = Path(f"/proc/{name}/stat").read_bytes()
        except OSError:
            continue  # it ended meanwhile
        state, parent = stat.rpartition(b")")[2].split()[:2]
        if state != b"Z":
            parents[int(name)] = int(parent)
    found: set[int] = set()
    layer = {ancestor}
    while layer:
        layer = {pid for pid, parent in parents.items() if parent in layer} - found
        found |= layer
    return found


def _kill_group(leader: int, signal_number: int) -> None:
    """The group of ``leader``, or it alone where it has not made its group yet."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        try:
            os.killpg(leader, signal_number)
        except ProcessLookupError:
            os.kill(leader, signal_number)


def _limit(kind: int, value: int) -> None:
    _, hard = resource.getrlimit(kind)
    if hard != resource.RLIM_INFINITY:
        value = min(value, hard)
    resource.setrlimit(kind, (value, value))


def _prctl(option: int, value: int) -> None:
    """Linux only; elsewhere the group and the deadline are all there is."""
    if sys.platform == "linux":
        arguments = [ctypes.c_ulong(one) for one in (value, 0, 0, 0)]
        ctypes.CDLL(None).prctl(ctypes.c_int(option), *arguments)


def _say(message: dict[str, Any]) -> None:
    os.write(1, f"{json.dumps(message)}\n".encode())


def main(arguments: list[str]) -> int:
    parent = int(arguments[0])
    _prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    _prctl(PR_SET_CHILD_SUBREAPER, 1)
    if os.getppid() != parent:
        return 1  # the runner died before it could tell us
    ended = Supervisor(json.loads(arguments[1])).run()
    with contextlib.suppress(OSError):  # the runner is gone: nobody asks any more
        _say({"ended": ended})
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
