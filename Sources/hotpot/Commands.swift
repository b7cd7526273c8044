// Commands.swift: the table of commands, in the order of the help. To add one, write
// Commands/NAME.swift with a `static let` in an extension of Command, and name it here.

enum Commands {
  static let version = "0.1.0"

  static let all: [Command] = [
    .dashboard,
    .attach,
    .fleet,
    .run,
    .chat,
    .tokenize,
    .render,
    .bench,
    .models,
    .serve,
    .status,
    .jobs,
    .approve,
    .reject,
    .cancel,
    .hold,
    .release,
    .priority,
    .pause,
    .resume,
    .drain,
    .log,
    .submit,
    .sharedQueue,
    .config,
    .clients,
    .receipts,
    .verifyReceipt,
    .witness,
    .check,
    .publish,
    .inspect,
    .earnings,
    .settle,
    .doctor,
    .devices,
    .demo,
    .completions,
    .unit,
    .install,
    .package,
    .link,
    .replay,
  ]

  /// What `hotpot` alone does; nil shows the help.
  static let whenNoneIsNamed: Command? = .dashboard

  static var helpText: String {
    var text = """
      usage: hotpot COMMAND [OPTION]...

      Runs language models on this machine, with the same answer everywhere.

      commands:

      """
    for command in all {
      text +=
        "  \(command.name)\(String(repeating: " ", count: max(12 - command.name.count, 1)))\(command.summary)\n"
    }
    text += "\noptions:\n\(Option.help.helpLine)\(Option.version.helpLine)"
    text += "\n'hotpot COMMAND --help' tells more about a command.\n"
    return text
  }
}
