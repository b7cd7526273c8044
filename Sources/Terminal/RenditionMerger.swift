// RenditionMerger.swift: shortens the colour changes that curses writes, without changing their
// effect.
// curses sends `ESC [ 39;49 m`, `ESC [ m`, `ESC [ 1 m`, `ESC [ 32 m` in a row; one `ESC [ 0;1;32 m`
// does the same. Only directly adjacent sequences are merged. Start at mergedRenditions.

/// `bytes` with adjacent SGR sequences joined: what a reset undoes is dropped, and of two
/// foregrounds the last is kept.
package func mergedRenditions(_ bytes: [UInt8]) -> [UInt8] {
  var result: [UInt8] = []
  result.reserveCapacity(bytes.count)
  var index = 0
  var pending: [ArraySlice<UInt8>] = []
  while index < bytes.count {
    if let end = renditionEnd(bytes, from: index) {
      pending.append(bytes[(index + 2)..<(end - 1)])
      index = end
      continue
    }
    if !pending.isEmpty {
      flush(&pending, into: &result)
    }
    result.append(bytes[index])
    index += 1
  }
  if !pending.isEmpty { flush(&pending, into: &result) }
  return result
}

/// The index after an SGR sequence of digits and semicolons that starts at `start`.
private func renditionEnd(_ bytes: [UInt8], from start: Int) -> Int? {
  guard bytes[start] == 0x1B, start + 2 < bytes.count, bytes[start + 1] == 0x5B else { return nil }
  var index = start + 2
  while index < bytes.count, (0x30...0x39).contains(bytes[index]) || bytes[index] == 0x3B { index += 1 }
  guard index < bytes.count, bytes[index] == 0x6D else { return nil }
  return index + 1
}

private enum Rendition {
  case reset
  case foreground(ArraySlice<UInt8>)
  case background(ArraySlice<UInt8>)
  case other(ArraySlice<UInt8>)
}

private func flush(_ pending: inout [ArraySlice<UInt8>], into result: inout [UInt8]) {
  defer { pending.removeAll(keepingCapacity: true) }
  if pending.count == 1, let only = pending.first {
    result.append(contentsOf: [0x1B, 0x5B])
    result.append(contentsOf: only)
    result.append(0x6D)
    return
  }
  var hasReset = false
  var foreground: ArraySlice<UInt8>?
  var background: ArraySlice<UInt8>?
  var others: [ArraySlice<UInt8>] = []
  for rendition in pending.flatMap(renditions) {
    switch rendition {
    case .reset:
      hasReset = true
      foreground = nil
      background = nil
      others = []
    case .foreground(let code): foreground = code
    case .background(let code): background = code
    case .other(let code): others.append(code)
    }
  }
  var codes: [ArraySlice<UInt8>] = others
  if let foreground, !(hasReset && foreground.elementsEqual([0x33, 0x39])) { codes.append(foreground) }
  if let background, !(hasReset && background.elementsEqual([0x34, 0x39])) { codes.append(background) }
  if hasReset { codes.insert(codes.isEmpty ? [] : [0x30], at: 0) }
  result.append(contentsOf: [0x1B, 0x5B])
  for (position, code) in codes.enumerated() {
    if position > 0 { result.append(0x3B) }
    result.append(contentsOf: code)
  }
  result.append(0x6D)
}

private func renditions(_ parameters: ArraySlice<UInt8>) -> [Rendition] {
  let parts = parameters.split(separator: 0x3B, omittingEmptySubsequences: false)
  var result: [Rendition] = []
  var index = 0
  while index < parts.count {
    let part = parts[index]
    switch number(part) {
    case 0: result.append(.reset)
    case 30...37, 39, 90...97: result.append(.foreground(part))
    case 40...47, 49, 100...107: result.append(.background(part))
    case let code where code == 38 || code == 48:
      let length = index + 1 < parts.count && number(parts[index + 1]) == 2 ? 5 : 3
      let last = min(parts.count, index + length) - 1
      let whole = parameters[part.startIndex..<parts[last].endIndex]
      result.append(code == 38 ? .foreground(whole) : .background(whole))
      index = last
    default: result.append(.other(part))
    }
    index += 1
  }
  return result
}

private func number(_ digits: ArraySlice<UInt8>) -> Int {
  digits.reduce(0) { min(999, $0 * 10 + Int($1) - 0x30) }
}
