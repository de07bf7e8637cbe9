# SPDX-License-Identifier: MIT
"""The table of cases, and what they share."""

import contextlib

from bent_peer import Failed, v1

VIOLATION, NOTHING_COMMON, CRITICAL = v1.VIOLATION, v1.NOTHING_COMMON, v1.UNKNOWN_CRITICAL
CASES = []


def case(name, section, role, rule, needs=None):
    """`role` is that of the program: listen, dial, or any, which runs in the one that --role says.  `needs` is an option that the
    program may not have: identity, protocol, switch or messages."""
    def add(function):
        assert all(known.name != name for known in CASES), name
        CASES.append(Case(name, section, role, rule, function, needs))
        return function
    return add


class Case:
    def __init__(self, name, section, role, rule, function, needs):
        self.name, self.section, self.role, self.rule, self.function, self.needs = name, section, role, rule, function, needs


def check(condition, expected, came):
    if not condition:
        raise Failed("%s; came %s" % (expected, came))


def suppressed():
    """For what is judged all together later."""
    return contextlib.suppress(Failed)
