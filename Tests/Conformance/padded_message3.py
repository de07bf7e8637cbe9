#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A hundred dials of the bent peer, with messages 3 of 200 to 1,400 bytes, to a program whose socket filter is on: each has to become a
connection, and what is forged has to be dropped by the kernel.

    padded_message3.py [--dials N] [--reactors N] [--bench PROGRAM]
"""

import argparse
import os
import random
import re
import subprocess
import sys
import time

sys.dont_write_bytecode = True  # no folders of it in the sources

from bent_peer import HOST, Bent, Failed, v1

SHORTEST, LONGEST = 200, 1400
FORGED = 200


def dial(port, length, patience):
    """None, or what is wrong."""
    bent = Bent(patience)
    bent.target = HOST, port
    try:
        opening = bent.attempt()
        bent.send(opening.datagram)
        bent.expect_message2(opening)
        message3 = bent.message3(opening, pad_to=length)
        assert len(message3) == length
        bent.send(message3)
        bent.expect_ack(lambda a: True, "message 3 is answered with a sealed ACK")
        bent.ask()
    except Failed as reason:
        return str(reason)
    finally:
        bent.close()
    return None


def kernel_drops(port):
    """What the kernel has dropped at the sockets of a port."""
    total = 0
    for table in ("/proc/net/udp", "/proc/net/udp6"):
        if os.path.exists(table):
            with open(table) as lines:
                total += sum(int(line.split()[-1]) for line in list(lines)[1:] if int(line.split()[1].rsplit(":", 1)[1], 16) == port)
    return total


def forge(port):
    """Datagrams for ids that are none, in the shape of those of a connection."""
    bent = Bent(1.0)
    bent.target = HOST, port
    before = kernel_drops(port)
    for _ in range(FORGED):
        bent.send(v1.new_id() + random.randbytes(100))
    bent.close()
    time.sleep(0.2)
    return kernel_drops(port) - before


def main():
    bench = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "bin", "lrp2p-bench")
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bench", default=bench, help="lrp2p-bench, of which the end that a flood meets is called")
    parser.add_argument("--dials", type=int, default=100)
    parser.add_argument("--reactors", type=int, default=1, help="more than one if the program can filter for them")
    parser.add_argument("--patience", type=float, default=1.0, help="a factor to all waiting, for a slow machine")
    options = parser.parse_args()
    start = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    server = subprocess.Popen(
        [options.bench, "worker", "--kind", "flood", "--flood", "garbage", "--filter", "on", "--aead", "chacha20-poly1305", "--seconds",
         str(int(60 + options.dials * options.patience)), "--datagram", "1400", "--connections", "8", "--reactors", str(options.reactors),
         "--start", str(start), "--listen", HOST + ":0", "--parent", str(os.getpid())],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        line = server.stdout.readline()
        found = re.search(r"\d+\.\d+\.\d+\.\d+:(\d+)", line)
        if not found:
            print("FAILED  the program does not listen: %s" % line.strip())
            return 1
        port, failed = int(found.group(1)), 0
        for number in range(options.dials):
            length = SHORTEST + (LONGEST - SHORTEST) * number // max(1, options.dials - 1)
            wrong = dial(port, length, options.patience)
            failed += wrong is not None
            if wrong:
                print("FAILED  a message 3 of %d bytes: expected %s" % (length, wrong))
        drops = forge(port)
    finally:
        server.kill()
        server.wait()
    if drops < FORGED * 0.9:
        print("FAILED  the socket filter is not on: the kernel has dropped %d of %d forged datagrams" % (drops, FORGED))
        return 1
    print("%s      %d of %d dials with messages 3 of %d to %d bytes, behind a socket filter that has dropped %d of %d forged datagrams" % (
        "ok" if not failed else "FAILED", options.dials - failed, options.dials, SHORTEST, LONGEST, drops, FORGED))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
