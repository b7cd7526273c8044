// Counted.swift: numbers of things in messages: `1 job`, `2 jobs`.

/// - noun: one of them; its plural has an `s` more
package func counted(_ count: Int, _ noun: String) -> String {
  count == 1 ? "1 \(noun)" : "\(count) \(noun)s"
}
