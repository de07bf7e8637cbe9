// SPDX-License-Identifier: MIT
import CFiles
import Glibc

/// Reads small files into blocks, each with its records around it: with as few calls as that takes.
struct SmallReading: ~Copyable {
  static let largest: UInt64 = 128 << 10

  private var hash: FileHash
  /// The folder that the last file was in: many are side by side.
  private var folder: (path: ArraySlice<UInt8>, file: OpenFile)?

  init(_ kind: DigestKind) { hash = FileHash(kind) }

  static func fits(_ entry: SourceList.Entry) -> Bool {
    entry.root >= 0 && entry.offer.size <= largest && entry.offer.flags.isDisjoint(with: [.open, .sparse])
  }

  /// Bytes of the file and its records.
  static func length(_ offer: Offer) -> Int { Int(offer.size) + 13 + 5 + 1 + SenderRecord.digestLength }

  /// Appends `begin`, the data and `end`, or nothing.
  /// - Returns: the digest.
  mutating func append(
    _ index: UInt32, _ entry: SourceList.Entry, of sources: SourceList, to block: Block
  ) throws(FileReading.Failure) -> [UInt8] {
    let before = block.count
    do throws(DiskError) {
      let file = try open(sources.source(of: entry))
      block.append(SenderRecord.begin(index: index, offset: 0).encoded)
      let size = Int(entry.offer.size)
      if size > 0 { block.append(SenderRecord.data(count: size).encoded) }
      let from = block.count
      if size > 0 {
        // Not `read`: it would wait for whoever writes into a FIFO that has taken the place of the file.
        let count = try block.append(file, atStart: size)
        guard count == size else { throw DiskError(ESTALE) }
      }
      let status = try Disk.status(of: file)
      guard FileReading.isUnchanged(status, entry.offer) else { throw DiskError(ESTALE) }
      let digest = hash.digest(of: block.bytes.extracting(from..<from + size))
      block.append(SenderRecord.end(digest: digest).encoded)
      return digest
    } catch {
      block.truncate(to: before)
      throw FileReading.Failure(
        text: error.code == ESTALE || error.code == ESPIPE ? FileReading.hasChanged : "\(error)")
    }
  }

  private mutating func open(_ path: [UInt8]) throws(DiskError) -> OpenFile {
    guard let slash = path.lastIndex(of: UInt8(ascii: "/")), slash > 0 else {
      return try Disk.open(Disk.here, path, O_RDONLY | O_NONBLOCK)
    }
    if let folder, folder.path == path[..<slash] {
    } else {
      folder = (path[..<slash], try Disk.open(Disk.here, Array(path[..<slash]), lrp2p_place_only | O_DIRECTORY))
    }
    return try Disk.open(folder?.file.descriptor ?? Disk.here, Array(path[(slash + 1)...]), O_RDONLY | O_NONBLOCK)
  }
}
