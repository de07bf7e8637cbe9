#!/usr/bin/env python3
"""The rules of docs/protocol.md as a table of cases.  Each plays one side of the wire, honestly or not, against a program under test.

    conformance.py --list           the table: id, section of docs/protocol.md, role of the program, rule
    conformance.py [ID ...]         runs these, or all; an id may be cut: H8 runs all whose id begins with H8-

One line a case: `ok ID`, or `FAILED ID: what was expected; came what came instead`.  The exit status is 1 if one fails.

The program is a pipe: standard input to one peer, that peer to standard output.  Another implementation is tested by

    conformance.py --listen-command 'other --listen {host}:{port}' --dial-command 'other --dial {host}:{port} --key {key}'

where {key} is the static key of our side, and {port} is 0 for a listener, which chooses one and writes `listening on HOST:PORT` to
standard error.  A listener takes whoever comes first.
"""

import argparse
import concurrent.futures
import contextlib
import os
import random
import shlex
import struct
import sys
import time
import traceback

sys.dont_write_bytecode = True  # no folders of it in the sources

from bent_peer import (ACK_NOW, CHALLENGE, CLOSE, FIN, NONE, PING, RESPONSE, ROUND_TRIP, RTO, SOON, SYN, ACK,
                       Failed, Trial, ack, ack_value, block, changed, control, data, option, piece, read, without)
from bent_peer import v1

VIOLATION, NO_VERSION, CRITICAL = v1.VIOLATION, v1.NO_VERSION, v1.UNKNOWN_CRITICAL
MAGIC_AND_HEAD = b"LRP2\0\1\0\x08"
CASES = []


def case(name, section, role, rule):
    """`role` is that of the program: listen, dial, or any, which runs in the one that --role says."""
    def add(function):
        assert all(known.name != name for known in CASES), name
        CASES.append(Case(name, section, role, rule, function))
        return function
    return add


class Case:
    def __init__(self, name, section, role, rule, function):
        self.name, self.section, self.role, self.rule, self.function = name, section, role, rule, function


def check(condition, expected, came):
    if not condition:
        raise Failed("%s; came %s" % (expected, came))


# --- H: the handshake


@case("H1-header", "1, 3", "listen", "Message 2 goes under the initiator's id, message 3 under the responder's, with FF*7 and kind 1.")
def _(t):
    bent = t.listener()
    opening = bent.attempt()
    bent.send(opening.datagram)
    message2 = bent.expect_message2(opening)
    check(len(message2.datagram) * 3 < len(opening.datagram), "message 2 is shorter than a third of message 1",
          "%d bytes" % len(message2.datagram))
    check(4 <= opening.peer_id[0] <= 15, "an id that begins with 4 to 15", opening.peer_id.hex())
    bent.send(bent.message3(opening))
    bent.expect_ack(lambda a: a.last == NONE, "message 3 is answered with a sealed ACK")
    bent.ask()


@case("H1-header-dial", "1, 3", "dial", "An initiator takes message 2 under its own id, and sends message 3 under the one told there.")
def _(t):
    bent, message1 = t.dialler()
    opening = bent.message2(message1)
    bent.send(opening.datagram)
    bent.expect_message3(opening)
    bent.ask()


@case("H1-unknown-kind", "1", "listen", "Handshake datagrams of unknown kinds are dropped, and what goes on goes on.")
def _(t):
    bent = t.listener()
    opening = bent.attempt()
    bent.send(opening.datagram)
    bent.expect_message2(opening)
    message3 = bent.message3(opening)
    kinds = [k for k in (0, 2, 3, 77, 254, 255)]
    for kind in kinds:
        bent.send(message3[:15] + bytes([kind]) + message3[16:])
    bent.expect_nothing("no answer to kinds other than 1")
    bent.send(message3)
    bent.expect_ack(lambda a: True, "the true message 3 is answered with a sealed ACK")
    bent.ask()
    for kind in kinds:
        bent.send(message3[:15] + bytes([kind]) + message3[16:])
        bent.send(message3[:15] + bytes([kind]) + bytes(40))
    bent.settle()


@case("H1-unknown-kind-dial", "1", "dial", "Handshake datagrams of unknown kinds are dropped by an initiator, before and after message 2.")
def _(t):
    bent, message1 = t.dialler()
    opening = bent.message2(message1)
    strange = [opening.datagram[:15] + bytes([kind]) + opening.datagram[16:] for kind in (0, 3, 77, 254, 255)]
    for one in strange:
        bent.send(one)
    bent.expect_nothing("no answer to kinds other than 1")
    bent.send(opening.datagram)
    bent.expect_message3(opening)
    for one in strange:
        bent.send(one)
    bent.settle()


@case("H1-message1", "3", "dial",
      "Message 1 is well formed: 1 first, 2 and 5 there, version 1 and ChaCha20-Poly1305 offered, each parameter once.")
def _(t):
    _, message1 = t.dialler()
    pairs = read(message1.datagram[40:], "message 1")
    told = dict(pairs)
    check(pairs[0][0] == v1.P_ID, "parameter 1 first", "parameter %d" % pairs[0][0])
    check(1 in told.get(v1.P_VERSIONS, b""), "version 1 among those of parameter 2", told.get(v1.P_VERSIONS))
    check(1 in told.get(v1.P_AEADS, b""), "AEAD 1 among those of parameter 5", told.get(v1.P_AEADS))
    critical = [hex(kind) for kind in told if 0x4000 <= kind < 0x8000]
    check(not critical, "no critical parameter", critical)


def unanswered(t, **makers):
    """Message 1s that must not be answered, each by a name and a function of the peer, and then one that must."""
    bent = t.listener()
    bad = {name: make(bent) for name, make in makers.items()}
    for one in bad.values():
        bent.send(one.datagram)
    good = bent.attempt()
    bent.send(good.datagram)
    bent.expect_message2(good)
    bent._pump(time.monotonic() + 0.05 * t.patience)
    came = {event.id for event in bent.take("kind 1")}
    answered = [name for name, one in bad.items() if one.own_id in came]
    check(not answered, "no answer to message 1", "one to message 1 with " + ", ".join(answered))
    bent.send(bent.message3(good))
    bent.expect_ack(lambda a: True, "a good message 3 is answered with a sealed ACK")


def bent_by(pairs):
    """A message 1 whose parameters are this function of the standard ones."""
    return lambda bent: bent.attempt(pairs)


