# SPDX-License-Identifier: MIT
"""S: segments, and what they carry."""

import random
import struct
import time

from bent_peer import (ACK, ACK_NOW, CHALLENGE, CLOSE, FIN, NONE, PING, RESPONSE, ROUND_TRIP, RTO, SYN, ack, ack_value, block, control,
                       data, option, piece, v1)
from table import CRITICAL, VIOLATION, case, check, suppressed


@case("S1-known-flags", "4", "any", "SYN and RTO change nothing, FIN may carry bytes, and CONTROL is one whatever ACK says.")
def _(t):
    bent = t.connect()
    bent.say(data(0, b"a", RTO))
    bent.say(data(1, b"b", SYN))
    bent.say(control(PING, 7, flags=ACK))
    bent.expect("PONG", where=lambda e: e.segment.token == 7, say="PONG 7")
    bent.expect_acknowledged(bent.say(data(2, b"c", SYN | RTO | FIN)), "FIN, at once")
    bent.program.expect_output(b"abc")


@case("S1-flag-128", "4", "any", "Flag 128 is ignorable: data, ACK and CONTROL with it count as without.")
def _(t):
    bent = t.connect()
    bent.program.feed(b"x")
    bent.expect("data")
    bent.say(ack(0, flags=128))
    bent.expect_acknowledged(bent.say(data(0, b"flagged", 128 | ACK_NOW)), "data with flag 128")
    bent.say(control(PING, 7, flags=128))
    bent.expect("PONG", where=lambda e: e.segment.token == 7, say="PONG 7")
    bent.program.expect_output(b"flagged")
    bent.settle()


for name, segment in (("data", lambda: data(0, b"x", 16)), ("ACK", lambda: ack(NONE, flags=16)),
                      ("CONTROL", lambda: control(PING, flags=16))):
    @case("S1-flag-16-%s" % name, "4", "any",
          "Flag 16 is critical: %s with it brings CLOSE 0xFFFFFF04 that names it, within a round trip." % name)
    def _(t, segment=segment):
        bent = t.connect()
        bent.say(segment())
        bent.expect_close(CRITICAL, "flag 16")


@case("S1-ACK-NOW", "4, 5", "any", "ACK-NOW brings an ACK at once.")
def _(t):
    # A handshake so slow that a quarter of its round trip is longer than the delay of an ACK usually is, which can then be told from
    # no delay.  A busy machine makes an answer late, never early: the fastest of several counts.
    bent = t.connect(pause=0.15)
    delay = min(0.0375, int.from_bytes(dict(bent.opening_told).get(v1.P_DELAY, b"\0\0\x61\xa8")[:4], "big") / 1e6)
    fastest = 1.0
    for sequence in range(8):
        began = time.monotonic()
        bent.expect_acknowledged(bent.say(data(sequence, b"x", ACK_NOW)), "data with ACK-NOW", ROUND_TRIP)
        fastest = min(fastest, time.monotonic() - began)
    check(fastest < max(delay / 2, 0.005), "an ACK at once", "the fastest of eight after %.0f ms" % (fastest * 1000))


@case("S1-ACK-NOW-ignored", "4", "any", "ACK-NOW on a segment that elicits no ACK is ignored.")
def _(t):
    bent = t.connect()
    bent.say(ack(NONE, flags=ACK_NOW))
    bent.say(control(v1.PONG, 9, flags=ACK_NOW))
    bent.expect_nothing("no ACK of an ACK or a PONG, ACK-NOW or not", 0.1, lambda e: e.what == "ACK")


@case("S2-even-option", "4", "any", "Unknown even options are skipped, and option 0 is a byte of padding: on data, ACK and CONTROL.")
def _(t):
    bent = t.connect()
    options = b"\0" + option(0x0A, b"xyz") + b"\0\0" + option(254) + option(4, bytes(50)) + option(0x1A, b"\1")
    bent.program.feed(b"x")
    bent.expect("data")
    bent.say(ack(0, options=options))
    bent.expect_acknowledged(bent.say(data(0, b"behind options", ACK_NOW, options)), "data with unknown even options")
    bent.say(control(PING, 7, options=options))
    bent.expect("PONG", where=lambda e: e.segment.token == 7, say="PONG 7")
    bent.program.expect_output(b"behind options")
    bent.settle()


