/// Where the memory for keys comes from. The core knows nothing of the kernel: who has more to say about such memory (that it is in no
/// core dump, and is not swapped out) brings it.
package protocol SecretMemory: AnyObject {
  /// Memory that begins at a cache line. What it holds at first means nothing.
  func allocate(byteCount: Int) -> UnsafeMutableRawPointer
  /// Takes back what `allocate` gave for this count, which was wiped.
  func release(_ block: UnsafeMutableRawPointer, byteCount: Int)
}

/// The allocator's memory, as it is.
package final class OrdinaryMemory: SecretMemory {
  package init() {}

  package func allocate(byteCount: Int) -> UnsafeMutableRawPointer {
    .allocate(byteCount: byteCount, alignment: 64)
  }

  package func release(_ block: UnsafeMutableRawPointer, byteCount: Int) { unsafe block.deallocate() }
}

/// The secrets of an engine that belong to no peer. They stand in memory of their own, as an engine is moved from where it is made to where it
/// is used, and what is moved leaves its bytes behind.
@safe
package struct EngineSecrets: ~Copyable {
  private struct Content: BitwiseCopyable {
    var staticKey: SecretKey
    var cookieKeys: CookieKeys
    var randomWords = RandomWords()
  }

  // Bound: one `Content`, owned.
  private let content: UnsafeMutablePointer<Content>
  private let memory: any SecretMemory

  package init(staticKey: SecretKey, boot: UInt64 = 0, suite: any CipherSuite, memory: any SecretMemory) {
    let block = unsafe memory.allocate(byteCount: MemoryLayout<Content>.size)
    unsafe content = block.bindMemory(to: Content.self, capacity: 1)
    unsafe content.initialize(
      to: Content(staticKey: staticKey, cookieKeys: CookieKeys(identity: staticKey, boot: boot, suite: suite)))
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
  package var randomWords: RandomWords {
    unsafeAddress { unsafe UnsafePointer(content).pointer(to: \.randomWords)! }
    unsafeMutableAddress { unsafe content.pointer(to: \.randomWords)! }
  }

  /// Overwrites all of them.
  package func wipe() { unsafe LRP2PCore.wipe(content, MemoryLayout<Content>.size) }
}
