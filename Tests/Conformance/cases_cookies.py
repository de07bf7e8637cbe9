# SPDX-License-Identifier: MIT
"""H8: cookies, as the initiator meets them."""

import random
import struct
import time

from bent_peer import read, v1
from table import case, check, suppressed


def cookie_reply(message1, cookie, echo=None):
    return message1.id + v1.COOKIE_REPLY + (echo or message1.datagram[8:24]) + cookie


def shown(event):
    """The cookie, if it stands right behind parameter 1."""
    kind, length = struct.unpack_from(">HH", event.datagram, 56)
    return event.datagram[60:60 + length] if kind == v1.P_COOKIE else None


@case("H8-cookie", "2.10", "dial", "A cookie of 24, 77 or 128 bytes comes back at once, in a new attempt, right behind parameter 1.")
def _(t):
    cookies(t, [24, 77, 128])


@case("H8-cookie-8", "2.10", "dial", "So does the shortest, of 8 bytes.")
def _(t):
    cookies(t, [8])


def cookies(t, lengths):
    bent, message1 = t.dialler()
    seen = [message1]
    for length in lengths:
        cookie = random.randbytes(length)
        bent.send(cookie_reply(seen[-1], cookie))
        # Well before the attempts that a timer sends; the first of these is shorter
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


@case("H8-lengths", "2.10", "dial", "Cookies of 0 and 129 bytes and replies with a foreign echo, id or port are ignored.")
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
    bent.expect_nothing("one new message 1", 0.05, lambda e: len(e.datagram) == len(message1.datagram))


@case("H8-one-each", "2.10", "dial", "A second reply to the same attempt brings no further attempt at once.")
def _(t):
    bent, message1 = t.dialler()
    bent.send(cookie_reply(message1, b"the first cookie"))
    event = bent.expect("message 1", 0.4)
    bent.send(cookie_reply(message1, b"the second cookie"))
    bent.expect_nothing("no further message 1 for the same attempt", 0.1, lambda e: len(e.datagram) == len(message1.datagram))
    opening = bent.message2(event)
    bent.send(opening.datagram)
    bent.expect_message3(opening)


@case("H8-stays-open", "2.10", "dial", "The attempt that was refused stays open: a message 2 for it counts.")
def _(t):
    bent, message1 = t.dialler()
    bent.send(cookie_reply(message1, b"a cookie"))
    bent.expect("message 1", 0.4)
    opening = bent.message2(message1)
    bent.send(opening.datagram)
    bent.expect_message3(opening)
    bent.ask()


@case("H8-ten", "2.6, 2.10", "dial", "Of a dial there are five attempts by time, a short one and five for cookies, whatever they answer.")
def _(t):
    bent, message1 = t.dialler()
    events, end, at_once, replied = [message1], time.monotonic() + 17 * t.patience, 0, 0.0
    while time.monotonic() < end and not bent.program.has_ended:
        replied = time.monotonic()
        bent.send(cookie_reply(events[-1], random.randbytes(30)))
        with suppressed():
            events.append(bent.expect("message 1", 9))
            is_long = len(events[-1].datagram) == len(message1.datagram)
            at_once += is_long and events[-1].time - replied < 0.4 * t.patience
    check(len(events) <= 11, "at most eleven attempts", len(events))
    check(at_once == 5, "five at once, for a cookie", "%d of %d" % (at_once, len(events)))


@case("H8-later", "2, 2.10", "dial", "Message 2 may carry a cookie for later dials, of up to 128 bytes.")
def _(t):
    bent, message1 = t.dialler()
    opening = bent.message2(message1, lambda pairs: pairs[:1] + [(v1.P_COOKIE, bytes(128))] + pairs[1:])
    bent.send(opening.datagram)
    bent.expect_message3(opening)
    bent.ask()
