// SPDX-License-Identifier: MIT
// The core needs no system of its own, but what is around it does. Here, as it is built first, the reason is said once.
#if !os(Linux)
  #error("swift-lrp2p runs on Linux only: README.md says what it needs")
#endif
