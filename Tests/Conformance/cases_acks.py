# SPDX-License-Identifier: MIT
"""S4, S5: ACK blocks."""

from bent_peer import ACK_NOW, NONE, RTO, ack, ack_value, block, changed, data, numbers, option, v1
from table import VIOLATION, case, check


MISSING_FIRST = (0, 0, 1)  # an interval: the first number above the last in-order one is missing
BAD_FORMS = {
    "cut short": block()[:2],
    "with a varint cut short": block()[:2] + b"\x40",
    "without the duplicates that it tells of": numbers(0, 0, 1),
    "with two of three ECN counts": numbers(0, 0, 2, 0, 0),
    "with nine intervals": block(0, *[MISSING_FIRST] * 9),
    "with an unknown bit of its contents, which is 1,024 intervals": numbers(0, 0, 1 << 13),
    "with an interval of no runs": block(0, (0, 0)),
    "with a start of 0x1000000": block(0, (0x1000000, 0, 1)),
    "with a run of 0": block(0, (0, 0, 0)),
    "with a run of 0x1000000": block(0, (0, 0, 0x1000000)),
    "with an interval of 0x1000001 numbers": block(0, (0xFFFFFF, 0, 1, 1)),
    "with one interval too few": numbers(0, 0, 16, 0, 2, 1),
}
BAD_ENDS = {
    "with a byte behind nothing": block(behind=b"\0"),
    "with a byte behind the duplicates": block(duplicates=0, behind=b"\0"),
    "with a byte behind the ECN counts": block(ecn=(0, 0, 0), behind=b"\0"),
    "with a byte behind the last interval": block(0, MISSING_FIRST, behind=b"\0"),
}
BAD_PACKETS = {
    "that tells packet numbers, and none are there": block(packets=[]),
    "with a run of 0 packet numbers": block(1, packets=[1, 0]),
    "with no run but one of 0 packet numbers": block(0, packets=[0]),
    "with more packet numbers than the largest + 1": block(1, packets=[2, 1]),
    "with a run of packet numbers beyond the largest + 1": block(1, packets=[1 << 61]),
    "with 33 bytes of packet numbers": block(40, packets=[1] * 33),
    "with packet numbers cut short": block(1, packets=[1], behind=b"\x40"),
}
BAD_BLOCKS = {**BAD_FORMS, **BAD_ENDS, **BAD_PACKETS}
for name, what, bad in [("%s-%d" % (group, place), *one) for group, blocks in (("option", BAD_FORMS), ("behind", BAD_ENDS), ("packets", BAD_PACKETS))
                        for place, one in enumerate(blocks.items(), 1)]:
    @case("S4-%s" % name, "4, 4.3", "any",
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


@case("S4-ACK", "4, 4.3", "any", "An ACK segment with a malformed block is dropped whole: it neither acknowledges nor opens the window.")
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
    @case("S5-unsent-%s" % name, "4", "any", "An ACK in which %s was never sent brings CLOSE 0xFFFFFF01 without a reason." % what)
    def _(t, segment=segment):
        bent = t.connect()
        bent.say(segment())
        bent.expect_close(VIOLATION)


@case("S5-none", "4, 4.3", "any", "A largest packet number of 0, ACKs that come twice and ones that come late are no violation.")
def _(t):
    bent = t.connect()
    bent.say(ack(NONE, 256, block(0)))
    bent.program.feed(b"x")
    event = bent.expect("data")
    for last, largest in ((NONE, 0), (0, event.number), (0, event.number), (NONE, 0)):
        bent.say(ack(last, 256, block(largest)))
    bent.settle()
