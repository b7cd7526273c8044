// KeptRequest.swift: an asynchronous job's request as its file in the spool holds it: a line that
// says whose it is and how it was admitted, then the body as it came.
//
//     {"chat":true,"dialect":"openai-chat","client":"aria","known":true,"admitted":true,"policy":"...","price_prompt":"1",...}
//     {"model":"smollm2","messages":[...]}
//
// The file is written in Spool.swift; AsynchronousJobs.swift has what becomes of the job. Start at
// init and bytes.
import Accounting
import JSON

struct KeptRequest: Sendable {
  let dialect: Dialect
  let identity: Identity
  /// nil for what a release without terms kept.
  let terms: JobTerms?
  let body: [UInt8]

  init(dialect: Dialect, identity: Identity, terms: JobTerms?, body: [UInt8]) {
    self.dialect = dialect
    self.identity = identity
    self.terms = terms
    self.body = body
  }

  var bytes: [UInt8] {
    var members: [JSONValue.Member] = [
      // Releases before names of dialects read this, and knew two.
      (key: "chat", value: .bool(dialect.name == Dialect.openAIChat.name)),
      (key: "dialect", value: .string(dialect.name)),
      (key: "client", value: .string(identity.name)),
      (key: "known", value: .bool(identity.isKnown)),
    ]
    if let terms {
      members += [
        (key: "admitted", value: .bool(terms.isAdmitted)), (key: "policy", value: .string(terms.policy)),
        (key: "price_prompt", value: .string("\(terms.prompt.micro)")),
        (key: "price_cached", value: .string("\(terms.cached.micro)")),
        (key: "price_completion", value: .string("\(terms.completion.micro)")),
        (key: "price_minimum", value: .string("\(terms.minimum.micro)")),
      ]
    }
    return JSONWriter.bytes(.object(members)) + [0x0A] + body
  }

  /// nil for what no node wrote.
  init?(_ bytes: [UInt8]) {
    guard let newline = bytes.firstIndex(of: 0x0A),
      let head = try? JSONText.parse(Array(bytes[..<newline])), let client = head["client"]?.string,
      let dialect = Self.dialect(head)
    else { return nil }
    self.dialect = dialect
    identity =
      head["known"]?.bool == true ? .known(client) : .unknown(String(client.dropFirst("unknown-".count)))
    body = Array(bytes[(newline + 1)...])
    func amount(_ name: String) -> Amount? {
      head["price_\(name)"]?.string.flatMap { Int64($0) }.map { Amount(micro: $0) }
    }
    guard let isAdmitted = head["admitted"]?.bool, let prompt = amount("prompt"),
      let cached = amount("cached"), let completion = amount("completion"), let minimum = amount("minimum"),
      let price = try? Price(
        promptPerMillion: prompt, cachedPerMillion: cached, completionPerMillion: completion,
        minimum: minimum)
    else {
      terms = nil
      return
    }
    terms = JobTerms(price: price, isAdmitted: isAdmitted, policy: head["policy"]?.string ?? "")
  }

  private static func dialect(_ head: JSONValue) -> Dialect? {
    if let name = head["dialect"]?.string { return Dialect.all.first { $0.name == name } }
    return head["chat"]?.bool.map { $0 ? .openAIChat : .openAICompletions }
  }
}
