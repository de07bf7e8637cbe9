// SPDX-License-Identifier: MIT
/// The secrets of an engine that belong to no peer. They stand in memory of their own, as an engine is moved from where it is made to where it
/// is used, and what is moved leaves its bytes behind.
@safe
package struct EngineSecrets: ~Copyable {
  private struct Content: BitwiseCopyable {
    var staticKey: SecretKey
    var cookieKeys: CookieKeys
    /// Makes the tokens of own ids.
    var resetKey: SecretKey
    var randomWords = RandomWords()
  }

  // Bound: one `Content`, owned.
  private let content: UnsafeMutablePointer<Content>
  private let memory: any SecretMemory
  /// Something has been computed with secrets, and copies may be left on the stack.
  var wereHandled = true

  package init(
    staticKey: SecretKey, boot: UInt64 = 0, resetKey: SecretKey, suite: any CipherSuite, memory: any SecretMemory
  ) {
    let block = unsafe memory.allocate(byteCount: MemoryLayout<Content>.size)
    unsafe content = block.bindMemory(to: Content.self, capacity: 1)
    unsafe content.initialize(
      to: Content(
        staticKey: staticKey, cookieKeys: CookieKeys(identity: staticKey, boot: boot, suite: suite), resetKey: resetKey)
    )
    self.memory = memory
  }

  deinit {
    wipe()
    unsafe memory.release(UnsafeMutableRawPointer(content), byteCount: MemoryLayout<Content>.size)
  }

  package var staticKey: SecretKey {
    unsafeAddress { unsafe UnsafePointer(content).pointer(to: \.staticKey)! }
  }
  package var cookieKeys: CookieKeys {
    unsafeAddress { unsafe UnsafePointer(content).pointer(to: \.cookieKeys)! }
    unsafeMutableAddress { unsafe content.pointer(to: \.cookieKeys)! }
  }
  package var resetKey: SecretKey {
    unsafeAddress { unsafe UnsafePointer(content).pointer(to: \.resetKey)! }
  }
  package var randomWords: RandomWords {
    unsafeAddress { unsafe UnsafePointer(content).pointer(to: \.randomWords)! }
    unsafeMutableAddress { unsafe content.pointer(to: \.randomWords)! }
  }

  /// Overwrites all of them.
  package func wipe() { unsafe LRP2PCore.wipe(content, MemoryLayout<Content>.size) }
}
