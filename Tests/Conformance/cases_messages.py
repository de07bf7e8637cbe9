# SPDX-License-Identifier: MIT
"""M: messages, which need feature 0 in force.  The program delivers them, or nobody wants them: only its ACKs and CLOSE are seen."""

import struct

from bent_peer import ACK_NOW, FIN, NONE, PING, QUIET, RTO, ack, block, changed, control, data, numbers, option, ack_value, piece, v1
from table import CRITICAL, VIOLATION, case, check

MESSAGES = HOLD = 16
WHOLE, FRAGMENT, SKIP, PADDING = 0, 32, 64, 96  # kinds, as bits of the head
ORDERED, LAST = 16, 128
LONGEST = 1 << 20                               # of a program that says nothing


def connect(t, *parameters, window=256):
    """A connection with feature 0 in force."""
    bent = t.connect(lambda pairs: changed(pairs, (v1.P_FEATURES, b"\1"), *parameters), window, options=[("messages", "")])
    check(bent.told.get(v1.P_FEATURES, b"")[:1] and bent.told[v1.P_FEATURES][0] & 1, "parameter 15 names feature 0", bent.told.get(v1.P_FEATURES))
    bent.has_messages = True
    return bent


def longest(bent):
    return int.from_bytes(bent.told.get(v1.P_MESSAGE, struct.pack(">I", LONGEST))[:4], "big")


def whole(text, lane=0, number=None, last=False):
    """Of an ordered lane if it has a number."""
    head = WHOLE | lane | (0 if number is None else ORDERED) | (LAST if last else 0)
    return bytes([head]) + numbers(*([] if number is None else [number]), *([] if last else [len(text)])) + text


def fragment(number, total, offset, text, lane=0, ordered=0, last=False):
    return bytes([FRAGMENT | lane | ordered | (LAST if last else 0)]) + numbers(number, total, offset, *([] if last else [len(text)])) + text


def skip(number, lane=0, ordered=ORDERED):
    return bytes([SKIP | lane | ordered]) + numbers(number)


def messages(sequence, *frames, flags=0, options=b""):
    return data(sequence, b"".join(frames), MESSAGES | flags, options)


def lives(bent, last):
    """The connection goes on, and all up to this number has been taken."""
    told = bent.settle()
    check(told.last == last & NONE, "all up to %d taken" % last, "last in-order number %d" % told.last)


# --- What is taken

GOOD = {
    "nothing": [b""],
    "whole ones": [whole(b""), whole(b"a"), whole(b"b", 15), whole(b"c", 3, 0), whole(b"", 3, 1), whole(b"the last", 3, 2, last=True)],
    "an ordered and another lane of the same number": [whole(b"a", 5), whole(b"b", 5, 0), fragment(0, 3, 0, b"abc", 5), whole(b"c", 5, 1)],
    "fragments of all of it": [fragment(0, 3, 0, b"abc"), fragment(1, 1, 0, b"x", 0, 0), fragment(0, 2, 0, b"de", 7, ORDERED, last=True)],
    "skips of what comes next": [skip(0), skip(1), whole(b"a", 0, 2), bytes([SKIP | ORDERED | LAST]) + numbers(3)],
    "a skip of what nobody has begun": [skip(7, 0, 0), skip(7, 0, 0)],
    "padding": [whole(b"a"), bytes([PADDING]) + bytes(100)],
    "padding of no bytes, and with all bits": [bytes([PADDING | 15 | ORDERED | LAST])],
    "padding that would be malformed": [bytes([PADDING]) + b"\xff\xff\xff"],
    "varints that are longer than they need be": [bytes([ORDERED, 0x40, 0, 0x80, 0, 0, 1, 65, ORDERED, 0xC0, 0, 0, 0, 0, 0, 0, 1, 0])],
    "numbers that have passed": [whole(b"a", 0, 0), whole(b"again", 0, 0), skip(0), fragment(0, 9, 0, b"x", 0, ORDERED), skip((1 << 30) - 1)],
}
for place, (what, frames) in enumerate(GOOD.items(), 1):
    @case("M1-taken-%d" % place, "4.8", "any", "A segment of messages is acknowledged, and its bytes are none of the stream: %s." % what, "messages")
    def _(t, frames=frames):
        bent = connect(t)
        bent.say(data(0, b"be"))
        bent.expect_acknowledged(bent.say(messages(1, *frames, flags=ACK_NOW)), "a segment of messages")
        bent.say(data(2, b"hind"))
        lives(bent, 2)
        bent.program.expect_output(b"behind")


