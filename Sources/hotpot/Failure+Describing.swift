// Failure+Describing.swift: turns the errors of the other targets into exit codes and messages. An
// error that is not named here ends as an internal error, with its own description.

import Dashboard
import Foundation
import Inference
import Intake
import JSON
import Node
import Receipts
import Terminal

extension Failure {
  init(describing error: any Error) {
    switch error {
    case let failure as Failure: self = failure
    case let error as GGUFError: self.init(gguf: error)
    case let error as TokenizerError: self.init(.badData, "\(error)", hint: error.hint)
    case let error as ModelError: self.init(model: error)
    case let error as EngineError: self.init(engine: error)
    case let error as SamplingError: self.init(.usage, "\(error)")
    case let error as ChatFormatError: self.init(.badData, "\(error)", hint: error.hint)
    case let error as JSONError: self.init(.badData, "not JSON: \(error)")
    case let error as PullError: self.init(pull: error)
    case let error as ConfigurationError:
      self.init(.badData, "\(error)", hint: error.hint)
    case let error as NodeStartError:
      let code: ExitCode =
        switch error {
        case .inUse: .tryAgain
        case .journal(let problem): Self.code(problem)
        case .listen(.system(_, EACCES)), .listen(.system(_, EPERM)), .listen(.system(_, EROFS)):
          .noPermission
        case .listen(.addressInvalid), .listen(.pathTooLong): .usage
        case .listen: .unavailable
        case .currency, .key: .badData
        case .tunnel: .unavailable
        }
      self.init(code, "\(error)", hint: error.hint)
    case let error as FormatError: self.init(.badData, "\(error)")
    case WitnessError.signature(let error): self.init(.failed, "\(error)", hint: error.hint)
    case let error as WitnessError: self.init(.failed, "\(error)")
    case let error as SignatureError: self.init(.unavailable, "\(error)", hint: error.hint)
    case let error as LineError: self.init(.badData, "\(error)")
    case let error as ServingError: self.init(.badData, error.description, hint: error.hint)
    case let error as ServerError: self.init(.unavailable, "\(error)")
    case let error as JournalError: self.init(Self.code(error), "\(error)", hint: error.hint)
    case let error as FileError: self.init(UserFile.code(of: error.code), "\(error)")
    case let error as NotaryError: self.init(.failed, "\(error)")
    case let error as TraceError: self.init(.badData, "\(error)")
    case let error as ThemeError:
      self.init(.badData, "theme line \(error.line): found \(error.found), wanted \(error.wanted)")
    case let error as KeyMap.FileError: self.init(.badData, "\(error)")
    case let error as CocoaError: self.init(foundation: error)
    case let error as POSIXError:
      self.init(UserFile.code(of: error.code.rawValue), String(cString: strerror(error.code.rawValue)))
    case is CancellationError: self.init(.interrupted, "cancelled")
    default: self.init(.internalError, "\(error)")
    }
  }

  private static func code(_ error: JournalError) -> ExitCode {
    switch error {
    case .locked: .tryAgain
    case .file(let problem), .stopped(let problem): UserFile.code(of: problem.code)
    case .unsafe: .noPermission
    case .readOnly, .refused: .badData
    case .noReceipt: .noInput
    case .closed: .inputOutput
    }
  }

  /// Foundation describes its errors in its own words; users know those of the system call.
  private init(foundation error: CocoaError) {
    let number =
      (error.underlying as? POSIXError)?.code.rawValue
      ?? ((error.underlying as NSError?)?.code).map(Int32.init)
    let words = number.map { String(cString: strerror($0)) } ?? error.localizedDescription
    let path = error.filePath ?? error.url?.path
    self.init(
      number.map(UserFile.code) ?? .inputOutput, path.map { "'\($0)': \(words)" } ?? words)
  }

  private init(gguf error: GGUFError) {
    var code = ExitCode.badData
    if case .system(_, let number, _) = error.problem { code = UserFile.code(of: number) }
    if error.problem == .isDirectory { code = .noInput }
    self.init(code, "\(error)", hint: error.hint)
  }

  private init(model error: ModelError) {
    switch error.problem {
    case .file(let problem): self.init(gguf: GGUFError(file: error.file, problem: problem))
    case .noMemory, .tooLarge, .noDisk, .noThreads: self.init(.unavailable, "\(error)", hint: error.hint)
    case .missingKey, .unsupportedArchitecture, .badHyperparameter, .unsupportedFeature, .missingTensor,
      .wrongShape, .moreTokensThanRows, .wrongType, .unknownTensor, .badWeights:
      self.init(.badData, "\(error)", hint: error.hint)
    }
  }

  private init(engine error: EngineError) {
    let code: ExitCode =
      switch error {
      case .badConfiguration, .badItem, .tooManyTokens: .usage
      case .levelUnavailable, .deviceRefused, .noThread, .noMemory, .busy: .unavailable
      case .wrongRounding, .deviceDiffered: .internalError
      case .cancelled: .interrupted
      case .notFinite: .badData
      }
    self.init(code, "\(error)", hint: error.hint)
  }

  private init(pull error: PullError) {
    let code: ExitCode =
      switch error {
      case .unknownName, .noHome, .noModelInRepository, .noSuchModel: .noInput
      case .badAddress: .usage
      case .nameTaken: .failed
      case .busy: .tryAgain
      case .noPython, .pythonFailed, .network, .status, .endedEarly, .insecureRedirect: .unavailable
      case .noSpace: .inputOutput
      case .packageLacksModel, .badListing, .wrongDigest, .wrongSize, .notAModel: .badData
      case .system(_, _, let number): number == ENOENT ? .inputOutput : UserFile.code(of: number)
      case .cancelled: .interrupted
      }
    self.init(code, "\(error)", hint: error.hint)
  }
}