for kind, name, segment in ((1, "data", lambda o: data(0, b"x", 0, o)), (5, "data", lambda o: data(0, b"x", 0, o)),
                            (255, "ACK", lambda o: ack(NONE, options=o)), (7, "CONTROL", lambda o: control(PING, options=o))):
    @case("S2-odd-option-%d" % kind, "4", "any",
          "Unknown odd options are critical: %d on %s brings CLOSE 0xFFFFFF04 that names it." % (kind, name))
    def _(t, kind=kind, segment=segment):
        bent = t.connect()
        bent.say(segment(option(10) + option(kind, b"xy")))
        bent.expect_close(CRITICAL, "option %d" % kind)


NO_GAPS = ack_value(-1, 256, block())
BROKEN = {
    "option 2 twice": data(0, b"x", ACK_NOW, option(2, NO_GAPS) * 2),
    "option 2 of 6 bytes": data(0, b"x", ACK_NOW, option(2, NO_GAPS[:6])),
    "option 2 without a block": data(0, b"x", ACK_NOW, option(2, NO_GAPS[:7])),
    "option 2 on an ACK": ack(NONE, options=option(2, NO_GAPS), flags=ACK_NOW),
    "option 3 twice": data(0, bytes(64), ACK_NOW, option(3, b"\0\0\0\x40") * 2),
    "option 3 on a CONTROL": control(PING, 9, flags=ACK_NOW, options=option(3, b"\0\0\0\x40")),
    "option 3 on an ACK": ack(NONE, options=option(3, b"\0\0\0\x40"), flags=ACK_NOW),
    "option 3 of 3 bytes": data(0, bytes(64), ACK_NOW, option(3, b"\0\0\0")),
    "option 3 with an offset that is the total": data(0, bytes(64), ACK_NOW, option(3, b"\0\x40\0\x40")),
    "option 3 with a total of 0": data(0, b"", ACK_NOW, option(3, b"\0\0\0\0")),
    "an option beyond the data offset": bytes([9, ACK_NOW, 0, 0, 0, 0, 10, 2, 0, 0, 0]),
    "an option without a length": bytes([7, ACK_NOW, 0, 0, 0, 0, 10]) + b"payload",
    "a data offset of 5 on data": bytes([5, ACK_NOW, 0, 0, 0, 0]) + b"payload",
    "a data offset of 0 on data": bytes([0, ACK_NOW, 0, 0, 0, 0]) + b"payload",
    "a data offset behind the end": bytes([20, ACK_NOW, 0, 0, 0, 0]) + bytes(8),
    "a data offset of 8 on an ACK": b"\x08" + ack(NONE, flags=ACK_NOW)[1:],
    "an ACK of 7 bytes": ack(NONE, flags=ACK_NOW)[:7],
    "a data offset of 5 on a CONTROL": b"\5" + control(PING, 9, flags=ACK_NOW)[1:],
}
for place, (what, segment) in enumerate(BROKEN.items(), 1):
    @case("S2-malformed-%d" % place, "4", "any", "Malformed is dropped, and no ACK speaks of it: %s." % what)
    def _(t, what=what, segment=segment):
        bent = t.connect()
        told = bent.expect_refused(segment, what)
        check(told.last == NONE, "nothing taken", "last in-order number %d" % told.last)
        bent.expect_acknowledged(bent.say(data(0, b"good", ACK_NOW)), "good data behind it")
        bent.program.expect_output(b"good")
        bent.settle()


@case("S3-unknown", "4.4", "any", "Unknown kinds of CONTROL up to 0x7FFF are acknowledged and ignored: 6 without its feature and 8, too.")
def _(t):
    bent = t.connect()
    for kind in (0, 6, 8, 0x0A0A, 0x7A7A, 0x7FFF):
        bent.expect_acknowledged(bent.say(control(kind, 5, b"body", ACK_NOW)), "CONTROL 0x%04x" % kind)
    bent.settle()
    others = bent.take("PONG") + bent.take("CLOSE")
    check(not others, "no other answer", others and others[0])


for kind in (0x8000, 0x8001, 0xFFFF):
    @case("S3-critical-%04x" % kind, "4.4", "any",
          "CONTROL kinds from 0x8000 on are critical: 0x%04x brings CLOSE 0xFFFFFF04 that names it." % kind)
    def _(t, kind=kind):
        bent = t.connect()
        bent.say(control(kind, 5, b"body"))
        bent.expect_close(CRITICAL, "control 0x%04x" % kind)


