// LimitChanges.swift: changes of a client's limits, as texts, applied to its current limits. Start
// at applied.
import Accounting
import Control

extension LimitChanges {
  /// The limits as they are after the changes.
  package func applied(to limits: ClientLimits) throws(AdministrationError) -> ClientLimits {
    guard self != LimitChanges() else { throw AdministrationError("no limit was given") }
    var limits = limits
    if let models { limits.models = try Self.models(models) }
    if let tokensPerJob { limits.tokensPerJob = try Self.count(tokensPerJob, "tokens per job") }
    if let jobs { limits.jobsAtOnce = try Self.count(jobs, "jobs at once") }
    if let tokensPerDay { limits.tokensPerDay = try Self.count(tokensPerDay, "tokens per day") }
    if let priority { limits.priority = try Self.priority(priority) }
    if let budget {
      do throws(AccountingError) {
        limits.budget = budget == "none" ? nil : try Amount(parsing: budget)
        if let amount = limits.budget, amount < .zero { throw .negative("the budget") }
        // The largest amount that a line of the journal represents exactly.
        if let amount = limits.budget, amount > NodeConfiguration.largestAmount {
          throw .overflow("the budget")
        }
      } catch {
        throw AdministrationError("\(error)")
      }
    }
    return limits
  }

  private static func count(_ text: String, _ what: String) throws(AdministrationError) -> Int? {
    if text == "none" { return nil }
    guard let number = Int(text), (1...(1 << 40)).contains(number) else {
      throw AdministrationError(
        "\(what) is '\(text.prefix(40))', wanted a whole number from 1 to \(1 << 40) or 'none'")
    }
    return number
  }

  private static func priority(_ text: String) throws(AdministrationError) -> Int? {
    if text == "none" { return nil }
    guard let number = Int(text), (0...9).contains(number) else {
      throw AdministrationError(
        "priority is '\(text.prefix(40))', wanted 0 to 9, the highest that the client may ask for, or 'none'")
    }
    return number
  }

  private static func models(_ text: String) throws(AdministrationError) -> [String]? {
    if text == "none" { return nil }
    let names = text.split(separator: ",", omittingEmptySubsequences: false).map(String.init)
    let areNames = names.allSatisfy { name in
      (1...200).contains(name.utf8.count) && name.unicodeScalars.allSatisfy { $0.value > 0x20 }
    }
    guard areNames, text.utf8.count <= 8192 else {
      throw AdministrationError(
        "models is '\(text.prefix(80))', wanted names with commas between them, or 'none' for all models")
    }
    return names
  }
}
