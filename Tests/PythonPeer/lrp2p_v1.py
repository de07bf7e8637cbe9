#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A peer of LRP2P version 1, written from docs/protocol.md alone, for interoperability tests.  "(section N)" in a comment is a
section of that document; "(own choice)" marks what the document leaves open.  IPv4, one connection, ChaCha20-Poly1305 only.

    lrp2p_v1.py listen PORT BYTES [--seed N] [--drop P] ...     the responder
    lrp2p_v1.py send HOST PORT BYTES [--seed N] [--drop P] ...  the initiator
    lrp2p_v1.py pipe --listen HOST:PORT | --connect HOST:PORT   one of them: input to the peer, the peer to output

The first two send BYTES pseudo-random bytes and FIN, receive the peer's stream up to its FIN, and print the SHA-256 of both.  All
linger, and exit 0 if it has finished.
"""

import argparse
import copy
import hashlib
import os
import random
import re
import select
import socket
import sys
import time

import lrp2p_crypto as crypto
from lrp2p_connection import *  # noqa: F401, F403
from lrp2p_handshake import *  # noqa: F403
from lrp2p_messages import Judge, Message, some_messages
from lrp2p_segments import *  # noqa: F403


class Endpoint:
    def __init__(self, options, address):
        self.options, self.connection = options, None
        self.is_pipe = options.role == "pipe"
        self.stream = bytearray() if self.is_pipe else random.Random(options.seed).randbytes(options.bytes)
        self.stream_ended = not self.is_pipe
        self.grease = Grease(options.seed, options.grease)
        self.dice = random.Random(options.seed ^ 0x5DEECE66D)
        self.identity = identity_in(options.identity) if options.identity else crypto.keypair()
        self.socket = self.other = self.came_by = None
        self.socket = self.open(address)
        self.ids = OwnIDs(self.identity[0], self.socket.getsockname())
        self.handshaking = True
        self.messages = [message_in(text) for text in options.message] + list(some_messages(options.seed, options.some_messages))
        self.features = FEATURE_MESSAGES if options.messages or self.messages or options.expect_messages else 0
        self.judge = Judge()
        self.dropped = self.out_count = 0
        self.resets_allowed, self.resets_at = 0.0, 0.0

    @staticmethod
    def open(address):
        one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
        one.setsockopt(socket.IPPROTO_IP, socket.IP_RECVTOS, 1)
        one.setblocking(False)
        one.bind(address)
        return one

    def log(self, text):
        if self.options.verbose:
            print("  %s" % text, file=sys.stderr, flush=True)

    def lose(self, datagram):
        """For tests: datagrams get lost at random, and a path that carries less than the handshake did."""
        if self.dice.random() < self.options.drop or (self.options.mtu and not self.handshaking and len(datagram) > self.options.mtu):
            self.dropped += 1
            return True
        return False

    def transmit(self, datagram, address, via=None):
        """By our socket, or by another of ours."""
        self.out_count += 1
        if self.options.rebind and self.out_count == self.options.rebind:  # for tests: our address changes
            self.socket.close()
            self.socket = self.open(("", 0))
            self.log("rebound to port %d" % self.socket.getsockname()[1])
        if self.lose(datagram):
            return
        try:
            (via or self.socket).sendto(datagram, address)
        except OSError:
            pass  # as good as lost

    def begin_switch(self, now):
        """For tests: we want to be reached at another of our addresses, although this one still answers."""
        self.other = self.open(("", 0))
        self.connection.begin_switch(now)

    def switched(self):
        self.log("switched to port %d" % self.other.getsockname()[1])
        self.socket, self.other = self.other, self.socket

    def turn(self, deadline):
        """Waits for datagrams until `deadline`, and hands over at most 32 of a socket; of a pipe also for its input."""
        c = self.connection
        sockets = [one for one in (self.socket, self.other) if one is not None]
        reads = self.is_pipe and c is not None and not self.stream_ended and c.state == "open" and len(self.stream) - c.stream_at < 1 << 20
        ready = select.select(sockets + [sys.stdin] * reads, [], [], max(0.0, deadline - time.monotonic()))[0]
        if sys.stdin in ready:
            more = os.read(sys.stdin.fileno(), 1 << 16)
            self.stream += more
            self.stream_ended = not more
        for one in sockets:
            for _ in range(32):
                try:
                    datagram, control, _, address = one.recvmsg(65535, 64)
                except BlockingIOError:
                    break
                except OSError:
                    if one.fileno() < 0:  # rebound meanwhile
                        break
                    continue
                ecn = next((data[0] & 3 for level, kind, data in control if (level, kind) == (socket.IPPROTO_IP, socket.IP_TOS)), 0)
                if 38 <= len(datagram) <= 16384 and not self.lose(datagram):
                    self.came_by = one
                    self.take(datagram, address, ecn, time.monotonic())

    def take(self, datagram, address, ecn, now):
        c = self.connection
        if datagram[8:16] == RESET:  # the only kind that comes under an id of its sender's
            if c is not None and datagram[:8] == c.peer_id:
                c.on_reset(address, datagram[16:32])
        elif not self.handle(datagram, address, ecn, now) and datagram[8:15] != NOISE[:7] and self.ids.may_have_given(datagram[:8]):
            self.answer_with_reset(datagram[:8], address, now)

    def answer_with_reset(self, one, address, now):
        """At most 64 a second (section 7.4)."""
        self.resets_allowed = min(64.0, self.resets_allowed + (now - self.resets_at) * 64)
        self.resets_at = now
        if self.resets_allowed >= 1:
            self.resets_allowed -= 1
            self.transmit(one + RESET + self.ids.token(one) + bytes(6), address, self.came_by)

    def deliver(self, data):
        if self.is_pipe:
            sys.stdout.buffer.write(data)
            sys.stdout.buffer.flush()

    def deliver_message(self, lane, data):
        if self.options.expect_messages:
            self.judge.take(lane, data)
        elif not self.options.some_messages:
            print("message %d%s:%s" % (lane[0], "o" if lane[1] else "", data.decode(errors="backslashreplace")), file=sys.stderr, flush=True)

    def messages_are_right(self):
        """Whether what has come is what --expect-messages says."""
        if not self.options.expect_messages:
            return True
        missing = self.judge.missing(some_messages(*map(int, self.options.expect_messages.split(":"))))
        print("messages %d missing %d wrong %d" % (len(self.judge.seen), missing, len(self.judge.wrong)), flush=True, file=sys.stderr if self.is_pipe else sys.stdout)
        return not missing and not self.judge.wrong

    def run(self):
        if not self.handshake():
            return 1
        c, reported, are_right, began = self.connection, False, True, time.monotonic()
        while c.state != "gone":
            now = time.monotonic()
            c.tick(now)
            if self.options.switch and self.other is None and self.out_count >= self.options.switch:
                self.begin_switch(now)
            if c.state == "finished" and not reported:
                reported, are_right = True, self.messages_are_right()
                if not self.is_pipe:
                    print("sent %d sha256 %s" % (len(self.stream), hashlib.sha256(self.stream).hexdigest()))
                    print("received %d sha256 %s" % (c.received_bytes, c.received.hexdigest()))
                    print("seconds %.2f" % (now - began), flush=True)
                if self.options.no_linger:
                    break
            if c.state != "gone":
                self.turn(c.deadline())
        if self.options.verbose:
            self.log("%s" % ", ".join("%s %d" % item for item in c.outbox.counts.items() if item[1]))
            self.log("%s, dropped for the test %d, window %d, rtt %.2f ms" % (
                ", ".join("%s %d" % item for item in c.stats.items() if item[1]), self.dropped, c.window / c.size, (c.smoothed or 0) * 1000))
        if reported and not are_right:
            reported, c.error = False, "messages: %s" % (self.judge.wrong[:3] or "some are missing")
        if reported and self.options.switch and not c.stats["switches"]:
            reported, c.error = False, "no answer to SWITCH"
        if not reported:
            print("failed: %s" % c.error, file=sys.stderr)
        return 0 if reported else 1

    def trusts(self, key):
        return self.options.peer is None or key == self.options.peer


class Attempt:
    """One message 1 of a dial, under an id and an ephemeral key of its own (section 2.6)."""

    def __init__(self, endpoint, token, length, cookie):
        self.id, self.noise, self.has_cookie_reply = endpoint.ids.new(), crypto.NoiseXX(True, endpoint.identity), False
        text = payload(1, self.id, endpoint.grease, length, cookie, token=token)
        self.message1, self.sent_at = self.id + self.noise.write(1, text), time.monotonic()


class Initiator(Endpoint):
    def __init__(self, options):
        super().__init__(options, ("", 0))
        self.address = (socket.gethostbyname(options.host), options.port)
        self.token, self.cookie, self.attempts = os.urandom(16), None, []
        self.my_id = self.ephemeral2 = self.message3 = None
        self.unwanted, self.unwanted_until = None, float("inf")

    def attempt(self, length):
        self.attempts.append(Attempt(self, self.token, length, self.cookie))
        self.transmit(self.attempts[-1].message1, self.address)

    def handshake(self):
        """Attempts at 0, 0.2, 1, 3, 7 and 15 s, the later ones shorter; given up at 16 s (section 2.6)."""
        start = time.monotonic()
        for at, until in ((0, 0.2), (0.2, 1), (1, 3), (3, 7), (7, 15), (15, 16)):
            self.attempt(min(1400, LARGEST) if at == 0 else SMALLEST)
            while self.handshaking and time.monotonic() < min(start + until, self.unwanted_until):
                self.turn(min(start + until, self.unwanted_until))
            if not self.handshaking:
                return True
            if time.monotonic() >= self.unwanted_until:
                break
        print("failed: %s" % (self.unwanted or "no answer to message 1"), file=sys.stderr)
        return False

    def handle(self, datagram, address, ecn, now):
        """Whether we know the id."""
        if self.handshaking:
            for attempt in self.attempts:
                if datagram[:8] == attempt.id:
                    if address != self.address:
                        pass
                    elif datagram[8:16] == COOKIE_REPLY:
                        self.on_cookie_reply(attempt, datagram)
                    elif datagram[8:16] == NOISE:
                        self.on_message2(attempt, datagram, address, now)
                    return True
        elif datagram[:8] == self.my_id:
            if datagram[8:16] == NOISE:
                # Told by the ephemeral key that it begins with (section 2.7)
                if datagram[16:48] == self.ephemeral2 and not self.connection.confirmed:
                    self.transmit(self.message3, self.address)
            elif datagram[8:15] != NOISE[:7]:
                self.connection.receive(datagram, address, ecn, now)
            return True
        return False

    def on_cookie_reply(self, attempt, datagram):
        """A cookie of any length up to 128, for one more attempt (section 2.10)."""
        if not 40 <= len(datagram) <= 160 or datagram[16:32] != attempt.message1[8:24]:
            return
        self.cookie = datagram[32:]
        if not attempt.has_cookie_reply and sum(one.has_cookie_reply for one in self.attempts) < 5:
            attempt.has_cookie_reply = True
            self.attempt(len(attempt.message1))

    def refuse(self, attempt, reason, now):
        """Silence, but another message 2 may come: who reads message 1 can answer it, under a key of his own (section 2.8)."""
        self.log("message 2 refused: %s" % reason)
        if self.unwanted is None:
            self.unwanted, self.unwanted_until = reason, now + max(0.5, 2 * (now - attempt.sent_at))

    def on_message2(self, attempt, datagram, address, now):
        trial = copy.copy(attempt.noise)
        try:
            parameters = read_payload(2, trial.read(2, datagram[16:]))
        except crypto.Failed as reason:  # a message that does not authenticate changes nothing
            self.log("message 2 dropped: %s" % reason)
            return
        except Malformed as reason:
            return self.refuse(attempt, "the peer says %s" % reason, now)
        if not self.trusts(trial.rs):
            return self.refuse(attempt, "the peer has another key", now)
        chosen = next((name for name in self.options.protocol if name in parameters.get(P_PROTOCOLS, [])), None)
        if self.options.protocol and chosen is None:
            return self.refuse(attempt, "no common protocol", now)
        self.handshaking = False
        self.my_id, self.ephemeral2 = attempt.id, datagram[16:48]
        self.grease.told(parameters)
        text = payload(3, self.my_id, self.grease, self.options.message3, reset=self.ids.token(self.my_id),
                       protocols=[chosen] if chosen else [], features=self.features, application=self.options.application)
        self.message3 = parameters[P_ID] + NOISE + trial.write(3, text)  # under the responder's id
        self.transmit(self.message3, address)
        self.connection = Connection(self, True, trial, self.my_id, parameters, address, now, self.message3)


class Responder(Endpoint):
    def __init__(self, options):
        super().__init__(options, (options.host, options.port))
        self.my_id = None
        self.open_handshakes = {}  # (initiator's id, address) -> [ephemeral key, noise, message 2, our id, time, early data]

    def handshake(self):
        print("listening on %s:%d key %s" % (*self.socket.getsockname(), self.identity[1].hex()), flush=True,
              file=sys.stderr if self.is_pipe else sys.stdout)
        while self.connection is None:
            self.turn(time.monotonic() + 60)
        return True

    def handle(self, datagram, address, ecn, now):
        """Whether we know the id."""
        if self.connection is not None and datagram[:8] == self.my_id:
            if datagram[8:16] == NOISE:
                if self.connection.seen_top < 0:  # nothing sealed has opened yet
                    self.connection.answer_message3(now)
            elif datagram[8:15] != NOISE[:7]:
                self.connection.receive(datagram, address, ecn, now)
            return True
        for key, known in list(self.open_handshakes.items()):
            if known[3] == datagram[:8]:
                if self.connection is not None:
                    pass
                elif datagram[8:16] == NOISE:
                    self.on_message3(datagram, key, address, now)
                elif datagram[8:15] != NOISE[:7] and len(known[5]) < 10:  # held until message 3 comes (section 2.9)
                    known[5].append((datagram, address, ecn))
                return True
        if self.connection is None and self.is_message1(datagram):
            self.on_message1(datagram, (datagram[:8], address), now)
            return True
        return False

    @staticmethod
    def is_message1(d):
        return len(d) >= SMALLEST and d[40:44] == MAGIC and d[44:48] == b"\0\x01\0\x08" and d[48:56] == d[:8] != bytes(8)

    def on_message1(self, datagram, key, now):
        known = self.open_handshakes.get(key)
        if known is None:
            noise = crypto.NoiseXX(False, self.identity)
            try:
                read_payload(1, noise.read(1, datagram[8:]))
                my_id = self.ids.new()
                text = payload(2, my_id, self.grease, reset=self.ids.token(my_id), protocols=self.options.protocol,
                               features=self.features)
                message2 = key[0] + NOISE + noise.write(2, text)
            except (crypto.Failed, Malformed) as reason:
                self.log("message 1 dropped: %s" % reason)
                return
            assert len(message2) * 3 < len(datagram)  # amplification
            for old in [k for k, v in self.open_handshakes.items() if v[4] < now - 32]:
                del self.open_handshakes[old]
            if len(self.open_handshakes) >= 64:
                return
            known = self.open_handshakes[key] = [datagram[8:40], noise, message2, my_id, now, []]
        if known[0] == datagram[8:40]:  # one with another ephemeral key is dropped while the handshake is open
            self.transmit(known[2], key[1])

    def on_message3(self, datagram, key, address, now):
        _, noise, _, my_id, _, early = self.open_handshakes[key]
        trial = copy.copy(noise)
        try:
            parameters = read_payload(3, trial.read(3, datagram[16:]))
        except crypto.Failed as reason:
            self.log("message 3 dropped: %s" % reason)
            return
        except Malformed as reason:  # it is authentic: no other will come
            self.log("message 3 malformed: %s" % reason)
            del self.open_handshakes[key]
            return
        if not self.trusts(trial.rs):  # the user is not told
            del self.open_handshakes[key]
            return
        if P_APPLICATION in parameters:
            self.log("message 3 says %r" % parameters[P_APPLICATION])
        parameters[P_ID] = key[0]  # that of message 3 is ignored
        self.my_id, self.handshaking = my_id, False
        self.connection = Connection(self, False, trial, my_id, parameters, key[1], now)
        reason = objection(parameters)
        if reason is None and self.options.protocol and parameters.get(P_PROTOCOLS, [None])[0] not in self.options.protocol:
            reason = NOTHING_COMMON, "no common protocol"
        if reason is not None:  # now there are keys to say why under
            self.connection.close(*reason, now)
        elif address != key[1]:  # it has moved since message 1
            self.connection.check_address(address, 0, True, len(datagram), now)
        for held, source, ecn in early:
            self.connection.receive(held, source, ecn, now)


def identity_in(path):
    """The keys of an identity file."""
    with open(path) as file:
        mark, secret = file.read().split()
    assert mark == "lrp2p-identity-v1" and len(secret) == 64, "no identity file"
    return bytes.fromhex(secret), crypto.x25519(bytes.fromhex(secret), crypto.BASE)


def message_in(text):
    """LANE[o][?]:TEXT: of an ordered lane with an o; with a ? it is sent once only."""
    found = re.fullmatch(rb"(\d|1[0-5])(o?)(\??):(.*)", os.fsencode(text), re.S)
    if not found:
        raise SystemExit("no message: %s" % text)
    return Message((int(found[1]), bool(found[2])), found[4], not found[3])


def options_of(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    roles = parser.add_subparsers(dest="role", required=True)
    for role in ("send", "listen", "pipe"):
        sub = roles.add_parser(role)
        if role == "pipe":
            way = sub.add_mutually_exclusive_group(required=True)
            way.add_argument("--listen", metavar="HOST:PORT")
            way.add_argument("--connect", metavar="HOST:PORT")
        else:
            sub.add_argument("host") if role == "send" else sub.set_defaults(host="127.0.0.1")
            sub.add_argument("port", type=int)
            sub.add_argument("bytes", type=int)
        sub.add_argument("--seed", type=int, default=1, help="of the bytes sent, of the losses, and of what means nothing")
        sub.add_argument("--grease", type=float, default=1 / 16, help="the share of segments with something that means nothing")
        sub.add_argument("--drop", type=float, default=0.0, help="probability that a datagram is dropped, in both directions")
        sub.add_argument("--peer", type=bytes.fromhex, help="the peer's static key in hexadecimal; without it any")
        sub.add_argument("--identity", metavar="FILE", help="our static key: `lrp2p-identity-v1` and 64 hexadecimal digits; without it a new one")
        sub.add_argument("--protocol", type=os.fsencode, action="append", default=[], help="an application protocol, the best one first")
        sub.add_argument("--application", type=os.fsencode, metavar="TEXT", help="what message 3 says to the peer's application")
        sub.add_argument("--messages", action="store_true", help="name feature 0, messages; those that come are printed to standard error")
        sub.add_argument("--message", action="append", default=[], metavar="LANE[o][?]:TEXT",
                         help="a message to send, in an ordered lane with an o, and once only with a ?; names feature 0")
        sub.add_argument("--some-messages", type=int, default=0, metavar="N", help="messages to send, drawn from the seed; names feature 0")
        sub.add_argument("--expect-messages", metavar="SEED:N", help="those that the peer has drawn: all that are not sent once only have to come, none twice or late")
        sub.add_argument("--cut", type=int, default=0, metavar="BYTES", help="messages that are longer go in fragments; without it as much as fits")
        sub.add_argument("--message3", type=int, default=None, metavar="LENGTH", help="pads message 3, at most 1400 bytes")
        sub.add_argument("--no-linger", action="store_true", help="exit as soon as the connection has finished")
        sub.add_argument("--verbose", action="store_true")
        sub.add_argument("--ack-option", action="store_true", help="send ACKs as option 2 on data segments too")
        sub.add_argument("--start-number", type=int, default=0, help="the first packet number; 16777000 crosses a key epoch soon")
        sub.add_argument("--epoch-every", type=int, default=0, help="skip to the next key epoch after so many datagrams")
        sub.add_argument("--mtu", type=int, default=0, help="after the handshake longer datagrams vanish, in both directions")
        sub.add_argument("--rebind", type=int, default=0, help="change our port when so many datagrams were sent")
        sub.add_argument("--switch", type=int, default=0, help="ask for another port by SWITCH when so many datagrams were sent")
    options = parser.parse_args(arguments)
    if options.role == "pipe":
        host, port = (options.listen or options.connect).rsplit(":", 1)
        options.host, options.port = host, int(port)
    else:
        options.connect = None
    return options


def main():
    options = options_of()
    try:
        return (Initiator if options.role == "send" or options.connect else Responder)(options).run()
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
