# SPDX-License-Identifier: MIT
"""LRP2P version 1: segments and what is in them (sections 1 and 4 of docs/protocol.md)."""

import struct

OVERHEAD = 16 + 6 + 16    # connection id and packet number, header of a data segment, tag
ACK, SYN, FIN, RTO, ACK_NOW, CONTROL = 1, 2, 4, 8, 32, 64                   # flags (section 4)
CRITICAL_FLAG, IGNORABLE_FLAG = 16, 128                                     # without feature 0, and for ever
MESSAGES = HOLD = 16                                                        # on data and on ACKs where feature 0 is in force (section 4.8)
PING, PONG, CHALLENGE, RESPONSE, CLOSE, OBSERVED, SWITCH, NEW_ID = range(1, 9)  # kinds of CONTROL (section 4.4)
VIOLATION, KEY_REFUSED, NOTHING_COMMON, UNKNOWN_CRITICAL = 0xFFFFFF01, 0xFFFFFF02, 0xFFFFFF03, 0xFFFFFF04  # codes of CLOSE
NOISE, COOKIE_REPLY, VERSIONS_REPLY, RESET = (b"\xff" * 7 + bytes([kind]) for kind in range(1, 5))  # in place of a packet number (section 1)


class Malformed(Exception):
    """The segment or message is dropped and counted; the connection goes on (section 4)."""


class Violation(Exception):
    """Well formed, but no honest peer sends it: CLOSE 0xFFFFFF01 (section 4)."""


class Critical(Exception):
    """Unknown, and not to be skipped: CLOSE 0xFFFFFF04, whose reason is the text."""


def unwrap(number, near):
    """The sequence number closest to `near` whose low 32 bits are `number` (serial arithmetic, RFC 1982).  Inside, sequence
    numbers are integers without limit, and -1, which is 0xFFFFFFFF on the wire, comes before the first."""
    distance = (number - near) & 0xFFFFFFFF
    return near + (distance if distance < 1 << 31 else distance - (1 << 32))


# --- The ACK block (section 4.3)

DUPLICATES, ECN, PACKETS = 1, 2, 4  # what its contents may have beside intervals
PACKETS_LENGTH = 32                 # the most bytes that packet numbers may take


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
    """What an ACK tells: last in-order number (32 bits), window, the counters, as intervals lists of (received?, offset from the
    first number above the last in-order one, length), and as packets a list of (received?, lowest number, highest number)."""

    def __init__(self, last, window, block):
        self.last, self.window, self.intervals, self.packets = last, window, [], []
        self.duplicates = self.ect0 = self.ect1 = self.ce = 0
        self.largest, at = read_varint(block, 0)
        self.delay, at = read_varint(block, at)
        self.contents, at = read_varint(block, at)
        if self.contents >> 3 > 8:
            raise Malformed("more than 8 intervals")
        if self.contents & DUPLICATES:
            self.duplicates, at = read_varint(block, at)
        if self.contents & ECN:
            self.ect0, at = read_varint(block, at)
            self.ect1, at = read_varint(block, at)
            self.ce, at = read_varint(block, at)
        at = self.read_intervals(block, at)
        if self.contents & PACKETS:
            self.read_packets(block[at:])
        elif at != len(block):
            raise Malformed("bytes behind the last field")

    def read_intervals(self, block, at):
        total = 0
        for _ in range(self.contents >> 3):
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
        return at

    def read_packets(self, field):
        """Runs downward from the largest packet number, to the end of the block."""
        if not 1 <= len(field) <= PACKETS_LENGTH:
            raise Malformed("length of the packet numbers")
        at, highest, received = 0, self.largest, True
        while at < len(field):
            length, at = read_varint(field, at)
            if not 1 <= length <= highest + 1:
                raise Malformed("run of packet numbers")
            self.packets.append((received, highest - length + 1, highest))
            highest -= length
            received = not received

    def tells_missing(self, number):
        """Whether it tells this packet number to be missing."""
        return any(low <= number <= high for received, low, high in self.packets if not received)


