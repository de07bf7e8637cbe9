// SPDX-License-Identifier: MIT
import LRP2PTool
import Testing

@Suite struct NameTests {
  @Test(arguments: [
    "", ".", "..", "../x", "a/../b", "a/./b", "a//b", "a/", "/etc/passwd", "a\u{0}b",
  ]) func pathsThatLeaveTheFolder(path: String) {
    #expect(!PathName.isAcceptable(Array(path.utf8)))
  }

  @Test func namesOfAnyBytes() {
    for path in [
      "a", "a/b", "a/.b", ".hidden", ".hidden/x", "a\nb", "a\u{7F}", "\u{301}accent.txt", "-", "a\\b",
      String(repeating: "漢", count: 85),
    ] {
      #expect(PathName.isAcceptable(Array(path.utf8)), "\(path)")
    }
    #expect(PathName.isAcceptable([0x63, 0xE9]) && PathName.isAcceptable([UInt8](repeating: 0xFF, count: 255)))
    #expect(!PathName.isAcceptable([UInt8](repeating: 0x61, count: 256)), "longer than a file system's")
    let deep = Array("a/".utf8)
    #expect(PathName.isAcceptable(Array(repeatElement(deep, count: 99).joined()) + [0x61]))
    #expect(!PathName.isAcceptable(Array(repeatElement(deep, count: 100).joined()) + [0x61]))
  }

  @Test(arguments: [("a", "a"), ("x/a", "a"), ("x/a///", "a"), ("/", ""), ("é.txt", "é.txt")])
  func lastComponents(path: String, name: String) {
    #expect(PathName.last(of: Array(path.utf8)) == Array(name.utf8))
  }

  @Test(
    arguments: [
      ("l", "x", true), ("l", "a/b", true), ("d/l", "../x", true), ("d/e/l", "../.././y", true), ("l", "./x", true),
      ("l", "../x", false), ("d/l", "../../x", false), ("l", "/etc/passwd", false), ("l", "", false),
      ("l", "a/../../x", false), ("l", "s/t/d/../x", false), ("d/e/l", "../../x/../y", false),
    ]) func linksThatStay(path: String, target: String, stays: Bool)
  {
    #expect(PathName.staysWithin(Array(target.utf8), from: Array(path.utf8)) == stays)
  }

  @Test func numbersBehindNames() {
    #expect(PathName.numbered(Array("a.txt".utf8), 2) == Array("a.txt.2".utf8))
    let long = PathName.numbered(Array(String(repeating: "漢", count: 85).utf8), 12)
    #expect(long == Array((String(repeating: "漢", count: 84) + ".12").utf8))
  }

  @Test(
    arguments: [
      ("plain é 漢 👍.txt", "plain é 漢 👍.txt"), ("a\u{1B}[31m", "a\\u{1b}[31m"), ("a\u{9B}31m", "a\\u{9b}31m"),
      ("photo\u{202E}gpj.exe", "photo\\u{202e}gpj.exe"), ("a\nb\r\u{7F}", "a\\u{a}b\\u{d}\\u{7f}"),
      ("\u{2066}x\u{2069}\u{200F}", "\\u{2066}x\\u{2069}\\u{200f}"), ("\u{2028}", "\\u{2028}"),
    ]) func nothingMovesTheCursor(text: String, shown: String)
  {
    #expect(Printable.text(text) == shown && Printable.text(Array(text.utf8)) == shown)
  }

  @Test func bytesThatAreNoText() {
    #expect(Printable.text([0x63, 0x61, 0x66, 0xE9, 0x2E]) == "caf\\xe9.")
    #expect(Printable.text([0xC3, 0xA9, 0xFF, 0xC2, 0x9B, 0xE6, 0xBC]) == "é\\xff\\u{9b}\\xe6\\xbc")
  }
}
