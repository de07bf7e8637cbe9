# SPDX-License-Identifier: MIT
"""H16: application protocols of a program that has some, which needs an option of it."""

from bent_peer import v1
from table import NOTHING_COMMON, case, check

AB = (("protocol", "alpha"), ("protocol", "beta"))


def listed(*names):
    return b"".join(bytes([len(name)]) + name for name in names)


def opened(t):
    bent = t.listener(AB)
    opening = bent.attempt()
    bent.send(opening.datagram)
    bent.expect_message2(opening)
    return bent, opening


@case("H16-listed", "2.12", "listen", "A responder lists all its application protocols in message 2.", "protocol")
def _(t):
    _, opening = opened(t)
    came = dict(opening.told).get(v1.P_PROTOCOLS)
    check(came == listed(b"alpha", b"beta"), listed(b"alpha", b"beta"), came)


@case("H16-accepted", "2.12", "listen", "A message 3 that names one of them becomes a connection.", "protocol")
def _(t):
    for name in (b"alpha", b"beta"):
        bent, opening = opened(t)
        bent.send(bent.message3(opening, lambda pairs: pairs + [(17, listed(name))]))
        bent.expect_ack(lambda a: True, "a message 3 with %s is answered with a sealed ACK" % name)
        bent.ask()


for number, (what, pairs) in enumerate((("without a name", []), ("with a name that was not listed", [(17, listed(b"gamma"))]),
                                        ("with the beginning of one", [(17, listed(b"alph"))]),
                                        ("with one in other letters", [(17, listed(b"Alpha"))])), 1):
    @case("H16-refused-%d" % number, "2.12", "listen", "A message 3 %s is refused by CLOSE 0xFFFFFF03." % what, "protocol")
    def _(t, pairs=pairs):
        bent, opening = opened(t)
        bent.send(bent.message3(opening, lambda usual: usual + pairs))
        bent.expect_close(NOTHING_COMMON, "no common protocol")


@case("H16-first", "2.12", "dial", "An initiator names the first of its own that is listed.", "protocol")
def _(t):
    for names, expected in (((b"beta", b"alpha"), b"alpha"), ((b"x", b"beta"), b"beta"), ((b"beta",), b"beta")):
        bent, message1 = t.dialler(AB)
        opening = bent.message2(message1, lambda pairs: pairs + [(17, listed(*names))])
        bent.send(opening.datagram)
        bent.expect_message3(opening)
        came = dict(opening.told3).get(v1.P_PROTOCOLS)
        check(came == listed(expected), "message 3 with %s" % listed(expected), came)
        bent.ask()


@case("H16-none", "2.12", "dial", "If none is listed, or no list is there, the dial ends, and no message 3 is sent.", "protocol")
def _(t):
    for pairs in ([], [(17, listed(b"gamma", b"alph"))], [(17, b"")]):
        bent, message1 = t.dialler(AB)
        opening = bent.message2(message1, lambda usual: usual + pairs)
        bent.send(opening.datagram)
        bent.expect_nothing("no message 3", where=lambda e: e.what == "kind 1")
        check(bent.program.expect_end(3) != 0, "an exit status other than 0", 0)
