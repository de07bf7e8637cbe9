# SPDX-License-Identifier: MIT
"""P: the path."""

import os
import struct
import time

from bent_peer import PING, RESPONSE, ack, block, changed, control, v1
from table import case, check


def moved(bent, segment=None):
    """Something from a new port, and the two CHALLENGEs that it brings: (port, to the new one, to the old one)."""
    there = bent.open_port()
    bent.say(segment or control(PING, 0), port=there)
    new = bent.expect("CHALLENGE", where=lambda e: e.port == there, say="CHALLENGE to the new port")
    old = bent.expect("CHALLENGE", where=lambda e: e.port == 0, say="CHALLENGE to the old port")
    check(new.segment.payload[:8] != old.segment.payload[:8], "other bytes in each CHALLENGE", new.segment.payload[:8].hex())
    return there, new, old


@case("P1-challenges", "6", "any",
      "The highest packet number from a new port brings CHALLENGEs to it, in all at most three times what came, and to the old one.")
def _(t):
    bent = t.connect()
    bent.program.feed(b"x")
    sample = bent.expect("data")  # after a round trip a PTO is no second any more, and the repetitions come soon
    bent.say(ack(0, 256, block(sample.number)))
    bent.settle()
    there, new, _ = moved(bent, control(PING, 0, bytes(100)))
    spent = len(new.datagram)
    check(spent <= 3 * bent.sent[there], "at most %d bytes" % (3 * bent.sent[there]), spent)
    deadline = time.monotonic() + 0.4 * t.patience
    while time.monotonic() < deadline:
        bent._pump(deadline)
        spent += sum(len(e.datagram) for e in bent.take("CHALLENGE", lambda e: e.port == there))
        check(spent <= 3 * bent.sent[there], "at most %d bytes to a port that has not answered" % (3 * bent.sent[there]), spent)


@case("P1-full", "6", "any", "The CHALLENGE to the new address is padded to 1200 bytes where what came from there allows it.")
def _(t):
    bent = t.connect()
    _, new, old = moved(bent, control(PING, 0, bytes(600)))
    check(len(new.datagram) == 1200, "1200 bytes", len(new.datagram))
    check(len(old.datagram) < 100, "a CHALLENGE without padding to the old port", "%d bytes" % len(old.datagram))


@case("P1-moves", "6", "any", "When only the new port answers, data goes there.")
def _(t):
    bent = t.connect()
    there, new, _ = moved(bent)
    bent.say(control(RESPONSE, 0, new.segment.payload[:8]), port=there)
    bent.program.feed(b"x")
    bent.expect("data", 3, where=lambda e: e.port == there, say="data at the new port")
    bent.ask(port=there)


@case("P1-stays", "6", "any", "When the old port answers too, data stays there.")
def _(t):
    bent = t.connect()
    there, new, old = moved(bent)
    bent.say(control(RESPONSE, 0, old.segment.payload[:8]))
    bent.say(control(RESPONSE, 0, new.segment.payload[:8]), port=there)
    bent.ask()
    bent.expect_nothing("nothing but at the old port", 0.3, lambda e: e.port == there)
    bent.program.feed(b"x")
    event = bent.expect("data")
    check(event.port == 0, "data at the old port", event)


@case("P1-any-way", "6", "any", "A RESPONSE counts wherever it comes from: here that of the new port from the old one.")
def _(t):
    bent = t.connect()
    there, new, _ = moved(bent)
    bent.say(control(RESPONSE, 0, new.segment.payload[:8]))
    bent.program.feed(b"x")
    bent.expect("data", 3, where=lambda e: e.port == there, say="data at the new port")


@case("P1-not-newest", "6", "any", "A datagram from a new port that has not the highest packet number begins no path validation.")
def _(t):
    bent = t.connect()
    late = bent.next_number
    bent.ask(late + 10)
    there = bent.open_port()
    bent.say(control(PING, 7), late, there)
    event = bent.expect("PONG", where=lambda e: e.segment.token == 7, say="PONG 7")
    check(event.port == 0, "PONG at the old port", event)
    bent.settle()
    bent.expect_nothing("no CHALLENGE", 0.05, lambda e: e.what == "CHALLENGE")


@case("P1-forged", "6", "any", "What is not authentic begins no path validation.")
def _(t):
    bent = t.connect()
    there = bent.open_port()
    bent.send(bent.peer_id + struct.pack(">Q", bent.next_number + 50) + os.urandom(100), there)
    bent.settle()
    bent.expect_nothing("no CHALLENGE", 0.05, lambda e: e.what == "CHALLENGE")


# --- More than one thing at a time


@case("P2-two", "6.3", "any", "One validation at a time: of two new ports within a PTO the first is challenged.")
def _(t):
    bent = t.connect()
    ports = bent.open_port(), bent.open_port()
    with bent.program.halted():
        for port in ports:
            bent.say(control(PING, 0), port=port)
    bent.expect("CHALLENGE", where=lambda e: e.port == ports[0], say="CHALLENGE to the first port")
    bent.settle()
    came = [e for e in bent.inbox if e.port == ports[1]]
    check(not came, "nothing to the second", came and came[0])


@case("P2-data", "6.3", "any", "While a validation is under way data goes to the old address.")
def _(t):
    bent = t.connect()
    there, _, _ = moved(bent)
    for sequence in range(3):
        bent.program.feed(b"x")
        event = bent.expect("data", where=lambda e: e.segment.sequence == sequence)
        check(event.port == 0, "data at the old port", event)
        bent.say(ack(sequence, 256, block(event.number)))


@case("P2-old-answers", "6.3", "any", "Where the new address answers at once, and the old one half a PTO later, the peer stays.")
def _(t):
    bent = t.connect(lambda pairs: changed(pairs, (v1.P_DELAY, struct.pack(">I", 1000000))))  # so a PTO is a second at least
    there, new, old = moved(bent)
    bent.say(control(RESPONSE, 0, new.segment.payload[:8]), port=there)
    time.sleep(0.4)
    bent.say(control(RESPONSE, 0, old.segment.payload[:8]))
    time.sleep(0.8 * t.patience)
    bent.program.feed(b"x")
    event = bent.expect("data")
    check(event.port == 0, "data at the old port", event)


@case("P2-repeats", "6.3", "any", "Unanswered, both CHALLENGEs are repeated one, three, seven PTO after the first, until the validation has failed.")
def _(t):
    bent = t.connect()
    bent.program.feed(b"x")
    sample = bent.expect("data")
    bent.say(ack(0, 256, block(sample.number)))
    bent.settle()
    there, *first = moved(bent, control(PING, 0, bytes(1000)))
    bent._pump(time.monotonic() + 0.01)
    end = time.monotonic() + 1.3 * t.patience
    while time.monotonic() < end:
        bent._pump(end)
    events = {port: [one] + bent.take("CHALLENGE", lambda e: e.port == port) for port, one in zip((there, 0), first)}
    for port, came in events.items():
        check(len(came) >= 3, "at least three CHALLENGEs to port %d" % port, len(came))
        check(len({e.segment.payload[:8] for e in came}) == 1, "the same 8 bytes each time", [str(e) for e in came])
        gaps = [later.time - sooner.time for sooner, later in zip(came, came[1:])]
        check(gaps[1] > 1.2 * gaps[0], "waits that grow", gaps)
    bent.expect_nothing("no CHALLENGE behind the end", 0.4, lambda e: e.what == "CHALLENGE")
