"""Progress lines, timings and the summary at the end."""

import sys
import threading
import time
import traceback


class Report:
    """Runs steps, prints a line for each, and remembers those that failed."""

    def __init__(self):
        self.start = time.monotonic()
        self.passed, self.failed, self.notes = 0, [], []
        self.counts = {"sent": 0, "read": 0}
        self._lock = threading.Lock()

    def _line(self, mark, name, took, detail):
        at = time.monotonic() - self.start
        print(f"[{at:6.1f}s] {mark:4} {name} ({took:.1f}s) {detail or ''}".rstrip(), flush=True)

    def step(self, name, function, *args):
        """Runs one step; what it returns is printed. True when it passed."""
        begin = time.monotonic()
        try:
            detail = function(*args)
        except Exception as error:  # a step may fail in any client's own way; all are reported alike
            message = f"{type(error).__name__}: {error}"
            if not isinstance(error, AssertionError):
                message += "\n" + "".join(traceback.format_tb(error.__traceback__)[-3:])
            with self._lock:
                self.failed.append((name, message))
                self._line("FAIL", name, time.monotonic() - begin, message)
            return False
        with self._lock:
            self.passed += 1
            self._line("ok", name, time.monotonic() - begin, detail)
        return True

    def count(self, sent=0, read=0):
        """Adds to the number of records sent and read back."""
        with self._lock:
            self.counts["sent"] += sent
            self.counts["read"] += read

    def note(self, message):
        """Something worth a line in the summary that is no failure."""
        with self._lock:
            self.notes.append(message)

    def finish(self):
        """Prints the summary and returns the exit code."""
        took = time.monotonic() - self.start
        print(f"\nconformance: {self.passed} steps passed, {len(self.failed)} failed, {self.counts['sent']} records sent, "
              f"{self.counts['read']} read back, {took:.0f} s")
        for note in self.notes:
            print(f"  note: {note}")
        for name, message in self.failed:
            print(f"  FAIL {name}: {message.splitlines()[0]}")
        sys.stdout.flush()
        return 1 if self.failed else 0
