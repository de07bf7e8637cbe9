#!/usr/bin/env python3
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
import select
import socket
import struct
import sys
import time

import lrp2p_crypto as crypto

WINDOW = 256              # packets beyond the last in-order one that we take
LARGEST = 1400            # the largest datagram that we take and the size that we begin with (section 4.1)
SMALLEST = 1200
OVERHEAD = 16 + 6 + 16    # connection id and packet number, header of a data segment, tag
ACK_DELAY = 0.025         # announced; seconds
ACK_RATIO = 8
IDLE = 30.0
KEEP_ALIVE = 20.0
REPLAY_BITS = 8192        # larger than 1024 from the start, so that it never needs to grow (section 1)
EPOCH_BITS = 24

ACK, SYN, FIN, RTO, ACK_NOW, CONTROL = 1, 2, 4, 8, 32, 64                   # flags (section 2)
CRITICAL_FLAG, IGNORABLE_FLAG = 16, 128                                     # those that mean nothing yet
PING, PONG, CHALLENGE, RESPONSE, CLOSE = 1, 2, 3, 4, 5                      # kinds of CONTROL (section 2.2)
VIOLATION, NO_VERSION, UNKNOWN_CRITICAL = 0xFFFFFF01, 0xFFFFFF03, 0xFFFFFF04  # codes of CLOSE
MAGIC = b"LRP2"
P_ID, P_VERSIONS, P_LARGEST, P_WINDOW, P_AEADS, P_COOKIE, P_TOKEN, P_PADDING = 1, 2, 3, 4, 5, 6, 7, 8
P_IDLE, P_DELAY, P_RATIO, P_MERGED = 10, 11, 12, 14
P_LENGTHS = {P_ID: 8, P_LARGEST: 2, P_WINDOW: 4, P_TOKEN: 16, P_IDLE: 4, P_DELAY: 4, P_RATIO: 2, P_MERGED: 0}
AEADS_THAT_COUNT = 8
NOISE, COOKIE_REPLY = (b"\xff" * 7 + bytes([kind]) for kind in (1, 2))       # instead of a packet number (section 1)


class Malformed(Exception):
    """The segment or message is dropped and counted; the connection goes on (section 2)."""


class Violation(Exception):
    """Well formed, but no honest peer sends it: CLOSE 0xFFFFFF01 (section 2)."""


class Critical(Exception):
    """Unknown, and not to be skipped: CLOSE 0xFFFFFF04, whose reason is the text."""


def unwrap(number, near):
    """The sequence number closest to `near` whose low 32 bits are `number` (serial arithmetic, RFC 1982).  Inside, sequence
    numbers are integers without limit, and -1, which is 0xFFFFFFFF on the wire, comes before the first."""
    distance = (number - near) & 0xFFFFFFFF
    return near + (distance if distance < 1 << 31 else distance - (1 << 32))


# --- The ACK block (section 2.1)


def varint(value):
    for length, tag in ((1, 0), (2, 1), (4, 2), (8, 3)):
        if value < 1 << (8 * length - 2):
            return (value | tag << (8 * length - 2)).to_bytes(length, "big")
    raise ValueError(value)


def read_varint(data, at):
    if at >= len(data):
        raise Malformed("varint")
    length = 1 << (data[at] >> 6)
    if at + length > len(data):
        raise Malformed("varint")
    return int.from_bytes(data[at:at + length], "big") & ((1 << (8 * length - 2)) - 1), at + length


class Ack:
    """What an ACK tells: last in-order number (32 bits), window, the six counters, and as intervals lists of
    (received?, offset from the first number above the last in-order one, length)."""

    def __init__(self, last, window, block):
        self.last, self.window, self.intervals = last, window, []
        at, values = 0, []
        for _ in range(7):
            value, at = read_varint(block, at)
            values.append(value)
        self.largest, self.delay, self.duplicates, self.ect0, self.ect1, self.ce, count = values
        if count > 8:
            raise Malformed("more than 8 intervals")
        total = 0
        for _ in range(count):
            start, at = read_varint(block, at)
            runs, at = read_varint(block, at)
            received, runs, position, interval = bool(runs & 1), runs >> 1, start, []
            total += runs
            if start > 0xFFFFFF or runs < 1 or total > 512:
                raise Malformed("interval")
            for _ in range(runs):
                length, at = read_varint(block, at)
                if not 1 <= length <= 0xFFFFFF:
                    raise Malformed("run")
                interval.append((received, position, length))
                position += length
                received = not received
            if position > 0x1000000:
                raise Malformed("interval too long")
            self.intervals.append(interval)
        if at != len(block):
            raise Malformed("bytes behind the last interval")


def ack_block(largest, delay, counts, runs, first_received):
    out = b"".join(map(varint, (largest, delay, *counts, 1 if runs else 0)))
    if runs:  # one interval, from the first number above the last in-order one
        out += varint(0) + varint(len(runs) * 2 + first_received) + b"".join(map(varint, runs))
    return out


# --- Segments (section 2)


class Segment:
    def __init__(self, data):
        if len(data) < 6:
            raise Malformed("short")
        offset, self.flags = data[0], data[1]
        if self.flags & CRITICAL_FLAG:  # first of all: it may give another meaning to what follows
            raise Critical("flag %d" % CRITICAL_FLAG)
        self.ack = self.piece = self.kind = self.sequence = None
        self.is_control = bool(self.flags & CONTROL)  # whatever ACK says
        self.is_ack = bool(self.flags & ACK) and not self.is_control
        fixed = 9 if self.is_ack else 6
        if not fixed <= offset <= len(data):
            raise Malformed("data offset")
        at = fixed
        while at < offset:
            kind = data[at]
            if kind == 0:
                at += 1
                continue
            if at + 2 > offset or at + 2 + data[at + 1] > offset:
                raise Malformed("option")
            value = data[at + 2:at + 2 + data[at + 1]]
            at += 2 + len(value)
            if kind == 2:
                if self.ack is not None or self.is_ack or len(value) < 7:
                    raise Malformed("ACK option")
                self.ack = Ack(int.from_bytes(value[:4], "big"), int.from_bytes(value[4:7], "big"), value[7:])
            elif kind == 3:
                if len(value) != 4 or self.piece is not None or self.is_ack or self.is_control:
                    raise Malformed("piece option")
                self.piece = struct.unpack(">HH", value)
            elif kind & 1:
                raise Critical("option %d" % kind)
        self.payload = data[offset:]
        if self.is_control:
            self.kind, self.token = struct.unpack_from(">HH", data, 2)
            if self.kind >= 0x8000:
                raise Critical("control 0x%04x" % self.kind)
        elif self.is_ack:
            self.ack = Ack(int.from_bytes(data[2:6], "big"), int.from_bytes(data[6:9], "big"), self.payload)
        else:
            self.sequence = int.from_bytes(data[2:6], "big")
            if self.piece is not None and self.piece[0] >= self.piece[1]:
                raise Malformed("piece option")

    @property
    def eliciting(self):
        """PONG, RESPONSE, CLOSE and ACK segments are not ack-eliciting; everything else is (section 2.2)."""
        return not self.is_ack and self.kind not in (PONG, RESPONSE, CLOSE)

    @property
    def is_sound(self):
        """Whether what is behind fields and options can be used.  If not, it is dropped, but the segment counts as received
        (section 2)."""
        if self.is_control:
            shortest = {CHALLENGE: 8, RESPONSE: 8, CLOSE: 4}.get(self.kind, 0)
            return len(self.payload) >= shortest and (self.kind != CLOSE or len(self.payload) <= 1004)
        if self.piece is None:
            return True
        start, total = self.piece  # offsets and lengths are multiples of 64 (section 4.1)
        end = start + len(self.payload)
        return end <= total and not start % 64 and len(self.payload) > 0 and (end == total or not end % 64)