@case("M1-options", "4.8", "any", "A segment of messages may have options, and count as an ACK.", "messages")
def _(t):
    bent = connect(t)
    bent.program.feed(b"x")
    first = bent.expect("data")
    told = option(2, ack_value(0, 256, block(first.number)))
    bent.expect_acknowledged(bent.say(messages(0, whole(b"a"), flags=ACK_NOW, options=option(10, b"xyz") + told)), "messages with options")
    bent.expect_nothing("nothing sent again that option 2 has acknowledged", QUIET, lambda e: e.what == "data")
    lives(bent, 0)


@case("M1-pieces", "4.8, 6.2", "any", "A segment of messages may come in pieces: before all are there nothing of it counts.", "messages")
def _(t):
    bent = connect(t)
    text = whole(bytes(100)) + whole(bytes(100), 0, 0, last=True)
    for start in (128, 0):
        bent.say(piece(0, start, len(text), text[start:start + 64], MESSAGES))
    lives(bent, -1)
    bent.say(piece(0, 192, len(text), text[192:], MESSAGES))
    bent.say(piece(0, 64, len(text), text[64:128], MESSAGES))
    lives(bent, 0)


@case("M1-stream-waits", "4.8", "any", "The stream waits for a segment that is missing, whatever that carries.", "messages")
def _(t):
    bent = connect(t)
    bent.say(data(0, b"a"))
    bent.say(data(2, b"c"))
    bent.settle()
    bent.program.expect_output(b"a")
    bent.say(messages(1, whole(b"b")))
    lives(bent, 2)
    bent.program.expect_output(b"ac")


@case("M1-window", "4.8, 5.7", "any", "Messages beyond the window are dropped.", "messages")
def _(t):
    bent = connect(t)
    bent.expect_acknowledged(bent.say(messages(0xFFFFFF + 5, bytes([WHOLE]), flags=ACK_NOW)), "messages beyond the window")
    lives(bent, -1)


# --- What waits, comes late, or comes again


@case("M2-early", "4.8", "any", "What is early in its lane waits, and lanes do not wait for each other: skips, fragments and whole ones.", "messages")
def _(t):
    bent = connect(t)
    bent.say(messages(1, whole(b"1", 0, 1), skip(2), whole(b"3", 0, 3), whole(b"x", 1, 0)))
    bent.say(messages(3, fragment(4, 4, 2, b"cd", 0, ORDERED), fragment(5, 2, 0, b"ef", 0, ORDERED), whole(b"y", 1, 2)))
    told = bent.settle()
    check(told.last == NONE, "the first missing", "last in-order number %d" % told.last)
    bent.say(messages(2, fragment(4, 4, 0, b"ab", 0, ORDERED), whole(b"z", 1, 1)))
    bent.say(messages(0, whole(b"0", 0, 0)))
    lives(bent, 3)


@case("M2-fragments", "4.8", "any", "Fragments may come in any order, of several messages at a time.", "messages")
def _(t):
    bent = connect(t)
    parts = [(0, 0), (1, 500), (0, 300), (1, 0), (0, 100), (1, 900), (0, 200)]
    for sequence in (3, 1, 6, 0, 5, 2, 4):
        which, offset = parts[sequence]
        bent.say(messages(sequence, fragment(which, (400, 1000)[which], offset, bytes((100, (400 if offset == 500 else 100 if offset else 500))[which]))))
    lives(bent, 6)


