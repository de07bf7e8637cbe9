# SPDX-License-Identifier: MIT
"""W: SWITCH."""

import os
import time

from bent_peer import ACK_NOW, CHALLENGE, PING, RESPONSE, ROUND_TRIP, SOON, SWITCH, ack, block, control
from table import case, check
from cases_path import moved

BYTES = b"switch!!"


def switch(body=BYTES, flags=0):
    return control(SWITCH, 0, body, flags)


def challenged(bent, port):
    return bent.expect("CHALLENGE", ROUND_TRIP, lambda e: e.port == port, "CHALLENGE to port %d" % port)


def answer(bent, challenge, port):
    bent.say(control(RESPONSE, 0, challenge.segment.payload[:8]), port=port)


def answered(bent, port, body=BYTES):
    """RESPONSE to a SWITCH."""
    event = bent.expect("RESPONSE", ROUND_TRIP, lambda e: e.segment.payload[:8] == body, "RESPONSE to SWITCH")
    check(event.port == port, "RESPONSE at port %d" % port, event)
    check(len(event.segment.payload) == 8, "8 bytes of RESPONSE", len(event.segment.payload))


def unanswered(bent, say="no RESPONSE to SWITCH"):
    bent.settle()
    came = bent.take("RESPONSE")
    check(not came, say, came and came[0])


def expect_data_at(bent, port):
    bent.program.feed(b"x")
    event = bent.expect("data")
    check(event.port == port, "data at port %d" % port, event)


@case("W1-here", "6.4", "any", "SWITCH from the address that is the peer's already is answered at once by RESPONSE, and is ack-eliciting.")
def _(t):
    bent = t.connect()
    number = bent.say(switch(flags=ACK_NOW))
    answered(bent, 0)
    bent.expect_acknowledged(number, "SWITCH")
    came = bent.take("CHALLENGE")
    check(not came, "no CHALLENGE", came and came[0])


@case("W1-longer", "4.4, 4.5, 6.4", "any", "Bytes behind the first 8 of SWITCH, and its token, are ignored.")
def _(t):
    bent = t.connect()
    bent.say(control(SWITCH, 77, BYTES + bytes(600)))
    answered(bent, 0)


@case("W1-again", "6.4", "any", "A repeated SWITCH from the peer's address is answered again.")
def _(t):
    bent = t.connect()
    for _ in range(3):
        bent.say(switch())
        answered(bent, 0)
        bent.settle()


@case("W1-moves", "6.4", "any",
      "SWITCH from another address: CHALLENGE to that only; when it answers the peer is there at once, and RESPONSE to SWITCH comes.")
def _(t):
    bent = t.connect()
    there = bent.open_port()
    number = bent.say(switch(flags=ACK_NOW), port=there)
    challenge = challenged(bent, there)
    bent.expect_acknowledged(number, "SWITCH")
    bent.settle()  # the old address still answers
    came = bent.take("CHALLENGE", lambda e: e.port == 0) + bent.take("RESPONSE")
    check(not came, "no CHALLENGE to the old port, and no RESPONSE yet", came and came[0])
    answer(bent, challenge, there)
    answered(bent, there)
    expect_data_at(bent, there)
    bent.ask(port=there)
    # RESPONSE may have been lost
    bent.say(switch(), port=there)
    answered(bent, there)


@case("W1-any-way", "6.4", "any", "The RESPONSE to CHALLENGE counts wherever it comes from: here from the old port.")
def _(t):
    bent = t.connect()
    there = bent.open_port()
    bent.say(switch(), port=there)
    answer(bent, challenged(bent, there), 0)
    answered(bent, there)
    expect_data_at(bent, there)


@case("W1-allowance", "6.4", "any", "CHALLENGEs to the new address take at most three times what came from there.")
def _(t):
    bent = t.connect()
    there = bent.open_port()
    bent.say(switch(), port=there)
    spent = len(challenged(bent, there).datagram)
    deadline = time.monotonic() + 0.4 * t.patience
    while True:
        check(spent <= 3 * bent.sent[there], "at most %d bytes" % (3 * bent.sent[there]), spent)
        if time.monotonic() >= deadline:
            break
        bent._pump(deadline)
        spent += sum(len(e.datagram) for e in bent.take("CHALLENGE", lambda e: e.port == there))


