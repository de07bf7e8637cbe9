# SPDX-License-Identifier: MIT
"""A: what an ACK block tells beside intervals, and what follows from the packet numbers."""

import struct

from bent_peer import ACK_NOW, CHALLENGE, NONE, PING, ROUND_TRIP, ack, ack_value, block, changed, control, data, option, v1
from cases_path import moved
from table import case, check


CONTENTS = [(intervals, duplicates, ecn, packets) for intervals in (0, 1, 8) for duplicates in (None, 0, 3)
            for ecn in (None, (0, 0, 0), (5, 0, 0)) for packets in (False, True)]


def contents(t, send):
    """Each ACK acknowledges two packets and allows two more.  `send` says one, given its last in-order number, window and block."""
    bent = t.connect(lambda pairs: changed(pairs, (v1.P_WINDOW, b"\0\0\0\2")), window=2)
    bent.program.feed(bytes(2 * 1400 * (len(CONTENTS) + 2)))
    described = "the first ACK"
    for place, (intervals, duplicates, ecn, packets) in enumerate(CONTENTS):
        say = "data in the window of %s" % described
        described = "an ACK with %d intervals, duplicates %s, ECN %s, packet numbers %s" % (intervals, duplicates, ecn, packets)
        for sequence in (2 * place, 2 * place + 1):
            event = bent.expect("data", where=lambda e: e.segment.sequence == sequence, say="%s: %d" % (say, sequence))
        bent.forget()
        # The second is described as received, but not yet in order
        send(bent, 2 * place, 3, block(event.number, *[(0, 1, 1)] * intervals, duplicates=duplicates, ecn=ecn,
                                       packets=[event.number + 1] if packets else None))
    bent.expect("data", where=lambda e: e.segment.sequence == 2 * len(CONTENTS), say="data behind the last ACK")


@case("A1-contents", "4.3", "any", "ACK blocks are read with every combination of what they may tell, on ACK segments.")
def _(t):
    contents(t, lambda bent, *fields: bent.say(ack(*fields)))


@case("A1-contents-option", "4.3", "any", "So they are as option 2, on CONTROLs.")
def _(t):
    contents(t, lambda bent, *fields: bent.say(control(PING, 0, options=option(2, ack_value(*fields)))))


def long(value, length=8):
    return (value | {2: 1, 4: 2, 8: 3}[length] << (8 * length - 2)).to_bytes(length, "big")


@case("A1-varints", "4.3", "any", "Numbers of an ACK block need not be in their shortest form.")
def _(t):
    bent = t.connect(lambda pairs: changed(pairs, (v1.P_WINDOW, b"\0\0\0\2")), window=2)
    bent.program.feed(bytes(20000))
    for place, length in enumerate((2, 4, 8)):
        for sequence in (2 * place, 2 * place + 1):
            event = bent.expect("data", where=lambda e: e.segment.sequence == sequence,
                                say="data %d, behind an ACK in numbers of %d bytes" % (sequence, length))
        fields = [event.number, 0, 8 + 7, 0, 0, 0, 0, 0, 3, 1, 1, 1, event.number - 1]  # four runs of packet numbers at most
        bent.forget()
        bent.say(ack(2 * place, 3, b"".join(long(value, length) for value in fields)))
    bent.expect("data", where=lambda e: e.segment.sequence == 6, say="data 6, behind an ACK in numbers of 8 bytes")


@case("A1-order", "4.3", "any", "Intervals may come in any order and overlap.")
def _(t):
    bent = started(t, 6)
    events = sent(bent, range(6))
    # 0 and 3 are missing; the others are told twice
    bent.say(ack(NONE, 256, block(events[5].number, (4, 1, 2), (1, 1, 2, 1, 1), (0, 0, 1, 1), (4, 1, 1), (2, 1, 1, 1, 2), delay=DELAY)))
    for sequence in (0, 3):
        resent(bent, sequence, events[5].number)
    came = bent.take("data", lambda e: e.segment.sequence in (1, 2, 4, 5) and e.number > events[5].number)
    check(not came, "nothing of what was told to be received is sent again", came and came[0])


# --- Loss by packet number


DELAY = 900000  # What our ACKs tell of their delay, in microseconds, so that no probe comes soon


