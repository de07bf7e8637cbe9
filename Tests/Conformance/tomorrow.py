#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Transfers between a program and a peer from tomorrow (tomorrow_peer.py), which does at random whatever can be ignored.

    tomorrow.py [SEEDS]         so many, 40 if not told, in both roles of the program
    tomorrow.py --only SEED     this one

Everything has to arrive, both ways.  In a quarter of the seeds something critical is sent at a random moment, and then the report has to
be right, and to come before the answer to anything that was sent behind it.  The program is started by commands as in conformance.py.
The exit status is 1 if a seed fails; for each that does the command that repeats it is printed.
"""

import argparse
import collections
import concurrent.futures
import os
import random
import shlex
import sys
import threading
import time
import traceback

sys.dont_write_bytecode = True  # no folders of it in the sources

from bent_peer import HOST, Failed, Program, crypto, v1
from tomorrow_peer import TomorrowInitiator, TomorrowResponder, Wrong

IN_SEGMENTS = ("flag", "option", "control")
CRITICAL = {"listen": IN_SEGMENTS + ("message 1", "message 3"), "dial": IN_SEGMENTS + ("message 2",)}


class Run:
    """One seed in one role of the program."""

    def __init__(self, seed, role, commands, patience):
        self.seed, self.role, self.patience = seed, role, patience
        plan = random.Random("run %d %s" % (seed, role))
        self.out, self.back = (plan.randbytes(plan.randrange(10000, 100001)) for _ in range(2))  # of the peer's, of the program's
        self.critical = plan.choice(CRITICAL[role]) if plan.random() < 0.25 else None
        self.moment = plan.randrange(len(self.out))
        self.dice, self.commands, self.program = plan, commands, None
        self.parameter = plan.randrange(0x4000, 0x8000), plan.randbytes(plan.choice((0, 1, 20)))

    def outcome(self):
        """None, or what is wrong."""
        wrong = None
        try:
            self.go()
        except (Failed, Wrong) as reason:
            wrong = "expected %s" % reason
        except Exception:
            wrong = "the peer itself broke: " + traceback.format_exc()
        died = self.program.stop() if self.program is not None else None
        if died:
            wrong = (wrong + "; " if wrong else "") + "the program died: " + died
        return wrong and "%s%s" % ("with something critical (%s): " % self.critical if self.critical else "", wrong)

    def go(self):
        began = time.monotonic()
        self.deadline = began + 20 * self.patience
        if self.role == "listen":
            self.program = Program(self.commands["listen"], self.patience, host=HOST, port=0, key="")
            endpoint = TomorrowInitiator(v1.options_of(["send", HOST, str(self.program.port()), "0", "--seed", str(self.seed)]))
        else:
            endpoint = TomorrowResponder(v1.options_of(["pipe", "--listen", HOST + ":0", "--seed", str(self.seed)]))
        endpoint.is_pipe, endpoint.stream_ended = False, self.critical not in IN_SEGMENTS  # so that nothing is finished by then
        endpoint.begin(self.seed, self.out)
        with endpoint:
            if self.role == "dial":
                self.program = Program(self.commands["dial"], self.patience, host=HOST, port=endpoint.socket.getsockname()[1],
                                       key=endpoint.identity[1].hex())
            threading.Thread(target=self.feed, daemon=True).start()
            if self.critical in ("message 2", "message 3"):
                endpoint.grease.critical[int(self.critical[-1])] = self.parameter
            endpoint.captures = self.critical == "message 3"
            if self.critical == "message 1":
                endpoint.ask_in_vain(self.parameter)
            if self.critical == "message 2":
                self.refused_dial(endpoint)
            else:
                self.connect(endpoint)
                if self.critical == "message 3":
                    self.expect_report(endpoint, "parameter 0x%04x" % self.parameter[0], 0)
                else:
                    self.transfer(endpoint)

    def feed(self):
        self.program.feed(self.back)
        self.program.end_input()

    def connect(self, endpoint):
        if self.role == "listen":
            if not endpoint.handshake():
                raise Failed("message 2")
        else:
            while endpoint.connection is None:
                endpoint.turn(time.monotonic() + 0.1)
                self.check_time("a message 3")

    def check_time(self, say):
        if time.monotonic() >= self.deadline or self.program.has_ended:
            if self.program.has_ended:
                self.program.readers[1].join(1)  # what it says
            raise Failed("%s within 20 s; the program %s, and says: %s" % (
                say, "has ended" if self.program.has_ended else "runs", self.program.errors.decode(errors="replace").strip() or "nothing"))

    def transfer(self, endpoint):
        c = endpoint.connection
        while c.state == "open":
            c.tick(time.monotonic())
            if endpoint.options.switch and endpoint.other is None and endpoint.out_count >= endpoint.options.switch:
                endpoint.begin_switch(time.monotonic())
            if self.critical in IN_SEGMENTS and c.stream_at >= self.moment and c.state == "open":
                return self.send_critical(endpoint)
            if c.state == "open":
                endpoint.turn(min(c.deadline(), self.deadline))
            if time.monotonic() >= self.deadline:
                self.check_time("%d bytes each way; came %d and %d" % (len(self.out), len(endpoint.got), len(self.program.output)))
        if c.state != "finished":
            raise Failed("all of it to arrive; the connection ended: %s; the program says %s" % (
                c.error, self.program.errors.decode(errors="replace").strip()))
        if bytes(endpoint.got) != self.back:
            raise Failed("the program's %d bytes; came %d%s" % (len(self.back), len(endpoint.got),
                                                                 ", others" if len(self.back) == len(endpoint.got) else ""))
        self.program.expect_output(self.out, 5)
        if endpoint.complaint():
            raise Failed(endpoint.complaint())

    def send_critical(self, endpoint):
        """One segment with something critical, and a PING right behind it."""
        c, g, dice = endpoint.connection, endpoint.grease, self.dice
        options, flags, kind, reason = [], 0, v1.PING, "flag 16"
        if self.critical == "flag":
            flags = 16
        elif self.critical == "option":
            option = dice.choice([n for n in range(1, 256, 2) if n != 3])
            value = dice.randbytes(dice.randrange(20))
            options, reason = [bytes([option, len(value)]) + value], "option %d" % option
        else:
            kind = dice.randrange(0x8000, 0x10000)
            reason = "control 0x%04x" % kind
        options = g.options(150, *options)
        form = dice.choice(("data", "ACK", "CONTROL")) if self.critical != "control" else "CONTROL"
        if self.critical == "flag" and c.has_messages:  # elsewhere it has a meaning then
            form = "CONTROL"
        if form == "data":
            segment = v1.data_segment(flags | g.flags(0), c.next_sequence, options, dice.randbytes(dice.randrange(1000)))
        elif form == "ACK":
            fields = c.ack_fields(time.monotonic())
            segment = bytes([9 + len(options), v1.ACK | flags]) + fields[:7] + options + fields[7:]
        else:
            segment = v1.control_segment(kind, dice.randrange(0x10000), dice.randbytes(dice.randrange(100)), flags, options)
        number = c.next_number
        for one in (segment, v1.control_segment(v1.PING, 0x7E57, b"", v1.ACK_NOW)):
            endpoint.send_surely(one)
        self.expect_report(endpoint, reason, number)

    def expect_report(self, endpoint, reason, number):
        """CLOSE 0xFFFFFF04.  Before it may come what was in flight, but nothing that tells of packet `number` or one behind it."""
        say = "CLOSE 0x%08X %r" % (v1.UNKNOWN_CRITICAL, reason)
        came, end = collections.deque(maxlen=6), time.monotonic() + 5 * self.patience
        while time.monotonic() < end:
            for segment in endpoint.opened(end):
                if segment.kind == v1.CLOSE:
                    code, text = int.from_bytes(segment.payload[:4], "big"), segment.payload[4:].decode(errors="replace")
                    if (code, text) != (v1.UNKNOWN_CRITICAL, reason):
                        raise Failed("%s; came CLOSE 0x%08X %r" % (say, code, text))
                    return
                came.append("%s" % ("ACK" if segment.is_ack else "CONTROL %d" % segment.kind if segment.is_control else "data"))
                if self.critical == "message 3":
                    raise Failed("%s as the first that is sealed; came %s" % (say, came[-1]))
                if segment.kind == v1.PONG and segment.token == 0x7E57 or segment.ack is not None and segment.ack.largest >= number:
                    raise Failed("%s before what was sent behind it is answered; came %s" % (say, ", ".join(came)))
        raise Failed("%s; came %s" % (say, ", ".join(came) or "nothing"))

    def refused_dial(self, endpoint):
        """A message 2 with something critical: no message 3, and the dial fails."""
        end = time.monotonic() + 10 * self.patience
        while not self.program.has_ended and time.monotonic() < end:
            endpoint.turn(time.monotonic() + 0.02)
            if endpoint.connection is not None or endpoint.messages3:
                raise Failed("no message 3")
        if self.program.expect_end(0.1) == 0:
            raise Failed("an exit status other than 0; came 0")


def main():
    tool = shlex.quote(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "bin", "lrp2p"))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("seeds", nargs="?", type=int, default=40, metavar="SEEDS")
    parser.add_argument("--only", type=int, metavar="SEED")
    parser.add_argument("--role", choices=("listen", "dial", "both"), default="both", help="of the program")
    parser.add_argument("--listen-command", default=tool + " pipe --listen {host}:{port}")
    parser.add_argument("--dial-command", default=tool + " pipe --connect {host}:{port} --peer {key}")
    parser.add_argument("--jobs", type=int, default=2, help="seeds at a time; all of them share one core")
    parser.add_argument("--patience", type=float, default=1.0, help="a factor to all waiting, for a slow machine")
    options = parser.parse_args()
    crypto.self_test()
    commands = {"listen": options.listen_command, "dial": options.dial_command}
    seeds = range(1, options.seeds + 1) if options.only is None else [options.only]
    runs = [(seed, role) for seed in seeds for role in commands if options.role in (role, "both")]
    again = " ".join(shlex.quote(word) for name in ("listen", "dial") if commands[name] != parser.get_default(name + "_command")
                     for word in ("--%s-command" % name, commands[name]))
    counts, began = collections.Counter(), time.monotonic()
    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        todo = [Run(seed, role, commands, options.patience) for seed, role in runs]
        for run, wrong in zip(todo, pool.map(Run.outcome, todo)):
            counts["failed" if wrong else "with something critical" if run.critical else "ignored it all"] += 1
            if wrong:
                print("FAILED seed %d, %s: %s\n  again: scripts/check-tomorrow --only %d --role %s %s" % (
                    run.seed, run.role, wrong, run.seed, run.role, again), flush=True)
    print("%d runs in %.0f s: %s" % (len(runs), time.monotonic() - began, ", ".join("%d %s" % (n, what) for what, n in sorted(counts.items()))))
    return 1 if counts["failed"] else 0


if __name__ == "__main__":
    sys.exit(main())
