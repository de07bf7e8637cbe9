// SPDX-License-Identifier: MIT
// Takes the place of the programs in a build without LRP2P_TOOLS, in which they cannot be: see Package.swift.

import Glibc

print("This build has the library alone. `make build` builds the programs, into bin/. So does, one by one,")
print("    LRP2P_TOOLS=1 swift build -c release --product lrp2p")
exit(2)
