// Counted.swift: numbers of things in messages: `1 job`, `2 jobs`.

/// - noun: the singular; its plural ends in an added `s`
package func counted(_ count: Int, _ noun: String) -> String {
  count == 1 ? "1 \(noun)" : "\(count) \(noun)s"
}
