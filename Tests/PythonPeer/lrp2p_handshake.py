# SPDX-License-Identifier: MIT
"""LRP2P version 1: the payloads of handshake messages, ids, and the keys that a connection begins with (section 2 of
docs/protocol.md)."""

import hashlib
import os
import random
import struct

import lrp2p_crypto as crypto
from lrp2p_messages import payload_of
from lrp2p_segments import IGNORABLE_FLAG, NOTHING_COMMON, UNKNOWN_CRITICAL, Malformed, ack_block

WINDOW = 256              # packets beyond the last in-order one that we take
LARGEST = 1400            # the largest datagram that we take and the size that we begin with (section 6.1)
SMALLEST = 1200
ACK_DELAY = 0.025         # announced; seconds
ACK_RATIO = 8
IDLE = 30.0
EPOCH_BITS = 24
MAGIC = b"LRP2"
P_ID, P_VERSIONS, P_LARGEST, P_WINDOW, P_AEADS, P_COOKIE, P_TOKEN, P_PADDING = 1, 2, 3, 4, 5, 6, 7, 8
P_IDLE, P_DELAY, P_RATIO, P_MERGED, P_FEATURES, P_RESET, P_PROTOCOLS, P_APPLICATION, P_MESSAGE = 10, 11, 12, 14, 15, 16, 17, 18, 21
FEATURE_MESSAGES = 1
P_LENGTHS = {P_ID: 8, P_LARGEST: 2, P_WINDOW: 4, P_TOKEN: 16, P_IDLE: 4, P_DELAY: 4, P_RATIO: 2, P_MERGED: 0, P_RESET: 16, P_MESSAGE: 4}
KNOWN = (set(range(1, 19)) - {9, 13}) | {P_MESSAGE}
IN_MESSAGES = {P_COOKIE: (1, 2), P_TOKEN: (1,), P_APPLICATION: (3,),  # ignored in others
               **dict.fromkeys((P_IDLE, P_DELAY, P_RATIO, P_MERGED, P_FEATURES, P_RESET, P_PROTOCOLS, P_MESSAGE), (2, 3))}
AEADS_THAT_COUNT = 8


# --- Handshake payloads (section 2)


def parameter(kind, value):
    return struct.pack(">HH", kind, len(value)) + value


def payload(message, receive_id, grease, pad_to=None, cookie=None, **more):
    """The payload of a handshake message.  `pad_to` is the length that message 1 or 3 shall have as a datagram; `more` are the
    token of message 1, and of the others the reset token, the application protocols (a list of names), the features, and what goes to
    the application."""
    pairs = [(P_VERSIONS, grease.versions()), (P_LARGEST, struct.pack(">H", LARGEST)), (P_WINDOW, struct.pack(">I", WINDOW))]
    if message < 3:
        pairs.append((P_AEADS, b"\x01"))
    if message == 1:
        pairs.append((P_TOKEN, more["token"]))
    else:
        pairs += [(P_IDLE, struct.pack(">I", int(IDLE * 1000))), (P_DELAY, struct.pack(">I", int(ACK_DELAY * 1e6))),
                  (P_RATIO, struct.pack(">H", ACK_RATIO)), (P_RESET, more["reset"])]
        if more["protocols"]:
            pairs.append((P_PROTOCOLS, b"".join(bytes([len(name)]) + name for name in more["protocols"])))
        if more.get("features"):
            pairs.append((P_FEATURES, bytes([more["features"]])))
        if more.get("application") is not None:
            pairs.append((P_APPLICATION, more["application"]))
    first = [(P_ID, receive_id)] + ([(P_COOKIE, cookie)] if cookie is not None else [])  # in this order in message 1
    out = MAGIC + b"".join(parameter(*pair) for pair in grease.arrange(message, first, pairs))
    room = -1 if pad_to is None else pad_to - {1: 40, 3: 80}[message] - len(out) - 4  # what Noise and the header take
    if room >= 0:
        out += parameter(P_PADDING, bytes(room))
    return out


def read_payload(message, data):
    """Type -> value of those that are known and that this message may have."""
    if data[:4] != MAGIC:
        raise Malformed("no magic")
    at, found, others = 4, {}, {}
    while at < len(data):
        if at + 4 > len(data):
            raise Malformed("parameter")
        kind, length = struct.unpack_from(">HH", data, at)
        value = data[at + 4:at + 4 + length]
        at += 4 + length
        if len(value) != length:
            raise Malformed("parameter")
        if kind == P_PADDING:
            continue
        if kind in found or (kind in others and kind in KNOWN):
            raise Malformed("parameter %d twice" % kind)
        if kind not in KNOWN or message not in IN_MESSAGES.get(kind, (1, 2, 3)):
            others[kind] = value
            continue
        if length < P_LENGTHS.get(kind, 0):
            raise Malformed("length of a parameter")
        found[kind] = value[:P_LENGTHS.get(kind, length)]  # a later version may have made it longer
    if P_LARGEST in found and int.from_bytes(found[P_LARGEST], "big") < SMALLEST:
        raise Malformed("largest datagram")
    if len(found.get(P_APPLICATION, b"")) > 512:
        raise Malformed("more than 512 bytes for the application")
    if P_PROTOCOLS in found:
        found[P_PROTOCOLS] = protocols_in(found[P_PROTOCOLS], message)
    found["critical"] = next((kind for kind in others if 0x4000 <= kind < 0x8000), None)
    if message == 3:
        return found  # its id is ignored, and there is nothing left to say about AEADs; for the others see `objection`
    aeads = found.get(P_AEADS, b"")[:AEADS_THAT_COUNT if message == 1 else 1]  # in message 2 the first is the one chosen
    if found.get(P_ID, bytes(8)) == bytes(8) or 1 not in aeads:
        raise Malformed("no common ground: id %s, AEADs %s" % (found.get(P_ID, b"").hex(), aeads.hex()))
    reason = objection(found)
    if reason is not None:
        raise Malformed("%#x %s" % reason)
    return found


