# SPDX-License-Identifier: MIT
"""A peer from tomorrow: it speaks version 1, and does whatever a later version, or another program, may do to a peer of today, at random.
All of it can be ignored, or is another way to say the same.  What a seed does, and how much of it, is drawn once, at the start.
"""

import random
import struct

from bent_peer import v1
from lrp2p_handshake import Grease
from lrp2p_messages import LAST, PADDING, SKIP, some_messages

UNKNOWN_PARAMETERS = [(0, 1), (9, 10), (13, 14), (19, 21), (22, 0x4000), (0x8000, 0x10000)]  # from, and up to but not including
UNKNOWN_KINDS = [(0, 1), (6, 7), (8, 9), (9, 0x4000), (0x4000, 0x8000)]                      # those reserved, and those for private use
# What may be done always, and what only now and then, as it costs too much
ALWAYS = ("flag", "option", "padding", "kind", "trailing", "tokens", "skip", "delay", "odd block", "long numbers", "short data", "pieces", "frames")
SOMETIMES = ("junk", "replay", "garbage", "late", "ping", "switch here", "epoch", "copies")
ONCE = ("parameter", "longer", "pad", "lists")
OVERHEAD = {1: 40, 2: 16 + 96 + 16, 3: 80}  # of a handshake message as a datagram, beside its payload


