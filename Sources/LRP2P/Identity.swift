// SPDX-License-Identifier: MIT
import LRP2PCore
import LRP2PReactor
import LRP2PSodium

/// A static key pair: who this side is. The secret half is kept in one place and wiped when the last copy of the
/// identity goes.
public struct Identity: Sendable {
  /// What peers know this side by.
  public let publicKey: PublicKey
  private let secret: Secret

  /// Makes a new random identity.
  public init() {
    var key = SecretKey(repeating: 0)
    defer { wipe(&key) }
    var span = key.mutableSpan
    var bytes = unsafe span.mutableBytes
    SodiumSuite().random(&bytes)
    self.init(secretKey: key)
    wipeStack()
  }

  /// Takes a secret key of 32 bytes, from a vault for example. Any 32 bytes are a key; they have to be as good as random.
  ///
  /// - Parameter bytes: are copied. The caller overwrites its own.
  /// - Throws: `wrongLength` where these are not 32 bytes.
  public init(secretKey bytes: RawSpan) throws(IdentityError) {
    guard bytes.byteCount == 32 else { throw .wrongLength(bytes.byteCount) }
    var key = SecretKey(repeating: 0)
    defer { wipe(&key) }
    for index in 0..<32 { key[index] = bytes.byte(index) }
    self.init(secretKey: key)
    wipeStack()
  }

  /// Who may read an identity's file.
  public enum FileAccess: Sendable {
    /// Its owner only: modes 0600 and 0400.
    case owner
    /// Its group, too, but nobody may write but the owner: modes 0640 and 0440, as Kubernetes mounts a secret for `fsGroup`.
    case group

    fileprivate var forbidden: UInt32 { self == .owner ? 0o077 : 0o037 }
  }

  /// Reads an identity that `save` has written: one line, `lrp2p-identity-v1` and 64 hexadecimal characters.
  ///
  /// - Parameters:
  ///   - path: of the file.
  ///   - access: who else than the owner may have access to the file; one that more have access to is refused (`exposed`).
  public init(contentsOf path: String, access: FileAccess = .owner) throws(IdentityError) {
    // One more than the longest valid file, so that a longer one shows.
    var file = InlineArray<84, UInt8>(repeating: 0)
    defer { wipe(&file) }
    var key = try Self.read(path, access, into: &file)
    defer { wipe(&key) }
    self.init(secretKey: key)
    wipeStack()
  }

  /// Reads an identity from a variable of the environment, whose value is the line that `save` writes. The system shows a process's
  /// environment to its owner (`/proc/PID/environ`), and children inherit it: a file is better where there may be one.
  ///
  /// - Throws: `missing` where there is no such variable; the error's path is the variable's name with a `$` before it.
  public init(environment name: String) throws(IdentityError) {
    var value = InlineArray<84, UInt8>(repeating: 0)
    defer { wipe(&value) }
    var key = try Self.read(environment: name, into: &value)
    defer { wipe(&key) }
    self.init(secretKey: key)
    wipeStack()
  }

  /// Writes the identity to a new file that only its owner can read (mode 0600). An existing file is never replaced.
  public func save(to path: String) throws(IdentityError) {
    var file = InlineArray<83, UInt8>(repeating: UInt8(ascii: "\n"))
    defer { wipe(&file) }
    for (index, byte) in Self.header.utf8.enumerated() { file[index] = byte }
    let start = Self.header.utf8.count
    for index in 0..<32 {
      file[start + 2 * index] = Hex.digit(secret.key[index] >> 4)
      file[start + 2 * index + 1] = Hex.digit(secret.key[index] & 15)
    }
    do throws(SystemError) { try unsafe SmallFile.create(path, file.span.bytes) } catch {
      throw IdentityError(error, path: path)
    }
  }

  private static let header = "lrp2p-identity-v1 "

  /// - Parameter secretKey: the caller wipes its own copy.
  package init(secretKey: SecretKey) {
    secret = Secret(secretKey)
    publicKey = SodiumSuite().publicKey(of: secretKey)
  }

  /// For the engine, which wipes its copy itself.
  package var secretKey: SecretKey { secret.key }

