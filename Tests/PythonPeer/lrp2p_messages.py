# SPDX-License-Identifier: MIT
"""LRP2P version 1: messages (section 4.8 of docs/protocol.md)."""

import hashlib
import random

from lrp2p_segments import Malformed, Violation, read_varint, varint

WHOLE, FRAGMENT, SKIP, PADDING = range(4)  # kinds of frames
ORDERED, LAST = 16, 128                    # bits of the head
NUMBERS = 1 << 30                          # numbers count modulo this
FARTHEST = 1 << 24                         # how early a number may be
LONGEST = 1 << 20                          # the longest message that we take, which needs no parameter 21


def distance(number, expected):
    """How early `number` is; below 0 where it has passed."""
    return (number - expected + NUMBERS // 2) % NUMBERS - NUMBERS // 2


class Frame:
    """`lane` is the pair of the lane's number and whether it is ordered."""

    def __init__(self, kind, lane, number=None, data=b"", total=None, offset=0):
        self.kind, self.lane, self.number, self.data, self.total, self.offset = kind, lane, number, data, total, offset

    def write(self, is_last, number=varint):
        fields = [] if self.kind == WHOLE and not self.lane[1] else [self.number]
        if self.kind == FRAGMENT:
            fields += [self.total, self.offset]
        ends = is_last and self.kind != SKIP
        if self.kind != SKIP and not ends:
            fields.append(len(self.data))
        head = self.lane[0] | (ORDERED if self.lane[1] else 0) | self.kind << 5 | (LAST if ends else 0)
        return bytes([head]) + b"".join(map(number, fields)) + self.data


def payload_of(frames):
    return b"".join(frame.write(frame is frames[-1]) for frame in frames)


def frames_in(payload):
    """Of a whole segment; the padding is left out."""
    at, frames = 0, []

    def number():
        nonlocal at
        value, at = read_varint(payload, at)
        return value

    while at < len(payload):
        head, at = payload[at], at + 1
        frame = Frame(head >> 5 & 3, (head & 15, bool(head & ORDERED)))
        if frame.kind == PADDING:
            break
        if frame.kind != WHOLE or frame.lane[1]:
            frame.number = number()
            if frame.number >= NUMBERS:
                raise Malformed("number of a message")
        if frame.kind == FRAGMENT:
            frame.total, frame.offset = number(), number()
        if frame.kind != SKIP:
            length = len(payload) - at if head & LAST else number()
            frame.data = payload[at:at + length]
            at += length
            if len(frame.data) != length or (frame.kind == FRAGMENT and (not length or frame.offset + length > frame.total)):
                raise Malformed("frame")
        frames.append(frame)
    return frames


# --- Receiving


class Intake:
    """What has come of messages, and waits for others of its lane or for the rest of itself.  `deliver` is called with lane and bytes."""

    def __init__(self, deliver):
        self.deliver = deliver
        self.expected = {}  # ordered lane -> number
        self.early = {}     # ordered lane -> number -> message, or None where it was skipped
        self.parts = {}     # lane, number -> [total, bytes that have come, offset -> bytes]

    def take(self, payload, is_next):
        """A segment of messages that is new and whole; `is_next` if all before it have come."""
        try:
            frames = frames_in(payload)
        except Malformed as reason:
            raise Violation("malformed %s" % reason)
        for frame in frames:
            if (len(frame.data) if frame.kind == WHOLE else frame.total or 0) > LONGEST:
                raise Violation("longer than we take")
            if frame.lane[1]:
                self.take_ordered(frame, is_next)
            else:
                self.take_other(frame)

    def take_ordered(self, frame, is_next):
        lane, expected = frame.lane, self.expected.setdefault(frame.lane, 0)
        ahead, early = distance(frame.number, expected), self.early.setdefault(frame.lane, {})
        if ahead < 0 or frame.number in early:
            return
        if ahead > FARTHEST or (is_next and ahead):
            raise Violation("message %d where %d is expected" % (frame.number, expected))
        if frame.kind == SKIP:
            self.parts.pop((lane, frame.number), None)
            early[frame.number] = None
        else:
            message = frame.data if frame.kind == WHOLE else self.whole(frame)
            if message is None:
                return
            early[frame.number] = message
        while self.expected[lane] in early:
            message = early.pop(self.expected[lane])
            self.expected[lane] = (self.expected[lane] + 1) % NUMBERS
            if message is not None:
                self.deliver(lane, message)

    def take_other(self, frame):
        if frame.kind == SKIP:
            self.parts.pop((frame.lane, frame.number), None)
        else:
            message = frame.data if frame.kind == WHOLE else self.whole(frame)
            if message is not None:
                self.deliver(frame.lane, message)

    def whole(self, frame):
        """The message that a fragment makes whole; None if it does not."""
        part = self.parts.setdefault((frame.lane, frame.number), [frame.total, 0, {}])
        part[1] += len(frame.data)
        if part[0] != frame.total or part[1] > frame.total:
            raise Violation("fragments that disagree")
        part[2][frame.offset] = frame.data
        if part[1] < frame.total:
            return None
        del self.parts[frame.lane, frame.number]
        message = b"".join(data for _, data in sorted(part[2].items()))
        return message if len(message) == part[0] else None  # fragments that overlap are of no honest peer


# --- Sending


class Message:
    def __init__(self, lane, data, is_reliable=True):
        self.lane, self.data, self.is_reliable = lane, data, is_reliable
        self.number = None
        self.at = 0                # how much of it has left
        self.under_way = set()     # sequence numbers of segments with fragments of it
        self.given_up = self.is_done = False

    def __len__(self):
        return len(self.data)


class Outbox:
    """Messages on their way out.  (own choice)  One queue for all lanes, so that one message in fragments is under way at a time."""

    def __init__(self, longest, cut=0):
        self.longest = longest     # that the peer takes
        self.cut = cut             # the longest part that is sent of a message; 0 is as much as there is room for
        self.queue, self.numbers = [], {}
        self.counts = dict.fromkeys(("messages", "fragments", "skips", "given up"), 0)

    def put(self, message):
        assert len(message) <= self.longest, "the peer does not take such a long message"
        self.queue.append(message)

    def __bool__(self):
        return bool(self.queue)

    def number(self, lane):
        self.numbers[lane] = self.numbers.get(lane, -1) + 1
        return self.numbers[lane] % NUMBERS

    def frames(self, room, sequence):
        """What fits a new segment, as pairs of frames and their messages."""
        out, parts = [], set()
        while self.queue and room >= 32:
            message = self.queue[0]
            if message in parts:  # of one message a segment has one fragment
                break
            if message.given_up:
                self.queue.pop(0)
                frame = self.skip(message)
            else:
                frame = self.next_frame(message, room)
                if frame.kind == FRAGMENT:
                    parts.add(message)
                    message.under_way.add(sequence)
            room -= len(frame.write(False))
            out.append((frame, message))
        return out

    def next_frame(self, message, room):
        most = min(self.cut or room, room)
        if message.lane[1] and message.number is None:
            message.number = self.number(message.lane)
        if message.at == 0 and len(message) + 16 <= most:
            self.queue.pop(0)
            self.counts["messages"] += 1
            return Frame(WHOLE, message.lane, message.number, message.data)
        if message.number is None:
            message.number = self.number(message.lane)
        data = message.data[message.at:message.at + max(most - 20, 1)]
        frame = Frame(FRAGMENT, message.lane, message.number, data, len(message), message.at)
        message.at += len(data)
        self.counts["fragments"] += 1
        if message.at == len(message):
            self.queue.pop(0)
        return frame

    def skip(self, message):
        self.counts["skips"] += 1
        return Frame(SKIP, message.lane, message.number)

    def give_up(self, message):
        if not message.given_up:
            message.given_up = True
            self.counts["given up"] += 1
            if message in self.queue and not message.lane[1]:  # of an ordered lane a skip takes the place of the rest
                self.queue.remove(message)

    def again(self, pairs):
        """What is sent of a segment that was lost: no message that is sent once only; in an ordered lane a skip instead."""
        out = []
        for frame, message in pairs:
            if frame.kind != SKIP and not message.is_reliable:
                self.give_up(message)
            if frame.kind == SKIP or not message.given_up:
                out.append((frame, message))
            elif message.lane[1]:
                out.append((self.skip(message), message))
        return out

    def acknowledged(self, sequence, messages):
        """A segment is acknowledged in which these had frames at first."""
        for message in messages:
            message.under_way.discard(sequence)
            if message.given_up and not message.lane[1] and message.at and not message.under_way and not message.is_done:
                message.is_done = True
                self.queue.append(message)  # for its skip, which no fragment can come after


# --- For tests: messages that their receiver can judge


def some_messages(seed, count):
    """Messages in four lanes, each with lane, place in its lane and a digest of the rest in front."""
    dice, places = random.Random(seed ^ 0x3E55A6E5), {}
    for _ in range(count):
        lane = dice.choice(((0, True), (1, False), (2, True), (15, False)))
        places[lane] = places.get(lane, -1) + 1
        text = b"%d %d " % (lane[0], places[lane]) + dice.randbytes(dice.choice((0, dice.randrange(200), dice.randrange(6000))))
        yield Message(lane, hashlib.sha256(text).digest() + text, dice.random() < 0.8)


class Judge:
    """What has come of them."""

    def __init__(self):
        self.seen, self.newest, self.wrong = set(), {}, []

    def take(self, lane, data):
        head = data[32:].split(b" ")
        if len(data) < 36 or hashlib.sha256(data[32:]).digest() != data[:32] or int(head[0]) != lane[0]:
            return self.wrong.append("a message that was not sent so")
        place = int(head[1])
        if (lane, place) in self.seen or (lane[1] and place <= self.newest.get(lane, -1)):
            self.wrong.append("message %d of lane %d, twice or behind a later one" % (place, lane[0]))
        self.seen.add((lane, place))
        self.newest[lane] = place

    def missing(self, messages):
        """How many of these have to have come, and have not."""
        places, count = {}, 0
        for message in messages:
            places[message.lane] = places.get(message.lane, -1) + 1
            count += message.is_reliable and (message.lane, places[message.lane]) not in self.seen
        return count
