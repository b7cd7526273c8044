// RefusalTests.swift: what each refusal is called in OpenAI's words: the whole table, row by row.
// Start at the test; `rows` holds one refusal of each kind.
import Accounting
import Inference
import Receipts
import Scheduling
import Testing

@testable import Node

@Suite struct RefusalTests {
  /// Refusal, then status, type, code, field and seconds to wait, as the table has them.
  static let rows = requests + node + jobs

  private static let requests: [(Refusal, String)] = [
    (.unidentified(.missingToken), "401 authentication_error missing_token - -"),
    (.unidentified(.wrongToken), "401 authentication_error invalid_token - -"),
    (.unidentified(.revoked), "401 authentication_error revoked_token - -"),
    (.request(.syntax, field: nil, words: "w"), "400 invalid_request_error invalid_json - -"),
    (.request(.value, field: "f", words: "w"), "400 invalid_request_error invalid_value f -"),
    (.request(.unsupported, field: "f", words: "w"), "400 invalid_request_error unsupported_parameter f -"),
    (.modelNotServed("a", served: "b"), "404 invalid_request_error model_not_found model -"),
    (.emptyPrompt, "400 invalid_request_error invalid_value prompt -"),
    (.promptTooLong(.tokens(9), context: 8), "400 invalid_request_error context_length_exceeded PROMPT -"),
    (.promptTooLong(.moreThan(7), context: 8), "400 invalid_request_error context_length_exceeded PROMPT -"),
    (
      .outputTooLong(prompt: 4, asked: 5, context: 8),
      "400 invalid_request_error context_length_exceeded LIMIT -"
    ),
    (.unknownToken(9, vocabulary: 8), "400 invalid_request_error invalid_value prompt -"),
    (.noChatTemplate("w"), "400 invalid_request_error no_chat_template messages -"),
    (.templateRefused("w"), "400 invalid_request_error invalid_value messages -"),
    (
      .sampling(SamplingError(field: "top_k", found: "1", wanted: "2")),
      "400 invalid_request_error invalid_value top_k -"
    ),
  ]

  private static let node: [(Refusal, String)] = [
    (.noModel("w"), "503 server_error no_model - -"), (.loading, "503 server_error loading - 2"),
    (.engineFailed("w"), "503 server_error engine_failed - -"),
    (.stopping, "503 server_error stopping - -"), (.journalFailed("w"), "503 server_error read_only - -"),
    (.diskFull, "503 server_error disk_full - 60"), (.overLimit("w"), "503 server_error over_limit - 30"),
    (.auditFailed("w"), "503 server_error audit_failed - -"),
    (.unread(.tooMany(requests: 3)), "429 rate_limit_error overloaded - 2"),
    (.answersFull(.client, jobs: 1, bytes: 2), "429 rate_limit_error answers_full - 30"),
    (.answersFull(.strangers, jobs: 1, bytes: 2), "429 rate_limit_error answers_full - 30"),
    (.spoolFull(bytes: 1), "429 rate_limit_error spool_full - 60"),
    (.spoolFailed("w"), "503 server_error spool - 60"),
    (.queue(.policy(reason: "w")), "403 permission_error rejected - -"),
    (.queue(.queueFull(jobs: 1, retryAfter: 1)), "429 rate_limit_error queue_full - 1"),
    (.queue(.approvalsFull(jobs: 1, retryAfter: 1_000_001)), "429 rate_limit_error queue_full - 2"),
    (.queue(.strangersFull(jobs: 1, retryAfter: 2_000_000)), "429 rate_limit_error queue_full - 2"),
    (.queue(.tokensFull(tokens: 1, retryAfter: 0)), "429 rate_limit_error queue_full - 1"),
    (.queue(.clientFull(jobs: 1, retryAfter: 3_000_000)), "429 rate_limit_error queue_full - 3"),
    (
      .queue(.tooLong(prompt: 1, output: 2, room: 2)),
      "400 invalid_request_error context_length_exceeded messages -"
    ),
    (.sharedQueueFull("w"), "429 rate_limit_error queue_full - 5"),
    (.sharedQueue("w"), "503 server_error shared_queue - 5"),
    (.queue(.draining), "503 server_error draining - -"),
    (.queue(.duplicate(JobID(1))), "400 invalid_request_error invalid_value - -"),
    (
      .queue(.invalid(field: "f", found: 1, wanted: "2")), "400 invalid_request_error invalid_value - -"
    ),
  ]

