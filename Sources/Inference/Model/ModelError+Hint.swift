// ModelError+Hint.swift: what a user can do about a model that cannot be run.

extension ModelError {
  /// What the user can do about it, if anything.
  public var hint: String? {
    switch problem {
    case .file(let problem):
      GGUFError(file: file, problem: problem).hint
    case .unsupportedArchitecture, .unsupportedFeature, .unknownTensor:
      "hotpot runs the architectures \(Architecture.all.map(\.name).joined(separator: ", "))"
    case .missingKey, .missingTensor:
      "a file with a vocabulary only cannot be run; fetch the whole model"
    case .badWeights, .moreTokensThanRows:
      "the file may be damaged; fetch it again"
    case .tooLarge:
      "close other programs, take a smaller model, or let it run from the disk with --mapped, slowly"
    case .noDisk:
      "make room there, or put the model on a disk that has room for it twice"
    case .noMemory:
      "close other programs or take a smaller model"
    case .badHyperparameter, .wrongShape, .wrongType:
      "what the file says does not fit together: take another conversion of the model"
    case .noThreads:
      nil
    }
  }
}