@case("W1-full", "6.4", "any", "The CHALLENGE is padded to 1200 bytes where what came from the new address allows it.")
def _(t):
    bent = t.connect()
    there = bent.open_port()
    bent.say(switch(BYTES + bytes(600)), port=there)
    challenge = challenged(bent, there)
    check(len(challenge.datagram) == 1200, "1200 bytes", len(challenge.datagram))


def measured(t):
    """A connection that knows its round trip, so that a PTO is short."""
    bent = t.connect()
    bent.program.feed(b"x")
    event = bent.expect("data")
    bent.say(ack(0, 256, block(event.number)))
    bent.settle()
    bent.forget()
    return bent


@case("W1-fails", "6.4", "any", "If the new address does not answer nothing changes, and SWITCH is not answered; another then need not wait.")
def _(t):
    bent = measured(t)
    there = bent.open_port()
    bent.say(switch(BYTES + bytes(100)), port=there)
    challenged(bent, there)
    time.sleep(1.1 * t.patience)
    came = bent.take("RESPONSE")
    check(not came, "no RESPONSE", came and came[0])
    bent.settle()
    expect_data_at(bent, 0)
    bent.forget()
    bent.say(switch(BYTES + bytes(100)), port=there)
    answer(bent, challenged(bent, there), there)
    answered(bent, there)


@case("W1-repeats", "6.4", "any", "Until the new address answers CHALLENGE is repeated there, and nowhere else.")
def _(t):
    bent = measured(t)
    there = bent.open_port()
    bent.say(switch(BYTES + bytes(1000)), port=there)
    first = challenged(bent, there)
    second = bent.expect("CHALLENGE", SOON, lambda e: e.port == there, "CHALLENGE again")
    check(first.segment.payload[:8] == second.segment.payload[:8], "the same 8 bytes", second.segment.payload[:8].hex())
    came = bent.take("CHALLENGE", lambda e: e.port != there)
    check(not came, "no CHALLENGE to the old port", came and came[0])
    answer(bent, second, there)
    answered(bent, there)


@case("W1-not-newest", "6.4", "any", "A SWITCH that another with a higher packet number has overtaken does nothing, wherever it comes from.")
def _(t):
    bent = t.connect()
    late = bent.next_number
    bent.say(switch(bytes(range(1, 9))), late + 10)
    bent.expect("RESPONSE", say="RESPONSE to the newer SWITCH")
    there = bent.open_port()
    bent.say(switch(), late, there)
    bent.say(switch(), late + 1)
    unanswered(bent)
    bent.expect_nothing("no CHALLENGE", 0.05, lambda e: e.what == "CHALLENGE")
    expect_data_at(bent, 0)


@case("W1-overtaken", "6.4", "any", "Nor does one from elsewhere that was overtaken by what began the validation of another address.")
def _(t):
    bent = t.connect()
    late = bent.next_number
    first, second = bent.open_port(), bent.open_port()
    bent.say(control(PING, 0), late + 10, first)
    challenged(bent, first)
    bent.say(switch(), late, second)
    bent.settle()
    came = [e for e in bent.inbox if e.port == second]
    check(not came, "nothing at the second port", came and came[0])


@case("W1-behind-data", "6.4", "any", "Data may overtake a SWITCH, as it takes another path.")
def _(t):
    bent = t.connect()
    late, there = bent.next_number, bent.open_port()
    bent.ask(late + 10)
    bent.say(switch(), late, there)
    answer(bent, challenged(bent, there), there)
    answered(bent, there)
    expect_data_at(bent, there)


@case("W1-short", "4.4, 4.5, 6.4", "any", "A SWITCH of less than 8 bytes does nothing, but is acknowledged.")
def _(t):
    bent = t.connect()
    for body in (b"", b"7 bytes"):
        bent.expect_acknowledged(bent.say(switch(body, ACK_NOW)), "SWITCH of %d bytes" % len(body))
    unanswered(bent)