class Tomorrow(Grease):
    def __init__(self, seed):
        super().__init__(seed, 0)
        plan = random.Random("what %d does" % seed)
        self.shares = {habit: plan.choice((0, 0, 0.02, 0.1, 0.4) + (1.0,) * (habit in ALWAYS)) for habit in ALWAYS + SOMETIMES + ONCE}
        self.plan, self.largest, self.allowance, self.epochs = plan, 1400, 0.0, 3
        self.message1 = plan.randrange(1200, 1401)
        self.pings = self.features = 0
        self.critical = {}  # message -> a parameter that ends the dial

    def often(self, habit):
        return self.dice.random() < self.shares[habit]

    def ever(self, habit):
        """For what there are few occasions of."""
        return self.shares[habit] > 0 and self.dice.random() < 0.6

    def bytes(self, most):
        return self.dice.randbytes(self.dice.choice((0, 1, self.dice.randrange(most + 1))) if most else 0)

    # Handshake messages

    def told(self, parameters):
        self.largest = int.from_bytes(parameters.get(v1.P_LARGEST, b"\5\x78"), "big")

    def versions(self):
        """Ours, among others of which none is one."""
        others = self.dice.sample(range(2, 256), self.dice.randrange(16)) if self.ever("lists") else []
        return bytes(self.shuffled(others + [1]))

    def shuffled(self, some):
        some = list(some)
        self.dice.shuffle(some)
        return some

    def room_in(self, message):
        """For the payload."""
        datagram = {1: 1200, 2: 399, 3: min(self.largest, self.dice.choice((1400, 1400, 16384)))}[message]
        return datagram - OVERHEAD[message]

    def arrange(self, message, first, pairs):
        pairs = [self.changed(message, kind, value) for kind, value in pairs]
        pairs = [pair for pair in pairs if pair[0] not in (v1.P_IDLE, v1.P_DELAY, v1.P_RATIO, v1.P_RESET) or not self.ever("lists")]
        if message > 1:
            first = [self.changed(message, *pair) for pair in first]
        left = self.room_in(message) - 28 - sum(4 + len(value) for _, value in first + pairs)
        for pair in self.extras(message):
            if pair[0] != v1.P_PROTOCOLS:
                pair = pair[0], pair[1][:max(0, left - 4)]
            if left >= 4 + len(pair[1]):
                pairs.append(pair)
                left -= 4 + len(pair[1])
        pairs = self.shuffled(pairs + ([self.critical[message]] if message in self.critical else []))
        if message == 1:  # the attempts' token is among the first sixteen
            token = next(pair for pair in pairs if pair[0] == v1.P_TOKEN)
            pairs.remove(token)
            pairs.insert(self.dice.randrange(min(len(pairs), 13) + 1), token)
            return first + pairs
        return self.shuffled(first + pairs)

    def changed(self, message, kind, value):
        """A known parameter as a later version may send it."""
        if kind in v1.P_LENGTHS and self.ever("longer"):
            return kind, value + self.bytes(12)
        if kind == v1.P_AEADS and self.ever("lists"):
            if message == 2:
                return kind, value + self.bytes(9)
            unknown = self.dice.sample(range(3, 256), 14)
            return kind, bytes(unknown[:self.dice.randrange(8)]) + value + bytes(unknown[7:7 + self.dice.randrange(8)])
        if kind == v1.P_FEATURES and self.ever("lists"):
            return kind, bytes([value[0] | self.dice.randrange(64) << 2]) + self.bytes(20)
        if kind == v1.P_LARGEST and self.ever("lists"):
            return kind, struct.pack(">H", self.dice.choice((1200, 1201, 1452, 9000, 16384, 65535)))
        return kind, value

    def extras(self, message):
        out = []
        if message == 2 and self.ever("lists"):
            out.append((v1.P_PROTOCOLS, b"\4http\1x\2\xff\0"))
        if message == 3 and self.ever("lists"):
            out.append((v1.P_PROTOCOLS, b"\4http"))
            out.append((v1.P_AEADS, self.bytes(9)))
            out.append((v1.P_MERGED, b""))
        if message == 3 and self.ever("parameter"):
            out.append((v1.P_APPLICATION, self.bytes(512)))
        if message > 1 and self.ever("lists") and not self.features:  # neither messages nor addresses observed, which are given out already
            out.append((v1.P_FEATURES, bytes([self.dice.randrange(64) << 2]) + self.bytes(20)))
        for _ in range(self.dice.randrange(12) if self.ever("parameter") else 0):
            out.append((self.dice.randrange(*self.dice.choice(UNKNOWN_PARAMETERS)), self.bytes(self.dice.choice((8, 60, 600)))))
        if out and self.ever("parameter") and out[-1][0] not in v1.KNOWN:  # what is unknown may come twice
            out.append((out[-1][0], self.bytes(8)))
        for _ in range(self.dice.randrange(4) if self.ever("pad") else 0):
            out.append((v1.P_PADDING, bytes(self.dice.choice((0, 1, self.dice.randrange(1000))))))
        return self.shuffled(out)

    # Segments

    def flags(self, segment):
        """SYN is for readers of a trace; ACK-NOW asks nothing of an ACK, nor ACK of a CONTROL."""
        flags = v1.IGNORABLE_FLAG if self.often("flag") else 0
        if self.often("tokens"):
            flags |= self.dice.choice({v1.ACK: (v1.SYN, v1.ACK_NOW), v1.CONTROL: (v1.SYN, v1.ACK), 0: (v1.SYN, v1.ACK_NOW)}[segment])
        return flags

    def options(self, room, *known):
        parts = [one for one in known if one]
        left = min(room, 246) - sum(map(len, parts))
        share = self.shares["option"]
        while left >= 2 and self.dice.random() < share:
            share = min(share, 0.5)
            value = self.bytes(min(left - 2, self.dice.choice((4, 60, 240))))
            parts.append(bytes([self.dice.randrange(4, 256, 2), len(value)]) + value)
            left -= 2 + len(value)
        if left >= 1 and self.often("padding"):
            parts += [b"\0"] * self.dice.randrange(1, min(left, 9) + 1)
        return b"".join(self.shuffled(parts))

    def token(self, kind, token):
        return token if kind in (v1.PING, v1.PONG) or not self.often("tokens") else self.dice.randrange(0x10000)

    def body(self, kind, body):
        return body + self.bytes(40) if kind != v1.CLOSE and len(body) < 200 and self.often("trailing") else body

    def length(self, room):
        return self.dice.randrange(room + 1) if self.often("short data") else room

    def room(self, room):
        return room * 2 // 3 if self.shares["frames"] or self.shares["long numbers"] else room

    def frames(self, frames, room):
        """With all lengths, numbers that are longer than they need be, a bit that means nothing on skips, and padding."""
        out, pads = b"", self.often("frames")
        for frame in frames:
            text = frame.write(frame is frames[-1] and not pads, self.number)
            out += bytes([text[0] | (LAST if frame.kind == SKIP and self.often("frames") else 0)]) + text[1:]
        if len(out) > room:
            return super().frames(frames, room)
        if pads and len(out) < room:
            out += bytes([PADDING << 5 | self.dice.choice((0, 31, 159))]) + self.dice.randbytes(self.dice.randrange(room - len(out)))
        return out

    def splits(self, segment):
        return len(segment.payload) > 64 and self.often("pieces")

    def step(self, most):
        return self.dice.randrange(64, most + 1, 64)

    def order(self, offsets):
        return self.shuffled(offsets)

    def between(self, connection, now):
        if self.often("kind"):
            kind = self.dice.randrange(*self.dice.choice(UNKNOWN_KINDS))
            connection.send_control(kind, now, self.dice.randrange(0x10000), self.bytes(self.dice.choice((16, 900))))
        if self.often("ping"):
            self.pings += 1
            connection.send_control(v1.PING, now, self.dice.randrange(1, 0x10000), self.bytes(30))
        if self.often("switch here"):
            connection.send_control(v1.SWITCH, now, body=self.dice.randbytes(8))

    # Packet numbers and ACKs

    def next_number(self, number):
        """At most 256 are skipped in 1024, but for a step to the next key epoch."""
        self.allowance = min(60.0, self.allowance + 0.15)
        if self.epochs and self.often("epoch") and self.dice.random() < 0.02:
            self.epochs -= 1
            return ((number >> v1.EPOCH_BITS) + 1) << v1.EPOCH_BITS
        if self.allowance >= 1 and self.often("skip"):
            skipped = self.dice.randrange(int(self.allowance) + 1)
            self.allowance -= skipped
            return number + 1 + skipped
        return number + 1

    def copies(self):
        return self.dice.randrange(2, 4) if self.often("copies") else 1

    def delayed(self, due, latest):
        return max(due, due + (latest - due) * self.dice.random()) if self.often("delay") else due

    def number(self, value):
        """A varint, not always the shortest."""
        lengths = [length for length in (1, 2, 4, 8) if value < 1 << (8 * length - 2)]
        length = self.dice.choice(lengths[1:] or lengths) if self.often("long numbers") else lengths[0]
        return (value | {1: 0, 2: 1, 4: 2, 8: 3}[length] << (8 * length - 2)).to_bytes(length, "big")

    def ack_block(self, largest, delay, counts, runs, first_received, packets):
        if self.often("odd block") or self.shares["long numbers"] == 1:
            odd = self.odd_block(largest, delay, counts, runs, first_received, packets)
            if len(odd) < 1000:  # which is fewer than 512 runs, too
                return odd
        return super().ack_block(largest, delay, counts, runs, first_received, packets)

    def odd_block(self, largest, delay, counts, runs, first_received, packets):
        """The same, in more intervals, of which some overlap, in any order; counts of 0; fewer packet numbers, or none."""
        tells = 1 if counts[0] or self.dice.random() < 0.5 else 0
        tells |= 2 if any(counts[1:]) or self.dice.random() < 0.5 else 0
        packets = packets[:self.dice.randrange(len(packets) + 1)]
        numbers = b"".join(map(self.number, packets))
        if numbers and len(numbers) <= v1.PACKETS_LENGTH:
            tells |= 4
        else:
            numbers = b""
        intervals = self.shuffled(self.cut(runs, first_received))
        out = [largest, delay, len(intervals) * 8 + tells] + ([counts[0]] if tells & 1 else []) + (counts[1:] if tells & 2 else [])
        for start, received, lengths in intervals:
            out += [start, len(lengths) * 2 + received, *lengths]
        return b"".join(map(self.number, out)) + numbers

    def cut(self, runs, first_received):
        total = sum(runs)
        if not total:
            return []
        states = [bool(place & 1) != bool(first_received) for place, length in enumerate(runs) for _ in range(length)]
        cuts = sorted({0, total, *(self.dice.randrange(total + 1) for _ in range(self.dice.randrange(8)))})
        intervals = []
        for start, end in zip(cuts, cuts[1:]):
            start = max(0, start - self.dice.choice((0, 0, 3)))
            lengths = [1]
            for place in range(start + 1, end):
                if states[place] == states[place - 1]:
                    lengths[-1] += 1
                else:
                    lengths.append(1)
            intervals.append((start, states[start], lengths))
        return intervals


