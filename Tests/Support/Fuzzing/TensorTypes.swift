// TensorTypes.swift: names for the tensor types of the files that tests write. The types themselves
// are rows in ckernels.h.

import Inference

extension GGUFTensorType {
  package static let f32 = named("F32")
  package static let f16 = named("F16")
  package static let bf16 = named("BF16")
  package static let q40 = named("Q4_0")
  package static let q41 = named("Q4_1")
  package static let q50 = named("Q5_0")
  package static let q51 = named("Q5_1")
  package static let q80 = named("Q8_0")
  package static let q2K = named("Q2_K")
  package static let q3K = named("Q3_K")
  package static let q4K = named("Q4_K")
  package static let q5K = named("Q5_K")
  package static let q6K = named("Q6_K")
  package static let iq4NL = named("IQ4_NL")
  package static let iq4XS = named("IQ4_XS")
  package static let mxfp4 = named("MXFP4")
  package static let iq1S = named("IQ1_S")
  package static let iq1M = named("IQ1_M")
  package static let iq2XXS = named("IQ2_XXS")
  package static let iq2XS = named("IQ2_XS")
  package static let iq2S = named("IQ2_S")
  package static let iq3XXS = named("IQ3_XXS")
  package static let iq3S = named("IQ3_S")
  package static let tq10 = named("TQ1_0")
  package static let tq20 = named("TQ2_0")

  private static func named(_ name: String) -> GGUFTensorType {
    guard let found = allCases.first(where: { $0.name == name }) else {
      preconditionFailure("no tensor type is called \(name)")
    }
    return found
  }
}
