// SPDX-License-Identifier: MIT
import LRP2PCore

/// What another thread has submitted.
package protocol ReactorTask: Sendable {
  /// - Returns: false, and nothing was done, where it is for a handler of another type.
  func run<H: Handler>(_ handler: inout H, _ engine: inout Engine) -> Bool
}

/// One that needs the engine only.
struct EngineTask: ReactorTask {
  let body: @Sendable (inout Engine) -> Void

  func run<H: Handler>(_ handler: inout H, _ engine: inout Engine) -> Bool {
    body(&engine)
    return true
  }
}

/// One for the handler, too.
struct HandlerTask<Expected: Handler>: ReactorTask {
  let body: @Sendable (inout Expected, inout Engine) -> Void

  func run<H: Handler>(_ handler: inout H, _ engine: inout Engine) -> Bool {
    guard H.self == Expected.self else { return false }
    // The same type under another name: a cast would copy the handler, and all that it holds.
    unsafe withUnsafeMutablePointer(to: &handler) { pointer in
      unsafe pointer.withMemoryRebound(to: Expected.self, capacity: 1) { unsafe body(&$0.pointee, &engine) }
    }
    return true
  }
}
