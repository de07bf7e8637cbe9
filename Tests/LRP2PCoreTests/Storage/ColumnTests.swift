// SPDX-License-Identifier: MIT
import LRP2PCore
import Testing

@Suite struct ColumnTests {
  @Test(arguments: 0..<10)
  func agreesWithAnArray(seed: Int) {
    var random = TestRandom(seed: seed)
    var model = [UInt64](repeating: 7, count: random.below(20))
    var column = Column<UInt64>(repeating: 7, count: model.count)
    var wrong = 0
    for _ in 0..<2000 {
      switch random.below(10) {
      case 0:
        let count = random.below(200)
        let filler = random.next()
        column.resize(to: count, filling: filler)
        if count > model.count {
          model += Array(repeating: filler, count: count - model.count)
        } else {
          model.removeLast(model.count - count)
        }
      default:
        guard let index = model.indices.randomElement(using: &random) else { continue }
        let value = random.next()
        column[index] = value
        // In place, not by way of a copy.
        column[index] &+= 1
        model[index] = value &+ 1
      }
      if column.count != model.count { wrong += 1 }
      for index in model.indices where column[index] != model[index] { wrong += 1 }
    }
    #expect(wrong == 0)
  }

  @Test func spans() {
    var column = Column<UInt16>(repeating: 3, count: 5)
    var writable = column.mutableSpan
    for index in writable.indices { writable[index] += UInt16(index) }
    let span = column.span
    #expect(span.count == 5)
    #expect((0..<5).map { span[$0] } == [3, 4, 5, 6, 7])
    let none = Column<UInt16>(repeating: 0, count: 0)
    let isEmpty = none.span.isEmpty
    #expect(isEmpty)
  }

  @Test func noRowOutsideOfIt() async {
    await #expect(processExitsWith: .failure) {
      let column = Column(repeating: 1, count: 17)
      _ = column[17]
    }
    await #expect(processExitsWith: .failure) {
      var column = Column(repeating: 1, count: 17)
      column[-1] = 2
    }
    await #expect(processExitsWith: .failure) {
      var column = Column(repeating: 1, count: 17)
      column.resize(to: 5, filling: 1)
      column[5] = 2
    }
  }
}
