// ExitCode.swift: how the program ends, in the numbers of sysexits.h, and the failure that carries
// one.

/// Exit codes; the names follow sysexits.h.
enum ExitCode: Int32 {
  case ok = 0
  case failed = 1
  case usage = 64
  case badData = 65
  case noInput = 66
  case unavailable = 69
  case internalError = 70
  case inputOutput = 74
  case tryAgain = 75
  case noPermission = 77
  /// Ended by Ctrl-C, with the code that a shell would give.
  case interrupted = 130
}

/// What went wrong, as the user sees it: `hotpot: error: ...`, and a `hotpot: hint: ...` if there
/// is one.
struct Failure: Error {
  var code: ExitCode
  var message: String
  var hint: String?
  /// No node runs on the state directory; some commands can do without one.
  var isNoNode = false

  init(_ code: ExitCode, _ message: String, hint: String? = nil) {
    self.code = code
    self.message = message
    self.hint = hint
  }
}
