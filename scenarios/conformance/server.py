"""A server as a process of ours: started, killed, stopped, its directory kept between."""

import os
import signal
import socket
import subprocess
import time
from pathlib import Path

SETTINGS = {
    "log.segment.bytes": "1048576",
    "log.retention.check.interval.ms": "1000",
    "log.initial.task.delay.ms": "1000",
    "auto.create.topics.enable": "true",
    "num.partitions": "1",
    "offsets.topic.replication.factor": "1",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
}


def free_port():
    """A port that nobody listens on just now."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Process:
    """A server on a data directory; its output goes to `<directory>.log`. `command` is for each kind of server to say."""

    def __init__(self, directory):
        self.directory = Path(directory)
        self.log = Path(f"{directory}.log")
        self.port, self.controller, self.http = free_port(), free_port(), free_port()
        self.bootstrap = f"127.0.0.1:{self.port}"
        self.process = None

    def command(self):
        """The command line."""
        raise NotImplementedError

    def launch(self):
        """Starts the process and waits for nothing."""
        with open(self.log, "ab") as out:
            self.process = subprocess.Popen(self.command(), stdout=out, stderr=out, stdin=subprocess.DEVNULL)

    def start(self, wait=60):
        """Starts the process and waits until its port accepts."""
        self.launch()
        begin = time.monotonic()
        while time.monotonic() - begin < wait:
            if self.process.poll() is not None:
                raise AssertionError(f"server exited with {self.process.returncode}: {self.tail()}")
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return f"accepting after {time.monotonic() - begin:.2f} s"
            except OSError:
                time.sleep(0.02)
        raise AssertionError(f"no listener after {wait} s: {self.tail()}")

    def kill(self):
        """SIGKILL, as a crash of the process."""
        self.process.kill()
        self.process.wait(20)

    def stop(self):
        """SIGTERM; a clean stop exits by itself, with success (or as the signal's own status)."""
        begin = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"still running 60 s after SIGTERM: {self.tail()}") from None
        assert code in (0, 143), f"exit code {code} after SIGTERM: {self.tail()}"
        return f"exit {code} after {time.monotonic() - begin:.2f} s"

    def discard(self):
        """Makes sure that nothing of ours is left running."""
        if self.process is not None and self.process.poll() is None:
            self.kill()

    def check_alive(self):
        """The process must be running."""
        assert self.process.poll() is None, f"server died with {self.process.returncode}: {self.tail()}"

    def memory(self):
        """Resident memory in MiB (Linux), or None."""
        try:
            pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        except OSError:
            return None
        return pages * os.sysconf("SC_PAGE_SIZE") // (1024 * 1024)

    def tail(self):
        """The end of the server's output."""
        return self.log.read_text(errors="replace")[-1500:] if self.log.exists() else ""


class Server(Process):
    """One `ottla server`: on a directory that it formats itself, or by another server's properties file as it is."""

    def __init__(self, binary, directory, like=None):
        super().__init__(directory)
        self.binary, self.properties = Path(binary).resolve(), None
        if like is not None:
            self.port, self.controller, self.bootstrap = like.port, like.controller, like.bootstrap
            self.properties = like.properties

    def command(self):
        """The built-in defaults and a few overrides, or the file alone."""
        if self.properties is not None:
            return [str(self.binary), "server", str(self.properties)]
        settings = dict(SETTINGS)
        settings["listeners"] = f"PLAINTEXT://127.0.0.1:{self.port},CONTROLLER://127.0.0.1:{self.controller}"
        settings["ottla.http.listeners"] = f"http://127.0.0.1:{self.http}"
        settings["log.dirs"] = str(self.directory)
        command = [str(self.binary), "server"]
        for key, value in settings.items():
            command += ["--override", f"{key}={value}"]
        return command
