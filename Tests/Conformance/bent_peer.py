# SPDX-License-Identifier: MIT
"""What the cases are made of: a peer that can be bent, and the program under test.  The bent peer does nothing by
itself: the case says which messages and segments are sent, down to each byte, and which it waits for.  Keys, Noise and the reading of
segments are those of the independent peer in Tests/PythonPeer.
"""

import contextlib
import copy
import os
import select
import shlex
import socket
import struct
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "PythonPeer"))
import lrp2p_crypto as crypto  # noqa: E402
import lrp2p_v1 as v1  # noqa: E402
from lrp2p_v1 import ACK, ACK_NOW, CONTROL, FIN, RTO, SYN  # noqa: E402, F401
from lrp2p_v1 import CHALLENGE, CLOSE, PING, PONG, RESPONSE, SWITCH  # noqa: E402, F401
from program import SOON, Failed, Program  # noqa: E402

NONE = 0xFFFFFFFF  # the last in-order number before anything has come
HOST = "127.0.0.1"
ROUND_TRIP = 0.2   # for what must come without a timer, with what a busy machine adds
QUIET = 0.15       # how long nothing may come where no later answer proves that nothing was sent


# --- Handshake messages as lists of parameters: (type, value) in the order of the wire


def standard(message, receive_id, token=bytes(range(16)), window=256, largest=1400):
    """What an honest peer says of itself."""
    pairs = [(v1.P_ID, receive_id), (v1.P_VERSIONS, b"\1"), (v1.P_LARGEST, struct.pack(">H", largest)),
             (v1.P_WINDOW, struct.pack(">I", window))]
    if message < 3:
        pairs.append((v1.P_AEADS, b"\1"))
    if message == 1:
        pairs.append((v1.P_TOKEN, token))
    else:
        pairs += [(v1.P_IDLE, struct.pack(">I", 30000)), (v1.P_DELAY, struct.pack(">I", 25000)), (v1.P_RATIO, struct.pack(">H", 2))]
    return pairs


def changed(pairs, *others):
    """With other values: in place where the type is there, else behind the rest."""
    new = dict(others)
    return [(kind, new.pop(kind, value)) for kind, value in pairs] + list(new.items())


def without(pairs, kind):
    return [pair for pair in pairs if pair[0] != kind]


def written(pairs, pad_to=None):
    """The payload; with padding (parameter 8) to `pad_to` bytes, if that needs any."""
    out = v1.MAGIC + b"".join(v1.parameter(*pair) for pair in pairs)
    return out if pad_to is None or len(out) + 4 > pad_to else out + v1.parameter(v1.P_PADDING, bytes(pad_to - len(out) - 4))


def read(payload, what):
    """The program's own parameters as a list of pairs."""
    if payload[:4] != v1.MAGIC:
        raise Failed("%s begins with the magic; came %s" % (what, payload[:8].hex()))
    at, pairs = 4, []
    while at < len(payload):
        kind, length = struct.unpack_from(">HH", payload.ljust(at + 4, b"\xff"), at)
        if at + 4 + length > len(payload):
            raise Failed("%s is a list of parameters; the last is cut off" % what)
        if kind in dict(pairs) and kind in v1.KNOWN and kind != v1.P_PADDING:
            raise Failed("%s has each parameter once; %d comes twice" % (what, kind))
        pairs.append((kind, payload[at + 4:at + 4 + length]))
        at += 4 + length
    return pairs


class Opening:
    """One message 1 of ours, or one message 2: the state of its handshake.  `told` are the parameters of the other side."""

    def __init__(self, noise, own_id, peer_id=None, told=None):
        self.noise, self.own_id, self.peer_id, self.told, self.datagram = noise, own_id, peer_id, told, b""


# --- Segments


def option(kind, value=b""):
    return bytes([kind, len(value)]) + value


def data(sequence, payload=b"", flags=0, options=b""):
    return v1.data_segment(flags, sequence, options, payload)


def control(kind, token=0, body=b"", flags=0, options=b""):
    return v1.control_segment(kind, token, body, flags, options)