def protocols_in(value, message):
    """Application protocols: each a length and a name of 1 to 63 bytes; in message 2 at most 128 bytes, in message 3 one."""
    names, at = [], 0
    while at < len(value):
        length = value[at]
        if not 1 <= length <= 63 or at + 1 + length > len(value):
            raise Malformed("application protocols")
        names.append(value[at + 1:at + 1 + length])
        at += 1 + length
    if (len(value) > 128) if message == 2 else (len(names) != 1):
        raise Malformed("application protocols")
    return names


def objection(parameters):
    """What makes a connection with such parameters impossible, as code and reason of a CLOSE; None if nothing does."""
    if 1 not in parameters.get(P_VERSIONS, b""):
        return NOTHING_COMMON, "version"
    if parameters["critical"] is not None:
        return UNKNOWN_CRITICAL, "parameter 0x%04x" % parameters["critical"]
    return None


class Grease:
    """What means nothing, sent now and then at random, so that whoever shall skip it does: otherwise it could never be used."""

    def __init__(self, seed, share):
        self.dice, self.share = random.Random(seed ^ 0x6EA5E), share

    def now(self):
        return self.dice.random() < self.share

    def versions(self):
        return b"\x01"

    def arrange(self, message, first, pairs):
        """The parameters of a message in the order of the wire; something unknown in every second: there are only two of them."""
        pairs = list(pairs)
        if self.share and self.dice.random() < 0.5:
            pairs.append((self.dice.randrange(0x8000, 0x10000), self.dice.randbytes(self.dice.randrange(8))))
        if self.share and self.dice.random() < 0.5 and message > 1:  # features 16 to 31
            named = dict(pairs).get(P_FEATURES, b"")
            pairs = [pair for pair in pairs if pair[0] != P_FEATURES] + [(P_FEATURES, named.ljust(2, b"\0") + self.dice.randbytes(2))]
        self.dice.shuffle(pairs)
        return first + pairs

    def told(self, parameters):
        """What the peer has said in the message before."""

    # Segments

    def flags(self, segment):
        """More flags for an ACK, a CONTROL or (0) a data segment."""
        return IGNORABLE_FLAG if segment and self.now() else 0

    def option(self, room):
        """An even type that ends in A."""
        length = self.dice.randrange(5)
        if room < 2 + length or not self.now():
            return b""
        return bytes([self.dice.randrange(16) << 4 | 0x0A, length]) + self.dice.randbytes(length)

    def options(self, room, *known):
        """Those that a segment has, and maybe another, in `room` bytes."""
        known = b"".join(known)
        return known + self.option(min(room, 246) - len(known))

    def between(self, connection, now):
        """Before a data segment: a CONTROL of kind 0x0A0A, 0x1A1A and so on up to 0x7A7A."""
        if self.now():
            connection.send_control((self.dice.randrange(8) << 4 | 0x0A) * 0x101, now, body=self.dice.randbytes(self.dice.randrange(16)))

    # What a peer of today does in one way only, and another may in others

    def next_number(self, number):
        """The packet number behind this one."""
        return number + 1

    def token(self, kind, token):
        return token

    def body(self, kind, body):
        return body

    def copies(self):
        """How often an ACK is sent."""
        return 1

    def delayed(self, due, latest):
        """When an ACK leaves."""
        return due

    def ack_block(self, largest, delay, counts, runs, first_received, packets):
        """`runs` begin with the first number above the last in-order one, `packets` are those of packet numbers."""
        return ack_block(largest, delay, counts, [(0, first_received, runs)] if runs else [], packets)

    def length(self, room):
        """Of the payload of a new data segment."""
        return room

    def room(self, room):
        """Of a new segment of messages: how much of it messages may take."""
        return room

    def frames(self, frames, room):
        """The payload of a new segment of messages."""
        return payload_of(frames)

    def splits(self, segment):
        """Whether it is sent in pieces although it fits."""
        return False

    def step(self, most):
        """The length of pieces, a multiple of 64."""
        return most

    def order(self, offsets):
        return offsets


# --- Ids, and what is known of them without state (sections 1 and 7.4)


def new_id():
    """The first byte is 4 to 15 (section 1); all others are random."""
    return bytes([random.SystemRandom().randrange(4, 16)]) + os.urandom(7)


class OwnIDs:
    """Ids that we know as ours again after we have lost all state, and their reset tokens (own choice): the last four bytes are a
    keyed hash of the first four.  The key follows from our static key and our address: who has the same identity elsewhere has
    other tokens."""

    def __init__(self, secret, address):
        self.key = hashlib.blake2b(("reset %s %d" % address).encode(), digest_size=32, key=secret).digest()

    def hash(self, purpose, data, length):
        return hashlib.blake2b(purpose + data, digest_size=length, key=self.key).digest()

    def new(self):
        head = new_id()[:4]
        return head + self.hash(b"id", head, 4)

    def may_have_given(self, one):
        return 4 <= one[0] <= 15 and self.hash(b"id", one[:4], 4) == one[4:]

    def token(self, one):
        return self.hash(b"token", one, 16)


# --- Keys (section 3)


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
