# SPDX-License-Identifier: MIT
"""R: the reset."""

import os
import time

from bent_peer import ACK_NOW, FIN, PING, ROUND_TRIP, RTO, SYN, ack, changed, control, data, v1, without
from table import VIOLATION, case, check

TOKEN = bytes(range(100, 116))


def reset(one, token=TOKEN, behind=bytes(6)):
    return one + v1.RESET + token + behind


def told(value=TOKEN):
    """Our last message with a reset token."""
    return lambda pairs: changed(pairs, (v1.P_RESET, value))


def expect_over(bent):
    """Nothing more is sent, and the user is told."""
    bent.say(control(PING, 5, flags=ACK_NOW))
    bent.expect_nothing("silence, not even CLOSE")
    check(bent.program.expect_end(2) != 0, "an exit status other than 0", 0)


@case("R1-ends", "7.4", "any", "The right token ends the connection in silence, and the user is told.")
def _(t):
    bent = t.connect(told())
    bent.program.feed(b"x")
    bent.expect("data")
    bent.send(reset(bent.own_id))
    expect_over(bent)


@case("R1-zeros", "7.4", "any", "The last six bytes of a reset are ignored.")
def _(t):
    bent = t.connect(told())
    bent.send(reset(bent.own_id, behind=b"\xff" * 6))
    expect_over(bent)


@case("R1-longer", "2, 7.4", "any", "Of a longer parameter 16 the first 16 bytes are the token.")
def _(t):
    bent = t.connect(told(TOKEN + b"more"))
    bent.send(reset(bent.own_id))
    expect_over(bent)


@case("R1-twice", "7.4", "any", "A second reset is ignored like everything else.")
def _(t):
    bent = t.connect(told())
    for _ in range(3):
        bent.send(reset(bent.own_id))
    expect_over(bent)


@case("R1-wrong", "7.4", "any", "Another token changes nothing, be it only one bit; nor does one of other lengths.")
def _(t):
    bent = t.connect(told())
    for place in (0, 7, 15):
        bent.send(reset(bent.own_id, TOKEN[:place] + bytes([TOKEN[place] ^ 1]) + TOKEN[place + 1:]))
    bent.send(reset(bent.own_id, bytes(16)))
    bent.send(reset(bent.own_id, bent.told.get(v1.P_RESET, bytes(16))))  # that of the program's own id
    bent.send(reset(bent.own_id, behind=bytes(5)))                       # 37 bytes
    bent.send(reset(bent.own_id, behind=b""))
    bent.settle()


@case("R1-elsewhere", "7.4", "any", "A reset counts from the peer's address only.")
def _(t):
    bent = t.connect(told())
    bent.send(reset(bent.own_id), bent.open_port())
    bent.settle()
    bent.send(reset(bent.own_id))
    expect_over(bent)


@case("R1-other-id", "7.4", "any", "A reset under an id that nobody sends under, or under the receiver's own, changes nothing.")
def _(t):
    bent = t.connect(told())
    for one in (v1.new_id(), bytes(8), bent.peer_id):
        bent.send(reset(one))
    bent.settle()


@case("R1-none-told", "7.4", "any", "Where no token was told every reset is dropped.")
def _(t):
    bent = t.connect(lambda pairs: without(pairs, v1.P_RESET))
    for token in (bytes(16), TOKEN, b"\xff" * 16):
        bent.send(reset(bent.own_id, token))
    bent.settle()


@case("R1-kinds", "1, 7.4", "any", "The token under another kind is nothing.")
def _(t):
    bent = t.connect(told())
    for kind in [0, 1, 2, 3] + list(range(5, 256, 50)) + [255]:
        bent.send(bent.own_id + v1.NOISE[:7] + bytes([kind]) + TOKEN + bytes(6))
    bent.settle()


@case("R1-early", "7.4", "dial", "Until a sealed datagram has opened a dial ignores resets: who refuses in silence knows nothing of it any more, either.")
def _(t):
    bent, message1 = t.dialler()
    opening = bent.message2(message1, told())
    bent.send(reset(opening.own_id))  # before message 2 it is for nobody
    bent.send(opening.datagram)
    bent.expect_message3(opening)
    bent.send(reset(opening.own_id))
    bent.ask()


@case("R1-closed", "7.4", "any", "A connection that is over ignores a reset: one that has closed repeats CLOSE as before.")
def _(t):
    bent = t.connect(told())
    bent.say(ack(1000))
    bent.expect_close(VIOLATION)
    bent.send(reset(bent.own_id))
    bent.say(control(PING, 5))
    bent.expect("CLOSE", ROUND_TRIP, say="CLOSE again")


@case("R1-finished", "7, 7.4", "any", "One that has finished answers a repeated FIN as before.")
def _(t):
    bent = t.connect(told())
    bent.program.end_input()
    event = bent.expect("data", where=lambda e: e.segment.flags & FIN)
    bent.expect_acknowledged(bent.say(data(0, b"back", SYN | FIN)), "FIN")
    bent.say(ack(event.segment.sequence))
    bent.program.expect_output(b"back")
    time.sleep(0.05)
    bent.forget()
    bent.send(reset(bent.own_id))
    bent.expect_acknowledged(bent.say(data(0, b"back", SYN | FIN | RTO)), "a repeated FIN")


# Seconds between two datagrams that are both to be answered: whoever bounds resets need not answer each of many.
PAUSE = 0.1


# --- The program has lost its state: it is killed, and begins anew with the same identity at the same port


def begun_anew(t):
    identity = ("identity", t.identity())
    bent = t.connect(options=[identity])
    port = bent.program.port()
    bent.program.kill()
    bent.program = t.start("listen", [identity], port=port, key=bent.identity[1].hex())
    bent.program.port()
    bent.forget()
    check(v1.P_RESET in bent.told, "a reset token in message 2", "none")
    bent.reset = reset(bent.peer_id, bent.told[v1.P_RESET])
    return bent


