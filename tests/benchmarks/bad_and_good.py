"""Benchmarks for the tests of jobs: one good one and those that misbehave. Not a test module."""

import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import ClassVar

from benchmarks.benchmark import Measurement, Outcome
from registry.errors import UserError
from registry.vocabulary import Metric

RESULT = Path(sys.argv[2]) if len(sys.argv) > 2 else None


class Good:
    name = "fake"
    metrics: ClassVar = {"score": Metric(title="the score", unit="ratio", direction="higher")}
    revision = 1

    def run(self, method, context):
        for step in range(4):
            context.progress(step / 4, f"step {step}")
            time.sleep(float(context.configuration.get("seconds", 0.0)) / 4)
        self.misbehave(context)
        network = context.folder / "network.bin"
        network.write_bytes(b"network of seed %d" % context.seed)
        score = Measurement(value=float(context.seed) + 0.5, unit="ratio")
        return Outcome({"score": score}, {"layer/part": 17}, network_file=network)

    def misbehave(self, context):
        pass


class Noting(Good):
    """Notes beside the store that it was started."""

    def misbehave(self, context):
        store = context.folder.parents[2]
        with (store.parent / "started").open("a") as file:
            file.write(f"{context.seed}\n")


class Looping(Good):
    def misbehave(self, context):
        while True:
            pass


class Deaf(Good):
    def misbehave(self, context):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        (context.folder / "deaf").touch()
        while True:
            time.sleep(0.1)


class Forking(Good):
    def misbehave(self, context):
        for _ in range(3):
            if os.fork() == 0:
                signal.signal(signal.SIGTERM, signal.SIG_IGN)
                while True:
                    time.sleep(0.1)


class Leaving(Good):
    """Its grandchild leaves group and session, without our environment, and outlives its parent."""

    def misbehave(self, context):
        subprocess.Popen(
            ["/bin/sh", "-c", "sleep 1000.5 & sleep 1000.5"], start_new_session=True, env={}
        )


class Threading(Good):
    def misbehave(self, context):
        threading.Thread(target=lambda: time.sleep(1000)).start()


class Greedy(Good):
    def misbehave(self, context):
        self.held = bytearray(2 * 2**30)


class Segfaulting(Good):
    def misbehave(self, context):
        ctypes.string_at(0)


class Aborting(Good):
    def misbehave(self, context):
        os.abort()


class Killed(Good):
    def misbehave(self, context):
        os.kill(os.getpid(), signal.SIGKILL)


class Vanishing(Good):
    def misbehave(self, context):
        os._exit(0)


class Halving(Good):
    def misbehave(self, context):
        RESULT.write_text('{"version": 1, "identity": {"pap')
        os._exit(0)


class Talkative(Good):
    def misbehave(self, context):
        while True:
            sys.stdout.write("\x1b[31m\u202e no end \x07" * 1000)


class Filling(Good):
    def misbehave(self, context):
        (context.folder / "huge").write_bytes(bytes(2**22))


class Murderous(Good):
    """Kills the process that watches over it."""

    def misbehave(self, context):
        os.kill(os.getppid(), signal.SIGKILL)
        time.sleep(1000)


class Raising(Good):
    def misbehave(self, context):
        raise ValueError("no such \x1b[31mluck\udc80")


class Asking(Good):
    def misbehave(self, context):
        raise UserError("the data set is missing: fetch it")


class Unsuitable(Good):
    def misbehave(self, context):
        from methods.method import UnsuitableTask

        raise UnsuitableTask("only for convolutions")


class Undeclared(Good):
    def run(self, method, context):
        return Outcome({"other": Measurement(value=1.0, unit="ratio")})


class Quitting(Good):
    def misbehave(self, context):
        sys.exit(0)


class Moved(Good):
    revision = 2


class Alone(Good):
    runs_alone = True