@case("W1-two", "6.4", "any", "Of two within one PTO the second is ignored, and acknowledged.")
def _(t):
    bent = t.connect()
    first, second = bent.open_port(), bent.open_port()
    bent.say(switch(), port=first)
    challenge = challenged(bent, first)
    bent.expect_acknowledged(bent.say(switch(b"another!", ACK_NOW), port=second), "the second SWITCH")
    bent.settle()
    came = [e for e in bent.inbox if e.port == second]
    check(not came, "nothing at the port of the second", came and came[0])
    answer(bent, challenge, first)
    answered(bent, first)
    expect_data_at(bent, first)


@case("W1-replaces", "6.4", "any", "It takes the place of a validation of another address that is under way.")
def _(t):
    bent = t.connect()
    first, new, _ = moved(bent)
    second = bent.open_port()
    bent.say(switch(), port=second)
    challenge = challenged(bent, second)
    answer(bent, new, first)
    bent.settle()
    answer(bent, challenge, second)
    answered(bent, second)
    expect_data_at(bent, second)


@case("W1-same", "6.4", "any", "One of the same address that is under way becomes that of a SWITCH: the old address does not hold it up.")
def _(t):
    bent = t.connect()
    there, new, old = moved(bent)
    bent.say(switch(), port=there)
    bent.settle()
    for challenge in [new] + bent.take("CHALLENGE", lambda e: e.port == there):
        answer(bent, challenge, there)
    answered(bent, there)
    expect_data_at(bent, there)


@case("W1-forged", "6.4", "any", "A SWITCH that is not authentic, or that is a repeated datagram, does nothing.")
def _(t):
    bent = t.connect()
    there = bent.open_port()
    forged = bent.sealed(switch())
    bent.send(forged[:-1] + bytes([forged[-1] ^ 1]), there)
    bent.send(bent.peer_id + (bent.next_number + 50).to_bytes(8, "big") + os.urandom(46), there)
    replayed = bent.sealed(switch())
    bent.send(replayed)
    answered(bent, 0)
    bent.send(replayed, there)
    unanswered(bent)
    bent.expect_nothing("nothing at the new port", 0.05, lambda e: e.port == there)


# --- The program sends it, which needs an option


@case("W2-sends", "6.4", "any", "Who has SWITCHed sends from the new address once RESPONSE has come, and not before.", "switch")
def _(t):
    bent = t.connect(options=(("switch", "8"),))
    event = asked_to_switch(bent)
    old, bent.target = bent.target, event.source
    check(event.source != old, "SWITCH from another address", "from the same")
    bent.program.feed(b"before")
    before = bent.expect("data")
    check(before.source == old, "data from the old address until RESPONSE comes", before.source)
    bent.say(ack(0, 256, block(before.number)))
    bent.say(control(CHALLENGE, 0, b"8 bytes?"))
    reply = bent.expect("RESPONSE")
    check(reply.source == event.source, "RESPONSE to CHALLENGE from the address that it went to", reply.source)
    bent.say(control(RESPONSE, 0, event.segment.payload[:8]))
    bent.settle()
    bent.program.feed(b"behind")
    behind = bent.expect("data", where=lambda e: e.segment.sequence == 1)
    check(behind.source == event.source, "data from the new address", behind.source)


def asked_to_switch(bent):
    for _ in range(8):
        bent.ask()
    event = bent.expect("SWITCH", 2)
    check(len(event.segment.payload) >= 8, "8 bytes of SWITCH", len(event.segment.payload))
    return event


@case("W2-repeats", "6.4", "any", "SWITCH is repeated with the same bytes, one, three and seven PTO after the first, and then given up.", "switch")
def _(t):
    bent = t.connect(options=(("switch", "12"),))
    bent.program.feed(b"x")
    event = bent.expect("data")
    bent.say(ack(0, 256, block(event.number)))
    first, old = asked_to_switch(bent), bent.target
    events = [first] + [bent.expect("SWITCH", 2, say="SWITCH a %s time" % which) for which in ("second", "third", "fourth")]
    check(all(e.segment.payload[:8] == first.segment.payload[:8] for e in events), "the same 8 bytes each time", "others")
    check(all(e.source == first.source for e in events), "from the same address each time", "from others")
    bent.expect_nothing("no fifth SWITCH", 0.5, lambda e: e.what == "SWITCH")
    bent.program.feed(b"more")
    event = bent.expect("data", where=lambda e: e.segment.sequence == 1)
    check(event.source == old, "data from the old address", event.source)
