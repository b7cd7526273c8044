// LiveConfiguration.swift: the configuration that a running node holds to, and how it is read again.
// What may change while the node runs is in ConfigurationPart. Start at reload.
//
// Rule: a file is taken whole or not at all. Why: half a policy may admit what the whole one
// refuses. So: it is read and checked before anything changes, and the parts that can refuse are
// asked first. Otherwise a typing error opens a node.
import Control
import Synchronization

/// A part of the node that holds something of the configuration itself.
struct ConfigurationFollower: Sendable {
  /// Says why the new configuration cannot be taken; nil if it can. Nothing may change yet.
  var refusal: @Sendable (NodeConfiguration) -> String? = { _ in nil }
  /// Takes it.
  let follow: @Sendable (_ old: NodeConfiguration, _ new: NodeConfiguration) -> Void
}

final class LiveConfiguration: Sendable {
  private struct Inner {
    var current: NodeConfiguration
    var followers: [ConfigurationFollower] = []
  }

  private let inner: Mutex<Inner>
  /// Held while one reads, so that two never mix.
  private let reading = Mutex(())
  private let read: @Sendable () -> Result<NodeConfiguration, AdministrationError>

  init(
    _ configuration: NodeConfiguration,
    read: @escaping @Sendable () -> Result<NodeConfiguration, AdministrationError>
  ) {
    inner = Mutex(Inner(current: configuration))
    self.read = read
  }

  var current: NodeConfiguration { inner.withLock { $0.current } }

  func add(_ follower: ConfigurationFollower) { inner.withLock { $0.followers.append(follower) } }

  /// Reads the configuration again and applies what may change, at once and whole. Reads files, so
  /// it is not for a thread that others wait on.
  func reload(_ runtime: Runtime, by who: Operator) -> CommandReply {
    reading.withLock { _ in
      let new: NodeConfiguration
      switch read() {
      case .success(let found): new = found
      case .failure(let error): return refuse(error.description, runtime, who)
      }
      let (old, followers) = inner.withLock { ($0.current, $0.followers) }
      for follower in followers {
        if let reason = follower.refusal(new) { return refuse(reason, runtime, who) }
      }
      let change = ConfigurationChange(from: old, to: new)
      runtime.decide(as: .reconfigured(source: new.source, change, by: who)) { state, now, effects in
        state.reconfigure(new, change, by: who, at: now, &effects)
      }
      let next = inner.withLock { inner in
        inner.current.takeLive(from: new)
        return inner.current
      }
      for follower in followers { follower.follow(old, next) }
      return .done(change.words)
    }
  }

  private func refuse(_ reason: String, _ runtime: Runtime, _ who: Operator) -> CommandReply {
    runtime.note(.error, who: who.name, "the configuration was not taken: \(reason)")
    return .refused(reason)
  }
}
