// NodeState+Vouchers.swift: signed promises to pay: which are accepted, and what work they cover.
// Signatures have been checked before (Accounts.swift). Start at accept.
import Accounting
import Receipts
import Scheduling

extension NodeState {
  /// Accepts a voucher whose signature is valid for the client's key.
  /// - node: the fingerprint of this node's key.
  /// - Returns: the words for the one who delivered it, and the record for the journal.
  package mutating func accept(
    _ voucher: Voucher, signature: String, key: String, node: String, from client: String, at now: Moment,
    _ effects: inout [NodeEffect]
  ) throws(AccountingError) -> VoucherAccepted {
    try vouchers.accept(voucher, node: node, client: client, currency: configuration.currency)
    let proof = VoucherAccepted(client: client, text: voucher.text, signature: signature, key: key)
    voucherProofs[client] = proof
    note(.info, "\(client) promised \(voucher.amount) \(voucher.currency) in all", at: now, &effects)
    return proof
  }

  /// Restores a voucher of an earlier run. It was accepted then, so its node is not checked again:
  /// the key may have changed.
  mutating func reopen(_ accepted: VoucherAccepted) throws(AccountingError) {
    let voucher = try Voucher(parsing: accepted.text)
    try vouchers.accept(
      voucher, node: voucher.node, client: accepted.client, currency: configuration.currency)
    voucherProofs[accepted.client] = accepted
  }

  /// Why a job is refused if vouchers are required: it would exceed what the client promised.
  func voucherRefusal(_ request: JobRequest, worst: Amount) -> Refusal? {
    guard configuration.vouchers == .required, request.origin == .client, worst > .zero else { return nil }
    let client = request.identity.name
    let account = ledger.account(of: client)
    guard !vouchers.covers(worst, account: account, client: client) else { return nil }
    return .voucherRequired(
      worst: worst, promised: vouchers.voucher(of: client)?.amount ?? .zero,
      // An amount that overflows cannot be promised at all.
      wanted: try? account.posted.adding(account.reserved).adding(worst), currency: configuration.currency)
  }
}

extension ClientLimits {
  init(_ change: ClientLimitsChanged) {
    self.init()
    if !change.models.isEmpty { models = change.models.split(separator: "\n").map(String.init) }
    if change.tokensPerJob > 0 { tokensPerJob = change.tokensPerJob }
    if change.jobs > 0 { jobsAtOnce = change.jobs }
    if change.tokensPerDay > 0 { tokensPerDay = change.tokensPerDay }
    if change.hasBudget { budget = Amount(micro: change.budget) }
  }

  /// These limits as a record of the journal, all but the priority.
  func change(of client: String) -> ClientLimitsChanged {
    ClientLimitsChanged(
      client: client, models: models ?? [], tokensPerJob: tokensPerJob ?? 0, jobs: jobsAtOnce ?? 0,
      tokensPerDay: tokensPerDay ?? 0, budget: budget?.micro)
  }

  /// In words, for logs and answers.
  var words: String {
    var parts: [String] = []
    if let models { parts.append("models \(models.joined(separator: ", "))") }
    if let tokensPerJob { parts.append("\(counted(tokensPerJob, "token")) a job") }
    if let jobsAtOnce { parts.append("\(counted(jobsAtOnce, "job")) at once") }
    if let tokensPerDay { parts.append("\(counted(tokensPerDay, "token")) a day") }
    if let budget { parts.append("a budget of \(budget)") }
    if let priority { parts.append("priorities to \(priority)") }
    return parts.isEmpty ? "no limits" : parts.joined(separator: ", ")
  }
}
