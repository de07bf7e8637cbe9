# SPDX-License-Identifier: MIT
"""H6, H7: parameters that are longer, shorter, unknown, critical, or come twice; H11 to H17: parameters 15 to 18, and 21."""

import struct

from bent_peer import ACK_NOW, NONE, ack, changed, control, data, Failed, v1
from table import CRITICAL, case, check
from cases_handshake import bent_by, no_connection, unanswered


LONGER = ((v1.P_LARGEST, b"\5\x78\0\0"), (v1.P_WINDOW, b"\0\0\0\2\xff\xff\xff\xff"), (v1.P_IDLE, b"\0\0\x75\x30\0\0\0\1"),
          (v1.P_DELAY, b"\0\0\x61\xa8\0"), (v1.P_RATIO, b"\0\2\xff"), (v1.P_MERGED, b"\7"))


@case("H6-longer", "2", "listen", "Of a longer parameter the first bytes count: in message 1, and in message 3, whose window of 2 holds.")
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


@case("H6-longer-dial", "2", "dial", "Of a longer parameter in message 2 the first bytes count: the id, and a window of 2.")
def _(t):
    bent, message1 = t.dialler()
    opening = bent.message2(message1, lambda pairs: changed(pairs, (v1.P_ID, pairs[0][1] + b"\1\2\3"), *LONGER))
    bent.send(opening.datagram)
    bent.expect_message3(opening, say="message 3 to a message 2 with longer parameters")
    bent.say(ack(NONE, 2))
    window_of_two(bent)


SHORTER = ((v1.P_LARGEST, b"\5"), (v1.P_WINDOW, b"\0\0\1"), (v1.P_TOKEN, bytes(15)))


@case("H6-shorter", "2", "listen", "A message 1 with a parameter that is too short (3, 4, 7) is not answered.")
def _(t):
    unanswered(t, **{"parameter_%d" % pair[0]: bent_by(lambda pairs, pair=pair: changed(pairs, pair)) for pair in SHORTER})


for pair in ((v1.P_ID, bytes(7)), (v1.P_LARGEST, b"\5"), (v1.P_WINDOW, b"\0\1"), (v1.P_IDLE, b"\0\0\1"), (v1.P_DELAY, b""),
             (v1.P_RATIO, b"\2")):
    @case("H6-shorter-dial-%d" % pair[0], "2", "dial", "A message 2 with too short a parameter %d does not become a connection." % pair[0])
    def _(t, pair=pair):
        no_connection(t, lambda pairs: changed(pairs, pair))


@case("H6-cut", "2", "listen", "A message 1 whose last parameter is cut off is not answered.")
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


@case("H7-critical", "2", "listen", "A message 1 with an unknown critical parameter (0x4000 to 0x7FFF) is not answered.")
def _(t):
    unanswered(t, **{"0x%04x" % kind: bent_by(lambda pairs, kind=kind: pairs + [(kind, b"x")]) for kind in (0x4000, 0x4001, 0x7FFF)})


@case("H7-critical-message3", "2", "listen",
      "An unknown critical parameter in message 3 is answered with a sealed CLOSE 0xFFFFFF04 that names it.")
def _(t):
    bent = t.listener()
    opening = bent.attempt()
    bent.send(opening.datagram)
    bent.expect_message2(opening)
    bent.send(bent.message3(opening, lambda pairs: pairs + [(0x4001, b"")]))
    bent.expect_close(CRITICAL, "parameter 0x4001")


@case("H7-critical-dial", "2", "dial", "A message 2 with an unknown critical parameter does not become a connection.")
def _(t):
    no_connection(t, lambda pairs: pairs + [(0x4001, b"")])


UNKNOWN = [(kind, b"unknown") for kind in (0, 9, 13, 19, 20, 0x0A0A, 0x3FFF, 0x8000, 0xFFFF, 0x8000)]


@case("H7-unknown", "2", "listen", "All other unknown parameters are skipped in messages 1 and 3: retired (13), reserved (19, 20), and ones that come twice.")
def _(t):
    bent = t.listener()
    opening = bent.attempt(lambda pairs: pairs[:1] + UNKNOWN + pairs[1:])
    bent.send(opening.datagram)
    bent.expect_message2(opening)
    bent.send(bent.message3(opening, lambda pairs: UNKNOWN + pairs))
    bent.expect_ack(lambda a: True, "a message 3 with unknown parameters is answered with a sealed ACK")
    bent.ask()


@case("H7-unknown-dial", "2", "dial", "All other unknown parameters are skipped in message 2.")
def _(t):
    bent, message1 = t.dialler()
    opening = bent.message2(message1, lambda pairs: UNKNOWN + pairs)
    bent.send(opening.datagram)
    bent.expect_message3(opening, say="message 3 to a message 2 with unknown parameters")
    bent.ask()


def twice(pairs, kind):
    return pairs + [pair for pair in pairs if pair[0] == kind]


