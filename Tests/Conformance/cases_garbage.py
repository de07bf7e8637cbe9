# SPDX-License-Identifier: MIT
"""V: what is none."""

import random

from bent_peer import ACK_NOW, CHALLENGE, control, v1
from table import case, check


def garbage(bent, own_id=None):
    """Random bytes of many lengths, under random ids and under one that is known."""
    dice = random.Random(1)
    out = [dice.randbytes(length) for length in (0, 1, 7, 8, 15, 16, 37, 38, 39, 40, 48, 72, 104, 1199, 1200, 1400, 16384, 16385, 60000)]
    if own_id is not None:
        out += [own_id + one[8:] for one in out if len(one) >= 8]
        out += [own_id + v1.NOISE + dice.randbytes(length) for length in (0, 22, 31, 32, 63, 64, 95, 96, 200, 16368, 16369)]
    return out


@case("V0-garbage", "1, 2", "listen", "What is neither message 1 nor known is unanswered: random bytes, and nearly a message 1.")
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


@case("V0-garbage-dial", "1, 2", "dial", "An initiator, too, drops random bytes, whenever they come.")
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