def data_segment(flags, sequence, options, payload):
    return struct.pack(">BBI", 6 + len(options), flags, sequence & 0xFFFFFFFF) + options + payload


def control_segment(kind, token=0, body=b"", flags=0, options=b""):
    return struct.pack(">BBHH", 6 + len(options), CONTROL | flags, kind, token) + options + body


# --- Handshake payloads (section 3)


def parameter(kind, value):
    return struct.pack(">HH", kind, len(value)) + value


def payload(message, receive_id, grease, pad_to=None, token=None, cookie=None):
    """The payload of a handshake message.  `pad_to` is the length that message 1 shall have as a datagram."""
    out = MAGIC + parameter(P_ID, receive_id)  # first in message 1
    parameters = [parameter(P_VERSIONS, b"\x01"), parameter(P_LARGEST, struct.pack(">H", LARGEST)),
                  parameter(P_WINDOW, struct.pack(">I", WINDOW)), parameter(P_AEADS, b"\x01")]
    if message == 1:
        parameters.append(parameter(P_TOKEN, token))
    else:
        parameters += [parameter(P_IDLE, struct.pack(">I", int(IDLE * 1000))),
                       parameter(P_DELAY, struct.pack(">I", int(ACK_DELAY * 1e6))),
                       parameter(P_RATIO, struct.pack(">H", ACK_RATIO))]
    unknown = grease.parameter()
    if unknown is not None:
        parameters.append(parameter(*unknown))
    grease.dice.shuffle(parameters)
    if cookie is not None:  # right behind the id
        out += parameter(P_COOKIE, cookie)
    out += b"".join(parameters)
    if pad_to is not None:
        out += parameter(P_PADDING, bytes(pad_to - 40 - len(out) - 4))
    return out


def read_payload(message, data):
    """Type -> value; unknown ones are skipped by whoever asks for known ones."""
    if data[:4] != MAGIC:
        raise Malformed("no magic")
    at, found = 4, {}
    while at < len(data):
        if at + 4 > len(data):
            raise Malformed("parameter")
        kind, length = struct.unpack_from(">HH", data, at)
        value = data[at + 4:at + 4 + length]
        at += 4 + length
        if len(value) != length or length < P_LENGTHS.get(kind, 0):
            raise Malformed("length of a parameter")
        if kind in found:
            raise Malformed("parameter %d twice" % kind)
        found[kind] = value[:P_LENGTHS.get(kind, length)]  # a later version may have made it longer
    if P_LARGEST in found and int.from_bytes(found[P_LARGEST], "big") < SMALLEST:
        raise Malformed("largest datagram")
    if message == 3:
        return found  # its id is ignored, and there is nothing left to say about AEADs; for the others see `objection`
    if found.get(P_ID, bytes(8)) == bytes(8) or 1 not in found.get(P_AEADS, b"")[:AEADS_THAT_COUNT]:
        raise Malformed("no common ground: %s" % {k: v.hex()[:64] for k, v in found.items()})
    reason = objection(found)
    if reason is not None:
        raise Malformed("%#x %s" % reason)
    return found


def objection(parameters):
    """What makes a connection with such parameters impossible, as code and reason of a CLOSE; None if nothing does."""
    if 1 not in parameters.get(P_VERSIONS, b""):
        return NO_VERSION, "version"
    for kind in parameters:
        if 0x4000 <= kind < 0x8000:  # none of these is known
            return UNKNOWN_CRITICAL, "parameter 0x%04x" % kind
    return None


class Grease:
    """What means nothing, sent now and then at random, so that whoever shall skip it does: otherwise it could never be used."""

    def __init__(self, seed, share):
        self.dice, self.share = random.Random(seed ^ 0x6EA5E), share

    def now(self):
        return self.dice.random() < self.share

    def parameter(self):
        """In every second message: there are only two of them."""
        if self.share and self.dice.random() < 0.5:
            return self.dice.randrange(0x8000, 0x10000), self.dice.randbytes(self.dice.randrange(8))
        return None

    def flag(self):
        return IGNORABLE_FLAG if self.now() else 0

    def option(self, room):
        """An even type that ends in A."""
        length = self.dice.randrange(5)
        if room < 2 + length or not self.now():
            return b""
        return bytes([self.dice.randrange(16) << 4 | 0x0A, length]) + self.dice.randbytes(length)

    def kind(self):
        """0x0A0A, 0x1A1A and so on up to 0x7A7A."""
        return (self.dice.randrange(8) << 4 | 0x0A) * 0x101


def new_id():
    """The first byte is 4 to 15 (section 1); all others are random (own choice)."""
    return bytes([random.SystemRandom().randrange(4, 16)]) + os.urandom(7)


# --- Keys (section 3.1)


def first_key(transport_key, direction, handshake_hash):
    text = b"lrp2p v1 key" + bytes([1, direction]) + handshake_hash
    return bytearray(hashlib.blake2b(text, digest_size=32, key=transport_key).digest())


def next_key(key):
    return bytearray(hashlib.blake2b(b"lrp2p v1 next key", digest_size=32, key=key).digest())