FINS = {
    "behind": ("data behind FIN", [data(1, b"end", FIN), data(2, b"x")]),
    "before": ("FIN before data that has come", [data(2, b"x"), data(1, b"end", FIN)]),
    "second-above": ("a second FIN above the first", [data(2, b"", FIN), data(3, b"", FIN)]),
    "second-below": ("a second FIN below the first", [data(2, b"", FIN), data(1, b"", FIN)]),
}
for name, (what, segments) in FINS.items():
    @case("S5-FIN-%s" % name, "4", "any", "CLOSE 0xFFFFFF01 without a reason answers %s." % what)
    def _(t, segments=segments):
        bent = t.connect()
        for segment in segments:
            bent.say(segment)
        bent.expect_close(VIOLATION)


@case("S5-repeats", "4", "any", "Repeats of what came before, with or without FIN, are no violation.")
def _(t):
    bent = t.connect()
    for segment in (data(0, b"a"), data(0, b"a", RTO), data(0, b"a", FIN | RTO), data(2, b"c", FIN), data(2, b"c", FIN | RTO),
                    data(2, b"c", RTO), data(1, b"b"), data(1, b"b", FIN), data(2, b"c", FIN | RTO), data(0, b"a", RTO)):
        bent.say(segment)
        bent.ask()
    bent.program.expect_output(b"abc")
    bent.settle()


@case("S6-PINGs", "4.4", "any", "PINGs 7, 8, 9 in one burst bring PONGs 7, 8 and 9.")
def _(t):
    pongs(t, [7, 8, 9])


@case("S6-eight", "4.4", "any", "Up to eight PINGs in one burst all bring their PONGs.")
def _(t):
    pongs(t, [1, 2, 3, 0xFFFF, 5, 6, 700, 8])


def pongs(t, tokens):
    bent = t.connect()
    with bent.program.halted():
        for token in tokens:
            bent.say(control(PING, token))
    came = []
    for token in tokens:
        with suppressed():
            came.append(bent.expect("PONG", ROUND_TRIP if not came else 0.05, lambda e: e.segment.token == token).segment.token)
    check(came == tokens, "PONGs %s" % tokens, came)


@case("S6-token-0", "4.4", "any", "PING with token 0 brings an ACK, and no PONG.")
def _(t):
    bent = t.connect()
    bent.expect_acknowledged(bent.say(control(PING, 0, flags=ACK_NOW)), "PING 0")
    bent.settle()
    came = bent.take("PONG")
    check(not came, "no PONG", came and came[0])


@case("S7-CHALLENGE", "4.4", "any", "CHALLENGE brings a RESPONSE with the same 8 bytes, without padding, and counts as ack-eliciting.")
def _(t):
    bent = t.connect()
    bent.expect_acknowledged(bent.say(control(CHALLENGE, 0, b"8 bytes!" + bytes(500), ACK_NOW)), "CHALLENGE")
    event = bent.expect("RESPONSE")
    check(event.segment.payload == b"8 bytes!", "RESPONSE with b'8 bytes!'", event.segment.payload)


@case("S7-elsewhere", "4.4", "any", "RESPONSE goes to the address that the CHALLENGE came from.")
def _(t):
    bent = t.connect()
    there = bent.open_port()
    bent.say(control(CHALLENGE, 0, b"8 bytes!"), port=there)
    event = bent.expect("RESPONSE")
    check(event.port == there and event.segment.payload == b"8 bytes!", "RESPONSE with b'8 bytes!' at port %d" % there, event)


@case("S7-largest", "2, 6", "any", "A datagram as large as the program has said that it takes (at most 1400 are tried) arrives.")
def _(t):
    bent = t.connect()
    largest = min(1400, int.from_bytes(dict(bent.opening_told).get(v1.P_LARGEST, b"\5\x78")[:2], "big"))
    bent.say(control(CHALLENGE, 0, b"8 bytes!" + bytes(largest - 16 - 16 - 6 - 8)))
    bent.expect("RESPONSE", say="RESPONSE to a datagram of %d bytes" % largest)


@case("S7-short", "4, 4.4", "any",
      "Bodies that are too short (7 bytes of CHALLENGE or RESPONSE, 3 of CLOSE) are dropped; CHALLENGE is acknowledged.")
def _(t):
    bent = t.connect()
    bent.expect_acknowledged(bent.say(control(CHALLENGE, 0, b"7 bytes", ACK_NOW)), "CHALLENGE of 7 bytes")
    bent.say(control(RESPONSE, 0, b"7 bytes"))
    bent.say(control(CLOSE, 0, b"\0\0\0"))
    bent.settle()
    came = bent.take("RESPONSE")
    check(not came, "no RESPONSE", came and came[0])


