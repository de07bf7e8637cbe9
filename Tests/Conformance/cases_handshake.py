# SPDX-License-Identifier: MIT
"""H: the handshake."""

import os
import struct
import time

from bent_peer import NONE, ROUND_TRIP, SOON, SYN, changed, data, read, v1, without
from table import NOTHING_COMMON, case, check

MAGIC_AND_HEAD = b"LRP2\0\1\0\x08"


@case("H1-header", "1, 2", "listen", "Message 2 goes under the initiator's id, message 3 under the responder's, with FF*7 and kind 1.")
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


@case("H1-header-dial", "1, 2", "dial", "An initiator takes message 2 under its own id, and sends message 3 under the one told there.")
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
    bent.expect_nothing("no answer to kinds other than 1", where=lambda e: e.what != "message 1")
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
    bent.expect_nothing("no answer to kinds other than 1", where=lambda e: e.what != "message 1")
    bent.send(opening.datagram)
    bent.expect_message3(opening)
    for one in strange:
        bent.send(one)
    bent.settle()


@case("H1-message1", "2", "dial",
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


@case("H1-table", "2.2", "any", "No message has a parameter that the table does not name for it.")
def _(t):
    bent = t.connect()
    message, others = (2, (7, 18)) if t.role == "listen" else (3, (6, 7))
    wrong = [kind for kind in bent.told if kind in others or kind in (9, 13, 19, 20)]
    check(not wrong, "no such parameter in message %d" % message, wrong)
    if t.role == "dial":
        wrong = [kind for kind, _ in bent.opening_told if 9 <= kind <= 21]
        check(not wrong, "no such parameter in message 1", wrong)


@case("H2-any-id", "1.6", "any", "Whatever a peer's id begins with, it is spoken with.")
def _(t):
    for first in (0, 3, 16, 255):
        own_id = bytes([first]) + os.urandom(7)
        if t.role == "listen":
            bent = t.listener()
            opening = bent.attempt(own_id=own_id)
            bent.send(opening.datagram)
            bent.expect_message2(opening)
            bent.send(bent.message3(opening))
            bent.expect_ack(lambda a: True, "message 3 of %s is answered with a sealed ACK" % own_id.hex())
        else:
            bent, message1 = t.dialler()
            opening = bent.message2(message1, own_id=own_id)
            bent.send(opening.datagram)
            bent.expect_message3(opening, say="message 3 under %s" % own_id.hex())
        bent.ask()


@case("H2-id-zero", "1", "listen", "An id is never 0: a message 1 under it is not answered.")
def _(t):
    unanswered(t, id_0=lambda bent: bent.attempt(own_id=bytes(8)))


@case("H2-id-zero-dial", "1", "dial", "A message 2 that tells the receive id 0 does not become a connection.")
def _(t):
    no_connection(t, parameter_id=bytes(8))


@case("H2-mandatory", "2", "listen", "1, 2 and 5 are mandatory in message 1, and its shape: without it is not answered.")
def _(t):
    unanswered(t, no_versions=bent_by(lambda pairs: without(pairs, v1.P_VERSIONS)),
               no_AEADs=bent_by(lambda pairs: without(pairs, v1.P_AEADS)),
               no_id=bent_by(lambda pairs: without(pairs, v1.P_ID)),
               id_last=bent_by(lambda pairs: pairs[1:] + pairs[:1]),
               another_id=lambda bent: bent.attempt(parameter_id=v1.new_id()),
               largest_of_1199=bent_by(lambda pairs: changed(pairs, (v1.P_LARGEST, struct.pack(">H", 1199)))),
               length_of_1199=lambda bent: bent.attempt(length=1199))


for number, name in ((v1.P_ID, "id"), (v1.P_VERSIONS, "versions"), (v1.P_AEADS, "AEADs")):
    @case("H2-mandatory-dial-%d" % number, "2", "dial", "Parameter %d is mandatory in message 2." % number)
    def _(t, number=number):
        no_connection(t, lambda pairs: without(pairs, number))


for length in (200, 1200):
    @case("H3-long-%d" % length, "2", "listen", "Message 3 may be as long as a datagram may be: here padded to %d bytes." % length)
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


@case("H3-id", "2.2", "listen", "The id of message 3 is ignored: what is sent goes under that of message 1.")
def _(t):
    bent = t.listener()
    opening = bent.attempt()
    bent.send(opening.datagram)
    bent.expect_message2(opening)
    bent.send(bent.message3(opening, lambda pairs: changed(pairs, (v1.P_ID, v1.new_id()))))
    bent.expect_ack(lambda a: True, "a sealed ACK under the id of message 1")
    bent.ask()


@case("H3-largest", "2.2", "listen", "The largest datagram and the window of message 3 replace those of message 1.")
def _(t):
    bent = t.listener()
    opening = bent.attempt(lambda pairs: changed(pairs, (v1.P_WINDOW, b"\0\0\0\1")))
    bent.send(opening.datagram)
    bent.expect_message2(opening)
    bent.send(bent.message3(opening, lambda pairs: changed(pairs, (v1.P_LARGEST, struct.pack(">H", 1200)), (v1.P_WINDOW, b"\0\0\0\4"))))
    bent.expect_ack(lambda a: True, "message 3 is answered with a sealed ACK")
    bent.program.feed(bytes(20000))
    for sequence in range(4):
        event = bent.expect("data", where=lambda e: e.segment.sequence == sequence, say="data %d in a window of 4" % sequence)
        check(len(event.datagram) <= 1200, "at most 1200 bytes", len(event.datagram))
    bent.settle()
    more = [e for e in bent.inbox if len(e.datagram) > 1200 or e.what == "data" and e.segment.sequence > 3]
    check(not more, "nothing longer, and nothing behind the window", more and more[0])


@case("H3-message2-elsewhere", "2.4", "dial", "Message 2 counts from the dialled address only.")
def _(t):
    bent, message1 = t.dialler()
    opening = bent.message2(message1)
    bent.send(opening.datagram, bent.open_port())
    bent.expect_nothing("no message 3 to a message 2 from another port", where=lambda e: e.what != "message 1")
    bent.send(opening.datagram)
    bent.expect_message3(opening)


@case("H3-elsewhere", "2, 6", "listen",
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
    @case("H4-version-%s" % name, "2", "listen",
          "Message 3 must offer version 1 (here: %s), or a sealed CLOSE 0xFFFFFF03 answers." % ("[2]" if value else "parameter 2 absent"))
    def _(t, value=value):
        bent = t.listener()
        opening = bent.attempt()
        bent.send(opening.datagram)
        bent.expect_message2(opening)
        bent.send(bent.message3(opening, lambda p: without(p, v1.P_VERSIONS) if value is None else changed(p, (v1.P_VERSIONS, value))))
        event = bent.expect("CLOSE", ROUND_TRIP, say="CLOSE 0x%08X" % NOTHING_COMMON)
        check(event.code == NOTHING_COMMON, "CLOSE 0x%08X" % NOTHING_COMMON, event)


@case("H4-versions", "2", "listen", "Version 1 may be one of several in messages 1 and 3; a message 1 without it is answered by a versions reply, or by nothing.")
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


@case("H4-versions-reply", "2", "dial", "A versions reply that has version 1, or another echo, changes nothing.")
def _(t):
    bent, message1 = t.dialler()
    head = message1.id + b"\xff" * 7 + b"\3"
    bent.send(head + message1.datagram[8:24] + b"\2\1" + bytes(6))
    bent.send(head + bytes(16) + b"\2" + bytes(7))
    opening = bent.message2(message1)
    bent.send(opening.datagram)
    bent.expect_message3(opening)
    bent.ask()


@case("H4-version-dial", "2", "dial", "A message 2 without version 1 does not become a connection.")
def _(t):
    no_connection(t, lambda pairs: changed(pairs, (v1.P_VERSIONS, b"\2")))


@case("H5-eight-AEADs", "2", "listen", "The first eight AEADs of message 1 count: the eighth is chosen, a ninth is none.")
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


@case("H5-chosen", "2", "dial", "Of parameter 5 of message 2 the first byte is the AEAD; what is behind it does not matter.")
def _(t):
    for value in (b"\1\2", b"\1\xc8\xc9", b"\1\1"):
        bent, message1 = t.dialler()
        opening = bent.message2(message1, lambda pairs: changed(pairs, (v1.P_AEADS, value)))
        bent.send(opening.datagram)
        bent.expect_message3(opening, say="message 3 to a message 2 with AEADs %s" % value.hex())
        bent.ask()


for name, value in (("none", b""), ("not-offered", b"\xc8"), ("not-offered-first", b"\xc8\1")):
    @case("H5-chosen-%s" % name, "2", "dial", "One that was not offered, or none, makes message 2 malformed: here %s." % (value.hex() or "none"))
    def _(t, value=value):
        no_connection(t, lambda pairs: changed(pairs, (v1.P_AEADS, value)))


@case("H5-message3", "2", "listen", "Parameter 5 of message 3 is ignored.")
def _(t):
    for value in (b"", b"\xc8", b"\2\1"):
        bent = t.listener()
        opening = bent.attempt()
        bent.send(opening.datagram)
        bent.expect_message2(opening)
        bent.send(bent.message3(opening, lambda pairs: pairs + [(v1.P_AEADS, value)]))
        bent.expect_ack(lambda a: True, "a message 3 with AEADs %s is answered with a sealed ACK" % value.hex())


@case("H9-message1", "2", "dial",
      "The first message 1 is 1400 bytes long (or the largest datagram); its id begins with 4 to 15, and is parameter 1.")
def _(t):
    _, message1 = t.dialler()
    d = message1.datagram
    largest = dict(read(d[40:], "message 1")).get(v1.P_LARGEST)
    length = min(1400, int.from_bytes(largest, "big")) if largest else 1400
    check(len(d) == length, "%d bytes" % length, len(d))
    check(4 <= d[0] <= 15, "an id that begins with 4 to 15", d[:8].hex())
    check(d[40:56] == MAGIC_AND_HEAD + d[:8], "bytes 40 to 55: magic, head of parameter 1, id", d[40:56].hex())


@case("H9-attempts", "2", "dial", "After 0.2 s and after a second come attempts of 1200 bytes, with ids and keys of their own and the same token.")
def _(t):
    bent, first = t.dialler()
    last = first
    for after, least, most in ((0.2, 0.15, 0.8), (1, 0.8, 2)):
        later = bent.expect("message 1", 3)
        took = later.time - first.time
        check(least < took < most, "another attempt after %g s" % after, "%.2f s" % took)
        check(len(later.datagram) == 1200, "1200 bytes", len(later.datagram))
        check(later.id not in (first.id, last.id) and later.datagram[8:40] not in (first.datagram[8:40], last.datagram[8:40]),
              "another id and key", later.datagram[:40].hex())
        tokens = [dict(read(e.datagram[40:], "message 1")).get(v1.P_TOKEN) for e in (first, later)]
        check(tokens[0] == tokens[1] and tokens[0] is not None, "a common token", tokens)
        last = later
    opening = bent.message2(first)
    bent.send(opening.datagram)
    bent.expect_message3(opening, say="message 3 to a message 2 for the first attempt")


@case("H10-repeat", "2", "listen", "A repeated message 1 brings the same message 2; one with another key under the same id is dropped.")
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


@case("H10-confirm", "2", "listen",
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


@case("H10-confirm-dial", "2", "dial",
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


@case("H10-early-data", "2", "listen", "Data that comes before message 3 is held, and delivered behind it.")
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