def started(t, packets):
    """A connection of a peer that may delay its ACKs for a second, and `packets` packets on their way."""
    bent = t.connect(lambda pairs: changed(pairs, (v1.P_DELAY, struct.pack(">I", 1000000))))
    bent.say(ack(NONE, 256, block(delay=DELAY)))
    bent.program.feed(bytes(1300 * packets))
    return bent


def sent(bent, sequences):
    """What came of these sequence numbers, the newest transmission of each."""
    events = {}
    for sequence in sequences:
        events[sequence] = bent.expect("data", where=lambda e: e.segment.sequence == sequence, say="data %d" % sequence)
        for again in bent.take("data", lambda e: e.segment.sequence == sequence):
            events[sequence] = again
    return events


def resent(bent, sequence, behind, why="", timeout=ROUND_TRIP, probes=False):
    """It comes again under a packet number above `behind`; not only by a probe, which asks for an ACK at once."""
    return bent.expect("data", timeout, lambda e: e.segment.sequence == sequence and e.number > behind and (
        probes or not e.segment.flags & ACK_NOW), "data %d again%s" % (sequence, why))


def lost_again(t, later):
    """Data 0 is lost twice; of the second time only packet numbers tell, in an ACK of `later` packets sent after it."""
    bent = started(t, 4)
    events = sent(bent, range(4))
    bent.say(ack(NONE, 256, block(events[3].number, (0, 0, 1, 3), delay=DELAY)))
    again = resent(bent, 0, events[3].number, ", as it is described as missing")
    bent.program.feed(bytes(1300 * later))
    more = sent(bent, range(4, 4 + later))
    for event in bent.take("data", lambda e: e.segment.sequence == 0):
        again = event
    largest = max(event.number for event in more.values())
    check(largest > again.number, "new data behind what is sent again", "data 0 as packet %d, the newest new one is %d" % (again.number, largest))
    bent.say(ack(NONE, 256, block(largest, (4, 1, later), delay=DELAY, packets=[largest - again.number, 1] + [again.number] * (again.number > 0))))
    resent(bent, 0, largest, " soon, as its packet number is missing")
    bent.say(ack(3 + later, 256, block(largest)))
    bent.settle()


@case("A2-lost-again", "4.3, 5.4", "any",
      "A retransmission that is lost, of which only packet numbers tell, is sent again when three later packets have come.")
def _(t):
    lost_again(t, 4)


@case("A2-lost-again-time", "4.3, 5.4", "any", "With fewer than three later ones it is sent again after 9/8 of a round trip.")
def _(t):
    lost_again(t, 1)


@case("A2-tail", "4.3, 5.4", "any", "So is the newest data, which no interval can describe, once a later packet has come: here a CHALLENGE.")
def _(t):
    bent = started(t, 4)
    events = sent(bent, range(4))
    bent.say(ack(2, 256, block(events[2].number, delay=DELAY)))
    _, *challenges = moved(bent)
    late, largest = events[3].number, max(event.number for event in challenges)
    bent.say(ack(2, 256, block(largest, delay=DELAY, packets=[largest - late, 1] + [late] * (late > 0))))
    resent(bent, 3, largest, " soon, as its packet number is missing")


@case("A2-not-acknowledged", "4.3, 5.4", "any", "Data is not taken for received because its packet number is: a probe sends it again.")
def _(t):
    bent = t.connect()
    bent.program.feed(b"x")
    event = bent.expect("data")
    bent.say(ack(NONE, 256, block(event.number, packets=[event.number + 1])))
    again = resent(bent, 0, event.number, ", as no ACK told that it was received", 3, True)
    bent.say(ack(0, 256, block(again.number)))
    bent.settle()


@case("A2-described", "4.3, 5.4", "any", "What an interval describes as missing is lost although its packet number was received.")
def _(t):
    bent = started(t, 4)
    events = sent(bent, range(4))
    bent.say(ack(NONE, 256, block(events[3].number, (0, 0, 1, 3), delay=DELAY, packets=[events[3].number + 1])))
    resent(bent, 0, events[3].number, ", as it is described as missing")