def wipe(key):
    key[:] = bytes(len(key))


class SendKeys:
    def __init__(self, key):
        self.epoch, self.key = 0, key

    def seal(self, number, ad, text):
        while self.epoch < number >> EPOCH_BITS:  # each direction changes by itself; the sender wipes at once
            old, self.key = self.key, next_key(self.key)
            self.epoch += 1
            wipe(old)
        return crypto.seal(bytes(self.key), number, ad, text)


class ReceiveKeys:
    def __init__(self, key):
        self.newest, self.keys = 0, {0: key}
        self.wipe_at = None  # when what is older than the newest goes

    def unseal(self, number, ad, sealed, now, pto):
        self.expire(now)
        epoch = number >> EPOCH_BITS
        if epoch <= self.newest:  # an older epoch whose key is gone is refused like a forged one
            key = self.keys.get(epoch)
            return None if key is None else crypto.unseal(bytes(key), number, ad, sealed)
        if epoch > self.newest + 4:  # MUST NOT derive more than four epochs ahead
            return None
        key = self.keys[self.newest]
        for _ in range(epoch - self.newest):
            key = next_key(key)
        text = crypto.unseal(bytes(key), number, ad, sealed)
        if text is None:  # MUST NOT keep what was derived
            wipe(key)
            return None
        for old in [e for e in self.keys if e < self.newest]:  # only "the key before the newest" is kept, for three PTO
            wipe(self.keys.pop(old))
        self.newest, self.keys[epoch], self.wipe_at = epoch, key, now + 3 * pto
        return text

    def expire(self, now):
        if self.wipe_at is not None and now >= self.wipe_at:
            for old in [e for e in self.keys if e < self.newest]:
                wipe(self.keys.pop(old))
            self.wipe_at = None


# --- A connection


class Outgoing:
    """A data segment that was sent and is not acknowledged.  It keeps its sequence number and its bytes (section 4.1)."""
    __slots__ = ("sequence", "flags", "payload", "number", "when", "size", "lost", "sends")

    def __init__(self, sequence, flags, payload):
        self.sequence, self.flags, self.payload = sequence, flags, payload
        self.number = self.when = None
        self.size, self.lost, self.sends = 0, False, 0