def piece(sequence, offset, total, payload, flags=0):
    return data(sequence, payload, flags, option(3, struct.pack(">HH", offset, total)))


def numbers(*values):
    """Varints, each as short as it may be."""
    return b"".join(map(v1.varint, values))


def block(largest=0, *intervals, behind=b"", delay=0, duplicates=None, ecn=None, packets=None):
    """An ACK block; each interval is its start, whether its first run is of received numbers, and the lengths of the runs.  What is
    None is not told; `packets` are the lengths of runs of packet numbers."""
    contents = len(intervals) * 8 + (duplicates is not None) + 2 * (ecn is not None) + 4 * (packets is not None)
    out = numbers(largest, delay, contents, *([] if duplicates is None else [duplicates]), *(ecn or []))
    for start, is_received, *runs in intervals:
        out += numbers(start, len(runs) * 2 + is_received, *runs)
    return out + numbers(*(packets or [])) + behind


def ack_value(last, window, ack_block):
    """The value of option 2."""
    return struct.pack(">I", last & NONE) + window.to_bytes(3, "big") + ack_block


def ack(last, window=256, ack_block=None, flags=0, options=b""):
    fields = ack_value(last, window, b"")
    return bytes([9 + len(options), ACK | flags]) + fields + options + (block() if ack_block is None else ack_block)


# --- The peer


NAMES = {PING: "PING", PONG: "PONG", CHALLENGE: "CHALLENGE", RESPONSE: "RESPONSE", CLOSE: "CLOSE", SWITCH: "SWITCH"}


class Event:
    """A datagram that came to one of our ports.  `what` is data, ACK, CONTROL or a name of one; message 1; kind N; or unopened."""

    def __init__(self, datagram, port, source):
        self.datagram, self.port, self.source, self.segment, self.what = datagram, port, source, None, "unopened"
        self.time = time.monotonic()
        self.id, self.number = datagram[:8], int.from_bytes(datagram[8:16], "big")

    def opened(self, text, has_messages):
        try:
            self.segment = v1.Segment(text, has_messages)
        except (v1.Malformed, v1.Critical) as reason:
            self.what = "bad segment (%s)" % reason
            return
        s = self.segment
        self.what = NAMES.get(s.kind, "CONTROL") if s.is_control else "ACK" if s.is_ack else "data"

    @property
    def code(self):
        return int.from_bytes(self.segment.payload[:4], "big")

    @property
    def reason(self):
        return self.segment.payload[4:].decode(errors="replace")

    def __str__(self):
        s, more = self.segment, ""
        if s is None:
            more = "%d bytes under %s" % (len(self.datagram), self.id.hex())
        elif self.what == "CLOSE":
            more = "0x%08X %r" % (self.code, self.reason)
        elif s.is_control:
            more = "%s%d" % ("0x%04x " % s.kind if self.what == "CONTROL" else "", s.token)
        elif not s.is_ack:
            more = "%d (%d bytes%s)" % (s.sequence, len(s.payload), ", FIN" if s.flags & FIN else "")
        if s is not None and s.ack is not None:
            more += " [last %d, largest %d]" % ((s.ack.last + 1 & NONE) - 1, s.ack.largest)
        return ("%s %s" % (self.what, more)).strip() + (" at port %d" % self.port if self.port else "")