@case("A2-received", "4.3, 5.4", "any", "What an interval describes as received is not lost although its packet number is missing.")
def _(t):
    bent = started(t, 4)
    events = sent(bent, range(4))
    first, largest = events[0].number, events[3].number
    bent.say(ack(NONE, 256, block(largest, (0, 1, 4), delay=DELAY, packets=[largest - first, 1] + [first] * (first > 0))))
    bent.settle()
    came = bent.take("data", lambda e: e.segment.sequence == 0 and e.number > largest)
    check(not came, "data 0 not sent again", came and came[0])


@case("A2-late", "4.3, 5.4", "any", "A packet that was told to be missing may still come: an ACK that then tells of it counts.")
def _(t):
    bent = started(t, 4)
    events = sent(bent, range(4))
    first, largest = events[0].number, events[3].number
    below = [first] * (first > 0)
    bent.say(ack(NONE, 256, block(largest, (0, 0, 1, 3), delay=DELAY, packets=[largest - first, 1] + below)))
    again = resent(bent, 0, largest, ", as it is missing by both numbers")
    bent.say(ack(3, 256, block(largest, packets=[largest + 1])))
    bent.settle()
    came = bent.take("data", lambda e: e.segment.sequence < 4 and e.number > again.number)
    check(not came, "nothing more", came and came[0])
    bent.program.feed(b"more")
    bent.expect("data", where=lambda e: e.segment.sequence == 4, say="new data, 4")


# --- What the program tells itself


def expect_told(bent, told, received, missing):
    check(told.packets, "packet numbers, as there is a gap among the newest 1024", "none")
    lowest = told.packets[-1][1]
    for number in range(lowest, told.largest + 1):
        is_missing = told.tells_missing(number)
        check(number not in missing or is_missing, "packet %d told to be missing" % number, told.packets)
        check(number not in received or not is_missing, "packet %d told to be received" % number, told.packets)
    check(lowest <= min(list(received) + list(missing)), "packet numbers down to %d" % min(list(received) + list(missing)), told.packets)


@case("A3-skipped", "4.3", "any", "While there is a gap among the newest 1024 packet numbers an ACK tells them, until what was missing comes.")
def _(t):
    bent = t.connect()
    gap = range(bent.next_number, bent.next_number + 5)
    before = bent.next_number - 1
    told = bent.ask(gap.stop)
    expect_told(bent, told, [before, gap.stop], gap)
    bent.say(control(PING, 0), gap.start + 2)
    expect_told(bent, bent.ask(), [before, gap.start + 2, gap.stop], [n for n in gap if n != gap.start + 2])
    for number in gap:
        bent.say(control(PING, 0), number)
    told = bent.ask()
    check(not any(told.tells_missing(number) for number in range(told.largest)), "nothing missing any more", told.packets)


@case("A3-whatever", "4.3", "any", "A packet number is received when its datagram has opened: with an ACK, a malformed segment, data beyond the window.")
def _(t):
    bent = t.connect()
    number = bent.next_number
    for segment in (ack(NONE), b"\0" + data(0)[1:], bytes(9), data(0x2000000, b"x"), control(CHALLENGE, 0, b"short")):
        bent.say(segment)
    received, missing = range(number, bent.next_number), [bent.next_number]
    expect_told(bent, bent.ask(bent.next_number + 1), received, missing)


@case("A3-not-opened", "4.3", "any", "It is not when the datagram does not open.")
def _(t):
    bent = t.connect()
    forged = bent.sealed(control(PING, 7))
    bent.send(forged[:-1] + bytes([forged[-1] ^ 1]))
    number = bent.next_number - 1
    expect_told(bent, bent.ask(), [number + 1], [number])


@case("A3-many", "4.3", "any", "Packet numbers take 32 bytes at most, with the newest first.")
def _(t):
    bent = t.connect()
    first = bent.next_number
    for step in range(100):
        bent.say(control(PING, 0), first + 2 * step)
    told = bent.ask(first + 200)
    check(told.packets, "packet numbers", "none")
    lowest = told.packets[-1][1]
    check(told.largest - lowest >= 16, "at least 16 numbers in 32 bytes", told.largest - lowest)
    wrong = [n for n in range(max(lowest, first), told.largest) if told.tells_missing(n) != bool((n - first) & 1)]
    check(not wrong, "every second number missing", told.packets)
