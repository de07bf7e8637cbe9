// SPDX-License-Identifier: MIT
import LRP2PCore
import Testing

@Suite struct UserTimersTests {
  @Test(arguments: 0..<20)
  func agreesWithAModel(seed: Int) {
    var random = TestRandom(seed: seed)
    var timers = UserTimers()
    /// Deadlines by token.
    var model: [UInt64: Instant] = [:]
    var handles: [(UserTimer, UInt64)] = []
    var now = Instant(seed) << 50
    var wrong = 0
    for token in 0..<6000 as Range<UInt64> {
      // A thousand pile up, then few are left, over and over.
      let isFilling = token / 1000 % 2 == 0
      if isFilling || random.happens(percent: 20) {
        // Few different deadlines, so that many are equal; some have passed already.
        let deadline = now + UInt64(random.below(40)) * 100 - min(now, 300)
        handles.append((timers.set(at: deadline, token: token), token))
        model[token] = deadline
      }
      if random.happens(percent: isFilling ? 2 : 50) {
        now += UInt64(random.below(300))
        var last: Instant = 0
        while let fired = timers.popExpired(now: now) {
          guard let deadline = model.removeValue(forKey: fired) else {
            wrong += 1
            continue
          }
          if deadline > now || deadline < last { wrong += 1 }
          last = deadline
        }
      }
      if !handles.isEmpty, random.happens(percent: 10) {
        let (timer, token) = handles[Int(random.below(handles.count))]
        if timers.cancel(timer) != (model.removeValue(forKey: token) != nil) { wrong += 1 }
      }
      if timers.count != model.count || timers.count > timers.capacity { wrong += 1 }
      if token % 16 == 0, timers.nextDeadline != model.values.min() ?? .never { wrong += 1 }
    }
    while let fired = timers.popExpired(now: .max) { if model.removeValue(forKey: fired) == nil { wrong += 1 } }
    #expect(wrong == 0 && model.isEmpty)
    let next = timers.nextDeadline
    #expect(next == .never)
  }
}