@case("H7-twice", "2", "listen", "A message 1 in which a parameter comes twice (1, 2, 3, 5, 7), even with the same value, is not answered.")
def _(t):
    unanswered(t, **{"parameter_%d" % kind: bent_by(lambda pairs, kind=kind: twice(pairs, kind)) for kind in (1, 2, 3, 5, 7)})


@case("H7-twice-dial", "2", "dial", "A message 2 in which a parameter comes twice does not become a connection.")
def _(t):
    no_connection(t, lambda pairs: twice(pairs, v1.P_IDLE))


def forgotten(t, pairs):
    """A message 3 that opens and is malformed: silence, and the handshake is no more.  Returns the peer."""
    bent = t.listener()
    opening = bent.attempt()
    bent.send(opening.datagram)
    first = bent.expect_message2(opening)
    bent.send(bent.message3(opening, pairs))
    bent.send(bent.message3(opening))
    bent.expect_nothing("silence, to a right message 3 of the same handshake, too", 0.1)
    bent.send(opening.datagram)
    second = bent.expect("kind 1", where=lambda e: e.id == opening.own_id, say="a message 2 for the same message 1")
    check(first.datagram != second.datagram, "another message 2, of a new handshake", "the same")
    return bent


@case("H7-twice-message3", "2", "listen",
      "A message 3 in which a parameter comes twice does not become a connection: the handshake is forgotten, in silence.")
def _(t):
    forgotten(t, lambda pairs: twice(pairs, v1.P_WINDOW))


@case("H7-malformed-message3", "2", "listen",
      "So is a message 3 with too short a parameter, a largest datagram of 1199, or a last parameter that is cut off.")
def _(t):
    for pairs in (lambda p: changed(p, (v1.P_IDLE, b"\0\0\1")), lambda p: changed(p, (v1.P_LARGEST, struct.pack(">H", 1199))),
                  lambda p: p + [(0x8000, CutOff(b"none"))]):
        forgotten(t, pairs)


class CutOff(bytes):
    """Says that it is a byte longer than it is."""
    def __len__(self):
        return super().__len__() + 1


# --- Parameters 15 to 18, and 21


def with_message(t, pairs, what):
    """A connection, with our last message bent."""
    try:
        return t.connect(pairs)
    except Failed as reason:
        raise Failed("a connection with %s; %s" % (what, reason))


def accepted(name, section, rule, *values):
    """Each is a parameter and its value."""
    @case(name, section, "any", rule)
    def _(t):
        for kind, value in values:
            bent = with_message(t, lambda pairs: changed(pairs, (kind, value)), "parameter %d of %d bytes" % (kind, len(value)))
            bent.settle()


def malformed(name, rule, in_message2, in_message3):
    """Pairs that make message 2, or 3, malformed."""
    for place, pair in enumerate(in_message2, 1):
        @case("%s-dial-%d" % (name, place), "2", "dial", "%s Here message 2 with parameter %d of %d bytes." % (rule, pair[0], len(pair[1])))
        def _(t, pair=pair):
            no_connection(t, lambda pairs: changed(pairs, pair))
    for place, pair in enumerate(in_message3, 1):
        @case("%s-%d" % (name, place), "2", "listen", "%s Here message 3 with parameter %d of %d bytes." % (rule, pair[0], len(pair[1])))
        def _(t, pair=pair):
            forgotten(t, lambda pairs: changed(pairs, pair))


@case("H11-message1", "2", "listen", "Parameters 15 to 18, and 21, are ignored in message 1, whatever they say.")
def _(t):
    for value in (b"", b"\1", bytes(3), bytes(200)):
        bent = t.listener()
        opening = bent.attempt(lambda pairs: pairs + [(kind, value) for kind in (15, 16, 17, 18, 21)])
        bent.send(opening.datagram)
        bent.expect_message2(opening)
        bent.send(bent.message3(opening))
        bent.expect_ack(lambda a: True, "message 3 is answered with a sealed ACK")


for kind, value in ((15, b"\4"), (16, bytes(16)), (17, b"\1a"), (18, b"text"), (21, bytes(4))):
    @case("H11-twice-%d" % kind, "2", "listen", "Parameter %d comes at most once in message 3." % kind)
    def _(t, kind=kind, value=value):
        forgotten(t, lambda pairs: pairs + [(kind, value)] * 2)

    if kind != 18:
        @case("H11-twice-dial-%d" % kind, "2", "dial", "Parameter %d comes at most once in message 2." % kind)
        def _(t, kind=kind, value=value):
            no_connection(t, lambda pairs: pairs + [(kind, value)] * 2)


# --- Features

accepted("H12-features", "2", "Features may be of any length, and those that are not given out are ignored.",
         (15, b""), (15, b"\0"), (15, b"\xfc"), (15, b"\xfc" + b"\xff" * 63), (15, bytes(200)))


