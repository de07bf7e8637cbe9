// SPDX-License-Identifier: MIT
import LRP2PCore
import Testing

@Suite struct QueueTests {
  @Test(arguments: [1, 2, 3, 8, 100])
  func agreesWithAnArray(minimumCapacity: Int) {
    var random = TestRandom(seed: minimumCapacity)
    var queue = Queue<UInt32>(minimumCapacity: minimumCapacity, filler: 0)
    var model: [UInt32] = []
    var wrong = 0
    for step in 0..<20_000 {
      // It fills far beyond the size at which it shrinks, empties, and stays short for a while with its head moving.
      let percent = [75, 20, 48][step / 2000 % 3]
      if random.happens(percent: percent) {
        let value = UInt32(truncatingIfNeeded: random.next())
        queue.append(value)
        model.append(value)
      } else {
        let value = queue.popFirst()
        if value != model.first { wrong += 1 }
        if !model.isEmpty { model.removeFirst() }
      }
      if queue.count != model.count || queue.isEmpty != model.isEmpty || queue.first != model.first { wrong += 1 }
      if queue.count > queue.capacity { wrong += 1 }
      if let index = model.indices.randomElement(using: &random), queue[index] != model[index] { wrong += 1 }
      if random.below(3000) == 0 {
        queue.removeAll()
        model.removeAll()
      }
    }
    while let value = queue.popFirst() {
      if value != model.removeFirst() { wrong += 1 }
    }
    #expect(wrong == 0 && model.isEmpty)
  }

  /// Runs empty after having been large, then is used again from its small ring.
  @Test func shrinksAndGoesOn() {
    var queue = Queue<Int>(minimumCapacity: 1, filler: -1)
    var wrong = 0
    for count in [1000, 3, 65, 64, 5000, 1] {
      for value in 0..<count { queue.append(value) }
      for value in 0..<count where queue.popFirst() != value { wrong += 1 }
      if queue.popFirst() != nil || queue.first != nil { wrong += 1 }
    }
    #expect(wrong == 0)
  }

  @Test func noElementOutsideOfIt() async {
    await #expect(processExitsWith: .failure) {
      var queue = Queue<Int>(minimumCapacity: 8, filler: -1)
      for value in 0..<3 { queue.append(value) }
      _ = queue[3]
    }
    await #expect(processExitsWith: .failure) {
      let queue = Queue<Int>(minimumCapacity: 8, filler: -1)
      _ = queue[-1]
    }
  }
}