class Bent:
    def __init__(self, patience):
        self.patience, self.ports, self.identity = patience, [], crypto.keypair()
        self.open_port()
        self.target = None          # the program's address
        self.inbox = []             # what came and was not taken by an `expect`
        self.own_id = self.peer_id = None
        self.next_number, self.next_token = 0, 100
        self.sealing, self.opening = [], None
        self.has_messages = False   # feature 0 is in force
        self.sent = {}              # port -> bytes

    def open_port(self):
        """A further port of ours, by its index; the first is 0."""
        one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 21)
        one.bind((HOST, 0))
        one.setblocking(False)
        self.ports.append(one)
        return len(self.ports) - 1

    @property
    def port(self):
        return self.ports[0].getsockname()[1]

    def close(self):
        for one in self.ports:
            one.close()

    # Datagrams

    def send(self, datagram, port=0):
        self.sent[port] = self.sent.get(port, 0) + len(datagram)
        with contextlib.suppress(ConnectionRefusedError):  # the program has ended: what is expected then says so
            self.ports[port].sendto(datagram, self.target)

    def _pump(self, deadline):
        """Takes in what is there, or the first that comes by `deadline`.  Whether anything came."""
        ready = select.select(self.ports, [], [], max(0.0, deadline - time.monotonic()))[0]
        for one in ready:
            while True:
                try:
                    datagram, source = one.recvfrom(65535)
                except BlockingIOError:
                    break
                except OSError:
                    continue
                self.inbox.append(self._classify(Event(datagram, self.ports.index(one), source)))
        return bool(ready)

    def _classify(self, event):
        if event.datagram[8:15] == v1.NOISE[:7]:
            event.what = "kind %d" % event.datagram[15]
        elif v1.Responder.is_message1(event.datagram):
            event.what = "message 1"
        elif self.opening is not None and event.id == self.own_id and len(event.datagram) >= 38:
            text = self.opening.unseal(event.number, event.datagram[:16], event.datagram[16:], event.time, 1.0)
            if text is not None:
                event.opened(text, self.has_messages)
        return event

    def expect(self, what, timeout=SOON, where=None, say=None):
        """The first that came and was not taken yet, of this kind; `where` may ask for more of it."""
        deadline = time.monotonic() + timeout * self.patience
        fits = lambda e: e.what == what and (where is None or where(e))
        seen = 0
        while True:
            for event in self.inbox[seen:]:
                if fits(event):
                    self.inbox.remove(event)
                    return event
            seen = len(self.inbox)
            if not self._pump(deadline) and time.monotonic() >= deadline:
                raise Failed("%s; came %s" % (say or what, self.came()))

    def take(self, what, where=None):
        """All of this kind that are there by now."""
        self._pump(0)
        found = [e for e in self.inbox if e.what == what and (where is None or where(e))]
        self.inbox = [e for e in self.inbox if e not in found]
        return found

    def came(self):
        return ", ".join(map(str, self.inbox[-6:])) or "nothing"

    def forget(self):
        """What came until now interests nobody."""
        self._pump(0)
        self.inbox.clear()

    def expect_nothing(self, say="nothing", during=QUIET, where=None):
        """For where no later answer can prove that nothing was sent."""
        deadline = time.monotonic() + during * self.patience
        while time.monotonic() < deadline:
            self._pump(deadline)
            if any(where is None or where(e) for e in self.inbox):
                raise Failed("%s; came %s" % (say, self.came()))

    # The handshake

    def attempt(self, pairs=None, own_id=None, length=1400, parameter_id=None):
        """A new message 1, which the case sends: `pairs` may be a function of the standard ones."""
        opening = Opening(crypto.NoiseXX(True, self.identity), own_id or v1.new_id())
        listed = standard(1, parameter_id or opening.own_id)
        listed = listed if pairs is None else pairs(listed)
        opening.datagram = opening.own_id + opening.noise.write(1, written(listed, length - 40))
        return opening

    def expect_message2(self, opening, timeout=SOON, port=0):
        event = self.expect("kind 1", timeout, lambda e: e.id == opening.own_id and e.port == port, "message 2")
        try:
            opening.noise, opening.told = self._read(2, opening.noise, event)
        except crypto.Failed as reason:
            raise Failed("a message 2 that can be read; %s" % reason)
        opening.peer_id = dict(opening.told).get(v1.P_ID, b"")
        if len(opening.peer_id) != 8 or opening.peer_id == bytes(8):
            raise Failed("message 2 tells an id; came %s" % opening.peer_id.hex())
        return event

    def message3(self, opening, pairs=None, pad_to=None, kind=1):
        """The datagram, which the case sends.  From here on there are keys."""
        listed = standard(3, opening.own_id)
        listed = listed if pairs is None else pairs(listed)
        noise = copy.copy(opening.noise)
        # 16 of header, 48 of the key, 16 of the tag
        message = noise.write(3, written(listed, pad_to and pad_to - 80))
        self.begin(noise, True, opening.own_id, opening.peer_id)
        return opening.peer_id + v1.NOISE[:7] + bytes([kind]) + message

    def expect_message1(self, timeout=5.0, where=None):
        event = self.expect("message 1", timeout, where)
        self.target = event.source
        return event

    def message2(self, message1, pairs=None, own_id=None, parameter_id=None):
        """An answer to an event that is message 1; its datagram, which the case sends, goes under the initiator's id."""
        opening = Opening(crypto.NoiseXX(False, self.identity), own_id or v1.new_id(), message1.id)
        opening.told = read(opening.noise.read(1, message1.datagram[8:]), "message 1")
        listed = standard(2, opening.own_id if parameter_id is None else parameter_id)
        listed = listed if pairs is None else pairs(listed)
        opening.datagram = message1.id + v1.NOISE + opening.noise.write(2, written(listed))
        return opening

    def expect_message3(self, opening, timeout=SOON, say="message 3"):
        event = self.expect("kind 1", timeout, lambda e: e.id == opening.own_id, say)
        noise, opening.told3 = self._read(3, opening.noise, event)
        self.begin(noise, False, opening.own_id, opening.peer_id)
        for other in self.inbox:  # data comes right behind message 3
            if other.segment is None:
                self._classify(other)
        return event

    def _read(self, message, noise, event):
        noise = copy.copy(noise)
        try:
            payload = noise.read(message, event.datagram[16:])
        except crypto.Failed as reason:
            raise Failed("a message %d that can be read; %s" % (message, reason))
        return noise, read(payload, "message %d" % message)

    def begin(self, noise, is_initiator, own_id, peer_id):
        self.own_id, self.peer_id = own_id, peer_id
        keys = [v1.first_key(key, direction, noise.h) for direction, key in enumerate(noise.split())]
        self.sealing, self.opening = [bytes(keys[not is_initiator])], v1.ReceiveKeys(keys[is_initiator])

    # The connection

    def sealed(self, segment, number=None, key_epoch=None):
        """The datagram; the number is the next, or the one given, under the key of its epoch, or of the one given."""
        if number is None:
            number = self.next_number
        self.next_number = max(self.next_number, number + 1)
        epoch = number >> v1.EPOCH_BITS if key_epoch is None else key_epoch
        while len(self.sealing) <= epoch:
            self.sealing.append(bytes(v1.next_key(bytearray(self.sealing[-1]))))
        ad = self.peer_id + number.to_bytes(8, "big")
        return ad + crypto.seal(self.sealing[epoch], number, ad, segment)

    def say(self, segment, number=None, port=0):
        """Sends a segment; its packet number."""
        datagram = self.sealed(segment, number)
        self.send(datagram, port)
        return int.from_bytes(datagram[8:16], "big")

    def expect_ack(self, where, say, timeout=SOON):
        """What an ACK tells, alone or as option 2."""
        deadline = time.monotonic() + timeout * self.patience
        while True:
            for event in self.inbox:
                if event.segment is not None and event.segment.ack is not None and where(event.segment.ack):
                    self.inbox.remove(event)
                    return event.segment.ack
            if not self._pump(deadline) and time.monotonic() >= deadline:
                raise Failed("%s; came %s" % (say, self.came()))

    def expect_acknowledged(self, number, what="the segment", timeout=SOON):
        """An ACK that has this packet number as the largest: the segment counts as received."""
        return self.expect_ack(lambda a: a.largest == number, "an ACK of packet %d, %s" % (number, what), timeout)

    def expect_close(self, code, reason="", timeout=ROUND_TRIP):
        """Where `reason` is empty there shall be none, else it shall name what it says."""
        say = "CLOSE 0x%08X %r" % (code, reason)
        event = self.expect("CLOSE", timeout, say=say)
        if event.code != code or (reason not in event.reason if reason else event.reason):
            raise Failed("%s; came %s" % (say, event))
        return event

    def ask(self, number=None, port=0):
        """A PING that the program has to answer with PONG and ACK at once: what it tells then.  All that was sent before has been
        seen by now, and what came of it has been sent."""
        self.next_token += 1
        number = self.say(control(PING, self.next_token, flags=ACK_NOW), number, port)
        self.expect("PONG", where=lambda e: e.segment.token == self.next_token, say="the connection goes on: a PONG %d" % self.next_token)
        return self.expect_ack(lambda a: a.largest >= number, "the connection goes on: an ACK of the PING")

    def settle(self):
        """Two questions, one after the other: whatever the program owed before the first it has sent before the second's answer."""
        self.ask()
        return self.ask()

    def expect_refused(self, segment, what, port=0):
        """A malformed segment: no ACK ever speaks of it, and the connection goes on.  It goes under a higher number than the question
        behind it, so that the ACK's largest number tells whether it counted."""
        low = self.next_number
        high = self.say(segment, low + 50, port)
        told = self.ask(low)
        if told.largest == high:
            raise Failed("%s is dropped; it was acknowledged" % what)
        return told


