// Snapshot+Queue.swift: the queue that this node shares with others, at one moment. Start at
// SharedQueueSnapshot.

package struct SharedQueueSnapshot: Codable, Sendable, Equatable {
  /// One class of the served model.
  package struct Depth: Codable, Sendable, Equatable {
    /// `hi`, `std` or `lo`.
    package let name: String
    package let waiting: Int
    /// By all nodes.
    package let leased: Int
    /// Of those, given out more than once.
    package let redelivered: Int
    /// Requests for a job that wait: nodes with room.
    package let pulls: Int

    package init(name: String, waiting: Int, leased: Int, redelivered: Int, pulls: Int) {
      (self.name, self.waiting, self.leased) = (name, waiting, leased)
      (self.redelivered, self.pulls) = (redelivered, pulls)
    }
  }

  /// A job that this node has.
  package struct Lease: Codable, Sendable, Equatable {
    package let job: String
    package let client: String
    /// How often it had been given out.
    package let delivery: Int

    package init(job: String, client: String, delivery: Int) {
      (self.job, self.client, self.delivery) = (job, client, delivery)
    }
  }

  package let stream: String
  /// The server and its version; nil before one was reached.
  package let server: String?
  package let version: String?
  /// Since when no server is reached; nil if one is.
  package let unreachedSince: Microseconds?
  /// Why none is.
  package let trouble: String?
  /// The most urgent class first; nil until the server has told.
  package let depths: [Depth]?
  package let leases: [Lease]
  /// Requests of this node's door that other nodes answer now, and all since the start; nil where it
  /// passes none on.
  package let passedOn: Int?
  package let passedOnInAll: Int?

  package init(
    stream: String, server: String?, version: String?, unreachedSince: Microseconds?, trouble: String?,
    depths: [Depth]?, leases: [Lease], passedOn: Int?, passedOnInAll: Int?
  ) {
    self.stream = stream
    self.server = server
    self.version = version
    self.unreachedSince = unreachedSince
    self.trouble = trouble
    self.depths = depths
    self.leases = leases
    self.passedOn = passedOn
    self.passedOnInAll = passedOnInAll
  }

  /// Jobs that wait for any node; nil until the server has told.
  package var waiting: Int? { depths?.reduce(0) { $0 + $1.waiting } }
}