@case("S8-closed", "7", "any", "After CLOSE the program is silent, whatever comes.")
def _(t):
    bent = t.connect()
    bent.say(control(CLOSE, 0, struct.pack(">I", 7) + b"bye"))
    for segment in (control(PING, 5, flags=ACK_NOW), data(0, b"x", ACK_NOW), control(CLOSE, 0, struct.pack(">I", 8)), data(1, b"x", FIN)):
        bent.say(segment)
    bent.expect_nothing("silence")


@case("S8-codes", "4.4, 7", "any", "So it is after any code of CLOSE, and any reason: 0, idle (08), one that nobody has given out, 1000 bytes.")
def _(t):
    for code, reason in ((0, b""), (0xFFFFFF08, b"idle"), (0xFFFFFFFF, b"\xff\xfe"), (12345, b"x" * 1000)):
        bent = t.connect()
        bent.say(control(CLOSE, 0, struct.pack(">I", code) + reason))
        bent.say(control(PING, 5, flags=ACK_NOW))
        bent.expect_nothing("silence after CLOSE 0x%08X" % code, 0.08)


for name, segment in (("data", data(0, b"x", ACK_NOW)), ("ACK", ack(NONE)), ("PING", control(PING, 5, flags=ACK_NOW))):
    @case("S8-repeats-%s" % name, "7", "any", "A program that has closed repeats CLOSE when the 1st, 2nd, 4th and 8th %s comes." % name)
    def _(t, name=name, segment=segment):
        bent = t.connect()
        bent.say(ack(1000))
        first = bent.expect_close(VIOLATION)
        count = 0
        for until in (1, 2, 4, 8):
            while count < until:
                bent.say(segment)
                count += 1
            event = bent.expect("CLOSE", ROUND_TRIP, say="CLOSE again after %d %s" % (count, name))
            check(event.code == first.code and event.reason == first.reason, first, event)
        bent.expect_nothing("nothing but four repetitions for eight datagrams", 0.05)


@case("S8-no-answer", "7", "any", "A program that has closed does not answer CLOSE.")
def _(t):
    bent = t.connect()
    bent.say(ack(1000))
    bent.expect_close(VIOLATION)
    for _ in range(4):
        bent.say(control(CLOSE, 0, struct.pack(">I", 7)))
    bent.expect_nothing("silence", 0.1)


@case("S9-replay", "1, 4.3", "any", "The same datagram again has no second effect: no PONG, no bytes, no duplicate counted.")
def _(t):
    bent = t.connect()
    datagrams = [bent.sealed(data(0, b"once")), bent.sealed(control(PING, 7))]
    for datagram in datagrams * 3:
        bent.send(datagram)
    bent.expect("PONG", where=lambda e: e.segment.token == 7, say="PONG 7")
    told = bent.settle()
    came = bent.take("PONG")
    check(not came, "one PONG", "another %s" % (came and came[0]))
    check(told.duplicates == 0, "no duplicates told of", told.duplicates)
    bent.say(data(0, b"once"))
    told = bent.ask()
    check(told.duplicates == 1, "one duplicate told of, for the same data under a new number", told.duplicates)
    bent.program.expect_output(b"once")


@case("S9-late", "1", "any", "Packet numbers up to 255 back from the newest are accepted when late, once.")
def _(t):
    bent = t.connect()
    newest = bent.next_number + 1000
    bent.ask(newest)
    for token, back in ((7, 1), (8, 100), (9, 255)):
        datagram = bent.sealed(control(PING, token), newest - back)
        bent.send(datagram)
        bent.expect("PONG", where=lambda e: e.segment.token == token, say="PONG for packet number %d back" % back)
        bent.send(datagram)
    bent.settle()
    came = bent.take("PONG")
    check(not came, "no second PONG", came and came[0])


@case("S9-gaps", "1", "any", "Packet numbers may be skipped.")
def _(t):
    bent = t.connect()
    for step in (10, 1000, 5000, 1000000):
        bent.ask(bent.next_number + step)