@case("M2-repeats", "4.8", "any", "The same segment again, with fewer frames too, is a duplicate and no violation.", "messages")
def _(t):
    bent = connect(t)
    bent.say(messages(0, whole(b"a", 0, 0), fragment(0, 9, 0, b"x")))
    bent.say(messages(0, skip(0), flags=RTO))
    bent.say(messages(0, flags=RTO))
    bent.say(messages(2, skip(1), fragment(0, 9, 1, b"x")))
    bent.say(messages(2, whole(b"b", 0, 1), flags=RTO))
    told = bent.settle()
    check(told.duplicates == 3 and told.last == 0, "three duplicates, and 1 missing", "%d, and last in-order number %d" % (told.duplicates, told.last))
    bent.say(messages(1))
    lives(bent, 2)


@case("M2-given-up", "4.8", "any", "A skip ends a message of which a part has come: fragments that come later are ignored.", "messages")
def _(t):
    bent = connect(t)
    bent.say(messages(0, fragment(0, 4, 0, b"ab", 0, ORDERED), fragment(0, 4, 0, b"ab")))
    bent.say(messages(2, skip(0), skip(0, 0, 0), whole(b"next", 0, 1)))
    bent.say(messages(1, fragment(0, 4, 2, b"cd", 0, ORDERED), whole(b"x", 1, 0)))
    bent.say(messages(4, skip(3), skip(2)))
    bent.say(messages(3, fragment(2, 4, 0, b"ab", 0, ORDERED), fragment(3, 4, 0, b"ab", 0, ORDERED, last=True)))
    bent.say(messages(5, whole(b"4", 0, 4)))
    lives(bent, 5)


@case("M2-most", "4.8", "any", "A message may be as long as the program has said, or 1,048,576 bytes.", "messages")
def _(t):
    bent = connect(t)
    for sequence, lane in enumerate((0, 1)):
        bent.say(messages(sequence, fragment(0, longest(bent), longest(bent) - 9, b"the end..", lane, lane * ORDERED)))
    lives(bent, 1)


@case("M2-eight", "4.8, 5.7", "any", "Eight messages may be under way in fragments, each as long as the program takes.", "messages")
def _(t):
    bent = connect(t)
    for sequence in range(8):
        bent.say(messages(sequence, fragment(0, longest(bent), 0, b"a", sequence, ORDERED * (sequence & 1))))
    lives(bent, 7)


@case("M2-incomplete", "4.8, 7.1", "any", "The end comes although a message is incomplete.", "messages")
def _(t):
    bent = connect(t)
    bent.say(messages(0, fragment(0, 4, 0, b"ab", 0, ORDERED), fragment(0, 4, 0, b"ab", 1)))
    bent.expect_acknowledged(bent.say(data(1, b"end", FIN)), "FIN, at once")
    bent.program.expect_output(b"end")
    lives(bent, 1)


# --- Violations

MALFORMED = {
    "a whole one that is cut off": whole(b"text")[:-1],
    "a whole one without a length": bytes([WHOLE]),
    "a whole one whose length is cut off": bytes([WHOLE, 0x40]),
    "an ordered one without a number": bytes([WHOLE | ORDERED]),
    "an ordered one without a length": whole(b"", 0, 0)[:-1],
    "a number of 2^30": whole(b"a", 0, 1 << 30),
    "a skip of number 2^30": skip(1 << 30),
    "a skip of number 2^30 in another lane": skip(1 << 30, 0, 0),
    "a skip without a number": bytes([SKIP | ORDERED]),
    "a skip whose number is cut off": bytes([SKIP, 0x80, 0, 0]),
    "a fragment of number 2^30": fragment(1 << 30, 2, 0, b"a"),
    "a fragment of no bytes": fragment(0, 2, 0, b""),
    "a fragment of no bytes at the end": fragment(0, 2, 2, b"", last=True),
    "a fragment beyond the total": fragment(0, 3, 1, b"abc"),
    "a fragment that begins beyond the total": fragment(0, 3, 4, b"a"),
    "a fragment of a total of 0": fragment(0, 0, 0, b"a"),
    "a fragment with the highest offset": fragment(0, 3, (1 << 62) - 1, b"a"),
    "a fragment without a number": bytes([FRAGMENT]),
    "a fragment without a total": bytes([FRAGMENT, 0]),
    "a fragment without an offset": bytes([FRAGMENT, 0, 5]),
    "a fragment without a length": bytes([FRAGMENT, 0, 5, 0]),
    "a fragment that is cut off": fragment(0, 5, 0, b"abc")[:-1],
    "a length of 2^62 - 1": bytes([WHOLE]) + numbers((1 << 62) - 1) + b"a",
}
for place, (what, frame) in enumerate(MALFORMED.items(), 1):
    @case("M3-malformed-%d" % place, "4.6", "any", "CLOSE 0xFFFFFF01 without a reason answers a malformed frame: %s." % what, "messages")
    def _(t, frame=frame):
        bent = connect(t)
        bent.say(messages(0, whole(b"good"), frame))
        bent.expect_close(VIOLATION)


