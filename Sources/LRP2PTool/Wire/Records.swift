// SPDX-License-Identifier: MIT
import LRP2PCore

// How files travel on a connection's stream: docs/transfers.md. Integers are big-endian.

/// From the sender: a hello, then records.
package enum SenderRecord: Equatable {
  case offer(Offer)
  /// The digest of the part that the receiver has told of, from the sender's own file.
  case proof(index: UInt32, digest: [UInt8])
  /// The digest of the whole file, for the receiver to compare with the one that it has.
  case compare(index: UInt32, digest: [UInt8])
  /// What follows is of this file, from `offset` on.
  case begin(index: UInt32, offset: UInt64)
  /// So many bytes of it follow at once.
  case data(count: Int)
  /// That was all of it, and the digest of the whole.
  case end(digest: [UInt8])
  /// Nothing more comes of this file: it cannot be read, or has changed.
  case withdraw(index: UInt32)

  enum Kind: UInt8 {
    case offer = 1
    case proof = 2
    case compare = 3
    case begin = 4
    case data = 5
    case end = 6
    case withdraw = 7
  }

  /// "LRPF", and the version. A byte for the kind of digests follows.
  package static let hello: [UInt8] = [0x4C, 0x52, 0x50, 0x46, version]
  package static let version: UInt8 = 2
  package static let digestLength = 32
  /// Of the bytes behind one `data`.
  package static let longestData = 1 << 20

  package var encoded: [UInt8] {
    switch self {
    case .offer(let offer): return offer.encoded
    case .proof(let index, let digest): return Self.head(.proof, index) + digest
    case .compare(let index, let digest): return Self.head(.compare, index) + digest
    case .begin(let index, let offset):
      var bytes = Self.head(.begin, index)
      bytes.append(bigEndian: offset, bytes: 8)
      return bytes
    case .data(let count): return Self.head(.data, UInt32(count))
    case .end(let digest): return [Kind.end.rawValue] + digest
    case .withdraw(let index): return Self.head(.withdraw, index)
    }
  }

  private static func head(_ kind: Kind, _ value: UInt32) -> [UInt8] {
    var bytes = [kind.rawValue]
    bytes.append(bigEndian: UInt64(value), bytes: 4)
    return bytes
  }

  /// How long the record at the start of `bytes` is, as far as that can be told: more bytes may make it longer.
  static func length(_ bytes: [UInt8]) throws(Malformed) -> Int {
    guard let first = bytes.first else { return 1 }
    guard let kind = Kind(rawValue: first) else { throw Malformed() }
    switch kind {
    case .offer: return bytes.count < Offer.fixedLength ? Offer.fixedLength : Offer.length(bytes)
    case .proof, .compare: return 5 + digestLength
    case .begin: return 13
    case .data, .withdraw: return 5
    case .end: return 1 + digestLength
    }
  }

  /// - Parameter bytes: one whole record.
  init(decoding bytes: [UInt8]) throws(Malformed) {
    guard let first = bytes.first, let kind = Kind(rawValue: first) else { throw Malformed() }
    let value = kind == .offer || kind == .end ? 0 : UInt32(bytes.bigEndian(1, 4))
    switch kind {
    case .offer: self = .offer(try Offer(decoding: bytes))
    case .proof: self = .proof(index: value, digest: Array(bytes[5...]))
    case .compare: self = .compare(index: value, digest: Array(bytes[5...]))
    case .begin: self = .begin(index: value, offset: bytes.bigEndian(5, 8))
    case .data:
      guard (1...Self.longestData).contains(Int(value)) else { throw Malformed() }
      self = .data(count: Int(value))
    case .end: self = .end(digest: Array(bytes[1...]))
    case .withdraw: self = .withdraw(index: value)
    }
  }
}

