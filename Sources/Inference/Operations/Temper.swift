// Temper.swift: a row times a number that grows with the logarithm of its position, in place (N1 item
// 5; Nakanishi 2025, https://arxiv.org/abs/2501.19399): scores of long contexts stay as sharp as
// those of short ones.

import CKernels

package struct Temper: OperationContents {
  package let row: Row
  package let width: Int
  /// How much the factor grows when the logarithm of the position does by 1.
  package let slope: Double
  /// The factor stays the same for so many positions.
  package let period: Int
  /// Added to the position.
  package let offset: Int

  package var reads: [Access] { [writes] }
  package var writes: Access { Access(row, width) }

  /// 1 + slope ln(1 + floor((position + offset) / period)), computed in binary64, rounded once.
  package func factor(at position: Int) -> Float {
    let periods = (position + offset) / period
    return periods == 0 ? 1 : Float(1 + slope * ck_log(Double(1 + periods)))
  }

  package func text(_ name: (Int) -> String) -> String {
    let position = offset == 0 ? "position" : "(position + \(offset))"
    return "\(row.name) *= 1 + \(slope) ln(1 + floor(\(position) / \(period)))"
  }
}

extension Operation {
  package static func temper(
    _ row: Row, slope: Double, period: Int, offset: Int = 0, width: Int
  ) -> Operation {
    .temper(Temper(row: row, width: width, slope: slope, period: period, offset: offset))
  }
}
