# SPDX-License-Identifier: MIT
"""LRP2P version 1: a connection that has its keys (sections 1, 4, 5 and 7 of docs/protocol.md)."""

import hashlib
import hmac
import itertools
import struct

from lrp2p_handshake import (ACK_DELAY, EPOCH_BITS, FEATURE_MESSAGES, IDLE, LARGEST, P_DELAY, P_FEATURES, P_ID, P_IDLE, P_LARGEST, P_MESSAGE,
                             P_RATIO, P_RESET, P_WINDOW, SMALLEST, WINDOW, ReceiveKeys, SendKeys, first_key)
from lrp2p_messages import LONGEST, Intake, Outbox, payload_of
from lrp2p_path import Path
from lrp2p_segments import (ACK, ACK_NOW, CHALLENGE, CLOSE, CONTROL, FIN, HOLD, MESSAGES, OVERHEAD, PING, PONG, RESPONSE, RTO, SWITCH, SYN,
                            UNKNOWN_CRITICAL, VIOLATION, Critical, Malformed, Segment, Violation, control_segment, data_segment, unwrap)

KEEP_ALIVE = 20.0
REPLAY_BITS = 8192        # larger than 1024 from the start, so that it never needs to grow (section 1)


class Outgoing:
    """A data segment that was sent and is not acknowledged.  It keeps its sequence number and its bytes (section 6.2); of messages, which
    come as pairs of frames and messages, it may have fewer when it is sent again, but not once it has been sent in pieces (section 4.8)."""
    __slots__ = ("sequence", "flags", "payload", "number", "when", "size", "lost", "refused", "sends", "pairs", "messages", "in_pieces")

    def __init__(self, sequence, flags, payload, pairs=None):
        self.sequence, self.flags, self.payload = sequence, flags, payload
        self.pairs, self.messages, self.in_pieces = pairs, [message for _, message in pairs or ()], False
        self.number = self.when = None
        self.size, self.lost, self.refused, self.sends = 0, False, False, 0