class Trial:
    """What one run of a case has started.  `options` of the program are pairs of a name (of --NAME-option) and a value."""

    def __init__(self, commands, role, patience):
        self.commands, self.role, self.patience = commands, role, patience
        self.programs, self.peers, self.files = [], [], []

    def peer(self):
        self.peers.append(Bent(self.patience))
        return self.peers[-1]

    def start(self, role, options=(), **places):
        more = [word.format(**{name: value}) for name, value in options for word in shlex.split(self.commands[name])]
        program = Program(self.commands[role], self.patience, more, host=HOST, **places)
        self.programs.append(program)
        return program

    def identity(self):
        """A file with a new one, as `lrp2p keygen --out` writes it."""
        number, path = tempfile.mkstemp()  # readable by its owner only
        self.files.append(path)
        with os.fdopen(number, "w") as file:
            file.write("lrp2p-identity-v1 %s\n" % os.urandom(32).hex())
        return path

    def listener(self, options=(), port=0):
        """A peer and the program, which listens for it."""
        bent = self.peer()
        bent.program = self.start("listen", options, port=port, key=bent.identity[1].hex())
        bent.target = (HOST, bent.program.port())
        return bent

    def dialler(self, options=()):
        """A peer and the program, which dials it, and its first message 1."""
        bent = self.peer()
        bent.program = self.start("dial", options, port=bent.port, key=bent.identity[1].hex())
        return bent, bent.expect_message1()

    def connect(self, pairs=None, window=256, pause=0.0, options=()):
        """A connection that is up, in the role of this run.  `pairs` bends our last message: 3 of an initiator, 2 of a responder;
        `window` is that of our first ACK, and `pause` what is added to the round trip of the handshake."""
        if self.role == "listen":
            bent = self.listener(options)
            opening = bent.attempt()
            bent.send(opening.datagram)
            bent.expect_message2(opening)
            time.sleep(pause)
            bent.send(bent.message3(opening, pairs))
            bent.expect_ack(lambda a: True, "message 3 is answered with a sealed ACK")
            bent.told = dict(opening.told)
        else:
            bent, message1 = self.dialler(options)
            opening = bent.message2(message1, pairs)
            time.sleep(pause)
            bent.send(opening.datagram)
            bent.expect_message3(opening)
            bent.say(ack(NONE, window))
            bent.told = dict(opening.told3)
        bent.opening_told = opening.told
        bent.ask()
        bent.forget()
        return bent

    def finish(self):
        """Ends what was started, and nothing else.  Returns what programs died of."""
        died = [program.stop() for program in self.programs]
        for bent in self.peers:
            bent.close()
        for path in self.files:
            os.unlink(path)
        return [reason for reason in died if reason is not None]
