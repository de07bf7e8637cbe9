# SPDX-License-Identifier: MIT
"""LRP2P version 1: where the peer is, and where we are (sections 6.3 and 6.4 of docs/protocol.md)."""

import os

from lrp2p_handshake import SMALLEST
from lrp2p_segments import CHALLENGE, OVERHEAD, RESPONSE, SWITCH, control_segment

LONGEST_PTO = 3.0  # that counts for the repetitions of CHALLENGE and SWITCH


class Validation:
    """A path validation under way.  With `switch`, the bytes of a SWITCH, the old address is not asked."""

    def __init__(self, new, old, heard, now, pto, switch=None):
        self.new, self.old, self.heard, self.spent, self.switch = new, old, heard, 0, switch
        self.start, self.pto = now, min(pto, LONGEST_PTO)
        self.new_bytes, self.old_bytes = os.urandom(8), os.urandom(8)
        self.new_answered = self.old_answered = False
        self.next, self.asked = now, 0               # repeated one, three, seven ... PTO after the start
        self.end = now + max(7 * self.pto, 1.0)      # when it has failed

    def answered(self, body):
        """Wherever it came from."""
        self.new_answered |= body == self.new_bytes
        self.old_answered |= body == self.old_bytes

    def may_move(self, now):
        return self.new_answered and (self.switch is not None or (not self.old_answered and now >= self.start + self.pto))

    def next_at(self):
        return min(self.next, self.end, self.start + (0 if self.switch else self.pto) if self.new_answered else self.end)


class OwnSwitch:
    """A SWITCH of ours: at the start and one, three and seven PTO later."""

    def __init__(self, now, pto):
        self.bytes, self.pto, self.next, self.asked = os.urandom(8), min(pto, LONGEST_PTO), now, 0

    def next_at(self):
        return self.next


class Path:
    """What a connection does about addresses."""

    def check_address(self, address, number, newest, length, now):
        v = self.validation
        if v is not None and address == v.new:
            v.heard += length
            return
        if not newest or address == self.address or self.state != "open":
            return
        # While one goes on, another address has its turn once the first was asked twice
        if v.asked > 1 if v is not None else now >= self.validation_allowed_at:
            self.endpoint.log("validating %s:%d" % address)
            self.begin_validation(address, number, length, now)

    def begin_validation(self, address, number, length, now, switch=None):
        self.validation = Validation(address, self.address, length, now, self.pto(), switch)
        self.candidate, self.candidate_floor = address, number

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
            if v.switch is None:
                self.send_control(CHALLENGE, now, body=v.old_bytes, address=v.old)
        if v.may_move(now):
            self.move(v, now)
        elif (v.old_answered and v.switch is None) or now >= v.end:
            self.validation = None
            self.validation_allowed_at = now + max(3 * self.pto(), 1.0)

    def move(self, v, now):
        self.endpoint.log("the peer is now at %s:%d" % v.new)
        self.stats["moves"] += 1
        self.address, self.validation = v.new, None
        if v.switch is not None:
            self.send_control(RESPONSE, now, body=v.switch, eliciting=False)
            # (own choice) until it comes more may be sent from the old address, which is no reason to go back there
            self.validation_allowed_at = now + max(3 * self.pto(), 1.0)
        if v.new[0] != v.old[0]:
            self.reset_path()
        if self.outstanding:
            self.probe(now)  # what was in flight is probed for at once

    def on_response(self, body):
        if self.validation is not None:
            self.validation.answered(body)
        if self.switch is not None and body == self.switch.bytes:
            self.endpoint.switched()
            self.stats["switches"] += 1
            self.switch = None

    def on_switch(self, body, address, number, length, now):
        """The peer wants to be reached where this comes from, if no later word of it says otherwise."""
        overtaken = number < self.switch_floor or (address != self.candidate and number < self.candidate_floor)
        if overtaken or self.state != "open":
            return
        self.switch_floor = number
        if address == self.address:
            if self.validation is not None and self.validation.switch is not None:  # which was asked for before this
                self.validation = None
            self.send_control(RESPONSE, now, body=body, eliciting=False, address=address)
            return
        if self.switched_at is not None and now < self.switched_at + min(self.pto(), LONGEST_PTO):
            return
        self.switched_at = now
        v = self.validation
        if v is not None and v.new == address:
            v.switch = body  # from now on the old address is not asked
        else:
            self.endpoint.log("validating %s:%d for a SWITCH" % address)
            self.begin_validation(address, number, length, now, body)

    def begin_switch(self, now):
        self.switch = OwnSwitch(now, self.pto())
        self.repeat_switch(now)

    def repeat_switch(self, now):
        s = self.switch
        if now < s.next:
            return
        if s.asked > 3:
            self.endpoint.log("no answer to SWITCH: all stays as it was")
            self.switch = None
            return
        s.next += s.pto * 2 ** s.asked
        s.asked += 1
        self.send_control(SWITCH, now, body=s.bytes, address=self.address, via=self.endpoint.other)
