// SPDX-License-Identifier: MIT
/// A program's own state of each connection: an array by `Peer.index`, so that finding a value costs no hash, and each value belongs to one
/// connection. A handle of another connection that has, or had, the same index finds nothing.
///
///     var names = PeerColumn<String>()
///     names[peer] = "Alice"
///     names[peer, default: ""].append("!")
///     names[peer] = nil                       // in `Handler.closed`
///
/// It grows to the highest index that has had a value and keeps that memory. Remove the value in `Handler.closed`; one that is left
/// stays until another connection with its index sets a value, which replaces it.
public struct PeerColumn<Value> {
  /// By index: whose value it is, or 0, which is no connection's.
  private var ids: [UInt64] = []
  private var values: [Value?] = []
  /// Connections that have a value.
  public private(set) var count = 0

  /// An empty column, which has no memory.
  public init() {}

  /// Whether no connection has a value.
  public var isEmpty: Bool { count == 0 }

  /// The connection's value; `nil` if it has none.
  public subscript(peer: Peer) -> Value? {
    get { contains(peer) ? values[peer.index] : nil }
    _modify {
      // Taken out, so that it is not copied. `column[peer]?.change()` comes here, too: where there is nothing to change, the place is
      // left to the connection that has it.
      var value = contains(peer) ? values[peer.index].take() : nil
      defer { self[peer] = value }
      yield &value
    }
    set {
      if newValue == nil, !contains(peer) { return }
      let index = makeRoom(for: peer)
      values[index] = newValue
      settle(peer, index)
    }
  }

  /// The connection's value, which is `value` if it has none.
  public subscript(peer: Peer, default value: @autoclosure () -> Value) -> Value {
    get { self[peer] ?? value() }
    _modify {
      let index = makeRoom(for: peer)
      var held = values[index].take() ?? value()
      defer {
        values[index] = held
        settle(peer, index)
      }
      yield &held
    }
  }

  /// Whether the connection has a value.
  public func contains(_ peer: Peer) -> Bool { peer.index < ids.count && ids[peer.index] == peer.connectionID }

  /// Takes the value out.
  /// - Returns: the value; `nil` if the connection had none.
  @discardableResult
  public mutating func removeValue(for peer: Peer) -> Value? {
    guard contains(peer) else { return nil }
    defer { settle(peer, peer.index) }
    return values[peer.index].take()
  }

  /// Removes all values, and keeps the memory.
  public mutating func removeAll() {
    for index in ids.indices {
      ids[index] = 0
      values[index] = nil
    }
    count = 0
  }

  /// The connections that have a value, by their index.
  public var peers: some Sequence<Peer> { ids.lazy.filter { $0 != 0 }.map { Peer(connectionID: $0) } }

  /// A place that is the connection's, or nobody's.
  private mutating func makeRoom(for peer: Peer) -> Int {
    let index = peer.index
    while ids.count <= index {
      ids.append(0)
      values.append(nil)
    }
    if ids[index] != peer.connectionID, ids[index] != 0 {
      ids[index] = 0
      values[index] = nil
      count -= 1
    }
    return index
  }

  /// The place has been written to.
  private mutating func settle(_ peer: Peer, _ index: Int) {
    let had = ids[index] != 0
    let has = values[index] != nil
    ids[index] = has ? peer.connectionID : 0
    count += (has ? 1 : 0) - (had ? 1 : 0)
  }
}

extension PeerColumn: Sendable where Value: Sendable {}