def no_connection(t, pairs=None, parameter_id=None):
    """A message 2 that must not lead to a connection.  A later one, as it should be, may, or the dial has failed by then."""
    bent, message1 = t.dialler()
    bad = bent.message2(message1, pairs, parameter_id=parameter_id)
    bent.send(bad.datagram)
    good = bent.message2(message1)
    bent.send(good.datagram)
    deadline = time.monotonic() + SOON * t.patience
    came = []
    while not came and time.monotonic() < deadline and not bent.program.has_ended:
        bent._pump(time.monotonic() + 0.01)
        came += bent.take("kind 1")
    came += bent.take("kind 1")
    check(all(event.id == good.own_id for event in came), "no message 3 to it", came and came[0])
    check(came or bent.program.has_ended, "either the dial fails, or a right message 2 is answered", bent.came())


@case("H2-id-zero", "1", "listen", "An id is never 0: a message 1 under it is not answered.")
def _(t):
    unanswered(t, id_0=lambda bent: bent.attempt(own_id=bytes(8)))


@case("H2-id-zero-dial", "1", "dial", "A message 2 that tells the receive id 0 does not become a connection.")
def _(t):
    no_connection(t, parameter_id=bytes(8))


@case("H2-mandatory", "3", "listen", "1, 2 and 5 are mandatory in message 1, and its shape: without it is not answered.")
def _(t):
    unanswered(t, no_versions=bent_by(lambda pairs: without(pairs, v1.P_VERSIONS)),
               no_AEADs=bent_by(lambda pairs: without(pairs, v1.P_AEADS)),
               no_id=bent_by(lambda pairs: without(pairs, v1.P_ID)),
               id_last=bent_by(lambda pairs: pairs[1:] + pairs[:1]),
               another_id=lambda bent: bent.attempt(parameter_id=v1.new_id()),
               largest_of_1199=bent_by(lambda pairs: changed(pairs, (v1.P_LARGEST, struct.pack(">H", 1199)))),
               length_of_1199=lambda bent: bent.attempt(length=1199))


for number, name in ((v1.P_ID, "id"), (v1.P_VERSIONS, "versions"), (v1.P_AEADS, "AEADs")):
    @case("H2-mandatory-dial-%d" % number, "3", "dial", "Parameter %d is mandatory in message 2." % number)
    def _(t, number=number):
        no_connection(t, lambda pairs: without(pairs, number))


for length in (200, 1200):
    @case("H3-long-%d" % length, "3", "listen", "Message 3 may be as long as a datagram may be: here padded to %d bytes." % length)
    def _(t, length=length):
        bent = t.listener()
        opening = bent.attempt()
        bent.send(opening.datagram)
        bent.expect_message2(opening)
        message3 = bent.message3(opening, pad_to=length)
        assert len(message3) == length
        bent.send(message3)
        bent.expect_ack(lambda a: True, "a message 3 of %d bytes is answered with a sealed ACK" % length)
        bent.ask()


@case("H3-elsewhere", "3, 4.1", "listen",
      "Message 3 may come from another port: the connection begins at the old one, with a path validation.")
def _(t):
    bent = t.listener()
    opening = bent.attempt()
    bent.send(opening.datagram)
    bent.expect_message2(opening)
    there = bent.open_port()
    bent.send(bent.message3(opening), there)
    bent.expect_ack(lambda a: True, "message 3 from another port is answered with a sealed ACK")
    bent.expect("CHALLENGE", where=lambda e: e.port == there, say="CHALLENGE to the new port")
    bent.expect("CHALLENGE", where=lambda e: e.port == 0, say="CHALLENGE to the old port")
    bent.ask()


for name, value in (("other", b"\2"), ("absent", None)):
    @case("H4-version-%s" % name, "3", "listen",
          "Message 3 must offer version 1 (here: %s), or a sealed CLOSE 0xFFFFFF03 answers." % ("[2]" if value else "parameter 2 absent"))
    def _(t, value=value):
        bent = t.listener()
        opening = bent.attempt()
        bent.send(opening.datagram)
        bent.expect_message2(opening)
        bent.send(bent.message3(opening, lambda p: without(p, v1.P_VERSIONS) if value is None else changed(p, (v1.P_VERSIONS, value))))
        event = bent.expect("CLOSE", ROUND_TRIP, say="CLOSE 0x%08X" % NO_VERSION)
        check(event.code == NO_VERSION, "CLOSE 0x%08X" % NO_VERSION, event)


@case("H4-versions", "3", "listen", "Version 1 may be one of several in messages 1 and 3; a message 1 without it is answered by a versions reply, or by nothing.")
def _(t):
    bent = t.listener()
    several = lambda pairs: changed(pairs, (v1.P_VERSIONS, b"\xf0\2\1\3"))
    without = bent.attempt(lambda pairs: changed(pairs, (v1.P_VERSIONS, b"\2")))
    bent.send(without.datagram)
    opening = bent.attempt(several)
    bent.send(opening.datagram)
    bent.expect_message2(opening)
    for reply in bent.take("kind 3"):
        check(reply.datagram[:8] == without.own_id, "a versions reply under the id of message 1", reply.datagram[:8].hex())
        check(reply.datagram[16:32] == without.datagram[8:24], "the echo of its ephemeral key", reply.datagram[16:32].hex())
        check(1 in reply.datagram[32:] and len(reply.datagram) >= 40, "8 bytes of versions, 1 among them", reply.datagram[32:].hex())
    bent.expect_nothing("message 1 without version 1 has no other answer", 0.05)
    bent.send(bent.message3(opening, several))
    bent.expect_ack(lambda a: True, "a message 3 with versions F0 02 01 03 is answered with a sealed ACK")
    bent.ask()


@case("H4-versions-reply", "3", "dial", "A versions reply that has version 1, or another echo, changes nothing.")
def _(t):
    bent, message1 = t.dialler()
    head = message1.id + b"\xff" * 7 + b"\3"
    bent.send(head + message1.datagram[8:24] + b"\2\1" + bytes(6))
    bent.send(head + bytes(16) + b"\2" + bytes(7))
    opening = bent.message2(message1)
    bent.send(opening.datagram)
    bent.expect_message3(opening)
    bent.ask()


@case("H4-version-dial", "3", "dial", "A message 2 without version 1 does not become a connection.")
def _(t):
    no_connection(t, lambda pairs: changed(pairs, (v1.P_VERSIONS, b"\2")))