class FromTomorrow:
    """What both roles add to an endpoint of the independent peer.  Losses begin behind the handshake, where they cost no seconds."""

    def begin(self, seed, stream):
        self.grease, self.stream, self.got, self.unwanted_id = Tomorrow(seed), stream, bytearray(), None
        self.messages3, self.held, self.captures, self.captured = 0, None, False, []
        plan = self.grease.plan
        self.options.drop = plan.choice((0, 0, 0.01, 0.04))
        self.options.switch = plan.choice((0, 0, 0, plan.randrange(20, 60)))
        self.options.ack_option = plan.random() < 0.5
        if plan.random() < 0.5:
            self.grease.features = self.features = v1.FEATURE_MESSAGES
            self.messages = list(some_messages(seed, plan.randrange(100)))
            self.options.cut = plan.choice((0, 0, 50, 500))

    def deliver(self, data):
        self.got += data

    def complaint(self):
        """Where nothing gets lost nothing has to be sent again, but for what the program then tells as a duplicate, and PINGs have
        their PONGs: who drops what it should skip shows by that, although all arrives in the end."""
        c, g = self.connection, self.grease
        again = c.stats["retransmitted"] - c.duplicates_told
        most = 3 if g.shares["late"] == 0 else 8  # what is told of the last ones does not come any more; a late one may be of an old epoch
        if self.options.drop == 0 and again > most:
            return "nothing to be sent again where nothing is lost; %d segments were that had not come before" % again
        if self.options.drop == 0 and g.shares["ping"] <= 0.1 and g.pings >= 6 and c.stats["pongs"] < g.pings / 2:
            return "PONGs to %d PINGs; came %d" % (g.pings, c.stats["pongs"])
        return None

    def lose(self, datagram):
        return self.connection is not None and self.connection.smoothed is not None and super().lose(datagram)

    def transmit(self, datagram, address, via=None):
        if self.connection is not None and not self.held and self.grease.often("late"):
            self.held = [self.grease.dice.randrange(1, 6), (datagram, address, via)]  # behind so many others
            return
        super().transmit(datagram, address, via)
        if self.held:
            self.held[0] -= 1
            if self.held[0] <= 0:
                super().transmit(*self.held[1])
                self.held = None
        for junk in self.junk(datagram):
            super().transmit(junk, address, via)

    def junk(self, datagram):
        """What is dropped, and changes nothing."""
        dice, often = self.grease.dice, self.grease.often
        c = self.connection
        if often("junk"):
            yield datagram[:8] + v1.NOISE[:7] + bytes([dice.randrange(256)]) + dice.randbytes(dice.randrange(22, 400))
        if c is not None and often("junk"):
            yield c.my_id + v1.RESET + dice.randbytes(22)
        if often("replay"):
            yield datagram
        if often("garbage"):
            yield dice.choice((dice.randbytes(8), datagram[:8])) + dice.randbytes(dice.randrange(1400))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for one in (self.socket, self.other):
            if one is not None:
                one.close()

    def send_surely(self, segment):
        """Without losses, and nothing beside it."""
        self.options.drop, c = 0.0, self.connection
        number, c.next_number = c.next_number, c.next_number + 1
        ad = c.peer_id + number.to_bytes(8, "big")
        self.socket.sendto(ad + c.send_keys.seal(number, ad, segment), c.address)

    def opened(self, end):
        """The segments that have come and open, while nothing is sent any more."""
        c, self.captures, self.options.drop = self.connection, True, 0.0
        self.turn(0 if self.captured else end)
        while self.captured:
            datagram = self.captured.pop(0)
            number = int.from_bytes(datagram[8:16], "big")
            text = c.receive_keys.unseal(number, datagram[:16], datagram[16:], 0.0, 1.0) if datagram[:8] == c.my_id else None
            if text is not None:
                yield v1.Segment(text)

    def take(self, datagram, address, ecn, now):
        if datagram[:8] == self.unwanted_id:
            raise Wrong("no answer to a message 1 with an unknown critical parameter; came %d bytes" % len(datagram))
        if self.captures and self.connection is not None:
            self.captured.append(datagram)
        else:
            super().take(datagram, address, ecn, now)


class Wrong(Exception):
    """What was expected, and what came instead."""


class TomorrowInitiator(FromTomorrow, v1.Initiator):
    def attempt(self, length):
        super().attempt(self.grease.message1 if not self.attempts else length)

    def ask_in_vain(self, parameter):
        """A message 1 with a critical parameter, of a dial of its own: nobody answers it."""
        self.grease.critical[1] = parameter
        attempt = v1.Attempt(self, self.grease.dice.randbytes(16), 1400, None)
        self.unwanted_id = attempt.id
        self.socket.sendto(attempt.message1, self.address)
        del self.grease.critical[1]


class TomorrowResponder(FromTomorrow, v1.Responder):
    def on_message3(self, *arguments):
        self.messages3 += 1
        super().on_message3(*arguments)
