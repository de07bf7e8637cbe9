// SPDX-License-Identifier: MIT
import CLinux
import LRP2PCore

/// A program of the kernel's packet filter (classic BPF), put together from front to back: it is data, and jumps forward only.
package struct PacketProgram: Sendable {
  /// Where a comparison leads: on, or to one of the two ends.
  package enum Target { case next, accept, drop }

  private struct Jump {
    var at: Int
    var yes: Target
    var no: Target
  }

  package private(set) var code: [sock_filter] = []
  private var jumps: [Jump] = []

  package init() {}

  package mutating func append(_ code: Int32, _ constant: UInt32 = 0) {
    self.code.append(sock_filter(code: UInt16(code), jt: 0, jf: 0, k: constant))
  }

  // MARK: Steps

  /// The four bytes at `offset`, in network order, to the accumulator; a packet that ends before is dropped.
  package mutating func loadWord(_ offset: Int) { append(BPF_LD | BPF_W | BPF_ABS, UInt32(offset)) }

  package mutating func loadLength() { append(BPF_LD | BPF_W | BPF_LEN) }

  package mutating func compute(_ operation: Int32, _ constant: UInt32) {
    append(BPF_ALU | operation | BPF_K, constant)
  }

  package mutating func computeWithIndex(_ operation: Int32) { append(BPF_ALU | operation | BPF_X) }

  package mutating func copyToIndex() { append(BPF_MISC | BPF_TAX) }

  /// - Parameter operation: BPF_JEQ or BPF_JGE.
  package mutating func branch(_ operation: Int32, _ constant: UInt32, yes: Target, no: Target) {
    jumps.append(Jump(at: code.count, yes: yes, no: no))
    append(BPF_JMP | operation | BPF_K, constant)
  }

  package mutating func branchOnIndex(yes: Target, no: Target) {
    jumps.append(Jump(at: code.count, yes: yes, no: no))
    append(BPF_JMP | BPF_JEQ | BPF_X)
  }

  package mutating func returnAccumulator() { append(BPF_RET | BPF_A) }

  /// Adds the two ends: the whole packet, or nothing of it.
  package mutating func end() {
    let accept = code.count
    append(BPF_RET | BPF_K, .max)
    append(BPF_RET | BPF_K, 0)
    for jump in jumps {
      code[jump.at].jt = Self.distance(jump.yes, from: jump.at, accept: accept)
      code[jump.at].jf = Self.distance(jump.no, from: jump.at, accept: accept)
    }
  }

  private static func distance(_ target: Target, from: Int, accept: Int) -> UInt8 {
    switch target {
    case .next: 0
    case .accept: UInt8(accept - from - 1)
    case .drop: UInt8(accept - from)
    }
  }

  // MARK: Ids

  /// `IDHash.value` of the accumulator and the word at `low`; overwrites the index register.
  mutating func hash(_ hash: IDHash, low: Int) {
    compute(BPF_XOR, hash.first)
    compute(BPF_MUL, hash.firstFactor)
    foldBack(16)
    // high + low, where low has to pass through the accumulator.
    copyToIndex()
    loadWord(low)
    computeWithIndex(BPF_ADD)
    compute(BPF_MUL, hash.secondFactor)
    foldBack(15)
    compute(BPF_XOR, hash.second)
    compute(BPF_MUL, hash.firstFactor)
    compute(BPF_RSH, 16)
  }

  /// The accumulator, xor itself shifted right.
  private mutating func foldBack(_ bits: UInt32) {
    copyToIndex()
    compute(BPF_RSH, bits)
    computeWithIndex(BPF_XOR)
  }

  /// Accepts the packet when the eight bytes at `offset` are an id with the tag.
  mutating func acceptMarked(_ tag: IDHash, at offset: Int) {
    loadWord(offset)
    compute(BPF_RSH, 16)
    hash(tag, low: offset + 4)
    copyToIndex()
    loadWord(offset)
    compute(BPF_AND, 0xFFFF)
    branchOnIndex(yes: .accept, no: .next)
  }
}

extension PacketProgram {
  /// What a program attached to a UDP socket sees in front of the datagram.
  package static var udpHeaderLength: Int { 8 }

  /// Lets pass what may be for this socket: datagrams for ids with the tag, and what has the shape of a reset or of message 1.
  ///
  /// What receive offload has merged is judged by its first datagram; the engine looks at each.
  package static func filter(_ tag: IDHash, acceptsConnections: Bool, acceptsOriginal: Bool) -> PacketProgram {
    let start = udpHeaderLength
    var program = PacketProgram()
    program.loadLength()
    // Ids of the original's connections are all foreign here, and all that tells its datagrams is their length.
    let acceptsAny = acceptsConnections && acceptsOriginal
    program.branch(BPF_JGE, UInt32(start + Datagram.minimumLength), yes: acceptsAny ? .accept : .next, no: .drop)
    if acceptsAny {
      program.end()
      return program
    }
    program.acceptMarked(tag, at: start)
    program.acceptReset(at: start)
    if acceptsConnections {
      program.acceptMessage1(at: start)
    } else {
      program.append(BPF_RET | BPF_K, 0)
    }
    program.end()
    return program
  }

  /// It goes under an id of its sender's.
  private mutating func acceptReset(at start: Int) {
    let word = HandshakeKind.reset.word
    loadWord(start + 12)
    compute(BPF_XOR, UInt32(truncatingIfNeeded: word))
    copyToIndex()
    loadWord(start + 8)
    compute(BPF_XOR, UInt32(truncatingIfNeeded: word >> 32))
    computeWithIndex(BPF_OR)
    branch(BPF_JEQ, 0, yes: .accept, no: .next)
  }

  private mutating func acceptMessage1(at start: Int) {
    loadLength()
    branch(BPF_JGE, UInt32(start + Datagram.smallestPath), yes: .next, no: .drop)
    for (offset, word) in HandshakeParameters.message1Words {
      loadWord(start + offset)
      branch(BPF_JEQ, word, yes: .next, no: .drop)
    }
    for half in [0, 4] {
      loadWord(start + half)
      copyToIndex()
      loadWord(start + HandshakeParameters.message1ReceiveID + half)
      branchOnIndex(yes: half == 4 ? .accept : .next, no: .drop)
    }
  }

  /// Which of `count` sockets that share a port a datagram goes to, by its id. It sees the datagram without the UDP header;
  /// one that is shorter than an id goes to the first.
  package static func steering(_ hash: IDHash, count: Int) -> PacketProgram {
    var program = PacketProgram()
    program.loadWord(0)
    program.hash(hash, low: 4)
    program.compute(BPF_MOD, UInt32(count))
    program.returnAccumulator()
    return program
  }

  /// Of the sockets that share a port, everything goes to the first.
  package static var toFirst: PacketProgram { constant(0) }

  /// Drops everything.
  package static var nothing: PacketProgram { constant(0) }

  private static func constant(_ value: UInt32) -> PacketProgram {
    var program = PacketProgram()
    program.append(BPF_RET | BPF_K, value)
    return program
  }
}