@case("H5-eight-AEADs", "3", "listen", "The first eight AEADs of message 1 count: the eighth is chosen, a ninth is none.")
def _(t):
    bent = t.listener()
    ninth = bent.attempt(lambda pairs: changed(pairs, (v1.P_AEADS, bytes(range(200, 208)) + b"\1")))
    eighth = bent.attempt(lambda pairs: changed(pairs, (v1.P_AEADS, bytes(range(200, 207)) + b"\1")))
    bent.send(ninth.datagram)
    bent.send(eighth.datagram)
    bent.expect_message2(eighth)
    check(dict(eighth.told).get(v1.P_AEADS) == b"\1", "message 2 has the AEAD chosen, 01", dict(eighth.told).get(v1.P_AEADS))
    bent.expect_nothing("message 1 with AEAD 1 in the ninth place unanswered", 0.05)
    bent.send(bent.message3(eighth))
    bent.expect_ack(lambda a: True, "message 3 is answered with a sealed ACK")


LONGER = ((v1.P_LARGEST, b"\5\x78\0\0"), (v1.P_WINDOW, b"\0\0\0\2\xff\xff\xff\xff"), (v1.P_IDLE, b"\0\0\x75\x30\0\0\0\1"),
          (v1.P_DELAY, b"\0\0\x61\xa8\0"), (v1.P_RATIO, b"\0\2\xff"), (v1.P_MERGED, b"\7"))


@case("H6-longer", "3", "listen", "Of a longer parameter the first bytes count: in message 1, and in message 3, whose window of 2 holds.")
def _(t):
    bent = t.listener()
    opening = bent.attempt(lambda pairs: changed(pairs, (v1.P_LARGEST, b"\5\x78\0\0"), (v1.P_WINDOW, b"\0\0\1\0\0"),
                                                 (v1.P_TOKEN, bytes(20))))
    bent.send(opening.datagram)
    bent.expect_message2(opening)
    bent.send(bent.message3(opening, lambda pairs: changed(pairs, *LONGER)))
    bent.expect_ack(lambda a: True, "a message 3 with longer parameters is answered with a sealed ACK")
    window_of_two(bent)


def window_of_two(bent):
    bent.program.feed(bytes(20000))
    for sequence in (0, 1):
        bent.expect("data", where=lambda e: e.segment.sequence == sequence, say="data %d" % sequence)
    bent.settle()
    more = bent.take("data", lambda e: e.segment.sequence > 1)
    check(not more, "two packets in a window of 2", more and more[0])


@case("H6-longer-dial", "3", "dial", "Of a longer parameter in message 2 the first bytes count: the id, and a window of 2.")
def _(t):
    bent, message1 = t.dialler()
    opening = bent.message2(message1, lambda pairs: changed(pairs, (v1.P_ID, pairs[0][1] + b"\1\2\3"), *LONGER))
    bent.send(opening.datagram)
    bent.expect_message3(opening, say="message 3 to a message 2 with longer parameters")
    bent.say(ack(NONE, 2))
    window_of_two(bent)


SHORTER = ((v1.P_LARGEST, b"\5"), (v1.P_WINDOW, b"\0\0\1"), (v1.P_TOKEN, bytes(15)))


@case("H6-shorter", "3", "listen", "A message 1 with a parameter that is too short (3, 4, 7) is not answered.")
def _(t):
    unanswered(t, **{"parameter_%d" % pair[0]: bent_by(lambda pairs, pair=pair: changed(pairs, pair)) for pair in SHORTER})


for pair in ((v1.P_ID, bytes(7)), (v1.P_LARGEST, b"\5"), (v1.P_WINDOW, b"\0\1"), (v1.P_IDLE, b"\0\0\1"), (v1.P_DELAY, b""),
             (v1.P_RATIO, b"\2")):
    @case("H6-shorter-dial-%d" % pair[0], "3", "dial", "A message 2 with too short a parameter %d does not become a connection." % pair[0])
    def _(t, pair=pair):
        no_connection(t, lambda pairs: changed(pairs, pair))


@case("H6-cut", "3", "listen", "A message 1 whose last parameter is cut off is not answered.")
def _(t):
    unanswered(t, padding_cut_off=cut_off)


def cut_off(bent):
    """The padding, which is last, says that it has a byte more than there is."""
    opening = bent.attempt()
    d = opening.datagram
    at = 44
    while at + 4 + int.from_bytes(d[at + 2:at + 4], "big") < len(d):
        at += 4 + int.from_bytes(d[at + 2:at + 4], "big")
    opening.datagram = d[:at + 2] + struct.pack(">H", len(d) - at - 3) + d[at + 4:]
    return opening


@case("H7-critical", "3", "listen", "A message 1 with an unknown critical parameter (0x4000 to 0x7FFF) is not answered.")
def _(t):
    unanswered(t, **{"0x%04x" % kind: bent_by(lambda pairs, kind=kind: pairs + [(kind, b"x")]) for kind in (0x4000, 0x4001, 0x7FFF)})


@case("H7-critical-message3", "3", "listen",
      "An unknown critical parameter in message 3 is answered with a sealed CLOSE 0xFFFFFF04 that names it.")
def _(t):
    bent = t.listener()
    opening = bent.attempt()
    bent.send(opening.datagram)
    bent.expect_message2(opening)
    bent.send(bent.message3(opening, lambda pairs: pairs + [(0x4001, b"")]))
    bent.expect_close(CRITICAL, "parameter 0x4001")


@case("H7-critical-dial", "3", "dial", "A message 2 with an unknown critical parameter does not become a connection.")
def _(t):
    no_connection(t, lambda pairs: pairs + [(0x4001, b"")])


UNKNOWN = [(kind, b"unknown") for kind in (0, 9, 13, 15, 0x0A0A, 0x3FFF, 0x8000, 0xFFFF)]


@case("H7-unknown", "3", "listen", "All other unknown parameters are skipped in messages 1 and 3.")
def _(t):
    bent = t.listener()
    opening = bent.attempt(lambda pairs: pairs[:1] + UNKNOWN + pairs[1:])
    bent.send(opening.datagram)
    bent.expect_message2(opening)
    bent.send(bent.message3(opening, lambda pairs: UNKNOWN + pairs))
    bent.expect_ack(lambda a: True, "a message 3 with unknown parameters is answered with a sealed ACK")
    bent.ask()


@case("H7-unknown-dial", "3", "dial", "All other unknown parameters are skipped in message 2.")
def _(t):
    bent, message1 = t.dialler()
    opening = bent.message2(message1, lambda pairs: UNKNOWN + pairs)
    bent.send(opening.datagram)
    bent.expect_message3(opening, say="message 3 to a message 2 with unknown parameters")
    bent.ask()


def twice(pairs, kind):
    return pairs + [pair for pair in pairs if pair[0] == kind]


