// SPDX-License-Identifier: MIT
/// Random numbers for ids, tokens and challenges, drawn from the suite so many at a time: asking the kernel takes longer than anything
/// that is done with one of them. Keys are not made of these.
package struct RandomWords: BitwiseCopyable {
  private static var count: Int { 32 }

  private var words = InlineArray<32, UInt64>(repeating: 0)
  private var left = 0

  package init() {}

  package mutating func next(_ suite: any CipherSuite) -> UInt64 {
    if left == 0 {
      var elements = words.mutableSpan
      var bytes = unsafe elements.mutableBytes
      suite.random(&bytes)
      left = Self.count
    }
    left -= 1
    let word = words[left]
    words[left] = 0
    return word
  }
}
