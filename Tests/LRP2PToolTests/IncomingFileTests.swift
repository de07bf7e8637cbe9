// SPDX-License-Identifier: MIT
import LRP2PTool
import Testing

@Suite struct IncomingFileTests {
  /// A sender may put one byte of a small file into each block, or into each record of one.
  @Test(arguments: [1, 7, 4096]) func aSmallFileKeepsFewBlocks(length: Int) throws {
    let bytes = (0..<200 * length).map { UInt8(truncatingIfNeeded: $0 * 31) }
    let offer = Offer(path: [97], size: UInt64(bytes.count))
    let file = IncomingFile(0, offer, .memory, started: 0, largest: .max)
    for start in stride(from: 0, to: bytes.count, by: length) {
      let block = Block()
      block.append(Array(bytes[start..<start + length]))
      try file.write(block, 0..<length)
      #expect(file.blocksKept <= IncomingFile.mostPieces)
    }
    let whole = Block()
    whole.append(bytes)
    var hash = FileHash(.blake3)
    let (digest, expected) = (file.digest(&hash), hash.digest(of: whole.bytes))
    #expect(digest == expected)
  }

  @Test func neighboursInOneBlockAreOnePiece() throws {
    let offer = Offer(path: [97], size: 100)
    let file = IncomingFile(0, offer, .memory, started: 0, largest: .max)
    let block = Block()
    block.append([UInt8](repeating: 7, count: 100))
    for index in 0..<100 { try file.write(block, index..<index + 1) }
    #expect(file.blocksKept == 1)
  }
}
