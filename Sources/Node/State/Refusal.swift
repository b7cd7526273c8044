// Refusal.swift: why a request is refused, or a job ends without its answer: a closed set, with
// what was found. Independent of any protocol. Its words are for logs and people; each dialect maps
// it to a status and a code in one table (OpenAI's is APIError.swift). Start at Refusal.
import Accounting
import Inference
import Scheduling

package enum Refusal: Error, Sendable, Equatable {
  // The client could not be identified.
  case unidentified(ClientDirectory.Refusal)

  // The request asks for something impossible.
  case request(RequestFault, field: String?, words: String)
  case modelNotServed(String, served: String)
  case emptyPrompt
  case promptTooLong(PromptLength, context: Int)
  case outputTooLong(prompt: Int, asked: Int, context: Int)
  case unknownToken(Int32, vocabulary: Int)
  case noChatTemplate(String)
  case templateRefused(String)
  case sampling(SamplingError)

  // The node accepts nothing now, from anyone.
  case noModel(String)
  case loading
  case engineFailed(String)
  case stopping
  case journalFailed(String)
  case diskFull
  case overLimit(String)
  case auditFailed(String)

  // Too much is waiting already.
  case unread(Unread)
  case answersFull(AnswersOwner, jobs: Int, bytes: Int)
  case spoolFull(bytes: Int)
  case spoolFailed(String)
  case queue(QueueRefusal)
  /// The queue that machines share has no room.
  case sharedQueueFull(String)
  /// The job was given to the shared queue, and has no answer from there.
  case sharedQueue(String)

  // Not permitted for this client, or not at this price.
  case priorityForbidden(asked: Int, most: Int)
  case clientLimit(ClientLimits.Refusal)
  case voucherRequired(worst: Amount, promised: Amount, wanted: Amount?, currency: String)
  case unpriced(AccountingError)
  case tooExpensive(Amount, most: Amount, currency: String)
  case unreserved(AccountingError)
  /// It was submitted and is not in the books, for a reason that was not reported.
  case notTaken

  // The job existed, and ended without its answer.
  case rejected(String)
  /// Nobody decided about it within this many seconds.
  case undecided(seconds: Int)
  case timeLimit
  case cancelled(by: Canceller)
  case failed(String)
  /// An earlier run of the node accepted it, and it cannot run again.
  case interrupted(String)
  /// Its answer was kept, but cannot be read.
  case answerLost(String)
}

extension Refusal {
  /// What is wrong with a request's text.
  package enum RequestFault: Sendable, Equatable {
    /// It isn't JSON.
    case syntax
    case value
    /// It asks for something that isn't supported here.
    case unsupported
  }

  package enum PromptLength: Sendable, Equatable {
    case tokens(Int)
    /// Counting stopped there.
    case moreThan(Int)
  }

  /// Why a request was not queued for reading.
  package enum Unread: Error, Sendable, Equatable, CustomStringConvertible {
    case tooMany(requests: Int)
    case tooMuch(bytes: Int)

    package var description: String {
      switch self {
      case .tooMany(let requests): "\(requests) requests of unknown clients wait to be read already"
      case .tooMuch(let bytes): "requests of \(bytes >> 20) MiB wait to be read already"
      }
    }
  }

  /// Whose asynchronous answers fill their share.
  package enum AnswersOwner: Sendable, Equatable {
    case client, strangers
  }

  /// The node cannot do it now, whatever the request: after a restart it might.
  var isOfTheNode: Bool {
    switch self {
    case .noModel, .loading, .engineFailed, .stopping, .journalFailed, .diskFull, .overLimit, .auditFailed,
      .spoolFailed, .queue(.draining), .notTaken, .cancelled(by: .shutdown), .interrupted, .sharedQueue:
      true
    case .unidentified, .request, .modelNotServed, .emptyPrompt, .promptTooLong,
      .outputTooLong, .unknownToken, .noChatTemplate, .templateRefused, .sampling, .unread, .answersFull,
      .spoolFull, .queue, .sharedQueueFull, .priorityForbidden, .clientLimit, .voucherRequired, .unpriced,
      .tooExpensive,
      .unreserved, .rejected, .undecided, .timeLimit, .cancelled, .failed, .answerLost:
      false
    }
  }
}

