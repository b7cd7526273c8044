// Failure+Describing.swift: the errors of the rooms as exit codes and words. A room's error that is not named here
// ends as an internal error, with its own description.

import Foundation
import Inference
import Intake
import Node
import Receipts

extension Failure {
  init(describing error: any Error) {
    switch error {
    case let failure as Failure: self = failure
    case let error as GGUFError: self.init(gguf: error)
    case let error as TokenizerError: self.init(.badData, "\(error)", hint: error.hint)
    case let error as ModelError: self.init(model: error)
    case let error as EngineError: self.init(engine: error)
    case let error as SamplingError: self.init(.usage, "\(error)")
    case let error as TemplateError: self.init(.badData, "\(error)", hint: error.hint)
    case let error as ChatFormatError: self.init(.badData, "\(error)", hint: error.hint)
    case let error as JSONTextError: self.init(.badData, "\(error)")
    case let error as PullError: self.init(pull: error)
    case let error as ConfigurationError:
      self.init(.badData, "\(error)", hint: error.hint)
    case let error as NodeStartError:
      let code: ExitCode =
        switch error {
        case .inUse: .tryAgain
        case .journal: .inputOutput
        case .listen: .unavailable
        case .currency: .badData
        }
      self.init(code, "\(error)", hint: error.hint)
    case let error as FormatError: self.init(.badData, "\(error)")
    case let error as WitnessError: self.init(.failed, "\(error)")
    case let error as SignatureError: self.init(.unavailable, "\(error)", hint: error.hint)
    case let error as LineError: self.init(.badData, "\(error)")
    case let error as ServingError: self.init(.badData, error.description, hint: error.hint)
    case let error as ServerError: self.init(.unavailable, "\(error)")
    case is CancellationError: self.init(.interrupted, "cancelled")
    default: self.init(.internalError, "\(error)")
    }
  }

  private init(gguf error: GGUFError) {
    var code = ExitCode.badData
    if case .system(_, let number, _) = error.problem {
      code = number == ENOENT ? .noInput : number == EACCES ? .noPermission : .inputOutput
    }
    self.init(code, "\(error)", hint: error.hint)
  }

  private init(model error: ModelError) {
    switch error.problem {
    case .file(let problem): self.init(gguf: GGUFError(file: error.file, problem: problem))
    case .noMemory, .noThreads: self.init(.unavailable, "\(error)", hint: error.hint)
    case .missingKey, .unsupportedArchitecture, .badHyperparameter, .unsupportedFeature, .missingTensor,
      .wrongShape, .moreTokensThanRows, .wrongType, .unknownTensor, .badWeights:
      self.init(.badData, "\(error)", hint: error.hint)
    }
  }

  private init(engine error: EngineError) {
    let code: ExitCode =
      switch error {
      case .badConfiguration, .badItem, .tooManyTokens: .usage
      case .levelUnavailable, .noThread, .noMemory, .busy: .unavailable
      case .wrongRounding: .internalError
      case .cancelled: .interrupted
      case .notFinite: .badData
      }
    self.init(code, "\(error)", hint: error.hint)
  }

  private init(pull error: PullError) {
    let code: ExitCode =
      switch error {
      case .unknownName, .noHome: .noInput
      case .badAddress: .usage
      case .nameTaken: .failed
      case .busy: .tryAgain
      case .noPython, .pythonFailed, .network, .status, .endedEarly, .insecureRedirect: .unavailable
      case .noSpace: .inputOutput
      case .packageLacksModel, .partOfSplit, .wrongDigest, .wrongSize, .notAModel: .badData
      case .system(_, _, let number): number == EACCES ? .noPermission : .inputOutput
      case .cancelled: .interrupted
      }
    self.init(code, "\(error)", hint: error.hint)
  }
}