def ack_block(largest, delay, counts, intervals, packets):
    """`counts` are duplicates, ECT(0), ECT(1) and CE, `intervals` a list of (start, is the first run received?, lengths of runs),
    and `packets` the lengths of runs of packet numbers, with as many left out at the end as there is no room for."""
    contents = (DUPLICATES if counts[0] else 0) | (ECN if any(counts[1:]) else 0) | (PACKETS if packets else 0)
    fields = [largest, delay, len(intervals) * 8 + contents]
    if contents & DUPLICATES:
        fields.append(counts[0])
    if contents & ECN:
        fields += counts[1:]
    for start, first_received, runs in intervals:
        fields += [start, len(runs) * 2 + first_received, *runs]
    runs = b""
    for length in map(varint, packets):
        if len(runs) + len(length) > PACKETS_LENGTH:
            break
        runs += length
    return b"".join(map(varint, fields)) + runs


# --- Segments (section 4)


class Segment:
    def __init__(self, data, has_messages=False):
        if len(data) < 6:
            raise Malformed("short")
        offset, self.flags = data[0], data[1]
        self.ack = self.piece = self.kind = self.sequence = None
        self.is_control = bool(self.flags & CONTROL)  # whatever ACK says
        self.is_ack = bool(self.flags & ACK) and not self.is_control
        if self.flags & CRITICAL_FLAG and (self.is_control or not has_messages):  # before all else: it may give another meaning to what follows (section 4.7)
            raise Critical("flag %d" % CRITICAL_FLAG)
        fixed = 9 if self.is_ack else 6
        if not fixed <= offset <= len(data):
            raise Malformed("data offset")
        if self.is_control:
            self.kind, self.token = struct.unpack_from(">HH", data, 2)
            if self.kind >= 0x8000:
                raise Critical("control 0x%04x" % self.kind)
        elif not self.is_ack:
            self.sequence = int.from_bytes(data[2:6], "big")
        block = self.read_options(data[fixed:offset])
        self.payload = data[offset:]
        if self.is_ack:
            block = data[2:9] + self.payload
        if block is not None:  # only now, as what is critical goes before it
            self.ack = Ack(int.from_bytes(block[:4], "big"), int.from_bytes(block[4:7], "big"), block[7:])

    def read_options(self, data):
        """Returns the value of option 2.  Nothing is looked at behind the first one that is critical."""
        at, ack = 0, None
        while at < len(data):
            kind = data[at]
            if kind == 0:
                at += 1
                continue
            if at + 2 > len(data) or at + 2 + data[at + 1] > len(data):
                raise Malformed("option")
            value = data[at + 2:at + 2 + data[at + 1]]
            at += 2 + len(value)
            if kind == 2:
                if ack is not None or self.is_ack or len(value) < 7:
                    raise Malformed("ACK option")
                ack = value
            elif kind == 3:
                if len(value) != 4 or self.piece is not None or self.is_ack or self.is_control:
                    raise Malformed("piece option")
                self.piece = struct.unpack(">HH", value)
                if self.piece[0] >= self.piece[1]:
                    raise Malformed("piece option")
            elif kind & 1:
                raise Critical("option %d" % kind)
        return ack

    @property
    def eliciting(self):
        """PONG, RESPONSE, CLOSE and ACK segments are not ack-eliciting; everything else is (section 4.4)."""
        return not self.is_ack and self.kind not in (PONG, RESPONSE, CLOSE)

    @property
    def is_messages(self):
        return self.sequence is not None and bool(self.flags & MESSAGES)

    @property
    def is_sound(self):
        """Whether what is behind fields and options can be used.  If not, it is dropped, but the segment counts as received
        (section 4)."""
        if self.is_control:
            shortest = {CHALLENGE: 8, RESPONSE: 8, CLOSE: 4, SWITCH: 8}.get(self.kind, 0)
            return len(self.payload) >= shortest and (self.kind != CLOSE or len(self.payload) <= 1004)
        if self.piece is None:
            return True
        start, total = self.piece  # offsets and lengths are multiples of 64 (section 6.2)
        end = start + len(self.payload)
        return end <= total and not start % 64 and len(self.payload) > 0 and (end == total or not end % 64)


def data_segment(flags, sequence, options, payload):
    return struct.pack(">BBI", 6 + len(options), flags, sequence & 0xFFFFFFFF) + options + payload


def control_segment(kind, token=0, body=b"", flags=0, options=b""):
    return struct.pack(">BBHH", 6 + len(options), CONTROL | flags, kind, token) + options + body
