# SPDX-License-Identifier: MIT
"""The program under test, as a process that is fed and read."""

import contextlib
import os
import re
import shlex
import signal
import subprocess
import threading

SOON = 1.0  # for an answer that is surely due; only a case that fails waits so long


class Failed(Exception):
    """What was expected, and what came instead."""


class Program:
    """A pipe: standard input to the peer, the peer to standard output.  As a listener it tells its port on standard error."""

    def __init__(self, command, patience, more=(), **places):
        """`more` are words behind those of the command."""
        words = [word.format(**places) for word in shlex.split(command)] + list(more)
        self.patience = patience
        try:
            self.process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0)
        except OSError as reason:
            raise Failed("the program starts; %s" % reason)
        self.output, self.errors, self.changed = bytearray(), bytearray(), threading.Condition()
        self.readers = [threading.Thread(target=self._read, args=pair, daemon=True)
                        for pair in ((self.process.stdout, self.output), (self.process.stderr, self.errors))]
        for reader in self.readers:
            reader.start()

    def _read(self, stream, into):
        while True:
            more = os.read(stream.fileno(), 1 << 16)
            with self.changed:
                into += more
                self.changed.notify_all()
            if not more:
                return

    def _wait(self, condition, timeout):
        with self.changed:
            return self.changed.wait_for(condition, timeout * self.patience)

    def port(self):
        """Where it listens."""
        find = lambda: re.search(rb"listening on \S*:(\d+)\b", self.errors)
        if not self._wait(lambda: find() or not self.readers[1].is_alive(), 10) or not find():
            raise Failed("the program says `listening on HOST:PORT` on standard error; came %r" % bytes(self.errors))
        return int(find().group(1))

    def feed(self, data):
        with contextlib.suppress(BrokenPipeError):  # it has ended: what is expected then says so
            self.process.stdin.write(data)

    def end_input(self):
        self.process.stdin.close()

    def expect_output(self, expected, timeout=SOON):
        """All that was written so far, exactly."""
        self._wait(lambda: len(self.output) >= len(expected), timeout)
        if bytes(self.output) != expected:
            raise Failed("%s delivered; came %s" % (brief(expected), brief(bytes(self.output))))

    def expect_end(self, timeout=SOON):
        """Its exit status."""
        try:
            return self.process.wait(timeout * self.patience)
        except subprocess.TimeoutExpired:
            raise Failed("the program ends; it still runs")

    def kill(self):
        """As a machine does that loses its power."""
        self.process.kill()
        self.process.wait()

    @property
    def has_ended(self):
        return self.process.poll() is not None

    @contextlib.contextmanager
    def halted(self):
        """What is sent meanwhile meets the program as one burst."""
        self.process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.process.send_signal(signal.SIGCONT)

    def stop(self):
        """Returns what it died of, if that was not us."""
        died = self.process.poll()
        if died == -signal.SIGKILL:
            died = 0
        if died is None:
            self.process.kill()
            self.process.wait()
        with contextlib.suppress(OSError):  # the pipe is broken where what was fed was not read
            self.process.stdin.close()
        for reader in self.readers:
            reader.join(1)
        for stream in (self.process.stdout, self.process.stderr):
            stream.close()
        if died is not None and (died < 0 or 128 < died < 160):
            return "status %d: %s" % (died, self.errors.decode(errors="replace")[-300:].strip())
        return None


def brief(data):
    return repr(data) if len(data) <= 40 else "%d bytes %r..." % (len(data), data[:16])
