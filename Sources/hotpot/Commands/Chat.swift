// Chat.swift: `hotpot chat`: a conversation in a plain terminal or over a pipe. Each line is a
// message, and the cache of earlier turns is kept. Ctrl-C ends an answer; at the prompt it ends the
// program.

import Foundation
import Inference
import Scheduling

extension Command {
  static let chat = Command(
    name: "chat",
    summary: "talk with a model in this terminal",
    operands: "[OPTION]...",
    details: """
      Each line is a message. In a terminal the arrows edit it and go through earlier ones; Ctrl-C ends an answer,
      at the prompt it leaves, and so does Ctrl-D. '/new' forgets the conversation, '/exit' leaves.
      """,
    options: LocalModel.options + LocalModel.samplingOptions + [
      Option("verbose", "tell the speed of each answer on standard error")
    ],
    run: { arguments in
      _ = try arguments.operands(0...0, "")
      let sampling = try LocalModel.sampling(arguments)
      let path = try await chosenModel(arguments)
      return try await OwnThread.run { try Conversation(path, sampling, arguments).talk() }
    })
}

/// The model's file; if there is none and a user is at a terminal, offers to fetch one.
private func chosenModel(_ arguments: Arguments) async throws -> String {
  do {
    return try ModelChoice.path(arguments)
  } catch let failure as Failure {
    let asksForNone = arguments.string("model") == nil || arguments.string("model") == "smollm2"
    guard failure.code == .noInput, asksForNone, Console.isTerminal(STDIN_FILENO),
      Console.isTerminal(STDERR_FILENO)
    else { throw failure }
    Console.note("There is no model here yet. Fetch smollm2 (98 MB)? [Y/n] ")
    let answer = (readLine() ?? "n").trimmingCharacters(in: .whitespaces).lowercased()
    guard ["", "y", "yes"].contains(answer) else { throw failure }
    return try await PullDisplay.run(try ModelPull("smollm2", store: ModelStore())).path
  }
}

private final class Conversation {
  private let local: LocalModel
  private let options: Generation.Options
  private let stop: [String]
  private let opening: [ChatMessage]
  private let isVerbose: Bool
  private let isTerminal = Console.isTerminal(STDIN_FILENO) && Console.isTerminal(STDOUT_FILENO)
  private var generation: Generation
  private var messages: [ChatMessage]

  init(_ path: String, _ sampling: SamplingRequest, _ arguments: Arguments) throws {
    local = try LocalModel(path: path, for: .chat, arguments)
    let room = try arguments.int("context", in: 1...(1 << 24)) ?? 4096
    options = Generation.Options(
      sampling: sampling, maximumTokens: try arguments.int("max-tokens", in: 1...(1 << 24)) ?? 512,
      endTokens: Set(local.tokenizer.endOfGenerationTokens))
    stop = arguments.string("stop").map { [$0] } ?? []
    opening = arguments.string("system").map { [ChatMessage(role: "system", content: $0)] } ?? []
    isVerbose = arguments.has("verbose")
    messages = opening
    generation = Generation(engine: try local.engine(room: room))
  }

  func talk() throws -> ExitCode {
    Interrupts.watch()
    var reader = LineReader()
    if isTerminal {
      Console.note("\(local.model.name ?? local.path). Ctrl-C ends an answer, Ctrl-D leaves.\n")
    }
    while true {
      Interrupts.forget()
      let line: String
      switch try reader.readLine(prompt: isTerminal ? "> " : "", edits: isTerminal) {
      case .line(let text): line = text.trimmingCharacters(in: .whitespacesAndNewlines)
      case .end:
        if isTerminal { Console.write("\n") }
        return .ok
      case .interrupted:
        if isTerminal { Console.write("\n") }
        return .interrupted
      }
      switch line {
      case "": continue
      case "/exit", "/quit", "/bye": return .ok
      case "/new":
        messages = opening
        continue
      default:
        messages.append(ChatMessage(role: "user", content: line))
        try answer()
      }
    }
  }

  /// The tokens of the conversation; the oldest turns are dropped if they leave no space for an
  /// answer.
  private func prompt() throws -> [Int32] {
    var dropped = 0
    while true {
      let tokens = try local.prompt(messages)
      let wanted = min(options.maximumTokens, generation.capacity / 4)
      if tokens.count + wanted <= generation.capacity {
        if dropped > 0 { Console.warn("the context is full: \(dropped) earlier messages are forgotten") }
        return tokens
      }
      // A turn is a message and its answer; the latest message stays.
      guard messages.count - opening.count > 2 else {
        guard tokens.count < generation.capacity else {
          messages.removeLast()
          throw Failure(
            .badData,
            "the message has \(counted(tokens.count, "token")), the context has room for \(generation.capacity)",
            hint: "shorten it, or give more room with --context")
        }
        return tokens
      }
      messages.removeSubrange(opening.count..<(opening.count + 2))
      dropped += 2
    }
  }

  private func answer() throws {
    let tokens: [Int32]
    do {
      tokens = try prompt()
    } catch let failure as Failure where isTerminal && failure.code == .badData {
      Console.show(failure)
      return
    } catch let error as ChatFormatError where isTerminal {
      // The message that the template refuses is dropped, and the conversation goes on.
      messages.removeLast()
      Console.show(Failure(describing: error))
      return
    }
    var pieces = StreamingDetokenizer(local.tokenizer)
    var stops = try StopMatcher(stop)
    var text = ""
    func give(_ piece: String) {
      text += piece
      if !piece.isEmpty { Console.pour(piece) }
    }
    var options = options
    options.borders = local.tokenizer.messageEnds(of: tokens)
    let outcome = try generation.run(
      prompt: tokens, options: options, isCancelled: { Interrupts.seen },
      onToken: { token in
        give(stops.append(pieces.append(token.token)))
        return stops.matched == nil && !Interrupts.seen
      })
    give(stops.append(pieces.finish()))
    give(stops.finish())
    Console.write("\n")
    messages.append(ChatMessage(role: "assistant", content: text))
    if isVerbose { Console.note(speed(outcome)) }
    // In a pipe nobody can go on with the conversation: Ctrl-C ends all of it.
    if Interrupts.seen, !isTerminal { throw Failure(.interrupted, "interrupted") }
  }
}
