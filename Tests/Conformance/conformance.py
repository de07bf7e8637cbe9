#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The rules of docs/protocol.md as a table of cases.  Each plays one side of the wire, honestly or not, against a program under test.

    conformance.py --list           the table: id, section of docs/protocol.md, role of the program, rule
    conformance.py [ID ...]         runs these, or all; an id may be cut: H8 runs all whose id begins with H8-

One line a case: `ok ID`, or `FAILED ID: what was expected; came what came instead`.  The exit status is 1 if one fails.

The program is a pipe: standard input to one peer, that peer to standard output.  Another implementation is tested by

    conformance.py --listen-command 'other --listen {host}:{port}' --dial-command 'other --dial {host}:{port} --key {key}'

where {key} is the static key of our side, and {port} is 0 for a listener, which chooses one and writes `listening on HOST:PORT` to
standard error.  A listener takes whoever comes first.  What else a program may be able to, beside these commands, is told by further
options; without one the cases that need it are skipped.
"""

import argparse
import concurrent.futures
import os
import shlex
import sys
import traceback

sys.dont_write_bytecode = True  # no folders of it in the sources

from bent_peer import Failed, Trial
from table import CASES
import cases_handshake, cases_parameters, cases_protocols, cases_cookies  # noqa: E401, F401
import cases_segments, cases_order, cases_acks, cases_packets, cases_sending, cases_keys  # noqa: E401, F401
import cases_path, cases_switch, cases_reset, cases_garbage, cases_messages  # noqa: E401, F401


def run(one, role, commands, options):
    """None, or what is wrong."""
    trial, wrong = Trial(commands, role, options.patience), None
    try:
        one.function(trial)
    except Failed as reason:
        wrong = "expected " + str(reason)
    except Exception:
        wrong = "the case itself broke: " + traceback.format_exc()
    finally:
        died = trial.finish()
    if died:
        wrong = (wrong + "; " if wrong else "") + "the program died: " + "; ".join(died)
    return wrong


def main():
    tool = shlex.quote(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "bin", "lrp2p"))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("ids", nargs="*", metavar="ID")
    parser.add_argument("--list", action="store_true", help="print the table")
    parser.add_argument("--listen-command", default=tool + " pipe --listen {host}:{port}")
    parser.add_argument("--dial-command", default=tool + " pipe --connect {host}:{port} --peer {key}")
    parser.add_argument("--identity-option", default="--identity {identity}", help="the file of the program's static key, as of `lrp2p keygen --out`")
    parser.add_argument("--protocol-option", default="", help="an application protocol, {protocol}; may come several times")
    parser.add_argument("--switch-option", default="", help="SWITCH from another port when {switch} datagrams were sent")
    parser.add_argument("--messages-option", default=None, help="feature 0, messages, of a program that does not name it without; '-' of one that has none")
    parser.add_argument("--role", choices=("listen", "dial", "both"), default="listen", help="of the program, in cases that fit either")
    parser.add_argument("--jobs", type=int, default=6, help="cases at a time; most of them wait")
    parser.add_argument("--patience", type=float, default=1.0, help="a factor to all waiting, for a slow machine")
    options = parser.parse_args()
    chosen = [c for c in CASES if not options.ids or any(c.name == i or c.name.startswith(i + "-") for i in options.ids)]
    unknown = [i for i in options.ids if not any(c.name == i or c.name.startswith(i + "-") for c in CASES)]
    if unknown:
        parser.error("no such case: %s" % " ".join(unknown))
    if options.list:
        width = max(len(c.name) for c in chosen)
        for c in chosen:
            print("%-*s  %-6s  %-6s  %s" % (width, c.name, c.section, c.role, c.rule))
        return 0
    commands = {"listen": options.listen_command, "dial": options.dial_command, "identity": options.identity_option,
                "protocol": options.protocol_option, "switch": options.switch_option, "messages": options.messages_option or " "}
    if options.messages_option == "-":
        commands["messages"] = ""
    skipped = [c for c in chosen if c.needs is not None and not commands[c.needs]]
    chosen = [c for c in chosen if c not in skipped]
    roles = ("listen", "dial") if options.role == "both" else (options.role,)
    runs = [(c, role) for c in chosen for role in (roles if c.role == "any" else (c.role,))]
    failed = 0
    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        results = [(c, role, pool.submit(run, c, role, commands, options)) for c, role in runs]
        for c, role, result in results:
            name, wrong = c.name + ("/" + role if len(roles) > 1 and c.role == "any" else ""), result.result()
            failed += wrong is not None
            print("ok " + name if wrong is None else "FAILED %s: %s" % (name, wrong), flush=True)
    if skipped:
        print("skipped, as the program has no option for it: " + " ".join(c.name for c in skipped))
    print("%d of %d failed" % (failed, len(runs)) if failed else "%d passed" % len(runs))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