extension Refusal {
  /// Whether the request itself is at fault, so that no node would take it as it is.
  var isOfTheRequest: Bool {
    switch self {
    case .request, .emptyPrompt, .promptTooLong, .outputTooLong, .unknownToken, .noChatTemplate,
      .templateRefused, .sampling:
      true
    default: false
    }
  }
}

extension Refusal: CustomStringConvertible {
  /// Lower case, no full stop: what was found and what was expected. A trace contains these words.
  package var description: String {
    switch self {
    case .unidentified(.missingToken): "no bearer token: send 'Authorization: Bearer TOKEN'"
    case .unidentified(.wrongToken): "the bearer token is not one of this node's"
    case .unidentified(.revoked): "the bearer token has been revoked"
    case .request(_, _, let words): words
    case .modelNotServed(let name, let served):
      "the model '\(name.prefix(200))' is not served here, '\(served)' is"
    case .emptyPrompt: "the prompt is empty"
    case .promptTooLong(.tokens(let count), let context):
      "the prompt has \(count) tokens, this model's context here is \(context)"
    case .promptTooLong(.moreThan(let count), let context):
      "the prompt has more than \(count) tokens, this model's context here is \(context)"
    case .outputTooLong(let prompt, let asked, let context):
      "\(prompt) prompt tokens and \(asked) to generate are more than this model's context of \(context)"
    case .unknownToken(let token, let vocabulary):
      "token \(token) is not in the vocabulary of \(vocabulary)"
    case .noChatTemplate(let problem): "this model cannot chat: \(problem); use /v1/completions"
    case .templateRefused(let problem): "the model's chat template refused the conversation: \(problem)"
    case .sampling(let error): "\(error)"
    case .noModel(let reason): reason
    case .loading: "the model is being loaded"
    case .engineFailed(let reason): reason
    case .stopping: "the node is stopping"
    case .journalFailed(let reason): "the node's journal cannot be written: \(reason)"
    case .diskFull: "the node's disk is nearly full"
    case .overLimit(let words): "the node admits nothing now: \(words)"
    case .auditFailed(let words): "the node admits nothing: \(words)"
    case .unread(let refusal): "\(refusal)"
    case .answersFull(.client, let jobs, let bytes):
      "this client has \(jobs) with \(bytes) bytes, asynchronous jobs that have not ended or whose answers were not fetched"
    case .answersFull(.strangers, let jobs, let bytes):
      "clients that this node does not know have \(jobs) with \(bytes) bytes, asynchronous jobs that have not ended or whose answers were not fetched"
    case .spoolFull(let bytes):
      "requests of unknown clients fill their share of the disk, \(bytes) bytes; wait for the answer on the connection, or come back"
    case .spoolFailed(let problem): "the request cannot be kept: \(problem)"
    case .queue(.duplicate(let id)): "job \(id.short) exists already"
    case .queue(let refusal): "\(refusal)"
    case .sharedQueueFull(let words): "the queue that machines share is full: \(words)"
    case .sharedQueue(let words): "the queue that machines share: \(words)"
    case .priorityForbidden(let asked, let most):
      "'hotpot.priority' is \(asked), this node takes 0 to \(most) of you"
    case .clientLimit(let refusal): "\(refusal)"
    case .voucherRequired(let worst, let promised, let wanted, let currency):
      "the job may cost \(worst) \(currency), and your voucher says \(promised); wanted one of at least \(wanted?.description ?? "more"), at POST /v1/vouchers"
    case .unpriced(let error): "the job's price cannot be told: \(error)"
    case .tooExpensive(let worst, let most, let currency):
      "the job may cost \(worst) \(currency), a receipt holds at most \(most)"
    case .unreserved(let error): "the job cannot be paid for: \(error)"
    case .notTaken: "the job was not taken"
    case .rejected(let reason): reason
    case .undecided(let seconds): "the operator did not decide within \(seconds) s"
    case .timeLimit: "the job's own time limit passed"
    case .cancelled(by: .shutdown): "the node stopped before the answer was complete"
    case .cancelled(by: .operator): "cancelled by the operator"
    case .cancelled(by: .client): "cancelled by the client"
    case .failed(let reason): reason
    case .interrupted(let reason): reason
    case .answerLost(let reason): "the answer was kept and cannot be read: \(reason)"
    }
  }
}