/// From the receiver: what it says to each offer, in whatever order.
package enum ReceiverRecord: Equatable {
  /// Send it, from `offset` on: what is below is here.
  case send(index: UInt32, offset: UInt64)
  /// There is a part of so many bytes: prove that it is this file's.
  case prove(index: UInt32, offset: UInt64)
  /// There is a file of this name and size: tell the digest.
  case compare(index: UInt32)
  /// It is here already.
  case present(index: UInt32)
  /// It is on the disk, under a name of its own if `name` is not empty; the digest is of what arrived.
  case stored(index: UInt32, digest: [UInt8], name: [UInt8])
  /// It is not, and will not be; the others go on.
  case failed(index: UInt32, FileFailure)

  enum Kind: UInt8 {
    case send = 0x81
    case prove = 0x82
    case compare = 0x83
    case present = 0x84
    case stored = 0x85
    case failed = 0x86
  }

  package var encoded: [UInt8] {
    switch self {
    case .send(let index, let offset): return Self.head(.send, index, offset: offset)
    case .prove(let index, let offset): return Self.head(.prove, index, offset: offset)
    case .compare(let index): return Self.head(.compare, index)
    case .present(let index): return Self.head(.present, index)
    case .stored(let index, let digest, let name):
      var bytes = Self.head(.stored, index) + digest
      bytes.append(bigEndian: UInt64(name.count), bytes: 2)
      return bytes + name
    case .failed(let index, let failure):
      let text = Array(failure.text.utf8.prefix(FileFailure.longestText))
      var bytes = Self.head(.failed, index) + [failure.cause.rawValue]
      bytes.append(bigEndian: UInt64(text.count), bytes: 2)
      return bytes + text
    }
  }

  private static func head(_ kind: Kind, _ index: UInt32, offset: UInt64? = nil) -> [UInt8] {
    var bytes = [kind.rawValue]
    bytes.append(bigEndian: UInt64(index), bytes: 4)
    if let offset { bytes.append(bigEndian: offset, bytes: 8) }
    return bytes
  }

  static func length(_ bytes: [UInt8]) throws(Malformed) -> Int {
    guard let first = bytes.first else { return 1 }
    guard let kind = Kind(rawValue: first) else { throw Malformed() }
    switch kind {
    case .send, .prove: return 13
    case .compare, .present: return 5
    case .stored: return bytes.count < 39 ? 39 : 39 + Int(bytes.bigEndian(37, 2))
    case .failed: return bytes.count < 8 ? 8 : 8 + Int(bytes.bigEndian(6, 2))
    }
  }

  init(decoding bytes: [UInt8]) throws(Malformed) {
    guard let first = bytes.first, let kind = Kind(rawValue: first) else { throw Malformed() }
    let index = UInt32(bytes.bigEndian(1, 4))
    switch kind {
    case .send: self = .send(index: index, offset: bytes.bigEndian(5, 8))
    case .prove: self = .prove(index: index, offset: bytes.bigEndian(5, 8))
    case .compare: self = .compare(index: index)
    case .present: self = .present(index: index)
    case .stored: self = .stored(index: index, digest: Array(bytes[5..<37]), name: Array(bytes[39...]))
    case .failed:
      let cause = FileFailure.Cause(rawValue: bytes[5]) ?? .refused
      self = .failed(
        index: index, FileFailure(cause, String(decoding: bytes[8...], as: UTF8.self)))
    }
  }
}

/// Why one file was not stored.
package struct FileFailure: Error, Equatable, Sendable {
  package enum Cause: UInt8, Sendable {
    /// There is another of this name.
    case exists = 1
    /// The receiver takes none of this kind, name or size.
    case refused = 2
    /// The disk.
    case storage = 3
    /// What arrived is not what was sent.
    case damaged = 4
  }

  package static let longestText = 1000
  package let cause: Cause
  /// For people, without the file's name.
  package let text: String

  package init(_ cause: Cause, _ text: String) {
    self.cause = cause
    self.text = text
  }
}

extension CloseCode {
  // Codes that either side closes a connection with.
  package static let malformed: CloseCode = 1
  package static let refused: CloseCode = 2
  package static let storage: CloseCode = 3
  package static let interrupted: CloseCode = 4
}