  private static let jobs: [(Refusal, String)] = [
    (
      .priorityForbidden(asked: 9, most: 5),
      "403 permission_error priority_forbidden hotpot.priority -"
    ),
    (.clientLimit(.jobsAtOnce(limit: 1)), "429 rate_limit_error client_limit - 10"),
    (.clientLimit(.tokensPerDay(used: 1, asked: 2, limit: 2)), "429 rate_limit_error client_limit - 10"),
    (.clientLimit(.model("m", allowed: [])), "403 permission_error client_forbidden - -"),
    (.clientLimit(.tokensPerJob(asked: 2, limit: 1)), "403 permission_error client_forbidden - -"),
    (
      .clientLimit(.budget(left: .zero, wanted: Amount(micro: 1))),
      "403 permission_error client_forbidden - -"
    ),
    (
      .voucherRequired(worst: .zero, promised: .zero, wanted: nil, currency: "EUR"),
      "402 permission_error voucher_required - -"
    ),
    (.unpriced(.overflow("w")), "400 invalid_request_error invalid_value max_tokens -"),
    (
      .tooExpensive(.zero, most: .zero, currency: "EUR"),
      "400 invalid_request_error invalid_value max_tokens -"
    ),
    (.unreserved(.overflow("w")), "400 invalid_request_error invalid_value - -"),
    (.notTaken, "503 server_error refused - 30"), (.rejected("w"), "403 permission_error rejected - -"),
    (.undecided(seconds: 5), "408 timeout_error expired - 60"),
    (.timeLimit, "408 timeout_error expired - -"),
    (.cancelled(by: .client), "409 invalid_request_error cancelled - -"),
    (.cancelled(by: .operator), "403 permission_error cancelled - -"),
    (.cancelled(by: .shutdown), "503 server_error interrupted - 30"),
    (.failed("w"), "500 server_error failed - -"), (.interrupted("w"), "503 server_error interrupted - -"),
    (.answerLost("w"), "500 server_error answer_lost - -"),
  ]

  /// A number for each kind, so that the compiler names what `rows` would miss.
  private func kind(_ refusal: Refusal) -> Int {
    switch refusal {
    case .unidentified: 0
    case .request: 1
    case .modelNotServed: 2
    case .emptyPrompt: 4
    case .promptTooLong: 5
    case .outputTooLong: 6
    case .unknownToken: 7
    case .noChatTemplate: 8
    case .templateRefused: 9
    case .sampling: 10
    case .noModel: 11
    case .loading: 12
    case .engineFailed: 13
    case .stopping: 14
    case .journalFailed: 15
    case .diskFull: 16
    case .overLimit: 17
    case .auditFailed: 18
    case .unread: 19
    case .answersFull: 20
    case .spoolFull: 21
    case .spoolFailed: 22
    case .queue: 23
    case .priorityForbidden: 24
    case .clientLimit: 25
    case .voucherRequired: 26
    case .unpriced: 27
    case .tooExpensive: 28
    case .unreserved: 29
    case .notTaken: 30
    case .rejected: 31
    case .undecided: 32
    case .timeLimit: 33
    case .cancelled: 34
    case .failed: 35
    case .interrupted: 36
    case .answerLost: 3
    case .sharedQueueFull: 37
    case .sharedQueue: 38
    }
  }

  @Test func `a refusal has one status in OpenAI's dialect`() {
    #expect(Set(Self.rows.map { kind($0.0) }) == Set(0...38))
    let names = APIError.FieldNames(prompt: "PROMPT", outputLimit: "LIMIT")
    for (refusal, expected) in Self.rows {
      let error = APIError(refusal, in: names)
      let wait = error.retryAfter.map { "\($0)" } ?? "-"
      #expect(
        "\(error.status) \(error.type.rawValue) \(error.code) \(error.parameter ?? "-") \(wait)" == expected,
        "\(refusal)")
      #expect(error.message == "\(refusal)" && !error.message.isEmpty)
    }
  }

  @Test func `what is the node's own trouble is what it answers with 503`() {
    for (refusal, expected) in Self.rows {
      #expect(refusal.isOfTheNode == expected.hasPrefix("503"), "\(refusal)")
    }
  }

  @Test func `a receipt's sampler and a request for sampling are one mapping both ways`() {
    let sampling = SamplingRequest(
      temperature: 0.7, topK: 11, topP: 0.9, minP: 0.05, repetitionPenalty: 1.1, presencePenalty: -0.5,
      frequencyPenalty: 0.25, logitBias: [.init(token: 3, bias: -1), .init(token: -1, bias: 2)],
      seed: .max)
    let biases = sampling.logitBias.map { Receipts.Transcript.Bias($0) }
    #expect(SamplingRequest(Receipts.Receipt.Sampler(sampling), biases: biases) == sampling)
    // Each field has a place of its own.
    let sampler = Receipts.Receipt.Sampler(sampling)
    #expect(
      Set([
        sampler.temperature, sampler.topP, sampler.minP, sampler.repetitionPenalty,
        sampler.presencePenalty, sampler.frequencyPenalty,
      ]).count == 6)
  }
}