def expect_reset(bent, port=0, say="a reset"):
    """Of two within a moment for the same connection one may be left out."""
    event = bent.expect("kind 4", ROUND_TRIP, lambda e: e.port == port, say)
    check(event.datagram == bent.reset, "%s: %s" % (say, bent.reset.hex()), event.datagram.hex())


@case("R2-sends", "7.4", "listen", "A host that has lost its state answers a sealed datagram under an id of its own with the token that it had told.",
      "identity")
def _(t):
    bent = begun_anew(t)
    bent.say(control(PING, 5))
    expect_reset(bent)
    time.sleep(PAUSE)
    bent.say(data(0, bytes(1000)))
    expect_reset(bent, say="a reset for data")


@case("R2-address", "7.4", "listen", "It goes to the address that the datagram came from.", "identity")
def _(t):
    bent = begun_anew(t)
    there = bent.open_port()
    bent.say(control(PING, 5), port=there)
    expect_reset(bent, there)


@case("R2-length", "1, 7.4", "listen", "38 bytes are answered, 37 are not, whatever is behind the header; the highest packet number below the kinds is.",
      "identity")
def _(t):
    bent = begun_anew(t)
    bent.send(bent.peer_id + bytes(8) + os.urandom(21))
    bent.expect_nothing("no answer to 37 bytes", 0.1)
    bent.send(bent.peer_id + bytes(8) + os.urandom(22))
    expect_reset(bent, say="a reset for 38 bytes")
    time.sleep(PAUSE)
    bent.send(bent.peer_id + b"\xff" * 6 + b"\xfe\xff" + os.urandom(100))
    expect_reset(bent, say="a reset for packet number 2^64 - 257")


@case("R2-kinds", "7.4", "listen", "No handshake datagram is answered with a reset.", "identity")
def _(t):
    bent = begun_anew(t)
    for kind in range(256):
        bent.send(bent.peer_id + v1.NOISE[:7] + bytes([kind]) + os.urandom(80))
    bent.send(bent.reset)
    bent.expect_nothing("no answer to any kind", 0.1)
    bent.say(control(PING, 5))
    expect_reset(bent, say="a reset for what is sealed")


@case("R2-foreign", "7.4", "listen", "Nor is anything under an id that the host cannot have given out.", "identity")
def _(t):
    bent = begun_anew(t)
    foreign = [v1.new_id() for _ in range(100)] + [os.urandom(8) for _ in range(100)] + [bytes(8), b"\xff" * 8, bent.own_id]
    foreign += [(int.from_bytes(bent.peer_id, "big") ^ 1 << bit).to_bytes(8, "big") for bit in range(56, 64)]
    for one in foreign:
        bent.send(one + bytes(8) + os.urandom(24))  # 40 bytes: what the original sends, too
    bent.expect_nothing("no answer", 0.1)
    bent.say(control(PING, 5))
    expect_reset(bent, say="a reset for an id of its own")


@case("R2-bounded", "7.4", "listen", "Resets are bounded in a second: not each of 3,000 datagrams is answered.", "identity")
def _(t):
    bent = begun_anew(t)
    answers = 0
    for _ in range(100):
        for _ in range(30):
            bent.send(bent.peer_id + bytes(8) + os.urandom(24))
        bent._pump(0)
        answers += len(bent.take("kind 4"))
    while bent._pump(time.monotonic() + 0.2 * t.patience):  # until it has seen them all
        answers += len(bent.take("kind 4"))
    check(0 < answers < 2000, "some resets for 3,000 datagrams, and far less than one each", answers)


@case("R2-known", "7.4", "listen", "What does not open under the id of a connection, or of a handshake, is not answered with a reset.", "identity")
def _(t):
    bent = t.listener([("identity", t.identity())])
    opening = bent.attempt()
    bent.send(opening.datagram)
    bent.expect_message2(opening)
    bent.send(opening.peer_id + bytes(8) + os.urandom(24))
    bent.expect_nothing("no answer before message 3", 0.1)
    bent.send(bent.message3(opening))
    bent.expect_ack(lambda a: True, "message 3 is answered with a sealed ACK")
    bent.send(opening.peer_id + (1000).to_bytes(8, "big") + os.urandom(24))
    bent.settle()
    came = bent.take("kind 4")
    check(not came, "no reset", came and came[0])


@case("R2-shared", "7.4", "listen", "Another program with the same identity, at another port, does not answer with the same token.", "identity")
def _(t):
    identity = ("identity", t.identity())
    bent = t.connect(options=[identity])
    other = t.listener([identity])
    other.send(bent.peer_id + bytes(8) + os.urandom(24))
    other.expect_nothing("no reset with the first one's token", 0.1, lambda e: e.datagram[16:32] == bent.told.get(v1.P_RESET))
    bent.settle()


@case("R2-goes-on", "7.4", "listen", "A host that has sent resets takes a new connection as always.", "identity")
def _(t):
    bent = begun_anew(t)
    bent.say(control(PING, 5))
    expect_reset(bent)
    again = t.peer()
    again.target = bent.target
    opening = again.attempt()
    again.send(opening.datagram)
    again.expect_message2(opening)
    check(opening.peer_id != bent.peer_id, "another id", opening.peer_id.hex())
    again.send(again.message3(opening))
    again.expect_ack(lambda a: True, "message 3 is answered with a sealed ACK")
    again.ask()
    time.sleep(PAUSE)
    bent.say(control(PING, 6))
    expect_reset(bent, say="a reset for the old connection, beside the new one")