  private static func read(environment name: String, into value: inout InlineArray<84, UInt8>)
    throws(IdentityError) -> SecretKey
  {
    var span = value.mutableSpan
    var bytes = unsafe span.mutableBytes
    guard let count = SmallFile.environment(name, into: &bytes) else { throw .missing(path: "$\(name)") }
    return try parse(bytes.bytes.extracting(0..<count), path: "$\(name)")
  }

  private static func read(_ path: String, _ access: FileAccess, into file: inout InlineArray<84, UInt8>)
    throws(IdentityError) -> SecretKey
  {
    var span = file.mutableSpan
    var bytes = unsafe span.mutableBytes
    let count: Int
    let mode: UInt32
    do throws(SystemError) { (count, mode) = try SmallFile.read(path, into: &bytes) } catch {
      throw IdentityError(error, path: path)
    }
    if mode & access.forbidden != 0 { throw .exposed(path: path, mode: mode) }
    return try parse(bytes.bytes.extracting(0..<count), path: path)
  }

  private static func parse(_ file: RawSpan, path: String) throws(IdentityError) -> SecretKey {
    var count = file.byteCount
    // The line's end may be missing, or be one of Windows.
    if count > 0, file.byte(count - 1) == UInt8(ascii: "\n") { count -= 1 }
    if count > 0, file.byte(count - 1) == UInt8(ascii: "\r") { count -= 1 }
    for (index, byte) in header.utf8.enumerated() {
      if index >= count { throw .truncated(path: path) }
      if file.byte(index) != byte { throw .malformed(path: path) }
    }
    let digits = file.extracting(header.utf8.count..<count)
    if digits.byteCount < 64 { throw .truncated(path: path) }
    guard let key = Hex.decode32(digits) else { throw .malformed(path: path) }
    return key
  }
}

/// The secret's only home, in no core dump. Nothing changes it between `init` and `deinit`, so threads may share it.
@safe
private final class Secret: @unchecked Sendable {
  private let memory = SecretPages()
  // Bound: one key, owned.
  private let place: UnsafeMutablePointer<SecretKey>

  init(_ key: borrowing SecretKey) {
    let block = unsafe memory.allocate(byteCount: MemoryLayout<SecretKey>.size)
    unsafe place = block.bindMemory(to: SecretKey.self, capacity: 1)
    unsafe place.initialize(to: copy key)
  }

  var key: SecretKey { unsafeAddress { unsafe UnsafePointer(place) } }

  deinit {
    unsafe wipe(place, MemoryLayout<SecretKey>.size)
    unsafe memory.release(UnsafeMutableRawPointer(place), byteCount: MemoryLayout<SecretKey>.size)
  }
}

/// Why an identity could not be read or saved.
public enum IdentityError: Error, Hashable, Sendable {
  /// There is no such file.
  case missing(path: String)
  /// The file ends too early.
  case truncated(path: String)
  /// The file is no identity.
  case malformed(path: String)
  /// A secret key has 32 bytes, and this is how many there were.
  case wrongLength(Int)
  /// Others than the owner, or its group where that is allowed, may read or write the file: its secret may be known.
  case exposed(path: String, mode: UInt32)
  /// This process may not read or create the file.
  case denied(path: String)
  /// There is a file already, and it is kept.
  case exists(path: String)
  /// Anything else the system reports.
  case system(SystemError)

  init(_ error: SystemError, path: String) {
    switch error.kind {
    case .notFound: self = .missing(path: path)
    case .denied: self = .denied(path: path)
    case .exists: self = .exists(path: path)
    case .other: self = .system(error)
    }
  }
}

extension IdentityError: CustomStringConvertible {
  /// One line.
  public var description: String {
    switch self {
    case .missing(let path): "identity \(path): no such file or directory"
    case .truncated(let path): "identity \(path): the file is cut short"
    case .malformed(let path): "identity \(path): not an identity file (lrp2p-identity-v1 and 64 hex characters)"
    case .exposed(let path, let mode):
      "identity \(path): mode 0\(String(mode, radix: 8)) lets others at the secret key; chmod 600 it"
    case .wrongLength(let count): "identity: a secret key has 32 bytes, not \(count)"
    case .denied(let path): "identity \(path): permission denied"
    case .exists(let path): "identity \(path): the file exists and is not replaced"
    case .system(let error): "identity: \(error)"
    }
  }
}
