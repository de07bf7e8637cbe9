# SPDX-License-Identifier: MIT
"""S15, S16: what the program sends, and when."""

import random
import struct
import time

from bent_peer import ACK_NOW, CHALLENGE, CLOSE, NONE, PING, RTO, SWITCH, ack, block, changed, control, data, v1
from table import case, check


@case("S15-tokens", "4.4", "any", "The token of a CONTROL other than PING and PONG is ignored, and 0 in what comes.")
def _(t):
    bent = t.connect()
    bent.say(control(PING, 0), port=bent.open_port())
    event = bent.expect("CHALLENGE")
    check(event.segment.token == 0, "a token of 0", event.segment.token)
    # SWITCH last: for a second after it no validation begins (section 6.4).
    for kind, body in ((CHALLENGE, b"8 bytes!"), (SWITCH, b"8 bytes?")):
        bent.say(control(kind, 77, body))
        event = bent.expect("RESPONSE", where=lambda e: e.segment.payload == body)
        check(event.segment.token == 0, "a token of 0", event.segment.token)
    bent.settle()
    bent.forget()
    bent.say(control(CLOSE, 77, struct.pack(">I", 7)))
    bent.say(control(PING, 5, flags=ACK_NOW))
    bent.expect_nothing("silence after CLOSE", 0.1, lambda e: e.what != "CHALLENGE")


@case("S15-1200", "6.1", "any", "Nobody is sent longer datagrams than he takes: here 1200 bytes.")
def _(t):
    bent = t.connect(lambda pairs: changed(pairs, (v1.P_LARGEST, struct.pack(">H", 1200))))
    bent.program.feed(bytes(20000))
    bent.expect("data")
    bent._pump(time.monotonic() + 0.3 * t.patience)
    bent.settle()
    longest = max(len(event.datagram) for event in bent.inbox)
    check(longest <= 1200, "at most 1200 bytes", longest)


@case("S15-too-long", "4.5, 6.1", "any", "A datagram that is longer than the program takes is delivered whole or not at all, and can then come in a shorter one.")
def _(t):
    bent = t.connect()
    largest = int.from_bytes(bent.told.get(v1.P_LARGEST, b"\5\x78")[:2], "big")
    text = random.randbytes(min(largest + 200, 16000))
    bent.say(data(0, text))
    if bent.settle().last == NONE:
        bent.program.expect_output(b"")
        text = text[:1000]
        bent.expect_acknowledged(bent.say(data(0, text, RTO | ACK_NOW)), "data 0 in a datagram that is taken")
    bent.program.expect_output(text)


@case("S16-probe", "5.5", "any", "Without answers come probes: the newest and the oldest segment, both with ACK-NOW.")
def _(t):
    bent = t.connect()
    bent.program.feed(bytes(5000))
    events = [bent.expect("data", where=lambda e: e.segment.sequence == sequence) for sequence in range(4)]
    for sequence in (3, 0):
        bent.expect("data", 4, lambda e: e.segment.sequence == sequence and e.number > events[3].number and e.segment.flags & ACK_NOW,
                    "data %d again, with ACK-NOW" % sequence)


@case("S16-probe-window", "5.5, 5.7", "any", "A closed window is asked for by PINGs, and what waits comes when it opens.")
def _(t):
    bent = t.connect(lambda pairs: changed(pairs, (v1.P_WINDOW, bytes(4))), window=0)
    bent.program.feed(b"x")
    number = bent.expect("PING", 4).number
    came = bent.take("data")
    check(not came, "no data", came and came[0])
    bent.say(ack(NONE, 1, block(number)))
    bent.expect("data", say="data when the window opens")


@case("S16-refused", "5.7", "any", "A window that is taken back refuses what was sent above it: that comes again when it opens, and not before.")
def _(t):
    bent = t.connect()
    bent.program.feed(bytes(8000))
    events = [bent.expect("data", where=lambda e: e.segment.sequence == sequence) for sequence in range(6)]
    newest = events[5].number
    bent.say(ack(3, 0, block(newest)))
    bent.forget()
    end = time.monotonic() + 0.5 * t.patience
    while time.monotonic() < end:
        bent._pump(end)
    came = bent.take("data")
    check(not came, "no data above the window", came and came[0])
    # One that comes late moves nothing
    bent.say(ack(3, 100, block(events[3].number)))
    bent.settle()
    came = bent.take("data")
    check(not came, "no data for an ACK whose largest packet number is lower", came and came[0])
    number = bent.expect("PING", 4, say="PING for a closed window").number
    bent.say(ack(3, 10, block(number)))
    for sequence in (4, 5):
        bent.expect("data", where=lambda e: e.segment.sequence == sequence, say="data %d again when the window opens" % sequence)