def features_of(bent):
    return int.from_bytes(bent.told.get(v1.P_FEATURES, b""), "little")


@case("H12-none-in-force", "2, 9", "any", "Flag 16 is critical where only we have named feature 0.")
def _(t):
    bent = t.connect(lambda pairs: changed(pairs, (15, b"\1")))
    if not features_of(bent) & 1:
        bent.say(data(0, b"x", 16))
        bent.expect_close(CRITICAL, "flag 16")


@case("H12-not-named", "2, 9", "any", "Flag 16 is critical where we have not named feature 0, whatever the program names.")
def _(t):
    for value in (b"", b"\xfe", b"\0\1"):
        bent = t.connect(lambda pairs: changed(pairs, (15, value)))
        bent.say(data(0, b"x", 16))
        bent.expect_close(CRITICAL, "flag 16")


@case("H12-observed", "2, 4.4", "any", "OBSERVED (kind 6) without feature 1 in force is an unknown kind: acknowledged and ignored.")
def _(t):
    bent = t.connect(lambda pairs: changed(pairs, (15, b"\xfd")))
    for body in (bytes(18), b""):
        bent.expect_acknowledged(bent.say(control(6, 0, body, ACK_NOW)), "OBSERVED")
    bent.settle()


@case("H12-longest", "2, 4.8", "any", "A program tells the longest message that it takes only in messages 2 and 3, in four bytes.")
def _(t):
    bent = t.connect()
    told = bent.told.get(v1.P_MESSAGE)
    check(told is None or len(told) == 4, "parameter 21 of 4 bytes, or none", told)


accepted("H17-longest", "2, 4.8", "The longest message may be of any length, and the parameter longer than 4 bytes, feature 0 named or not.",
         (21, bytes(4)), (21, b"\xff" * 4), (21, b"\0\x10\0\0more"), (21, bytes(200)))
malformed("H17-short", "A longest message of fewer than 4 bytes makes the message malformed.", [(21, b""), (21, bytes(3))], [(21, b""), (21, bytes(3))])


# --- Reset token

accepted("H13-token", "2, 7.4", "A reset token may be longer than 16 bytes, or absent.", (16, bytes(range(16))), (16, bytes(20)), (16, bytes(200)))
malformed("H13-short", "A reset token shorter than 16 bytes makes the message malformed.", [(16, b""), (16, bytes(15))], [(16, b""), (16, bytes(15))])


@case("H13-told", "2, 7.4", "any", "A program tells a reset token of 16 bytes, another for each id.")
def _(t):
    tokens = [t.connect().told.get(v1.P_RESET) for _ in range(2)]
    check(None not in tokens and [len(token) for token in tokens] == [16, 16], "parameter 16 of 16 bytes", tokens)
    check(tokens[0] != tokens[1], "another token for another id", tokens[0].hex())


# --- Application protocols, of a program that has none

accepted("H14-protocols", "2", "Who has no application protocols ignores the other's, if they are well formed.",
         (17, b"\1a"), (17, b"\x3f" + bytes(range(63))), (17, b"\4http"))


@case("H14-protocols-most", "2", "dial", "In message 2 they may take 128 bytes, and be several.")
def _(t):
    for value in ((b"\x3f" + b"a" * 63) * 2, b"\1a\1b\1a\2\0\xff", b"\1a" * 64):
        with_message(t, lambda pairs: changed(pairs, (17, value)), "application protocols %s" % value).settle()


@case("H14-protocols-none", "2", "any", "Who has no application protocols sends no parameter 17.")
def _(t):
    bent = t.connect(lambda pairs: changed(pairs, (17, b"\1a")))
    check(v1.P_PROTOCOLS not in bent.told, "no parameter 17", bent.told.get(v1.P_PROTOCOLS))


BAD_LISTS = [(17, b"\0"), (17, b"\x40" + bytes(64)), (17, b"\5four"), (17, b"\1a\0"), (17, b"\1a\2b")]
malformed("H14-bad", "A list of application protocols that breaks its form makes the message malformed.",
          BAD_LISTS + [(17, (b"\x3f" + bytes(63)) * 2 + b"\1a")], BAD_LISTS + [(17, b""), (17, b"\1a\1b")])


# --- What goes to the application

@case("H15-application", "2", "listen", "Message 3 may have up to 512 bytes for the application: none, 1, 511 and 512.")
def _(t):
    for length in (0, 1, 511, 512):
        with_message(t, lambda pairs: changed(pairs, (18, bytes(length))), "%d bytes for the application" % length).settle()


malformed("H15-too-long", "More than 512 bytes for the application make the message malformed.", [], [(18, bytes(513)), (18, bytes(1000))])


@case("H15-message2", "2", "dial", "In message 2 parameter 18 is ignored.")
def _(t):
    with_message(t, lambda pairs: changed(pairs, (18, b"text")), "parameter 18 in message 2").settle()
