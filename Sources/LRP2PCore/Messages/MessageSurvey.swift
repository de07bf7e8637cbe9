// SPDX-License-Identifier: MIT
/// What the frames of a segment need, found out before anything of it is handed over.
struct MessageSurvey: BitwiseCopyable {
  /// Messages that have come early in their lane.
  var early = 0
  /// Of each lane, how many numbers the farthest lies after what it waits for.
  var reach = InlineArray<16, Int>(repeating: 0)
  /// Bytes of messages of which the first part has come.
  var partialBytes = 0
  var partials = 0
  /// Parts of messages, each of another one.
  var parts = InlineArray<32, UInt64>(repeating: 0)
  var partCount = 0
  /// It is what no honest peer sends.
  var isViolation = false
  /// What the lanes wait for, frame by frame.
  var expected: InlineArray<16, UInt32>
  /// All that was sent before the segment has come.
  let isNext: Bool
  /// Where the connection's lanes stand, if it has any.
  let state: UInt32
}

extension MessageTable {
  /// How far after what its lane waits for a message may be.
  private static var farthest: Int { 1 << 24 }

  /// - Parameter longest: bytes of the longest message that is taken.
  mutating func survey(_ payload: RawSpan, state: UInt32, isNext: Bool, longest: Int) -> MessageSurvey {
    var survey = MessageSurvey(
      expected: state == LaneState.none ? InlineArray(repeating: firstNumber) : self[state: state].expected,
      isNext: isNext, state: state)
    var at = 0
    while at < payload.byteCount {
      guard let frame = try? MessageFrame.read(payload, at: &at) else {
        survey.isViolation = true
        return survey
      }
      switch frame.kind {
      case .padding: break
      case .whole:
        if frame.length > longest { survey.isViolation = true }
        if frame.isOrdered { note(frame, isWhole: true, needsBytes: true, &survey) }
      case .skip:
        if frame.isOrdered { note(frame, isWhole: true, needsBytes: false, &survey) }
      case .fragment: noteFragment(frame, longest: longest, &survey)
      }
      if survey.isViolation { return survey }
    }
    return survey
  }

  private mutating func noteFragment(_ frame: MessageFrame, longest: Int, _ survey: inout MessageSurvey) {
    guard frame.total <= longest, isOnly(frame, &survey) else {
      survey.isViolation = true
      return
    }
    let partial = partial(frame, survey.state)
    let received = partial.map { Int(self[partial: $0].received) } ?? 0
    if let partial, Int(self[partial: partial].total) != frame.total || received + frame.length > frame.total {
      survey.isViolation = true
    }
    var isLate = false
    if frame.isOrdered {
      isLate = MessageFrame.distance(frame.number, from: survey.expected[Int(frame.lane)]) < 0
      note(frame, isWhole: received + frame.length == frame.total, needsBytes: false, &survey)
    }
    if partial == nil, !isLate {
      survey.partials += 1
      survey.partialBytes += MessageStore.charge(of: frame.total)
    }
  }

  /// Whether a part of a message is the only one of it in its segment, and not one of too many. Then it is known how much the parts before it
  /// add up to, and finding the messages of all takes not long.
  private mutating func isOnly(_ frame: MessageFrame, _ survey: inout MessageSurvey) -> Bool {
    guard survey.partCount < survey.parts.count else { return false }
    let key = UInt64(frame.lane) << 32 | (frame.isOrdered ? 1 << 40 : 0) | UInt64(frame.number)
    for index in 0..<survey.partCount where survey.parts[index] == key { return false }
    survey.parts[survey.partCount] = key
    survey.partCount += 1
    return true
  }

  /// - Parameter needsBytes: of the segment, where it has come early.
  @inline(__always)
  private mutating func note(_ frame: MessageFrame, isWhole: Bool, needsBytes: Bool, _ survey: inout MessageSurvey) {
    let lane = Int(frame.lane)
    let ahead = MessageFrame.distance(frame.number, from: survey.expected[lane])
    if ahead == 0 {
      if isWhole { survey.expected[lane] = MessageFrame.next(frame.number) }
    } else if ahead > 0, survey.isNext {
      // Nothing can be missing, unless it stands in the lane already.
      guard isFilled(lane, from: survey.expected[lane], ahead, survey.state) else {
        survey.isViolation = true
        return
      }
      survey.expected[lane] = isWhole ? MessageFrame.next(frame.number) : frame.number
    } else if ahead > 0 {
      if ahead > Self.farthest { survey.isViolation = true }
      let first = survey.state == LaneState.none ? firstNumber : self[state: survey.state].expected[lane]
      survey.reach[lane] = max(survey.reach[lane], MessageFrame.distance(frame.number, from: first))
      if needsBytes { survey.early += 1 }
    }
  }

  /// Whether a lane has the messages from `number` on, so many of them, already.
  private mutating func isFilled(_ lane: Int, from number: UInt32, _ count: Int, _ state: UInt32) -> Bool {
    guard state != LaneState.none, self[state: state].rings[lane] != LaneState.none else { return false }
    let ring = Int(self[state: state].rings[lane])
    guard count <= rings[ring].count else { return false }
    for ahead in 0..<count where rings[ring][(number &+ UInt32(ahead)) & MessageFrame.numberMask].kind == .none {
      return false
    }
    return true
  }

  /// The message that a frame is a part of.
  mutating func partial(_ frame: MessageFrame, _ state: UInt32) -> UInt32? {
    guard state != LaneState.none else { return nil }
    var index = self[state: state].partials
    while index != LaneState.none {
      let row = self[partial: index]
      if row.number == frame.number, row.lane == frame.lane, row.isOrdered == frame.isOrdered { return index }
      index = row.next
    }
    return nil
  }
}