class Connection(Path):
    def __init__(self, endpoint, initiator, noise, my_id, parameters, address, now, message3=None):
        self.endpoint, self.initiator, self.options, self.grease = endpoint, initiator, endpoint.options, endpoint.grease
        self.my_id, self.peer_id, self.address = my_id, parameters[P_ID], address
        self.peer_token = parameters.get(P_RESET)
        keys = [first_key(key, direction, noise.h) for direction, key in enumerate(noise.split())]
        self.send_keys, self.receive_keys = SendKeys(keys[not initiator]), ReceiveKeys(keys[initiator])
        number = lambda kind, default: int.from_bytes(parameters[kind], "big") if kind in parameters else default
        # The peer's parameters; defaults for absent ones are an own choice
        self.peer_delay = min(number(P_DELAY, 25000) / 1e6, 1.0)
        self.peer_ratio = max(number(P_RATIO, 2), 1)
        idle = number(P_IDLE, 0) / 1000
        self.idle = min(idle, IDLE) if idle else IDLE  # 0 is none
        self.keep_alive = min(KEEP_ALIVE, self.idle / 2)
        self.base_size = min(LARGEST, number(P_LARGEST, 1400))
        self.edge = min(number(P_WINDOW, 0), 0xFFFFFF) - 1      # the highest sequence number that the peer allows
        features = parameters.get(P_FEATURES, b"")[:1]
        self.has_messages = bool(features and endpoint.features & features[0] & FEATURE_MESSAGES)  # in force
        self.outbox, self.intake = Outbox(number(P_MESSAGE, LONGEST), self.options.cut), Intake(endpoint.deliver_message)
        if self.has_messages:
            for message in endpoint.messages:
                self.outbox.put(message)
        # Sending
        self.held = self.messages_next = False
        self.stream_at = 0
        self.next_number, self.next_sequence = self.options.start_number, 0
        self.outstanding, self.acknowledged, self.fin_sent = {}, -1, False
        self.sent_at = {}                                       # ack-eliciting packet number -> time, for RTT samples
        self.largest_acked, self.duplicates_told = -1, 0
        self.pings = False                                      # a PING is under way that only an ACK answers
        self.suspects = {}                                      # sequence -> (packet number, time at which it is lost)
        self.last_eliciting = self.last_sent = now
        self.reset_path()
        # Receiving
        self.in_order, self.highest, self.early, self.partial, self.peer_fin = -1, -1, {}, {}, None
        self.received, self.received_bytes = hashlib.sha256(), 0
        self.seen, self.seen_top = 0, -1                        # bit i of `seen` is packet number seen_top - i
        self.largest, self.largest_at = 0, now                  # of ack-eliciting datagrams (section 4.3)
        self.counts = [0, 0, 0, 0]                              # duplicates, ECT(0), ECT(1), CE
        self.eliciting_count = self.eliciting_waiting = 0
        self.ack_at = None if initiator else now                # the responder answers message 3 with an ACK
        self.last_heard = now
        self.failed_authentications = 0
        # Handshake, path, end
        self.message3, self.started, self.confirmed = message3, now, not initiator
        self.validation, self.validation_allowed_at = None, 0.0
        self.switched_at = self.switch = self.candidate = None
        self.candidate_floor = self.switch_floor = 0            # a SWITCH with a lower packet number was overtaken
        self.state, self.over_at, self.forget_at = "open", None, None
        self.close_datagram, self.heard_since_close, self.repeat_close_at = None, 0, 1
        self.error = None
        self.stats = dict.fromkeys(("sent", "received", "retransmitted", "pieces sent", "pieces received", "probes", "acks", "malformed",
                                    "refused", "replayed", "challenges answered", "moves", "switches", "option acks", "dropped", "lost by number", "numbers told", "pongs"), 0)

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

    def transmit(self, segment, now, eliciting=True, address=None, via=None):
        """Seals a segment under a fresh packet number and sends it, by another of our sockets if `via` says so.  The number is spent
        in any case."""
        number = self.next_number
        self.next_number = self.grease.next_number(number)
        if self.options.epoch_every and self.next_number % (1 << EPOCH_BITS) >= self.options.epoch_every:
            self.next_number = ((self.next_number >> EPOCH_BITS) + 1) << EPOCH_BITS  # for tests: numbers MAY be skipped
        ad = self.peer_id + number.to_bytes(8, "big")
        datagram = ad + self.send_keys.seal(number, ad, segment)
        self.stats["sent"] += 1
        self.last_sent = now
        if eliciting:
            self.sent_at[number] = self.last_eliciting = now
        self.endpoint.transmit(datagram, address or self.address, via)
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
        self.confirmed = True  # (section 2.7)
        self.stats["received"] += 1
        if ecn:
            self.counts[{2: 1, 1: 2, 3: 3}[ecn]] += 1
        try:
            segment = Segment(text, self.has_messages)
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
            self.check_address(address, number, newest and segment.kind != SWITCH, len(datagram), now)
            at_once = bool(segment.flags & ACK_NOW) or ecn == 3
            if segment.is_control:
                self.on_control(segment, address, number, len(datagram), now)
            elif not segment.is_ack:
                at_once |= self.on_data(segment, now)
            if segment.ack is not None and self.state in ("open", "finished"):  # behind what the segment carries
                self.stats["option acks"] += not segment.is_ack
                self.on_ack(segment.ack, now, segment.is_ack and bool(segment.flags & HOLD))
            if segment.eliciting and self.state in ("open", "finished"):
                self.acknowledge(number, at_once, now)
        except Violation as reason:
            self.endpoint.log("violation: %s" % reason)
            self.close(VIOLATION, "", now)

    # Receiving and acknowledging (section 5)

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
            self.ack_at = self.grease.delayed(self.ack_at, now + ACK_DELAY)

    def ack_fields(self, now):
        """last in-order number 4, window 3, ACK block.  WINDOW is 256, so one interval describes everything in 256 runs at most."""
        runs, first, n, known = [], 0, self.in_order + 1, self.early
        while n <= self.highest:
            start, state = n, n in known
            while n <= self.highest and (n in known) == state:
                n += 1
            runs.append(n - start)
        packets = self.packet_runs()
        self.stats["numbers told"] += bool(packets)
        block = self.grease.ack_block(self.largest, int((now - self.largest_at) * 1e6), self.counts, runs, first, packets)
        return struct.pack(">I", self.in_order & 0xFFFFFFFF) + WINDOW.to_bytes(3, "big") + block

    def packet_runs(self):
        """Lengths of runs downward from the largest ack-eliciting packet number, the first of received ones; none if there is no
        gap among the newest 1024 (section 4.3)."""
        if not self.eliciting_count:
            return []
        count = min(1024, self.largest + 1)
        bits = format(self.seen >> self.seen_top - self.largest & ((1 << count) - 1), "0%db" % count)
        return [len(list(run)) for _, run in itertools.groupby(reversed(bits))] if "0" in bits else []

    def acknowledged_now(self):
        self.ack_at, self.eliciting_waiting = None, 0

    def send_ack(self, now):
        fields = self.ack_fields(now)
        self.acknowledged_now()
        self.stats["acks"] += 1
        for _ in range(self.grease.copies()):
            option = self.grease.options(64)
            head = struct.pack(">BB", 9 + len(option), ACK | self.grease.flags(ACK))
            self.transmit(head + fields[:7] + option + fields[7:], now, eliciting=False)

    def answer_message3(self, now):
        """Every one, with a sealed ACK (section 2.7), or with the CLOSE that refuses it."""
        if self.state == "closing":
            self.transmit(self.close_segment, now, eliciting=False)
        else:
            self.send_ack(now)

    def send_control(self, kind, now, token=0, body=b"", flags=0, eliciting=True, address=None, via=None):
        room = 64 if len(body) < 256 else 0
        ack = self.ack_option(now, 240) if eliciting and address is None else b""
        segment = control_segment(kind, self.grease.token(kind, token), self.grease.body(kind, body), flags | self.grease.flags(CONTROL),
                                  self.grease.options(room + len(ack), ack))
        self.transmit(segment, now, eliciting, address, via)

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
        if segment.is_messages and segment.flags & FIN:
            raise Violation("FIN on messages")
        if number < 0 or number > self.in_order + WINDOW or not segment.is_sound:
            self.stats["dropped"] += 1  # its packet number is acknowledged, what it carries is not
            return at_once
        if self.state == "finished" and segment.flags & FIN:  # section 7: a repeated FIN extends the wait
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
        if segment.is_messages:
            self.intake.take(data, number == self.in_order + 1)
            data = b""
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
        """Pieces (section 6.2): the whole segment once all of it is there, else None.  One bit for each 64 bytes."""
        self.stats["pieces received"] += 1
        start, total = segment.piece
        kept = self.partial.setdefault(number, [bytearray(total), (1 << (total + 63) // 64) - 1])
        if len(kept[0]) != total:
            self.stats["dropped"] += 1
            return None
        kept[0][start:start + len(segment.payload)] = segment.payload
        kept[1] &= ~(((1 << (len(segment.payload) + 63) // 64) - 1) << start // 64)
        return None if kept[1] else bytes(kept[0])

    def on_control(self, segment, address, number, length, now):
        """(section 4.4)  An unknown kind that is not critical is ignored, and acknowledged like a PING: OBSERVED too, as we name no
        features, and NEW_ID."""
        if not segment.is_sound:
            self.stats["dropped"] += 1
        elif segment.kind == PING and segment.token:
            # Each at once, so that no number of them in a burst is too many
            self.send_control(PONG, now, segment.token, eliciting=False)
        elif segment.kind == PONG:
            self.stats["pongs"] += 1
        elif segment.kind == CHALLENGE:
            self.stats["challenges answered"] += 1
            self.send_control(RESPONSE, now, body=segment.payload[:8], eliciting=False, address=address, via=self.endpoint.came_by)
        elif segment.kind == RESPONSE:
            self.on_response(segment.payload[:8])
        elif segment.kind == SWITCH:
            self.on_switch(segment.payload[:8], address, number, length, now)
        elif segment.kind == CLOSE:
            code = int.from_bytes(segment.payload[:4], "big")
            if self.state == "open":
                self.fail("closed by the peer: %#x %s" % (code, segment.payload[4:].decode(errors="replace")))
            self.state = "gone"

    def on_reset(self, address, token):
        """(section 7.4)  A host that knows us no more; a connection that is over already, or has not begun, ignores it."""
        if self.state != "open" or not self.confirmed or address != self.address or self.peer_token is None or not hmac.compare_digest(token, self.peer_token):
            self.stats["dropped"] += 1
        else:
            self.fail("reset")

    # Being acknowledged: round trip, loss, congestion (section 5)

    def on_ack(self, ack, now, is_held):
        last = unwrap(ack.last, self.acknowledged)
        if last >= self.next_sequence or last < -1 or ack.largest >= max(self.next_number, 1):  # 0 may mean "none"
            raise Violation("ACK of a number never sent")
        received, missing, newest = [], [], last + 1
        for interval in ack.intervals:
            for is_received, start, length in interval:
                start += last + 1
                newest = max(newest, start + length)
                if start + length > self.next_sequence:
                    raise Violation("ACK of a number never sent")
                target = received if is_received else missing
                target += range(max(start, self.acknowledged + 1), min(start + length, self.next_sequence))
        missing += [number for number in self.outstanding if number >= newest]  # above the newest interval
        if ack.packets:  # what is described needs no packet number, and none says that something was received
            described = set(received).union(missing)
            for number, segment in self.outstanding.items():
                if number > last and number not in described and not segment.lost and ack.tells_missing(segment.number):
                    missing.append(number)
                    self.stats["lost by number"] += 1
        received += range(self.acknowledged + 1, last + 1)
        self.acknowledged = max(self.acknowledged, last)
        was_closed, edge, was_held = self.is_closed(), self.edge, self.held
        if ack.largest >= self.largest_acked:
            self.held = is_held
        if ack.largest >= self.largest_acked:  # it moves back only where the largest is newly the highest (section 5.7)
            self.edge = last + ack.window if ack.largest > self.largest_acked else max(edge, last + ack.window)
        if not was_closed or self.edge > edge or (was_held and not is_held):  # of a closed window only its opening ends the doubling
            self.probes = 0
        self.pings, self.duplicates_told = False, max(self.duplicates_told, ack.duplicates)
        # Round trip.  A largest of 0 may mean "none" (section 4.3), so it never gives a sample.
        if ack.largest > max(self.largest_acked, 0) and ack.largest in self.sent_at:
            self.sample(now - self.sent_at[ack.largest], ack.delay / 1e6)
        if ack.largest > self.largest_acked:
            self.largest_acked = ack.largest
            for number, segment in self.outstanding.items():
                if number > self.edge and segment.number <= ack.largest and number not in received:
                    segment.refused, segment.lost = True, False
                    self.suspects.pop(number, None)
            for number in [n for n in self.sent_at if n <= ack.largest]:
                del self.sent_at[number]
        limited = self.in_flight() + 2 * self.size >= self.window
        for number in received:
            segment = self.outstanding.pop(number, None)
            self.suspects.pop(number, None)
            if segment is None:
                continue
            if segment.pairs is not None:
                self.outbox.acknowledged(number, segment.messages)
            if self.needs(segment) > SMALLEST:
                self.too_long_losses = 0
            if limited:  # slow start, then one datagram a round trip (own choice; section 5 has CUBIC with HyStart++)
                self.window += segment.size if self.window < self.threshold else self.size * segment.size / self.window
        # Loss: described as missing, and three packets or 9/8 of a round trip old
        too_long = False
        patience = max(max(self.latest or 1.0, self.smoothed or 1.0) * 9 / 8, 0.001)
        for number in missing:
            segment = self.outstanding.get(number)
            if segment is None or segment.lost or segment.refused or segment.number >= ack.largest or number > last + ack.window:
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
        """(section 6.1)  We never try more than we began with, so there is no search to begin anew."""
        if self.size > SMALLEST:
            self.endpoint.log("the path size falls to %d" % SMALLEST)
        self.size, self.too_long_losses = SMALLEST, 0

    def in_flight(self):
        return sum(s.size for s in self.outstanding.values() if not s.lost and not s.refused)

    # Sending (section 5)

    def send_segment(self, segment, now, flags=0):
        self.grease.between(self, now)
        flags |= segment.flags | (RTO if segment.sends else 0) | self.grease.flags(0)
        if segment.pairs is not None and segment.lost and not segment.in_pieces and self.needs(segment) <= self.size:
            segment.pairs = self.outbox.again(segment.pairs)
            segment.payload = payload_of([frame for frame, _ in segment.pairs])
        segment.sends += 1
        segment.lost = segment.refused = False
        self.suspects.pop(segment.sequence, None)
        if flags & RTO:
            self.stats["retransmitted"] += 1
        if self.needs(segment) <= self.size and not self.grease.splits(segment):
            room = self.size - self.needs(segment)
            option = self.grease.options(room, self.ack_option(now, room))
            segment.number, datagram = self.transmit(data_segment(flags, segment.sequence, option, segment.payload), now)
            segment.size = len(datagram)
        else:  # pieces: offsets are multiples of 64; the number of the last piece is that of the transmission
            segment.in_pieces = True
            step, total, segment.size = self.grease.step((self.size - OVERHEAD - 6) // 64 * 64), len(segment.payload), 0
            for start in self.grease.order(range(0, total, step)):
                option = struct.pack(">BBHH", 3, 4, start, total)
                payload = segment.payload[start:start + step]
                option = self.grease.options(self.size - OVERHEAD - len(payload), option)
                segment.number, datagram = self.transmit(data_segment(flags, segment.sequence, option, payload), now)
                segment.size += len(datagram)
                self.stats["pieces sent"] += 1
        segment.when = now
        self.allowance -= segment.size

    def next_segment(self):
        has_bytes = self.stream_at < len(self.endpoint.stream) and not self.held
        self.messages_next = not self.messages_next  # in turn with the stream (own choice)
        if self.outbox and (self.messages_next or not has_bytes):
            return self.next_messages()
        room = self.size - OVERHEAD - (64 if self.options.ack_option else 8 if self.grease.now() else 0)
        payload = bytes(self.endpoint.stream[self.stream_at:self.stream_at + self.grease.length(room)])
        self.stream_at += len(payload)
        self.fin_sent = self.endpoint.stream_ended and self.stream_at == len(self.endpoint.stream) and not self.outbox
        return self.numbered(FIN if self.fin_sent else 0, payload)

    def next_messages(self):
        room = self.size - OVERHEAD - (64 if self.options.ack_option else 0)
        pairs = self.outbox.frames(self.grease.room(room), self.next_sequence)
        return self.numbered(MESSAGES, self.grease.frames([frame for frame, _ in pairs], room), pairs)

    def numbered(self, flags, payload, pairs=None):
        segment = Outgoing(self.next_sequence, flags | (SYN if self.next_sequence == 0 else 0), payload, pairs)
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
        return not self.fin_sent and (self.endpoint.stream_ended or self.stream_at < len(self.endpoint.stream) or bool(self.outbox))

    def blocked_by_peer(self):
        return self.has_more() and (self.next_sequence > self.edge or (self.held and not self.outbox))

    def is_closed(self):
        """Whether only the window is waited for."""
        return all(s.refused for s in self.outstanding.values()) and (bool(self.outstanding) or self.blocked_by_peer())

    def flush(self, now):
        if self.state != "open":
            if self.state == "finished" and self.ack_at is not None and now >= self.ack_at:
                self.send_ack(now)
            return
        self.pace(now)
        flight, self.want_to_send = self.in_flight(), False
        again = [s for s in self.outstanding.values() if s.lost or (s.refused and s.sequence <= self.edge)]
        for segment in sorted(again, key=lambda s: s.sequence):
            if flight >= self.window or self.allowance <= 0:
                self.want_to_send = flight < self.window
                break
            self.send_segment(segment, now)  # one that is lost ignores the peer's window
            flight += segment.size
        else:
            while self.has_more() and not self.blocked_by_peer() and flight < self.window:
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
        asked = [number for number, segment in self.outstanding.items() if not segment.refused]
        if asked:
            oldest, newest = min(asked), max(asked)
            for number in sorted({oldest, newest}):  # (own choice) one datagram where they are the same
                self.send_segment(self.outstanding[number], now, ACK_NOW)
        else:
            self.ping(now, ACK_NOW)

    def ping(self, now, flags=0):
        self.pings = True
        self.send_control(PING, now, flags=flags)
    # The end (section 7)

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
        self.close_segment = control_segment(CLOSE, 0, struct.pack(">I", code) + reason.encode()[:1000], self.grease.flags(CONTROL))
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
            times += [one.next_at() for one in (self.validation, self.switch) if one is not None]
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
            if self.switch is not None:
                self.repeat_switch(now)
            base = self.probe_base()
            if base is not None and now >= base:
                self.probe(now)
            if now >= self.last_sent + self.keep_alive:
                self.ping(now)
        self.flush(now)
