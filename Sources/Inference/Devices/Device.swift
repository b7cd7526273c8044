// Device.swift: what runs a program. Not here: checking items and choosing a device (Engine.swift).

/// Runs whole steps of a whole program: barriers, fusion, prefetching and the order of its queues
/// are up to the device. A device takes weights from the model, in any layout it likes, when it is
/// created.
///
/// The rule: one call at a time. It exists because a device's memory is shared between steps;
/// `Engine` keeps it with its flag. Every device gives the bits of hotpot-numerics(7), so a receipt
/// names the profile and not the device. Each device's self-test verifies this before it is used,
/// and so do tests against `ReferenceDevice`, which is that page in Swift.
package protocol Device: AnyObject {
  /// For people: the instruction set, or the name of a card.
  var name: String { get }
  /// Threads of this process that compute, the caller's included.
  var threadCount: Int { get }
  /// Bytes that `read` returns and `write` takes. Kinds are those of `Program.kinds`, by index.
  func blockByteCount(of kind: Int) -> Int

  /// Computes every item, all layers, and the tokens chosen after it; results in the order of the
  /// items. Items have been checked.
  ///
  /// - cancelled: asked between layers, on the calling thread; true ends the step, and nil is
  ///   returned.
  func step(_ items: [StepItem], cancelled: () -> Bool) -> [StepResult]?

  /// The program's products behind the vector of a text; nil: a number is not finite. Not during a
  /// step.
  func project(_ vector: [Float]) -> [Float]?

  /// The content of one block, for every state of its kind, to be kept elsewhere.
  func read(_ block: Int, of kind: Int) -> [UInt8]
  /// Puts back what `read` gave, into any block.
  func write(_ bytes: [UInt8], to block: Int, of kind: Int)
  func copy(_ block: Int, to other: Int, of kind: Int)

  /// Bytes per second at which the device reads the weights while doing nothing else: the best of
  /// some rounds.
  func weightBandwidth(rounds: Int) -> Double
}