class Connection:
    def __init__(self, endpoint, initiator, noise, my_id, parameters, address, now, message3=None):
        self.endpoint, self.initiator, self.options, self.grease = endpoint, initiator, endpoint.options, endpoint.grease
        self.my_id, self.peer_id, self.address = my_id, parameters[P_ID], address
        keys = [first_key(key, direction, noise.h) for direction, key in enumerate(noise.split())]
        self.send_keys, self.receive_keys = SendKeys(keys[not initiator]), ReceiveKeys(keys[initiator])
        number = lambda kind, default: int.from_bytes(parameters[kind], "big") if kind in parameters else default
        # The peer's parameters; defaults for absent ones are an own choice
        self.peer_delay = min(number(P_DELAY, 25000) / 1e6, 1.0)
        self.peer_ratio = max(number(P_RATIO, 2), 1)
        idle = number(P_IDLE, 0) / 1000
        self.idle = min(idle, IDLE) if idle else IDLE  # 0 is none
        self.keep_alive = min(KEEP_ALIVE, self.idle / 2)
        self.base_size = min(LARGEST, number(P_LARGEST, SMALLEST))
        self.edge = min(number(P_WINDOW, 0), 0xFFFFFF) - 1      # the highest sequence number that the peer allows
        # Sending
        self.stream_at = 0
        self.next_number, self.next_sequence = self.options.start_number, 0
        self.outstanding, self.acknowledged, self.fin_sent = {}, -1, False
        self.sent_at = {}                                       # ack-eliciting packet number -> time, for RTT samples
        self.largest_acked = -1
        self.pings = False                                      # a PING is under way that only an ACK answers
        self.suspects = {}                                      # sequence -> (packet number, time at which it is lost)
        self.last_eliciting = self.last_sent = now
        self.reset_path()
        # Receiving
        self.in_order, self.highest, self.early, self.partial, self.peer_fin = -1, -1, {}, {}, None
        self.received, self.received_bytes = hashlib.sha256(), 0
        self.seen, self.seen_top = 0, -1                        # bit i of `seen` is packet number seen_top - i
        self.largest, self.largest_at = 0, now                  # of ack-eliciting datagrams (section 2.1)
        self.counts = [0, 0, 0, 0]                              # duplicates, ECT(0), ECT(1), CE
        self.eliciting_count = self.eliciting_waiting = 0
        self.ack_at = None if initiator else now                # the responder answers message 3 with an ACK
        self.last_heard = now
        self.failed_authentications = 0
        # Handshake, path, end
        self.message3, self.started, self.confirmed = message3, now, not initiator
        self.validation, self.validation_allowed_at = None, 0.0
        self.state, self.over_at, self.forget_at = "open", None, None
        self.close_datagram, self.heard_since_close, self.repeat_close_at = None, 0, 1
        self.error = None
        self.stats = dict.fromkeys(("sent", "received", "retransmitted", "pieces sent", "pieces received", "probes", "acks", "malformed",
                                    "refused", "replayed", "challenges answered", "moves", "option acks", "dropped"), 0)

    def reset_path(self):
        """Congestion, round trip and path size start (again)."""
        self.size = self.base_size
        self.too_long_losses = 0
        self.latest = self.smoothed = self.variation = None
        self.shortest = float("inf")
        self.probes = 0
        self.window, self.threshold, self.recovery_from = 10 * self.size, float("inf"), -1
        self.allowance, self.allowance_at = 10.0 * self.size, None

    # Datagrams (section 1)

    def transmit(self, segment, now, eliciting=True, address=None):
        """Seals a segment under a fresh packet number and sends it.  The number is spent in any case."""
        number = self.next_number
        self.next_number += 1
        if self.options.epoch_every and self.next_number % (1 << EPOCH_BITS) >= self.options.epoch_every:
            self.next_number = ((self.next_number >> EPOCH_BITS) + 1) << EPOCH_BITS  # for tests: numbers MAY be skipped
        ad = self.peer_id + number.to_bytes(8, "big")
        datagram = ad + self.send_keys.seal(number, ad, segment)
        self.stats["sent"] += 1
        self.last_sent = now
        if eliciting:
            self.sent_at[number] = self.last_eliciting = now
        self.endpoint.transmit(datagram, address or self.address)
        return number, datagram

    def receive(self, datagram, address, ecn, now):
        """A datagram with our id.  Until it has opened, nothing changes but counters."""
        if len(datagram) < 38 or self.state == "gone":
            return
        number = int.from_bytes(datagram[8:16], "big")
        back = self.seen_top - number
        if back >= 0 and (back >= REPLAY_BITS or self.seen >> back & 1):
            self.stats["replayed"] += 1
            return
        text = self.receive_keys.unseal(number, datagram[:16], datagram[16:], now, self.pto())
        if text is None:
            self.stats["refused"] += 1
            self.failed_authentications += 1
            if self.failed_authentications >= 1 << 36:
                self.fail("too many failed authentications")
            return
        newest = number > self.seen_top
        if newest:
            shift = number - self.seen_top
            self.seen = ((self.seen << shift if shift < REPLAY_BITS else 0) | 1) & ((1 << REPLAY_BITS) - 1)
            self.seen_top = number
        else:
            self.seen |= 1 << back
        self.last_heard = now
        self.confirmed = True  # (section 3, Confirmation)
        self.stats["received"] += 1
        if ecn:
            self.counts[{2: 1, 1: 2, 3: 3}[ecn]] += 1
        try:
            segment = Segment(text)
        except Critical as reason:
            if self.state == "closing":
                self.repeat_close(now)
            self.close(UNKNOWN_CRITICAL, str(reason), now)
            return
        except Malformed as reason:
            self.stats["malformed"] += 1
            self.endpoint.log("malformed segment: %s" % reason)
            return
        if self.state == "closing":
            if segment.kind != CLOSE:  # two that close at once would answer each other for ever
                self.repeat_close(now)
            return
        try:
            self.check_address(address, newest, len(datagram), now)
            if segment.ack is not None:
                self.stats["option acks"] += not segment.is_ack
                self.on_ack(segment.ack, now)
            at_once = bool(segment.flags & ACK_NOW) or ecn == 3
            if segment.is_control:
                self.on_control(segment, address, now)
            elif not segment.is_ack:
                at_once |= self.on_data(segment, now)
            if segment.eliciting and self.state in ("open", "finished"):
                self.acknowledge(number, at_once, now)
        except Violation as reason:
            self.endpoint.log("violation: %s" % reason)
            self.close(VIOLATION, "", now)

    # Receiving and acknowledging (section 4)

    def acknowledge(self, number, at_once, now):
        if number > self.largest:
            self.largest, self.largest_at = number, now
        self.eliciting_count += 1
        self.eliciting_waiting += 1
        ratio = min(self.peer_ratio, 8) if self.eliciting_count <= 256 else self.peer_ratio
        if at_once or self.eliciting_waiting >= ratio:
            self.ack_at = now
        elif self.ack_at is None:
            self.ack_at = now + min(ACK_DELAY, ACK_DELAY if self.smoothed is None else self.smoothed / 4)

    def ack_fields(self, now):
        """last in-order number 4, window 3, ACK block.  WINDOW is 256, so one interval describes everything in 256 runs at most."""
        runs, first, n, known = [], 0, self.in_order + 1, self.early
        while n <= self.highest:
            start, state = n, n in known
            while n <= self.highest and (n in known) == state:
                n += 1
            runs.append(n - start)
        block = ack_block(self.largest, int((now - self.largest_at) * 1e6), self.counts, runs, first)
        return struct.pack(">I", self.in_order & 0xFFFFFFFF) + WINDOW.to_bytes(3, "big") + block

    def acknowledged_now(self):
        self.ack_at, self.eliciting_waiting = None, 0

    def send_ack(self, now):
        fields = self.ack_fields(now)
        self.acknowledged_now()
        self.stats["acks"] += 1
        option = self.grease.option(64)
        head = struct.pack(">BB", 9 + len(option), ACK | self.grease.flag())
        self.transmit(head + fields[:7] + option + fields[7:], now, eliciting=False)

    def send_control(self, kind, now, token=0, body=b"", flags=0, eliciting=True, address=None):
        option = self.grease.option(64) if len(body) < 256 else b""
        if eliciting and address is None:
            option += self.ack_option(now, 240 - len(option))
        self.transmit(control_segment(kind, token, body, flags | self.grease.flag(), option), now, eliciting, address)

    def ack_option(self, now, room):
        """Option 2, if an ACK is waiting and there is room for it (data offsets end at 255)."""
        if not self.options.ack_option or self.ack_at is None:
            return b""
        fields = self.ack_fields(now)
        if len(fields) + 2 > min(room, 240):
            return b""
        self.acknowledged_now()
        return bytes([2, len(fields)]) + fields

    def on_data(self, segment, now):
        """Returns whether it is to be acknowledged at once."""
        number = unwrap(segment.sequence, self.in_order)
        at_once = bool(segment.flags & FIN)
        if number < 0 or number > self.in_order + WINDOW or not segment.is_sound:
            self.stats["dropped"] += 1  # its packet number is acknowledged, what it carries is not
            return at_once
        if self.state == "finished" and segment.flags & FIN:  # section 5: a repeated FIN extends the wait
            self.forget_at = max(self.forget_at, self.over_at + 3 * (now - self.over_at))
        if number <= self.in_order or number in self.early:  # with or without FIN: no violation
            self.counts[0] += 1
            return at_once
        if self.peer_fin is not None and (number > self.peer_fin or (segment.flags & FIN and number != self.peer_fin)):
            raise Violation("data behind FIN, or a second FIN")
        if segment.flags & FIN:
            if number < self.highest:
                raise Violation("data behind FIN")
            self.peer_fin = number
        data = segment.payload
        if segment.piece is not None:
            data = self.assemble(number, segment)
            if data is None:
                return at_once
        self.partial.pop(number, None)
        at_once |= number > self.highest + 1  # a new gap
        self.highest = max(self.highest, number)
        self.early[number] = data
        while self.in_order + 1 in self.early:
            self.in_order += 1
            data = self.early.pop(self.in_order)
            self.received.update(data)
            self.received_bytes += len(data)
            self.endpoint.deliver(data)
        return at_once

    def assemble(self, number, segment):
        """Pieces (section 4.1): the whole segment once all of it is there, else None.  One bit for each 64 bytes."""
        self.stats["pieces received"] += 1
        start, total = segment.piece
        kept = self.partial.setdefault(number, [bytearray(total), (1 << (total + 63) // 64) - 1])
        if len(kept[0]) != total:
            self.stats["dropped"] += 1
            return None
        kept[0][start:start + len(segment.payload)] = segment.payload
        kept[1] &= ~(((1 << (len(segment.payload) + 63) // 64) - 1) << start // 64)
        return None if kept[1] else bytes(kept[0])

    def on_control(self, segment, address, now):
        """(section 2.2)  An unknown kind that is not critical is ignored, and acknowledged like a PING."""
        if not segment.is_sound:
            self.stats["dropped"] += 1
        elif segment.kind == PING and segment.token:
            # Each at once, so that no number of them in a burst is too many
            self.send_control(PONG, now, segment.token, eliciting=False)
        elif segment.kind == CHALLENGE:
            self.stats["challenges answered"] += 1
            self.send_control(RESPONSE, now, body=segment.payload[:8], eliciting=False, address=address)
        elif segment.kind == RESPONSE and self.validation is not None:
            self.validation.answered(segment.payload[:8])
        elif segment.kind == CLOSE:
            code = int.from_bytes(segment.payload[:4], "big")
            if self.state == "open":
                self.fail("closed by the peer: %#x %s" % (code, segment.payload[4:].decode(errors="replace")))
            self.state = "gone"

    # Being acknowledged: round trip, loss, congestion (section 4)

    def on_ack(self, ack, now):
        last = unwrap(ack.last, self.acknowledged)
        if last >= self.next_sequence or last < -1 or ack.largest >= max(self.next_number, 1):  # 0 may mean "none"
            raise Violation("ACK of a number never sent")
        received, missing = [], []
        for interval in ack.intervals:
            for is_received, start, length in interval:
                start += last + 1
                if start + length > self.next_sequence:
                    raise Violation("ACK of a number never sent")
                target = received if is_received else missing
                target += range(max(start, self.acknowledged + 1), min(start + length, self.next_sequence))
        received += range(self.acknowledged + 1, last + 1)
        self.acknowledged = max(self.acknowledged, last)
        self.edge = max(self.edge, last + ack.window)  # never moves back
        self.probes, self.pings = 0, False
        # Round trip.  A largest of 0 may mean "none" (section 2.1), so it never gives a sample.
        if ack.largest > max(self.largest_acked, 0) and ack.largest in self.sent_at:
            self.sample(now - self.sent_at[ack.largest], ack.delay / 1e6)
        if ack.largest > self.largest_acked:
            self.largest_acked = ack.largest
            for number in [n for n in self.sent_at if n <= ack.largest]:
                del self.sent_at[number]
        limited = self.in_flight() + 2 * self.size >= self.window
        for number in received:
            segment = self.outstanding.pop(number, None)
            self.suspects.pop(number, None)
            if segment is None:
                continue
            if self.needs(segment) > SMALLEST:
                self.too_long_losses = 0
            if limited:  # slow start, then one datagram a round trip (own choice; section 4 has CUBIC with HyStart++)
                self.window += segment.size if self.window < self.threshold else self.size * segment.size / self.window
        # Loss: described as missing, and three packets or 9/8 of a round trip old
        too_long = False
        patience = max(max(self.latest or 1.0, self.smoothed or 1.0) * 9 / 8, 0.001)
        for number in missing:
            segment = self.outstanding.get(number)
            if segment is None or segment.lost or segment.number >= ack.largest:
                continue
            if segment.number + 3 <= ack.largest or segment.when + patience <= now:
                too_long |= self.lose(segment)
            else:
                self.suspects[number] = segment.number, segment.when + patience
        if too_long and self.size > SMALLEST:
            self.too_long_losses += 1
            if self.too_long_losses >= 4:
                self.shrink()

    def sample(self, round_trip, delay):
        """RFC 9002, section 5."""
        self.shortest = min(self.shortest, round_trip)
        delay = min(delay, self.peer_delay)
        if round_trip >= self.shortest + delay:
            round_trip -= delay
        self.latest = round_trip
        if self.smoothed is None:
            self.smoothed, self.variation = round_trip, round_trip / 2
        else:
            self.variation += (abs(self.smoothed - round_trip) - self.variation) / 4
            self.smoothed += (round_trip - self.smoothed) / 8

    def pto(self):
        if self.smoothed is None:
            return 1.0
        return self.smoothed + max(4 * self.variation, 0.001) + self.peer_delay

    def lose(self, segment):
        """Returns whether it needs more than a datagram of 1200 bytes."""
        segment.lost = True
        self.suspects.pop(segment.sequence, None)
        if segment.number > self.recovery_from:  # the window halves once a round trip
            self.recovery_from = self.next_number
            self.window = self.threshold = max(self.window / 2, 4 * self.size)
        return self.needs(segment) > SMALLEST

    @staticmethod
    def needs(segment):
        return OVERHEAD + len(segment.payload)

    def shrink(self):
        """(section 4.1, Size)  We never try more than we began with, so there is no search to begin anew."""
        if self.size > SMALLEST:
            self.endpoint.log("the path size falls to %d" % SMALLEST)
        self.size, self.too_long_losses = SMALLEST, 0

    def in_flight(self):
        return sum(s.size for s in self.outstanding.values() if not s.lost)

    # Sending (section 4)

    def send_segment(self, segment, now, flags=0):
        if self.grease.now():
            self.send_control(self.grease.kind(), now, body=self.grease.dice.randbytes(self.grease.dice.randrange(16)))
        flags |= segment.flags | (RTO if segment.sends else 0)
        segment.sends += 1
        segment.lost = False
        self.suspects.pop(segment.sequence, None)
        if flags & RTO:
            self.stats["retransmitted"] += 1
        if self.needs(segment) <= self.size:
            room = self.size - self.needs(segment)
            option = self.ack_option(now, room)
            option += self.grease.option(min(room, 249) - len(option))
            segment.number, datagram = self.transmit(data_segment(flags, segment.sequence, option, segment.payload), now)
            segment.size = len(datagram)
        else:  # pieces: offsets are multiples of 64; the number of the last piece is that of the transmission
            step, total, segment.size = (self.size - OVERHEAD - 6) // 64 * 64, len(segment.payload), 0
            for start in range(0, total, step):
                option = struct.pack(">BBHH", 3, 4, start, total)
                piece = data_segment(flags, segment.sequence, option, segment.payload[start:start + step])
                segment.number, datagram = self.transmit(piece, now)
                segment.size += len(datagram)
                self.stats["pieces sent"] += 1
        segment.when = now
        self.allowance -= segment.size

    def next_segment(self):
        room = self.size - OVERHEAD - (64 if self.options.ack_option else 8 if self.grease.now() else 0)
        payload = bytes(self.endpoint.stream[self.stream_at:self.stream_at + room])
        self.stream_at += len(payload)
        self.fin_sent = self.endpoint.stream_ended and self.stream_at == len(self.endpoint.stream)
        segment = Outgoing(self.next_sequence, (SYN if self.next_sequence == 0 else 0) | (FIN if self.fin_sent else 0), payload)
        self.outstanding[self.next_sequence] = segment
        self.next_sequence += 1
        return segment

    def pace(self, now):
        """Refills the pacer: 5/4 of a window each round trip, bursts of ten datagrams."""
        if self.allowance_at is not None and self.smoothed is not None:
            rate = 1.25 * self.window / max(self.smoothed, 0.0005)
            self.allowance = min(self.allowance + (now - self.allowance_at) * rate, 10.0 * self.size)
        else:
            self.allowance = 10.0 * self.size
        self.allowance_at = now

    def has_more(self):
        """Whether there is something new to send, or the end of it to tell."""
        return not self.fin_sent and (self.endpoint.stream_ended or self.stream_at < len(self.endpoint.stream))

    def blocked_by_peer(self):
        return self.has_more() and self.next_sequence > self.edge

    def flush(self, now):
        if self.state != "open":
            if self.state == "finished" and self.ack_at is not None and now >= self.ack_at:
                self.send_ack(now)
            return
        self.pace(now)
        flight, self.want_to_send = self.in_flight(), False
        for segment in sorted((s for s in self.outstanding.values() if s.lost), key=lambda s: s.sequence):
            if flight >= self.window or self.allowance <= 0:
                self.want_to_send = flight < self.window
                break
            self.send_segment(segment, now)  # ignores the peer's window
            flight += segment.size
        else:
            while self.has_more() and self.next_sequence <= self.edge and flight < self.window:
                if self.allowance <= 0:
                    self.want_to_send = True
                    break
                segment = self.next_segment()
                self.send_segment(segment, now)
                flight += segment.size
        if self.ack_at is not None and now >= self.ack_at:
            self.send_ack(now)
        self.check_finished(now)

    def probe_base(self):
        """Probes run while something waits for an answer."""
        if self.outstanding or self.pings or not self.confirmed or self.blocked_by_peer():
            return self.last_eliciting + min(self.pto() * 2 ** self.probes, 60.0)
        return None

    def probe(self, now):
        self.probes += 1
        self.stats["probes"] += 1
        if not self.confirmed:
            self.endpoint.transmit(self.message3, self.address)
        if self.probes >= 3:  # persistent congestion; and the path may carry less than we believe
            self.window = 2 * self.size
            self.shrink()
        if self.outstanding:
            oldest, newest = min(self.outstanding), max(self.outstanding)
            for number in sorted({oldest, newest}):  # (own choice) one datagram where they are the same
                self.send_segment(self.outstanding[number], now, ACK_NOW)
        else:
            self.ping(now, ACK_NOW)

    def ping(self, now, flags=0):
        self.pings = True
        self.send_control(PING, now, flags=flags)

    # The address (section 4.1)

    def check_address(self, address, newest, length, now):
        v = self.validation
        if v is not None and address == v.new:
            v.heard += length
            return
        if not newest or address == self.address or self.state != "open":
            return
        # While one goes on, another address has its turn once the first was asked twice
        if v.asked > 1 if v is not None else now >= self.validation_allowed_at:
            self.endpoint.log("validating %s:%d" % address)
            self.validation = Validation(address, self.address, length, now, self.pto())

    def validate(self, now):
        v = self.validation
        if now >= v.next:
            v.next += v.pto * 2 ** v.asked
            v.asked += 1
            shortest = OVERHEAD + 8  # of a CHALLENGE as a datagram
            room = min(SMALLEST, 3 * v.heard - v.spent)
            if room >= shortest:
                v.spent += room
                self.transmit(control_segment(CHALLENGE, 0, v.new_bytes + bytes(room - shortest)), now, address=v.new)
            self.send_control(CHALLENGE, now, body=v.old_bytes, address=v.old)
        if not v.old_answered and v.new_answered and now >= v.start + v.pto:
            self.endpoint.log("the peer is now at %s:%d" % v.new)
            self.stats["moves"] += 1
            self.address = v.new
            if v.new[0] != v.old[0]:
                self.reset_path()
            self.validation = None
            if self.outstanding:
                self.probe(now)  # what was in flight is probed for at once
        elif v.old_answered or now >= v.end:
            self.validation = None
        else:
            return
        self.validation_allowed_at = now + max(3 * self.pto(), 1.0)

    # The end (section 5)

    def check_finished(self, now):
        if self.fin_sent and not self.outstanding and self.peer_fin is not None and self.in_order == self.peer_fin and self.ack_at is None:
            self.state, self.over_at = "finished", now
            self.forget_at = now + max(7 * self.pto(), 7.0)

    def close(self, code, reason, now):
        if self.state in ("gone", "closing"):
            return
        self.endpoint.log("closing: %#x %s" % (code, reason))
        self.error = self.error or "closed with %#x %s" % (code, reason)
        self.state, self.over_at, self.ack_at = "closing", now, None
        self.forget_at = now + max(7 * self.pto(), 0.25)
        self.close_segment = control_segment(CLOSE, 0, struct.pack(">I", code) + reason.encode()[:1000], self.grease.flag())
        self.transmit(self.close_segment, now, eliciting=False)

    def repeat_close(self, now):
        self.heard_since_close += 1
        if self.heard_since_close >= self.repeat_close_at:
            self.repeat_close_at *= 2
            self.transmit(self.close_segment, now, eliciting=False)

    def fail(self, reason):
        self.state, self.error = "gone", self.error or reason

    # Time

    def deadline(self):
        """When `tick` has something to do at the latest."""
        times = [self.receive_keys.wipe_at, self.ack_at, self.forget_at]
        if self.state == "open":
            times += [self.probe_base(), self.last_heard + self.idle, self.last_sent + self.keep_alive]
            times += [at for _, at in self.suspects.values()]
            if not self.confirmed:
                times.append(self.started + 16)
            if self.validation is not None:
                times += self.validation.times()
            if self.want_to_send:
                times.append(self.allowance_at + 0.001)
        return min(t for t in times if t is not None)

    def tick(self, now):
        self.receive_keys.expire(now)
        if self.forget_at is not None and now >= self.forget_at:
            self.state = "gone"
        if self.state == "open":
            if now >= self.last_heard + self.idle:
                return self.fail("idle timeout")
            if not self.confirmed and now >= self.started + 16:
                return self.fail("no answer to message 3")
            for number, (packet, at) in list(self.suspects.items()):
                segment = self.outstanding.get(number)
                if at <= now:
                    del self.suspects[number]
                    if segment is not None and not segment.lost and segment.number == packet:
                        self.lose(segment)
            if self.validation is not None:
                self.validate(now)
            base = self.probe_base()
            if base is not None and now >= base:
                self.probe(now)
            if now >= self.last_sent + self.keep_alive:
                self.ping(now)
        self.flush(now)


class Validation:
    """A path validation under way (section 4.1)."""

    def __init__(self, new, old, heard, now, pto):
        self.new, self.old, self.heard, self.spent = new, old, heard, 0
        self.start, self.pto = now, min(pto, 3.0)
        self.new_bytes, self.old_bytes = os.urandom(8), os.urandom(8)
        self.new_answered = self.old_answered = False
        self.next, self.asked = now, 0               # repeated one, three, seven ... PTO after the start
        self.end = now + max(7 * self.pto, 1.0)      # when it has failed

    def answered(self, body):
        """Wherever it came from."""
        self.new_answered |= body == self.new_bytes
        self.old_answered |= body == self.old_bytes

    def times(self):
        return [self.next, self.end] + ([self.start + self.pto] if self.new_answered else [])


# --- The two roles: sockets and handshakes


class Endpoint:
    def __init__(self, options, address):
        self.options, self.connection = options, None
        self.is_pipe = options.role == "pipe"
        self.stream = bytearray() if self.is_pipe else random.Random(options.seed).randbytes(options.bytes)
        self.stream_ended = not self.is_pipe
        self.grease = Grease(options.seed, options.grease)
        self.dice = random.Random(options.seed ^ 0x5DEECE66D)
        self.identity = crypto.keypair()
        self.socket = None
        self.open(address)
        self.handshaking = True
        self.dropped = self.out_count = 0

    def open(self, address):
        if self.socket is not None:
            self.socket.close()
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
        self.socket.setsockopt(socket.IPPROTO_IP, socket.IP_RECVTOS, 1)
        self.socket.setblocking(False)
        self.socket.bind(address)

    def log(self, text):
        if self.options.verbose:
            print("  %s" % text, file=sys.stderr, flush=True)

    def lose(self, datagram):
        """For tests: datagrams get lost at random, and a path that carries less than the handshake did."""
        if self.dice.random() < self.options.drop or (self.options.mtu and not self.handshaking and len(datagram) > self.options.mtu):
            self.dropped += 1
            return True
        return False

    def transmit(self, datagram, address):
        self.out_count += 1
        if self.options.rebind and self.out_count == self.options.rebind:  # for tests: our address changes
            self.open(("", 0))
            self.log("rebound to port %d" % self.socket.getsockname()[1])
        if self.lose(datagram):
            return
        try:
            self.socket.sendto(datagram, address)
        except OSError:
            pass  # as good as lost

    def turn(self, deadline):
        """Waits for datagrams until `deadline`, and hands over at most 32; of a pipe also for its input."""
        c, wanted = self.connection, [self.socket]
        if c is not None and not self.stream_ended and c.state == "open" and len(self.stream) - c.stream_at < 1 << 20:
            wanted.append(sys.stdin)
        ready = select.select(wanted, [], [], max(0.0, deadline - time.monotonic()))[0]
        if sys.stdin in ready:
            more = os.read(sys.stdin.fileno(), 1 << 16)
            self.stream += more
            self.stream_ended = not more
        for _ in range(32):
            try:
                datagram, control, _, address = self.socket.recvmsg(65535, 64)
            except BlockingIOError:
                break
            except OSError:
                continue
            ecn = next((data[0] & 3 for level, kind, data in control if (level, kind) == (socket.IPPROTO_IP, socket.IP_TOS)), 0)
            if 38 <= len(datagram) <= 16384 and not self.lose(datagram):
                self.handle(datagram, address, ecn, time.monotonic())

    def deliver(self, data):
        if self.is_pipe:
            sys.stdout.buffer.write(data)
            sys.stdout.buffer.flush()

    def run(self):
        if not self.handshake():
            return 1
        c, reported, began = self.connection, False, time.monotonic()
        while c.state != "gone":
            now = time.monotonic()
            c.tick(now)
            if c.state == "finished" and not reported:
                reported = True
                if not self.is_pipe:
                    print("sent %d sha256 %s" % (len(self.stream), hashlib.sha256(self.stream).hexdigest()))
                    print("received %d sha256 %s" % (c.received_bytes, c.received.hexdigest()))
                    print("seconds %.2f" % (now - began), flush=True)
                if self.options.no_linger:
                    break
            if c.state != "gone":
                self.turn(c.deadline())
        if self.options.verbose:
            self.log("%s, dropped for the test %d, window %d, rtt %.2f ms" % (
                ", ".join("%s %d" % item for item in c.stats.items() if item[1]), self.dropped, c.window / c.size, (c.smoothed or 0) * 1000))
        if not reported:
            print("failed: %s" % c.error, file=sys.stderr)
        return 0 if reported else 1

    def trusts(self, key):
        return self.options.peer is None or key == self.options.peer


class Attempt:
    """One message 1 of a dial, under an id and an ephemeral key of its own (section 3, Attempts)."""

    def __init__(self, identity, grease, token, length, cookie):
        self.id, self.noise, self.has_cookie_reply = new_id(), crypto.NoiseXX(True, identity), False
        self.message1 = self.id + self.noise.write(1, payload(1, self.id, grease, length, token, cookie))


class Initiator(Endpoint):
    def __init__(self, options):
        super().__init__(options, ("", 0))
        self.address = (socket.gethostbyname(options.host), options.port)
        self.token, self.cookie, self.attempts = os.urandom(16), None, []
        self.my_id = self.ephemeral2 = self.message3 = None

    def attempt(self, length):
        self.attempts.append(Attempt(self.identity, self.grease, self.token, length, self.cookie))
        self.transmit(self.attempts[-1].message1, self.address)

    def handshake(self):
        """Attempts at 0, 1, 3, 7 and 15 s, the later ones shorter; given up at 16 s (section 3, Attempts)."""
        start = time.monotonic()
        for at, until in ((0, 1), (1, 3), (3, 7), (7, 15), (15, 16)):
            self.attempt(min(1400, LARGEST) if at == 0 else SMALLEST)
            while self.handshaking and time.monotonic() < start + until:
                self.turn(start + until)
            if not self.handshaking:
                return self.connection is not None
        print("failed: no answer to message 1", file=sys.stderr)
        return False

    def handle(self, datagram, address, ecn, now):
        if self.handshaking:
            for attempt in self.attempts:
                if datagram[:8] == attempt.id and address == self.address:
                    if datagram[8:16] == COOKIE_REPLY:
                        self.on_cookie_reply(attempt, datagram)
                    elif datagram[8:16] == NOISE:
                        self.on_message2(attempt, datagram, address, now)
                    return
        elif self.connection is not None and datagram[:8] == self.my_id:
            if datagram[8:16] == NOISE:
                # Told by the ephemeral key that it begins with (section 3, Confirmation)
                if datagram[16:48] == self.ephemeral2 and not self.connection.confirmed:
                    self.transmit(self.message3, self.address)
            elif datagram[8:15] != NOISE[:7]:
                self.connection.receive(datagram, address, ecn, now)

    def on_cookie_reply(self, attempt, datagram):
        """A cookie of any length up to 128, for one more attempt (section 3.2)."""
        if not 40 <= len(datagram) <= 160 or datagram[16:32] != attempt.message1[8:24]:
            return
        self.cookie = datagram[32:]
        if not attempt.has_cookie_reply and len(self.attempts) < 10:
            attempt.has_cookie_reply = True
            self.attempt(len(attempt.message1))

    def on_message2(self, attempt, datagram, address, now):
        trial = copy.copy(attempt.noise)
        try:
            parameters = read_payload(2, trial.read(2, datagram[16:]))
            if parameters[P_AEADS] != b"\x01":
                raise Malformed("AEADs")
        except (crypto.Failed, Malformed) as reason:  # a message that does not authenticate changes nothing
            self.log("message 2 dropped: %s" % reason)
            return
        self.handshaking = False
        if not self.trusts(trial.rs):  # goes silent
            print("failed: the peer has another key", file=sys.stderr)
            return
        self.my_id, self.ephemeral2 = attempt.id, datagram[16:48]
        self.message3 = parameters[P_ID] + NOISE + trial.write(3, payload(3, self.my_id, self.grease))  # under the responder's id
        self.transmit(self.message3, address)
        self.connection = Connection(self, True, trial, self.my_id, parameters, address, now, self.message3)


class Responder(Endpoint):
    def __init__(self, options):
        super().__init__(options, (options.host, options.port))
        self.my_id = new_id()
        self.open_handshakes = {}  # (initiator's id, address) -> [ephemeral key, noise, message 2, our id, time, early data]
        print("listening on %s:%d key %s" % (*self.socket.getsockname(), self.identity[1].hex()), flush=True,
              file=sys.stderr if self.is_pipe else sys.stdout)

    def handshake(self):
        while self.connection is None:
            self.turn(time.monotonic() + 60)
        return True

    def handle(self, datagram, address, ecn, now):
        if self.connection is not None:
            if datagram[:8] == self.my_id:
                if datagram[8:16] == NOISE:
                    if self.connection.seen_top < 0:  # nothing sealed has opened yet
                        self.connection.send_ack(now)  # every message 3 is answered with a sealed ACK (section 3, Confirmation)
                elif datagram[8:15] != NOISE[:7]:
                    self.connection.receive(datagram, address, ecn, now)
        elif self.is_message1(datagram):
            self.on_message1(datagram, (datagram[:8], address), now)
        else:
            for key, known in list(self.open_handshakes.items()):
                if known[3] == datagram[:8]:
                    if datagram[8:16] == NOISE:
                        self.on_message3(datagram, key, address, now)
                    elif datagram[8:15] != NOISE[:7] and len(known[5]) < 10:  # held until message 3 comes (section 3, Early data)
                        known[5].append((datagram, address, ecn))
                    return

    @staticmethod
    def is_message1(d):
        return len(d) >= SMALLEST and d[40:44] == MAGIC and d[44:48] == b"\0\x01\0\x08" and d[48:56] == d[:8] != bytes(8)

    def on_message1(self, datagram, key, now):
        known = self.open_handshakes.get(key)
        if known is None:
            noise = crypto.NoiseXX(False, self.identity)
            try:
                read_payload(1, noise.read(1, datagram[8:]))
                my_id = new_id()
                message2 = key[0] + NOISE + noise.write(2, payload(2, my_id, self.grease))
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
        except (crypto.Failed, Malformed) as reason:
            self.log("message 3 dropped: %s" % reason)
            return
        if not self.trusts(trial.rs):  # the user is not told
            del self.open_handshakes[key]
            return
        parameters[P_ID] = key[0]  # that of message 3 is ignored
        self.my_id, self.handshaking = my_id, False
        self.connection = Connection(self, False, trial, my_id, parameters, key[1], now)
        reason = objection(parameters)
        if reason is not None:  # now there are keys to say why under
            self.connection.close(*reason, now)
        elif address != key[1]:  # it has moved since message 1
            self.connection.check_address(address, True, len(datagram), now)
        for held, source, ecn in early:
            self.connection.receive(held, source, ecn, now)


def main():
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
        sub.add_argument("--no-linger", action="store_true", help="exit as soon as the connection has finished")
        sub.add_argument("--verbose", action="store_true")
        sub.add_argument("--ack-option", action="store_true", help="send ACKs as option 2 on data segments too")
        sub.add_argument("--start-number", type=int, default=0, help="the first packet number; 16777000 crosses a key epoch soon")
        sub.add_argument("--epoch-every", type=int, default=0, help="skip to the next key epoch after so many datagrams")
        sub.add_argument("--mtu", type=int, default=0, help="after the handshake longer datagrams vanish, in both directions")
        sub.add_argument("--rebind", type=int, default=0, help="change our port when so many datagrams were sent")
    options = parser.parse_args()
    if options.role == "pipe":
        host, port = (options.listen or options.connect).rsplit(":", 1)
        options.host, options.port = host, int(port)
    else:
        options.connect = None
    try:
        return (Initiator if options.role == "send" or options.connect else Responder)(options).run()
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
