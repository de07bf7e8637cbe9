# SPDX-License-Identifier: MIT
"""S14: in which order a segment is judged."""

from bent_peer import ACK_NOW, CLOSE, FIN, NONE, PING, ack, ack_value, block, control, data, option
from table import CRITICAL, case, check


BAD_BLOCK = b"\0"  # ends behind its first field
BAD_ACK = option(2, ack_value(-1, 256, BAD_BLOCK))
PIECE_TWICE = option(3, b"\0\0\0\x40") * 2
REPORTS = {
    "flag 16 with a data offset of 5": ("flag 16", b"\5" + data(0, b"x", 16)[1:]),
    "flag 16 with a data offset behind the end": ("flag 16", b"\x14" + data(0, b"x", 16)[1:]),
    "flag 16 with a data offset of 8 on an ACK": ("flag 16", b"\x08" + ack(NONE, flags=16)[1:]),
    "flag 16 on an ACK of 6 bytes": ("flag 16", ack(NONE, flags=16)[:6]),
    "flag 16 before malformed options": ("flag 16", data(0, b"x", 16, PIECE_TWICE)),
    "flag 16 before a malformed ACK block": ("flag 16", ack(NONE, 256, BAD_BLOCK, 16)),
    "flag 16 before an odd option and a critical kind": ("flag 16", control(0x8001, flags=16, options=option(7))),
    "a critical kind before malformed options": ("control 0x8001", control(0x8001, options=option(2, b"short"))),
    "a critical kind before a malformed ACK block": ("control 0x8001", control(0x8001, options=BAD_ACK)),
    "an odd option before a malformed one": ("option 7", data(0, b"x", 0, option(7) + PIECE_TWICE)),
    "an odd option before one that is cut off": ("option 7", data(0, b"x", 0, option(7) + b"\x0a\x05")),
    "an odd option before another": ("option 9", data(0, b"x", 0, option(9) + option(7))),
    "an odd option behind a malformed ACK block": ("option 7", data(0, b"x", 0, BAD_ACK + option(7))),
    "an odd option on an ACK with a malformed block": ("option 7", ack(NONE, 256, BAD_BLOCK, options=option(7))),
    "an odd option on data behind FIN": ("option 7", data(1, b"x", 0, option(7))),
    "an odd option on CLOSE": ("option 7", control(CLOSE, 0, b"\0\0\0\7", options=option(7))),
}
for place, (what, (reason, segment)) in enumerate(REPORTS.items(), 1):
    @case("S14-report-%d" % place, "4.7", "any", "CLOSE 0xFFFFFF04 names what is critical: %s." % what)
    def _(t, reason=reason, segment=segment):
        bent = t.connect()
        bent.say(data(0, b"", FIN))
        bent.settle()
        bent.forget()
        bent.say(segment)
        bent.expect_close(CRITICAL, reason)


DROPPED = {
    "a critical kind with a data offset of 0": b"\0" + control(0x8001)[1:],
    "a critical kind with a data offset behind the end": b"\x14" + control(0x8001)[1:],
    "an odd option behind a malformed one": data(0, b"x", 0, PIECE_TWICE + option(7)),
    "an odd option that is cut off": data(0, b"x", 0, b"\7\x05"),
    "an ACK of what was never sent in a malformed block": ack(1000, 256, BAD_BLOCK),
    "data with an ACK of what was never sent in a malformed block": data(0, b"x", ACK_NOW, option(2, ack_value(1000, 256, BAD_BLOCK))),
    "CLOSE with a malformed ACK block": control(CLOSE, 0, b"\0\0\0\7", options=BAD_ACK),
    "CLOSE with malformed options": control(CLOSE, 0, b"\0\0\0\7", options=PIECE_TWICE),
}
for place, (what, segment) in enumerate(DROPPED.items(), 1):
    @case("S14-dropped-%d" % place, "4.7", "any", "Malformed comes first, and is dropped: %s." % what)
    def _(t, what=what, segment=segment):
        bent = t.connect()
        told = bent.expect_refused(segment, what)
        check(told.last == NONE, "nothing taken", "last in-order number %d" % told.last)
        bent.settle()


@case("S14-CLOSE", "4.7", "any", "What a segment carries comes before its ACK option: CLOSE with an ACK of what was never sent ends all in silence.")
def _(t):
    bent = t.connect()
    bent.say(control(CLOSE, 0, b"\0\0\0\7bye", options=option(2, ack_value(1000, 256, block()))))
    bent.say(control(PING, 5, flags=ACK_NOW))
    bent.expect_nothing("silence")