@case("H7-twice", "3", "listen", "A message 1 in which a parameter comes twice (1, 2, 3, 5, 7), even with the same value, is not answered.")
def _(t):
    unanswered(t, **{"parameter_%d" % kind: bent_by(lambda pairs, kind=kind: twice(pairs, kind)) for kind in (1, 2, 3, 5, 7)})


@case("H7-twice-dial", "3", "dial", "A message 2 in which a parameter comes twice does not become a connection.")
def _(t):
    no_connection(t, lambda pairs: twice(pairs, v1.P_IDLE))


@case("H7-twice-message3", "3", "listen", "A message 3 in which a parameter comes twice does not become a connection.")
def _(t):
    bent = t.listener()
    opening = bent.attempt()
    bent.send(opening.datagram)
    bent.expect_message2(opening)
    bent.send(bent.message3(opening, lambda pairs: twice(pairs, v1.P_WINDOW)))
    bent.expect_nothing("no connection", where=lambda e: e.what != "CLOSE")


# --- H8: cookies, as the initiator meets them


def cookie_reply(message1, cookie, echo=None):
    return message1.id + v1.COOKIE_REPLY + (echo or message1.datagram[8:24]) + cookie


def shown(event):
    """The cookie, if it stands right behind parameter 1."""
    kind, length = struct.unpack_from(">HH", event.datagram, 56)
    return event.datagram[60:60 + length] if kind == v1.P_COOKIE else None


@case("H8-cookie", "3.2", "dial", "A cookie of 24, 77 or 128 bytes comes back at once, in a new attempt, right behind parameter 1.")
def _(t):
    cookies(t, [24, 77, 128])


@case("H8-cookie-8", "3.2", "dial", "So does the shortest, of 8 bytes.")
def _(t):
    cookies(t, [8])


def cookies(t, lengths):
    bent, message1 = t.dialler()
    seen = [message1]
    for length in lengths:
        cookie = random.randbytes(length)
        bent.send(cookie_reply(seen[-1], cookie))
        # Well before the next attempt, which a timer sends a second behind the first
        event = bent.expect("message 1", 0.4, lambda e: shown(e) == cookie,
                            "message 1 with the cookie of %d bytes behind parameter 1" % length)
        check(event.id not in [e.id for e in seen], "a fresh id", event.id.hex())
        check(event.datagram[8:40] not in [e.datagram[8:40] for e in seen], "a fresh ephemeral key", event.datagram[8:40].hex())
        check(len(event.datagram) == len(message1.datagram), "%d bytes, as before" % len(message1.datagram), len(event.datagram))
        tokens = [dict(read(e.datagram[40:], "message 1")).get(v1.P_TOKEN) for e in (message1, event)]
        check(tokens[0] == tokens[1], "the same token", tokens)
        seen.append(event)
    opening = bent.message2(seen[-1])
    bent.send(opening.datagram)
    bent.expect_message3(opening)
    bent.ask()


@case("H8-lengths", "3.2", "dial", "Cookies of 0 and 129 bytes and replies with a foreign echo, id or port are ignored.")
def _(t):
    bent, message1 = t.dialler()
    elsewhere = bent.open_port()
    bent.send(cookie_reply(message1, b""))
    bent.send(cookie_reply(message1, bytes(129)))
    bent.send(cookie_reply(message1, b"another echo", bytes(16)))
    bent.send(cookie_reply(message1, b"nearly the echo", message1.datagram[8:23] + bytes([message1.datagram[23] ^ 1])))
    bent.send(v1.new_id() + cookie_reply(message1, b"another id")[8:])
    bent.send(cookie_reply(message1, b"another port"), elsewhere)
    bent.send(cookie_reply(message1, b"as it should be"))
    event = bent.expect("message 1", 0.4)
    check(shown(event) == b"as it should be", "only the right cookie comes back", shown(event))
    bent.expect_nothing("one new message 1", 0.05)


@case("H8-one-each", "3.2", "dial", "A second reply to the same attempt brings no further attempt at once.")
def _(t):
    bent, message1 = t.dialler()
    bent.send(cookie_reply(message1, b"the first cookie"))
    event = bent.expect("message 1", 0.4)
    bent.send(cookie_reply(message1, b"the second cookie"))
    bent.expect_nothing("no further message 1 for the same attempt", 0.1)
    opening = bent.message2(event)
    bent.send(opening.datagram)
    bent.expect_message3(opening)


@case("H8-stays-open", "3.2", "dial", "The attempt that was refused stays open: a message 2 for it counts.")
def _(t):
    bent, message1 = t.dialler()
    bent.send(cookie_reply(message1, b"a cookie"))
    bent.expect("message 1", 0.4)
    opening = bent.message2(message1)
    bent.send(opening.datagram)
    bent.expect_message3(opening)
    bent.ask()


@case("H8-later", "3, 3.2", "dial", "Message 2 may carry a cookie for later dials, of up to 128 bytes.")
def _(t):
    bent, message1 = t.dialler()
    opening = bent.message2(message1, lambda pairs: pairs[:1] + [(v1.P_COOKIE, bytes(128))] + pairs[1:])
    bent.send(opening.datagram)
    bent.expect_message3(opening)
    bent.ask()


@case("H9-message1", "3", "dial",
      "The first message 1 is 1400 bytes long (or the largest datagram); its id begins with 4 to 15, and is parameter 1.")
def _(t):
    _, message1 = t.dialler()
    d = message1.datagram
    largest = dict(read(d[40:], "message 1")).get(v1.P_LARGEST)
    length = min(1400, int.from_bytes(largest, "big")) if largest else 1400
    check(len(d) == length, "%d bytes" % length, len(d))
    check(4 <= d[0] <= 15, "an id that begins with 4 to 15", d[:8].hex())
    check(d[40:56] == MAGIC_AND_HEAD + d[:8], "bytes 40 to 55: magic, head of parameter 1, id", d[40:56].hex())


@case("H9-attempts", "3", "dial", "After a second comes another attempt of 1200 bytes, with its own id and key and the same token.")
def _(t):
    bent, first = t.dialler()
    second = bent.expect("message 1", 3)
    check(0.8 < second.time - first.time < 2, "a second attempt after 1 s", "%.2f s" % (second.time - first.time))
    check(len(second.datagram) == 1200, "1200 bytes", len(second.datagram))
    check(second.id != first.id and second.datagram[8:40] != first.datagram[8:40], "another id and key", second.datagram[:40].hex())
    tokens = [dict(read(e.datagram[40:], "message 1")).get(v1.P_TOKEN) for e in (first, second)]
    check(tokens[0] == tokens[1] and tokens[0] is not None, "a common token", tokens)
    opening = bent.message2(first)
    bent.send(opening.datagram)
    bent.expect_message3(opening, say="message 3 to a message 2 for the first attempt")


