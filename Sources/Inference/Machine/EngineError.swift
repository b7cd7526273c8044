// EngineError.swift: why the engine did not start, or refused a step.

/// Lower case, no full stop; `hint` if something can be done.
public enum EngineError: Error, Sendable, Equatable, CustomStringConvertible {
  /// A configuration value outside its bounds.
  case badConfiguration(field: String, found: String, wanted: String)
  /// `HOTPOT_ISA` or a caller asked for a level that is unknown or not offered by this machine.
  case levelUnavailable(found: String, available: [String])
  case noThread(wanted: Int, message: String)
  case noMemory(bytes: Int, purpose: String)
  /// A graphics processor cannot be used, or not for this model.
  case deviceRefused(device: String, reason: String)
  /// What a sequence keeps comes from a device that gave other bits than the processors, once at least.
  case deviceDiffered(device: String, position: Int)
  /// A thread does not round as N1 requires.
  case wrongRounding
  /// An item of a step contradicts itself, the model or the configuration; nothing was computed.
  case badItem(index: Int, reason: String)
  case tooManyTokens(found: Int, limit: Int)
  /// A step was begun while another was running.
  case busy
  /// `cancelled` returned true; positions of this step hold no usable keys and values.
  case cancelled
  /// An activation or logit of this item is not a finite number.
  case notFinite(position: Int)

  public var description: String {
    switch self {
    case .badConfiguration(let field, let found, let wanted):
      "\(field) is \(found), wanted \(wanted)"
    case .levelUnavailable(let found, let available):
      "instruction set '\(found)' cannot be used here, available are \(available.joined(separator: ", "))"
    case .noThread(let wanted, let message):
      "cannot start \(wanted) threads: \(message)"
    case .noMemory(let bytes, let purpose):
      "no memory for \(bytes) bytes of \(purpose)"
    case .deviceRefused(let device, let reason):
      "\(device) cannot be used: \(reason)"
    case .deviceDiffered(let device, let position):
      "\(device) gave other bits than the processors at position \(position), and is no longer used"
    case .wrongRounding:
      "this thread does not round to nearest even, so results would not be reproducible"
    case .badItem(let index, let reason):
      "item \(index) of the step: \(reason)"
    case .tooManyTokens(let found, let limit):
      "a step of \(found) tokens, at most \(limit) are possible"
    case .busy:
      "a step was begun while another one ran"
    case .cancelled:
      "cancelled"
    case .notFinite(let position):
      "an activation at position \(position) is not a finite number"
    }
  }

  public var hint: String? {
    switch self {
    case .levelUnavailable:
      "leave HOTPOT_ISA unset to take the best one"
    case .deviceRefused:
      "'--device processors' computes on the processors"
    case .deviceDiffered:
      "send it again: the processors compute it"
    case .noMemory:
      "take fewer KV blocks, a smaller model, or close other programs"
    case .noThread:
      "take fewer threads"
    case .notFinite:
      "the model's weights may be damaged; 'hotpot models verify' checks them"
    case .badConfiguration, .wrongRounding, .badItem, .tooManyTokens, .busy, .cancelled:
      nil
    }
  }
}
