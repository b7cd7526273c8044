// Connection.swift: how a dashboard or a script talks to a node: commands in, messages out.
// Two conformers: the node in this process, and its control socket (local or through ssh). What a
// snapshot holds is in Snapshot.swift. Start at NodeConnection.

/// A command from an operator to a node. Job ids are full ids as the snapshot showed them or, from
/// scripts, unique prefixes.
package enum NodeCommand: Codable, Sendable, Equatable {
  case approve(jobs: [String])
  /// The client gets 403 with this reason.
  case reject(jobs: [String], reason: String)
  case hold(jobs: [String])
  case release(jobs: [String])
  /// `by` is a step relative to each job's priority at the time when the node executes the command,
  /// clamped to 0 to 9: two quick steps count as two, however late the screen is. `priority` is for
  /// nodes that do not know `by`, which set it instead.
  case setPriority(jobs: [String], priority: Int, by: Int? = nil)
  /// A number of positions in the queue; negative is earlier.
  case move(job: String, by: Int)
  case cancel(jobs: [String])
  case pause
  case resume
  /// Finish running jobs, admit nothing.
  case drain
  /// Admit again.
  case undrain
  /// Stop the node; with drain, after all admitted jobs have finished.
  case shutdown(drain: Bool)
  /// Details of a job, without prompt and answer. Answered by `NodeMessage.job`.
  case inspect(job: String)
  /// Prompt and answer too; that they were viewed is written to the log. Later text arrives as
  /// `NodeMessage.text` until `conceal`. Answered by `NodeMessage.job`.
  case reveal(job: String)
  case conceal(job: String)
  /// Answered by `NodeMessage.receipt`.
  case receipt(id: String)
  /// Re-execute a receipt now; the result shows in later snapshots.
  case verify(receipt: String)
  /// Answered by `NodeMessage.chat` events. Only one answer is generated at a time.
  case chat(ChatRequest)
  case stopChat
  /// Keep these conversations, in memory, until the operator comes back: `Welcome.chats`.
  case keepChats(ChatBook)
  /// Fetch a model by name and load it; progress arrives as `NodeMessage.pull`.
  case pull(model: String)
  case cancelPull
  /// Past values for the graphs. Answered by `NodeMessage.history`.
  case history
  /// Jobs that ended, from the journal. Answered by `NodeMessage.past`.
  case past(PastQuery)
  /// Read the configuration again and apply what may change while the node runs.
  case reload
  case administer(ClientAct)
}

extension NodeCommand {
  /// It changes nothing on the node.
  package var onlyLooks: Bool {
    switch self {
    case .inspect, .receipt, .history, .past, .keepChats: true
    // Clients' content is visible to the operator, but viewing it is an act.
    case .reveal, .conceal: false
    case .approve, .reject, .hold, .release, .setPriority, .move, .cancel, .pause, .resume, .drain, .undrain,
      .shutdown, .verify, .chat, .stopChat, .pull, .cancelPull, .reload, .administer:
      false
    }
  }

  /// A decision about a job, which stays valid after a restart.
  package var isPromise: Bool {
    switch self {
    case .approve, .reject, .hold, .release, .setPriority, .cancel: true
    case .inspect, .receipt, .history, .past, .reveal, .conceal, .move, .pause, .resume, .drain, .undrain,
      .shutdown,
      .verify, .chat, .stopChat, .keepChats, .pull, .cancelPull, .reload, .administer:
      false
    }
  }
}

/// The whole conversation so far, and the settings for the answer.
package struct ChatRequest: Codable, Sendable, Equatable {
  package struct Message: Codable, Sendable, Equatable {
    package enum Role: String, Codable, Sendable { case system, user, assistant }
    package let role: Role
    package let content: String

    package init(role: Role, content: String) {
      self.role = role
      self.content = content
    }
  }

  package let messages: [Message]
  /// 0 is greedy.
  package let temperature: Double
  package let maxTokens: Int
  package let seed: UInt64?

  package init(messages: [Message], temperature: Double, maxTokens: Int, seed: UInt64?) {
    self.messages = messages
    self.temperature = temperature
    self.maxTokens = maxTokens
    self.seed = seed
  }
}

package enum ChatEvent: Codable, Sendable, Equatable {
  /// Accepted under this job id.
  case started(job: String)
  case text(String)
  /// More of what the model thinks before it answers.
  case thought(String)
  case finished(reason: String, tokens: Int, tokensPerSecond: Double)
  case failed(String)
}

package struct PullProgress: Codable, Sendable, Equatable {
  package enum Phase: String, Codable, Sendable {
    case starting, fetching, checking, loading, done, failed, cancelled
  }
  package let model: String
  package let phase: Phase
  package let bytes: Int64
  /// nil while unknown.
  package let total: Int64?
  /// What went wrong, or what is in progress.
  package let detail: String?

  package init(model: String, phase: Phase, bytes: Int64, total: Int64?, detail: String?) {
    self.model = model
    self.phase = phase
    self.bytes = bytes
    self.total = total
    self.detail = detail
  }
}

/// The result of a command. A refusal says what was found and what to do.
package enum CommandReply: Codable, Sendable, Equatable {
  /// Done; in words for the status line, for example `approved 2 jobs`.
  case done(String)
  case refused(String)
}

/// The state of the connection to the node.
package enum LinkState: Codable, Sendable, Equatable {
  case connecting
  case connected
  /// Lost since then, and why; it keeps trying to reconnect.
  case lost(since: Microseconds, reason: String)
  /// Ended for good: the node stopped, or uses another protocol version.
  case ended(reason: String)
}

/// A message from a node.
package enum NodeMessage: Codable, Sendable, Equatable {
  /// Sent before a connection's first snapshot: who is connected, in which role, and what happened
  /// since they left.
  case welcome(Welcome)
  case snapshot(NodeSnapshot)
  case history(NodeHistory)
  /// The answer to the command sent with this tag.
  case reply(tag: UInt64, CommandReply)
  case job(JobDetail)
  case receipt(ReceiptDetail)
  /// The newest first.
  case past([PastJob])
  /// A new client's token, which is shown only once.
  case token(name: String, token: String)
  /// More of a revealed job's answer.
  case text(job: String, String)
  case chat(ChatEvent)
  case pull(PullProgress)
  case link(LinkState)
}

/// A node as seen by a dashboard.
///
/// Rule: `deliver` is called on any thread, in order, and must return at once (put the message in a
/// mailbox; of snapshots only the newest matters). Why: it is called from the node's own threads.
/// So: do no work in it. Otherwise a slow screen would slow the engine.
package protocol NodeConnection: Sendable {
  /// Starts delivery; the first messages are a link state and, once connected, a snapshot.
  func start(deliver: @escaping @Sendable (NodeMessage) -> Void)
  /// Sends a command; its `reply` carries the tag. Never blocks.
  func send(_ command: NodeCommand, tag: UInt64)
  /// Ends delivery; the node keeps serving.
  func close()
}
