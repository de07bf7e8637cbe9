# SPDX-License-Identifier: MIT
"""K: keys."""

import struct

from bent_peer import PING, control, data
from table import case, check


@case("K1-epoch", "3", "any", "Packet numbers from 2^24 on are sealed under the next key, and so on.")
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


@case("K1-old-key", "3", "any",
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


@case("K1-far", "3", "any", "A datagram more than four epochs ahead is dropped, four are accepted.")
def _(t):
    bent = t.connect()
    near = bent.next_number
    bent.say(control(PING, 7), 5 << 24)
    bent.ask(near)
    came = bent.take("PONG", lambda e: e.segment.token == 7)
    check(not came, "no PONG to what is five epochs ahead", came and came[0])
    bent.ask((4 << 24) + 5)
    bent.ask((5 << 24) + 5)


@case("K2-forged", "1, 3", "any", "What does not open changes nothing: forged tags, other headers, a number of its own spent.")
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