VIOLATIONS = {
    "FIN": ("FIN on a segment of messages", lambda most: [messages(0, whole(b"a"), flags=FIN)]),
    "FIN-empty": ("FIN on an empty segment of messages", lambda most: [messages(0, flags=FIN)]),
    "FIN-piece": ("FIN on a piece of messages", lambda most: [piece(0, 0, 100, bytes(64), MESSAGES | FIN)]),
    "behind-FIN": ("messages behind FIN", lambda most: [data(1, b"", FIN), messages(2, whole(b"a"))]),
    "FIN-before": ("FIN before messages that have come", lambda most: [messages(2, whole(b"a")), data(1, b"", FIN)]),
    "early-malformed": ("a malformed frame in an early segment", lambda most: [messages(5, bytes([WHOLE]))]),
    "pieces-malformed": ("a malformed frame in a segment of pieces",
                         lambda most: [piece(0, at, 128, bytes([FRAGMENT]) * 64, MESSAGES) for at in (64, 0)]),
    "too-long": ("a fragment of a longer message than is taken", lambda most: [messages(0, fragment(0, most + 1, 0, b"a"))]),
    "much-too-long": ("a fragment of a message of 2^62 - 1 bytes", lambda most: [messages(0, fragment(0, (1 << 62) - 1, 0, b"a"))]),
    "too-long-ordered": ("a fragment of a longer message in an ordered lane", lambda most: [messages(1, fragment(0, most + 1, most, b"a", 0, ORDERED))]),
    "totals": ("fragments of different totals", lambda most: [messages(0, fragment(0, 9, 0, b"ab")), messages(1, fragment(0, 8, 2, b"ab"))]),
    "totals-in-one": ("fragments of different totals in one segment",
                      lambda most: [messages(0, fragment(0, 10, 0, b"abcde"), fragment(0, most, most // 2, b"abcde"))]),
    "sum": ("fragments that come to more than the total",
            lambda most: [messages(0, fragment(0, 9, 0, b"abcde")), messages(1, fragment(0, 9, 2, b"abcde"))]),
    "sum-in-one": ("fragments of one segment that come to more than the total",
                   lambda most: [messages(0, fragment(0, 9, 0, b"abcde"), fragment(0, 9, 2, b"abcde"))]),
    "sum-early": ("early fragments that come to more than the total",
                  lambda most: [messages(n, fragment(3, 9, 0, b"abcde", 0, ORDERED)) for n in (1, 2)]),
    "far": ("a number 2^24 + 1 above the one expected", lambda most: [messages(1, whole(b"a", 0, (1 << 24) + 1))]),
    "far-skip": ("a skip of the farthest number", lambda most: [messages(1, skip((1 << 29) - 1))]),
    "ahead": ("an early number where nothing is missing", lambda most: [messages(0, whole(b"a", 0, 1))]),
    "ahead-skip": ("an early skip where nothing is missing", lambda most: [messages(0, whole(b"a", 0, 0), skip(2))]),
    "ahead-fragment": ("an early fragment where nothing is missing", lambda most: [messages(0, fragment(1, 9, 0, b"a", 0, ORDERED))]),
    "ahead-part": ("the next message where a part of one is missing",
                   lambda most: [messages(0, fragment(0, 9, 0, b"a", 0, ORDERED), whole(b"b", 0, 1))]),
    "ahead-later": ("an early number that has waited for nothing", lambda most: [messages(1, whole(b"a", 0, 1)), messages(0, whole(b"b", 0, 2))]),
}
for name, (what, segments) in VIOLATIONS.items():
    @case("M4-%s" % name, "4.6", "any", "CLOSE 0xFFFFFF01 without a reason answers %s." % what, "messages")
    def _(t, segments=segments):
        bent = connect(t)
        for segment in segments(longest(bent)):
            bent.say(segment)
        bent.expect_close(VIOLATION)


@case("M4-far-enough", "4.6", "any", "A number 2^24 above the one expected is no violation; there may be no memory for it.", "messages")
def _(t):
    bent = connect(t)
    bent.say(messages(1, skip(1 << 24)))
    lives(bent, -1)


@case("M4-repeat", "4.6", "any", "A malformed frame in a segment that has come before is a duplicate.", "messages")
def _(t):
    bent = connect(t)
    bent.say(messages(0))
    bent.say(messages(0, bytes([WHOLE])))
    told = bent.settle()
    check(told.duplicates == 1, "one duplicate", told.duplicates)


# --- Flag 16

@case("M5-CONTROL", "4.7, 9", "any", "On a CONTROL flag 16 is critical, feature 0 in force or not.", "messages")
def _(t):
    bent = connect(t)
    bent.say(control(PING, 5, flags=16))
    bent.expect_close(CRITICAL, "flag 16")


@case("M5-ACK", "4.8", "any", "On an ACK flag 16 is HOLD where feature 0 is in force.", "messages")
def _(t):
    bent = connect(t)
    bent.say(ack(NONE, flags=HOLD))
    lives(bent, -1)


def fed(bent, text):
    """Data that the program sends, up to its end; its numbers."""
    bent.program.feed(text)
    came, found = b"", []
    while len(came) < len(text):
        event = bent.expect("data")
        if event.segment.sequence not in found:
            came += event.segment.payload
            found.append(event.segment.sequence)
    check(came == text, text, came)
    return event


@case("M6-HOLD", "4.8", "any", "A sender that is held sends nothing new of its stream, but PINGs, and goes on when it is told; its end is new, too.", "messages")
def _(t):
    bent = connect(t)
    first = fed(bent, b"first")
    bent.say(ack(0, 256, block(first.number), HOLD))
    bent.settle()
    bent.program.feed(b"second")
    bent.program.end_input()
    ping = bent.expect("PING", 3.0, say="a PING, as of a closed window")
    check(not bent.take("data"), "nothing new while the stream is held", "data")
    bent.say(ack(0, 256, block(ping.number)))
    second = bent.expect("data", say="data once the stream is no longer held")
    check(second.segment.payload == b"second" and second.segment.sequence == 1, "b'second' as data 1", second)


@case("M6-HOLD-late", "4.8", "any", "An ACK that is late holds nothing, and does not end it.", "messages")
def _(t):
    bent = connect(t)
    first = fed(bent, b"first")
    bent.say(ack(0, 256, block(first.number)))
    bent.say(ack(0, 256, block(max(first.number - 1, 0)), HOLD))
    bent.settle()
    second = fed(bent, b"second")
    bent.say(ack(1, 256, block(second.number), HOLD))
    bent.say(ack(1, 256, block(first.number)))
    bent.settle()
    bent.program.feed(b"third")
    bent.expect_nothing("nothing new while the stream is held", QUIET, lambda e: e.what == "data")


@case("M6-HOLD-again", "4.8", "any", "A sender that is held sends lost segments again.", "messages")
def _(t):
    bent = connect(t)
    first = fed(bent, b"first")
    bent.say(ack(NONE, 256, block(), HOLD))
    again = bent.expect("data", 3.0, say="the first again")
    check(again.segment.sequence == 0 and again.segment.payload == b"first" and first.number != again.number, "data 0 again", again)


@case("M6-HOLD-option", "4.8", "any", "An ACK in option 2 ends HOLD, on a segment of messages, too.", "messages")
def _(t):
    bent = connect(t)
    first = fed(bent, b"first")
    bent.say(ack(0, 256, block(first.number), HOLD))
    bent.settle()
    bent.say(messages(0, whole(b"a"), options=option(2, ack_value(0, 256, block(first.number)))))
    bent.settle()
    fed(bent, b"second")