@case("S10-order", "6", "any", "The pieces of a segment may come in any order and more than once.")
def _(t):
    bent = t.connect()
    text = random.randbytes(300)
    pieces = [(0, 128), (128, 192), (192, 256), (256, 300)]
    for start, end in (pieces[3], pieces[1], pieces[1], pieces[3], pieces[0]):
        bent.say(piece(0, start, 300, text[start:end], SYN))
    told = bent.settle()
    check(told.last == NONE, "no ACK of a segment before all of it is there", "last in-order number %d" % told.last)
    bent.expect_acknowledged(bent.say(piece(0, *(192, 300), text[192:256], SYN | ACK_NOW)), "the last piece")
    bent.program.expect_output(text)
    bent.say(piece(0, 0, 300, text[:128], SYN))
    check(bent.settle().last == 0, "last in-order number 0", "another")
    bent.program.expect_output(text)


BAD_PIECES = {
    "an offset that is no multiple of 64": (96, 200, bytes(32)),
    "a length that is no multiple of 64": (64, 200, bytes(63)),
    "an end beyond the total": (128, 200, bytes(128)),
    "no bytes": (64, 200, b""),
    "another total": (64, 264, bytes(64)),
    "another total that it ends at": (64, 128, bytes(64)),
}
for place, (what, (offset, total, bad)) in enumerate(BAD_PIECES.items(), 1):
    @case("S10-bad-%d" % place, "4, 6", "any",
          "A piece with %s is dropped, its packet number acknowledged; right pieces are delivered." % what)
    def _(t, what=what, offset=offset, total=total, bad=bad):
        bent = t.connect()
        text = b"\1" * 200
        bent.say(piece(0, 0, 200, text[:64]))
        number = bent.say(piece(0, offset, total, bad, ACK_NOW))
        bent.expect_acknowledged(number, "a piece with " + what)
        told = bent.settle()
        check(told.last == NONE, "nothing acknowledged of the segment", "last in-order number %d" % told.last)
        for start, end in ((128, 200), (0, 64)):
            bent.say(piece(0, start, 200, text[start:end]))
        told = bent.settle()
        check(told.last == NONE, "nothing taken of the bad piece", "last in-order number %d" % told.last)
        bent.expect_acknowledged(bent.say(piece(0, 64, 200, text[64:128], ACK_NOW)), "the right piece")
        bent.program.expect_output(text)


@case("S11-beyond", "4, 5", "any", "Data far beyond the window is dropped, no ACK tells of it, and what is in order goes on.")
def _(t):
    bent = t.connect()
    for sequence in (0x1000001, 0x2000000, 0x7FFFFFFF):
        bent.say(data(sequence, b"beyond", ACK_NOW))
        told = bent.settle()
        received = [run for interval in told.intervals for run in interval if run[0]]
        check(told.last == NONE and not received, "no ACK of data %#x" % sequence, "last %d, %s" % (told.last, received))
    bent.say(data(0, b"in order"))
    check(bent.settle().last == 0, "last in-order number 0", "another")
    bent.program.expect_output(b"in order")


@case("S12-gaps", "4.3", "any", "An ACK tells what has come: data 1 and 2 missing, 3 received, nothing in order but 0.")
def _(t):
    bent = t.connect()
    bent.say(data(0, b"0", SYN))
    bent.say(data(3, b"3"))
    told = bent.settle()
    runs = [run for interval in told.intervals for run in interval]
    check(told.last == 0 and (False, 0, 2) in runs and (True, 2, 1) in runs, "last 0, 1 and 2 missing, 3 received",
          "last %d, %s" % (told.last, runs))
    bent.say(data(2, b"2"))
    bent.say(data(1, b"1"))
    told = bent.settle()
    check(told.last == 3 and not told.intervals, "last 3 and no interval", "last %d, %s" % (told.last, told.intervals))
    bent.program.expect_output(b"0123")


@case("S13-end", "7", "any",
      "When both directions have ended and are acknowledged all is finished; a repeated FIN is answered with an ACK.")
def _(t):
    bent = t.connect()
    bent.program.feed(b"there")
    bent.program.end_input()
    text, end = {}, None
    while end is None or any(n not in text for n in range(end)):
        event = bent.expect("data", say="data up to FIN")
        text[event.segment.sequence] = event.segment.payload
        if event.segment.flags & FIN:
            end = event.segment.sequence
    check(b"".join(text[n] for n in sorted(text)) == b"there", "b'there'", text)
    bent.expect_acknowledged(bent.say(data(0, b"back", SYN | FIN)), "FIN")
    bent.say(ack(end))
    bent.program.expect_output(b"back")
    for _ in range(2):
        bent.forget()
        bent.expect_acknowledged(bent.say(data(0, b"back", SYN | FIN | RTO)), "a repeated FIN after the end")