@case("H10-repeat", "3", "listen", "A repeated message 1 brings the same message 2; one with another key under the same id is dropped.")
def _(t):
    bent = t.listener()
    opening = bent.attempt()
    other = bent.attempt(own_id=opening.own_id)
    bent.send(opening.datagram)
    first = bent.expect("kind 1", say="message 2")
    bent.send(other.datagram)
    bent.send(opening.datagram)
    again = bent.expect("kind 1", say="message 2 again")
    check(again.datagram == first.datagram, "the same message 2", "another")
    bent.expect_nothing("no answer to another key", 0.05)


@case("H10-confirm", "3", "listen",
      "A repeated message 3 is answered with a sealed ACK until a sealed datagram has opened, and then no more.")
def _(t):
    bent = t.listener()
    opening = bent.attempt()
    bent.send(opening.datagram)
    bent.expect_message2(opening)
    message3 = bent.message3(opening)
    for _ in range(3):
        bent.send(message3)
        bent.expect_ack(lambda a: True, "message 3 is answered with a sealed ACK each time")
    bent.ask()
    bent.forget()
    bent.send(message3)
    bent.expect_nothing("no ACK of message 3 once a sealed datagram has opened", where=lambda e: e.what == "ACK")


@case("H10-confirm-dial", "3", "dial",
      "A repeated message 2 is answered with message 3 until a sealed datagram has opened, and then no more.")
def _(t):
    bent, message1 = t.dialler()
    opening = bent.message2(message1)
    bent.send(opening.datagram)
    first = bent.expect_message3(opening)
    bent.send(opening.datagram)
    again = bent.expect("kind 1", ROUND_TRIP, say="message 3 again")
    check(again.datagram == first.datagram, "the same message 3", "another")
    bent.ask()
    bent.forget()
    bent.send(opening.datagram)
    bent.expect_nothing("no message 3 once a sealed datagram has opened", where=lambda e: e.what == "kind 1")


@case("H10-early-data", "3", "listen", "Data that comes before message 3 is held, and delivered behind it.")
def _(t):
    bent = t.listener()
    opening = bent.attempt()
    bent.send(opening.datagram)
    bent.expect_message2(opening)
    message3 = bent.message3(opening)
    bent.say(data(0, b"early", SYN))
    bent.say(data(1, b" data"))
    bent.send(message3)
    bent.program.expect_output(b"early data")


# --- S: segments


@case("S1-known-flags", "2", "any", "SYN and RTO change nothing, FIN may carry bytes, and CONTROL is one whatever ACK says.")
def _(t):
    bent = t.connect()
    bent.say(data(0, b"a", RTO))
    bent.say(data(1, b"b", SYN))
    bent.say(control(PING, 7, flags=ACK))
    bent.expect("PONG", where=lambda e: e.segment.token == 7, say="PONG 7")
    bent.expect_acknowledged(bent.say(data(2, b"c", SYN | RTO | FIN)), "FIN, at once")
    bent.program.expect_output(b"abc")


@case("S1-flag-128", "2", "any", "Flag 128 is ignorable: data, ACK and CONTROL with it count as without.")
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
    @case("S1-flag-16-%s" % name, "2", "any",
          "Flag 16 is critical: %s with it brings CLOSE 0xFFFFFF04 that names it, within a round trip." % name)
    def _(t, segment=segment):
        bent = t.connect()
        bent.say(segment())
        bent.expect_close(CRITICAL, "flag 16")


@case("S1-ACK-NOW", "2, 4", "any", "ACK-NOW brings an ACK at once.")
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


@case("S1-ACK-NOW-ignored", "2", "any", "ACK-NOW on a segment that elicits no ACK is ignored.")
def _(t):
    bent = t.connect()
    bent.say(ack(NONE, flags=ACK_NOW))
    bent.say(control(v1.PONG, 9, flags=ACK_NOW))
    bent.expect_nothing("no ACK of an ACK or a PONG, ACK-NOW or not", 0.1, lambda e: e.what == "ACK")


@case("S2-even-option", "2", "any", "Unknown even options are skipped, and option 0 is a byte of padding: on data, ACK and CONTROL.")
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
    @case("S2-odd-option-%d" % kind, "2", "any",
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
    @case("S2-malformed-%d" % place, "2", "any", "Malformed is dropped, and no ACK speaks of it: %s." % what)
    def _(t, what=what, segment=segment):
        bent = t.connect()
        told = bent.expect_refused(segment, what)
        check(told.last == NONE, "nothing taken", "last in-order number %d" % told.last)
        bent.expect_acknowledged(bent.say(data(0, b"good", ACK_NOW)), "good data behind it")
        bent.program.expect_output(b"good")
        bent.settle()


@case("S3-unknown", "2.2", "any", "Unknown kinds of CONTROL up to 0x7FFF are acknowledged and ignored.")
def _(t):
    bent = t.connect()
    for kind in (0, 6, 0x0A0A, 0x7A7A, 0x7FFF):
        bent.expect_acknowledged(bent.say(control(kind, 5, b"body", ACK_NOW)), "CONTROL 0x%04x" % kind)
    bent.settle()
    others = bent.take("PONG") + bent.take("CLOSE")
    check(not others, "no other answer", others and others[0])


for kind in (0x8000, 0x8001, 0xFFFF):
    @case("S3-critical-%04x" % kind, "2.2", "any",
          "CONTROL kinds from 0x8000 on are critical: 0x%04x brings CLOSE 0xFFFFFF04 that names it." % kind)
    def _(t, kind=kind):
        bent = t.connect()
        bent.say(control(kind, 5, b"body"))
        bent.expect_close(CRITICAL, "control 0x%04x" % kind)


MISSING_FIRST = (0, 0, 1)  # an interval: the first number above the last in-order one is missing
BAD_BLOCKS = {
    "cut short": block()[:6],
    "with a varint cut short": block()[:6] + b"\x40",
    "with nine intervals": block(0, *[MISSING_FIRST] * 9),
    "with an interval of no runs": block(0, (0, 0)),
    "with a run of 0": block(0, (0, 0, 0)),
    "with a start of 0x1000000": block(0, (0x1000000, 0, 1)),
    "with a run of 0x1000000": block(0, (0, 0, 0x1000000)),
    "with an interval of 0x1000001 numbers": block(0, (0xFFFFFF, 0, 1, 1)),
    "with a byte behind the last interval": block(0, MISSING_FIRST, behind=b"\0"),
    "with one interval too few": block(0, MISSING_FIRST)[:6] + b"\2" + block(0, MISSING_FIRST)[7:],
}
for place, (what, bad) in enumerate(BAD_BLOCKS.items(), 1):
    @case("S4-option-%d" % place, "2, 2.1", "any",
          "An ACK block %s makes the data that carries it malformed; sent again without, it counts." % what)
    def _(t, what=what, bad=bad):
        bent = t.connect()
        bent.program.feed(b"x")  # so that there is something that the block may speak of
        bent.expect("data")
        told = bent.expect_refused(data(0, b"bad", ACK_NOW, option(2, ack_value(-1, 256, bad))), "data with an ACK block " + what)
        check(told.last == NONE, "nothing taken", "last in-order number %d" % told.last)
        again = bent.say(data(0, b"good", RTO | ACK_NOW, option(2, ack_value(-1, 256, block()))))
        bent.expect_acknowledged(again, "the same data, sent again")
        bent.program.expect_output(b"good")


@case("S4-ACK", "2, 2.1", "any", "An ACK segment with a malformed block is dropped whole: it neither acknowledges nor opens the window.")
def _(t):
    bent = t.connect(lambda pairs: changed(pairs, (v1.P_WINDOW, b"\0\0\0\2")), window=2)
    bent.program.feed(bytes(20000))
    for sequence in (0, 1):
        bent.expect("data", where=lambda e: e.segment.sequence == sequence, say="data %d" % sequence)
    bad = dict(BAD_BLOCKS)
    bad["with 513 runs"] = block(0, (0, 0, *[1] * 513))
    for what, ack_block in bad.items():
        bent.say(ack(1, 100, ack_block))
        bent.settle()
        more = bent.take("data", lambda e: e.segment.sequence > 1)
        check(not more, "no data beyond the window of 2 for an ACK with a block " + what, more and more[0])
    bent.say(ack(1, 100))
    bent.expect("data", where=lambda e: e.segment.sequence == 2, say="data 2 after a right ACK")


UNSENT = {
    "last": ("the last in-order number", lambda: ack(1000)),
    "largest": ("the largest packet number", lambda: ack(NONE, 256, block(1 << 20))),
    "received": ("a run of received numbers", lambda: ack(NONE, 256, block(0, (0, 1, 1000)))),
    "missing": ("a run of missing numbers", lambda: ack(NONE, 256, block(0, (0, 0, 1000)))),
    "option": ("the last in-order number of option 2", lambda: data(0, b"x", 0, option(2, ack_value(1000, 256, block())))),
}
for name, (what, segment) in UNSENT.items():
    @case("S5-unsent-%s" % name, "2", "any", "An ACK in which %s was never sent brings CLOSE 0xFFFFFF01 without a reason." % what)
    def _(t, segment=segment):
        bent = t.connect()
        bent.say(segment())
        bent.expect_close(VIOLATION)


@case("S5-none", "2, 2.1", "any", "A largest packet number of 0, ACKs that come twice and ones that come late are no violation.")
def _(t):
    bent = t.connect()
    bent.say(ack(NONE, 256, block(0)))
    bent.program.feed(b"x")
    event = bent.expect("data")
    for last, largest in ((NONE, 0), (0, event.number), (0, event.number), (NONE, 0)):
        bent.say(ack(last, 256, block(largest)))
    bent.settle()


FINS = {
    "behind": ("data behind FIN", [data(1, b"end", FIN), data(2, b"x")]),
    "before": ("FIN before data that has come", [data(2, b"x"), data(1, b"end", FIN)]),
    "second-above": ("a second FIN above the first", [data(2, b"", FIN), data(3, b"", FIN)]),
    "second-below": ("a second FIN below the first", [data(2, b"", FIN), data(1, b"", FIN)]),
}
for name, (what, segments) in FINS.items():
    @case("S5-FIN-%s" % name, "2", "any", "CLOSE 0xFFFFFF01 without a reason answers %s." % what)
    def _(t, segments=segments):
        bent = t.connect()
        for segment in segments:
            bent.say(segment)
        bent.expect_close(VIOLATION)


@case("S5-repeats", "2", "any", "Repeats of what came before, with or without FIN, are no violation.")
def _(t):
    bent = t.connect()
    for segment in (data(0, b"a"), data(0, b"a", RTO), data(0, b"a", FIN | RTO), data(2, b"c", FIN), data(2, b"c", FIN | RTO),
                    data(2, b"c", RTO), data(1, b"b"), data(1, b"b", FIN), data(2, b"c", FIN | RTO), data(0, b"a", RTO)):
        bent.say(segment)
        bent.ask()
    bent.program.expect_output(b"abc")
    bent.settle()


@case("S6-PINGs", "2.2", "any", "PINGs 7, 8, 9 in one burst bring PONGs 7, 8 and 9.")
def _(t):
    pongs(t, [7, 8, 9])


@case("S6-eight", "2.2", "any", "Up to eight PINGs in one burst all bring their PONGs.")
def _(t):
    pongs(t, [1, 2, 3, 0xFFFF, 5, 6, 700, 8])


def suppressed():
    """For what is judged all together later."""
    return contextlib.suppress(Failed)


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


@case("S6-token-0", "2.2", "any", "PING with token 0 brings an ACK, and no PONG.")
def _(t):
    bent = t.connect()
    bent.expect_acknowledged(bent.say(control(PING, 0, flags=ACK_NOW)), "PING 0")
    bent.settle()
    came = bent.take("PONG")
    check(not came, "no PONG", came and came[0])


@case("S7-CHALLENGE", "2.2", "any", "CHALLENGE brings a RESPONSE with the same 8 bytes, without padding, and counts as ack-eliciting.")
def _(t):
    bent = t.connect()
    bent.expect_acknowledged(bent.say(control(CHALLENGE, 0, b"8 bytes!" + bytes(500), ACK_NOW)), "CHALLENGE")
    event = bent.expect("RESPONSE")
    check(event.segment.payload == b"8 bytes!", "RESPONSE with b'8 bytes!'", event.segment.payload)


@case("S7-elsewhere", "2.2", "any", "RESPONSE goes to the address that the CHALLENGE came from.")
def _(t):
    bent = t.connect()
    there = bent.open_port()
    bent.say(control(CHALLENGE, 0, b"8 bytes!"), port=there)
    event = bent.expect("RESPONSE")
    check(event.port == there and event.segment.payload == b"8 bytes!", "RESPONSE with b'8 bytes!' at port %d" % there, event)


@case("S7-largest", "3, 4.1", "any", "A datagram as large as the program has said that it takes (at most 1400 are tried) arrives.")
def _(t):
    bent = t.connect()
    largest = min(1400, int.from_bytes(dict(bent.opening_told).get(v1.P_LARGEST, b"\5\x78")[:2], "big"))
    bent.say(control(CHALLENGE, 0, b"8 bytes!" + bytes(largest - 16 - 16 - 6 - 8)))
    bent.expect("RESPONSE", say="RESPONSE to a datagram of %d bytes" % largest)


@case("S7-short", "2, 2.2", "any",
      "Bodies that are too short (7 bytes of CHALLENGE or RESPONSE, 3 of CLOSE) are dropped; CHALLENGE is acknowledged.")
def _(t):
    bent = t.connect()
    bent.expect_acknowledged(bent.say(control(CHALLENGE, 0, b"7 bytes", ACK_NOW)), "CHALLENGE of 7 bytes")
    bent.say(control(RESPONSE, 0, b"7 bytes"))
    bent.say(control(CLOSE, 0, b"\0\0\0"))
    bent.settle()
    came = bent.take("RESPONSE")
    check(not came, "no RESPONSE", came and came[0])


@case("S8-closed", "5", "any", "After CLOSE the program is silent, whatever comes.")
def _(t):
    bent = t.connect()
    bent.say(control(CLOSE, 0, struct.pack(">I", 7) + b"bye"))
    for segment in (control(PING, 5, flags=ACK_NOW), data(0, b"x", ACK_NOW), control(CLOSE, 0, struct.pack(">I", 8)), data(1, b"x", FIN)):
        bent.say(segment)
    bent.expect_nothing("silence")


for name, segment in (("data", data(0, b"x", ACK_NOW)), ("ACK", ack(NONE)), ("PING", control(PING, 5, flags=ACK_NOW))):
    @case("S8-repeats-%s" % name, "5", "any", "A program that has closed repeats CLOSE when the 1st, 2nd, 4th and 8th %s comes." % name)
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


@case("S8-no-answer", "5", "any", "A program that has closed does not answer CLOSE.")
def _(t):
    bent = t.connect()
    bent.say(ack(1000))
    bent.expect_close(VIOLATION)
    for _ in range(4):
        bent.say(control(CLOSE, 0, struct.pack(">I", 7)))
    bent.expect_nothing("silence", 0.1)


@case("S9-replay", "1, 2.1", "any", "The same datagram again has no second effect: no PONG, no bytes, no duplicate counted.")
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


@case("S10-order", "4.1", "any", "The pieces of a segment may come in any order and more than once.")
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
    @case("S10-bad-%d" % place, "2, 4.1", "any",
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


@case("S11-beyond", "2, 4", "any", "Data far beyond the window is dropped, no ACK tells of it, and what is in order goes on.")
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


@case("S12-gaps", "2.1", "any", "An ACK tells what has come: data 1 and 2 missing, 3 received, nothing in order but 0.")
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


@case("S13-end", "5", "any",
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


# --- K: keys


@case("K1-epoch", "3.1", "any", "Packet numbers from 2^24 on are sealed under the next key, and so on.")
def _(t):
    bent = t.connect()
    bent.ask((1 << 24) - 2)
    bent.ask((1 << 24) - 1)
    bent.ask(1 << 24)
    bent.ask()
    bent.ask((2 << 24) + 7)
    bent.say(data(0, b"third key"))
    bent.settle()
    bent.program.expect_output(b"third key")


@case("K1-old-key", "3.1", "any",
      "The key of the epoch before the newest is kept for what is late; under the key of another epoch nothing opens.")
def _(t):
    bent = t.connect()
    bent.ask((1 << 24) - 10)
    late = bent.sealed(data(1, b" late"), (1 << 24) - 3)
    new = bent.sealed(data(0, b"new"), 1 << 24)
    wrong = [bent.sealed(data(2, b" wrong"), (1 << 24) + 1, 0), bent.sealed(data(2, b" wrong"), (1 << 24) - 2, 1)]
    with bent.program.halted():
        for datagram in [new, late] + wrong:
            bent.send(datagram)
    check(bent.settle().last == 1, "data 0 and 1 received", "others")
    bent.program.expect_output(b"new late")


@case("K1-far", "3.1", "any", "A datagram more than four epochs ahead is dropped, four are accepted.")
def _(t):
    bent = t.connect()
    near = bent.next_number
    bent.say(control(PING, 7), 5 << 24)
    bent.ask(near)
    came = bent.take("PONG", lambda e: e.segment.token == 7)
    check(not came, "no PONG to what is five epochs ahead", came and came[0])
    bent.ask((4 << 24) + 5)
    bent.ask((5 << 24) + 5)


@case("K2-forged", "1, 3.1", "any", "What does not open changes nothing: forged tags, other headers, a number of its own spent.")
def _(t):
    bent = t.connect()
    number = bent.next_number
    good = bent.sealed(control(PING, 7), number)
    forged = [good[:-1] + bytes([good[-1] ^ 1]), good[:16] + bytes([good[16] ^ 1]) + good[17:], good[:38]]
    forged += [good[:8] + struct.pack(">Q", other) + good[16:] for other in (number + 1, number + 5000, 1 << 63)]
    for datagram in forged:
        bent.send(datagram)
    bent.send(good)
    bent.expect("PONG", where=lambda e: e.segment.token == 7, say="PONG to the true one under the same number")
    bent.settle()
    came = bent.take("PONG")
    check(not came, "no PONG to what is forged", came and came[0])


# --- P: the path


def moved(bent, segment=None):
    """Something from a new port, and the two CHALLENGEs that it brings: (port, to the new one, to the old one)."""
    there = bent.open_port()
    bent.say(segment or control(PING, 0), port=there)
    new = bent.expect("CHALLENGE", where=lambda e: e.port == there, say="CHALLENGE to the new port")
    old = bent.expect("CHALLENGE", where=lambda e: e.port == 0, say="CHALLENGE to the old port")
    check(new.segment.payload[:8] != old.segment.payload[:8], "other bytes in each CHALLENGE", new.segment.payload[:8].hex())
    return there, new, old


@case("P1-challenges", "4.1", "any",
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


@case("P1-full", "4.1", "any", "The CHALLENGE to the new address is padded to 1200 bytes where what came from there allows it.")
def _(t):
    bent = t.connect()
    _, new, old = moved(bent, control(PING, 0, bytes(600)))
    check(len(new.datagram) == 1200, "1200 bytes", len(new.datagram))
    check(len(old.datagram) < 100, "a CHALLENGE without padding to the old port", "%d bytes" % len(old.datagram))


@case("P1-moves", "4.1", "any", "When only the new port answers, data goes there.")
def _(t):
    bent = t.connect()
    there, new, _ = moved(bent)
    bent.say(control(RESPONSE, 0, new.segment.payload[:8]), port=there)
    bent.program.feed(b"x")
    bent.expect("data", 3, where=lambda e: e.port == there, say="data at the new port")
    bent.ask(port=there)


@case("P1-stays", "4.1", "any", "When the old port answers too, data stays there.")
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


@case("P1-any-way", "4.1", "any", "A RESPONSE counts wherever it comes from: here that of the new port from the old one.")
def _(t):
    bent = t.connect()
    there, new, _ = moved(bent)
    bent.say(control(RESPONSE, 0, new.segment.payload[:8]))
    bent.program.feed(b"x")
    bent.expect("data", 3, where=lambda e: e.port == there, say="data at the new port")


@case("P1-not-newest", "4.1", "any", "A datagram from a new port that has not the highest packet number begins no path validation.")
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


@case("P1-forged", "4.1", "any", "What is not authentic begins no path validation.")
def _(t):
    bent = t.connect()
    there = bent.open_port()
    bent.send(bent.peer_id + struct.pack(">Q", bent.next_number + 50) + os.urandom(100), there)
    bent.settle()
    bent.expect_nothing("no CHALLENGE", 0.05, lambda e: e.what == "CHALLENGE")


# --- V: what is none


def garbage(bent, own_id=None):
    """Random bytes of many lengths, under random ids and under one that is known."""
    dice = random.Random(1)
    out = [dice.randbytes(length) for length in (0, 1, 7, 8, 15, 16, 37, 38, 39, 40, 48, 72, 104, 1199, 1200, 1400, 16384, 16385, 60000)]
    if own_id is not None:
        out += [own_id + one[8:] for one in out if len(one) >= 8]
        out += [own_id + v1.NOISE + dice.randbytes(length) for length in (0, 22, 31, 32, 63, 64, 95, 96, 200, 16368, 16369)]
    return out


@case("V0-garbage", "1, 3", "listen", "What is neither message 1 nor known is unanswered: random bytes, and nearly a message 1.")
def _(t):
    bent = t.listener()
    good = bent.attempt()
    d = good.datagram
    nearly = [d[:1199], d[:40] + b"LRP3" + d[44:], d[:44] + b"\0\1\0\x07" + d[48:], d[:48] + bytes(8) + d[56:], d[:8] + bytes(32) + d[40:]]
    for one in garbage(bent) + nearly:
        bent.send(one)
    # The last has an ephemeral key of 0, which gives a Diffie-Hellman result of 0
    bent.expect_nothing("silence", 0.1)
    other = bent.attempt()
    bent.send(other.datagram)
    bent.expect_message2(other)
    for one in garbage(bent, other.peer_id):
        bent.send(one)
    bent.expect_nothing("silence", 0.05)
    bent.send(bent.message3(other))
    bent.expect_ack(lambda a: True, "message 3 is answered with a sealed ACK")
    for one in garbage(bent, other.peer_id):
        bent.send(one)
    bent.settle()


@case("V0-garbage-dial", "1, 3", "dial", "An initiator, too, drops random bytes, whenever they come.")
def _(t):
    bent, message1 = t.dialler()
    for one in garbage(bent, message1.id):
        bent.send(one)
    bent.expect_nothing("silence", 0.05)
    opening = bent.message2(message1)
    bent.send(opening.datagram)
    bent.expect_message3(opening)
    for one in garbage(bent, message1.id):
        bent.send(one)
    bent.settle()


@case("V0-too-long", "1", "any", "Datagrams of more than 16,384 bytes are dropped, authentic or not.")
def _(t):
    bent = t.connect()
    bent.say(control(CHALLENGE, 0, b"8 bytes!" + bytes(16385 - 16 - 16 - 6 - 8), ACK_NOW))
    bent.settle()
    came = bent.take("RESPONSE")
    check(not came, "no RESPONSE", came and came[0])


# --- Running


def run(one, role, commands, options):
    """None, or what is wrong."""
    trial, wrong = Trial(commands, role, options.patience), None
    try:
        one.function(trial)
    except Failed as reason:
        wrong = "expected " + str(reason)
    except Exception:
        wrong = "the case itself broke: " + traceback.format_exc()
    finally:
        died = trial.finish()
    if died:
        wrong = (wrong + "; " if wrong else "") + "the program died: " + "; ".join(died)
    return wrong


def main():
    tool = shlex.quote(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "bin", "lrp2p"))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("ids", nargs="*", metavar="ID")
    parser.add_argument("--list", action="store_true", help="print the table")
    parser.add_argument("--listen-command", default=tool + " pipe --listen {host}:{port}")
    parser.add_argument("--dial-command", default=tool + " pipe --connect {host}:{port} --peer {key}")
    parser.add_argument("--role", choices=("listen", "dial", "both"), default="listen", help="of the program, in cases that fit either")
    parser.add_argument("--jobs", type=int, default=6, help="cases at a time; most of them wait")
    parser.add_argument("--patience", type=float, default=1.0, help="a factor to all waiting, for a slow machine")
    options = parser.parse_args()
    chosen = [c for c in CASES if not options.ids or any(c.name == i or c.name.startswith(i + "-") for i in options.ids)]
    unknown = [i for i in options.ids if not any(c.name == i or c.name.startswith(i + "-") for c in CASES)]
    if unknown:
        parser.error("no such case: %s" % " ".join(unknown))
    if options.list:
        width = max(len(c.name) for c in chosen)
        for c in chosen:
            print("%-*s  %-6s  %-6s  %s" % (width, c.name, c.section, c.role, c.rule))
        return 0
    commands = {"listen": options.listen_command, "dial": options.dial_command}
    roles = ("listen", "dial") if options.role == "both" else (options.role,)
    runs = [(c, role) for c in chosen for role in (roles if c.role == "any" else (c.role,))]
    failed = 0
    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        results = [(c, role, pool.submit(run, c, role, commands, options)) for c, role in runs]
        for c, role, result in results:
            name, wrong = c.name + ("/" + role if len(roles) > 1 and c.role == "any" else ""), result.result()
            failed += wrong is not None
            print("ok " + name if wrong is None else "FAILED %s: %s" % (name, wrong), flush=True)
    print("%d of %d failed" % (failed, len(runs)) if failed else "%d passed" % len(runs))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
