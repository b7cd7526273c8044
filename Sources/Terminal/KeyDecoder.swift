// KeyDecoder.swift: bytes of a terminal to keys, as a value: no clock, no file.
// An escape sequence is read whole and, when it is not one of ours, swallowed whole: its letters are never keys.
// What stands between the marks of a bracketed paste is text, never keys. Start at feed.

public struct KeyDecoder: Sendable {
  /// Bytes of one paste that are kept; the rest is dropped.
  public static let pasteLimit = 1 << 20

  private enum State: Equatable, Sendable {
    case ground
    case escape
    /// After `ESC [`; parameters and intermediates so far.
    case sequence([UInt8])
    /// `ESC [ [`, the Linux console's function keys: one more byte.
    case console
    /// After `ESC O`; a modifier digit may come.
    case single([UInt8])
    /// OSC, DCS, APC, PM or SOS: to BEL or `ESC \`.
    case string(sawEscape: Bool)
    case paste
    /// The rest of a UTF-8 scalar.
    case scalar([UInt8], needed: Int)
    /// X10 mouse reports: three bytes, swallowed.
    case oldMouse(left: Int)
  }

  private var state = State.ground
  private var isMeta = false
  private var pasted: [UInt8] = []

  public init() {}

  /// A lone ESC, or the start of a sequence, is waiting for its rest: call `timeout` if nothing comes within
  /// some 30 ms.
  public var isWaiting: Bool {
    switch state {
    case .ground, .paste: false
    case .escape, .sequence, .console, .single, .string, .scalar, .oldMouse: true
    }
  }

  /// The rest did not come: a lone ESC is the key Esc, a broken sequence is nothing.
  public mutating func timeout() -> [Input] {
    defer { isMeta = false }
    switch state {
    case .escape:
      state = .ground
      return [.key(Key(.escape))]
    case .sequence, .console, .single, .string, .scalar, .oldMouse:
      state = .ground
      return []
    case .ground, .paste: return []
    }
  }

  public mutating func feed(_ bytes: some Sequence<UInt8>) -> [Input] {
    var result: [Input] = []
    for byte in bytes {
      if let input = step(byte) { result.append(input) }
    }
    return result
  }

  private mutating func step(_ byte: UInt8) -> Input? {
    switch state {
    case .ground: return ground(byte)
    case .escape: return escape(byte)
    case .console:
      state = .ground
      return (0x41...0x45).contains(byte) ? finish(.function(Int(byte) - 0x40)) : nil
    case .single(let parameters):
      if (0x30...0x3B).contains(byte) && parameters.count < 8 {
        state = .single(parameters + [byte])
        return nil
      }
      state = .ground
      return single(byte, modifiers: modifiers(ofParameter: decimal(parameters)))
    case .sequence(let parameters): return sequence(byte, parameters)
    case .string(let sawEscape):
      if byte == 0x07 || (sawEscape && byte == 0x5C) || byte == 0x18 || byte == 0x1A {
        state = .ground
      } else {
        state = .string(sawEscape: byte == 0x1B)
      }
      return nil
    case .paste:
      pasted.append(byte)
      let end: [UInt8] = [0x1B, 0x5B, 0x32, 0x30, 0x31, 0x7E]
      if pasted.suffix(end.count).elementsEqual(end) {
        let text = String(decoding: pasted.dropLast(end.count).prefix(Self.pasteLimit), as: UTF8.self)
        pasted = []
        state = .ground
        return .paste(text)
      }
      // Far beyond the limit only the tail is kept, to find the end.
      if pasted.count > Self.pasteLimit + 4096 { pasted.removeSubrange(Self.pasteLimit..<(pasted.count - 8)) }
      return nil
    case .scalar(let start, let needed):
      guard byte & 0xC0 == 0x80 else {
        state = .ground
        isMeta = false
        return ground(byte)
      }
      let all = start + [byte]
      if all.count < needed {
        state = .scalar(all, needed: needed)
        return nil
      }
      state = .ground
      let decoded = String(decoding: all, as: UTF8.self).unicodeScalars
      guard decoded.count == 1, let scalar = decoded.first, scalar != replacementCharacter else {
        isMeta = false
        return nil
      }
      return finish(.character(scalar))
    case .oldMouse(let left):
      state = left > 1 ? .oldMouse(left: left - 1) : .ground
      return nil
    }
  }

  private mutating func finish(_ code: Key.Code, _ modifiers: Key.Modifiers = []) -> Input {
    defer { isMeta = false }
    return .key(Key(code, isMeta ? modifiers.union(.meta) : modifiers))
  }

  private mutating func ground(_ byte: UInt8) -> Input? {
    switch byte {
    case 0x1B:
      state = .escape
      return nil
    case 0x0D, 0x0A: return finish(.enter)
    case 0x09: return finish(.tab)
    case 0x7F, 0x08: return finish(.backspace)
    case 0x00: return finish(.character(" "), .control)
    case 0x01...0x1A: return finish(.character(Unicode.Scalar(byte + 0x60)), .control)
    case 0x1C...0x1F: return finish(.character(Unicode.Scalar(byte + 0x40)), .control)
    case 0x20...0x7E: return finish(.character(Unicode.Scalar(byte)))
    case 0xC2...0xDF: return start(byte, needed: 2)
    case 0xE0...0xEF: return start(byte, needed: 3)
    case 0xF0...0xF4: return start(byte, needed: 4)
    default:
      isMeta = false
      return nil
    }
  }

  private mutating func start(_ byte: UInt8, needed: Int) -> Input? {
    state = .scalar([byte], needed: needed)
    return nil
  }

  private mutating func escape(_ byte: UInt8) -> Input? {
    state = .ground
    switch byte {
    case 0x5B: state = .sequence([])
    case 0x4F: state = .single([])
    case 0x5D, 0x50, 0x58, 0x5E, 0x5F: state = .string(sawEscape: false)
    case 0x1B:
      // Two in a row: the first was the key, or the meta of a sequence (rxvt sends ESC ESC [ A for M-Up).
      state = .escape
      if isMeta {
        isMeta = false
        return .key(Key(.escape))
      }
      isMeta = true
    default:
      isMeta = true
      return ground(byte)
    }
    return nil
  }

  private mutating func sequence(_ byte: UInt8, _ parameters: [UInt8]) -> Input? {
    switch byte {
    case 0x5B where parameters.isEmpty:
      state = .console
      return nil
    case 0x20...0x3F:
      // Longer than any sequence there is: still swallowed to its end, but no longer kept.
      state = .sequence(parameters.count < 32 ? parameters + [byte] : parameters)
      return nil
    case 0x40...0x7E:
      state = .ground
      defer { isMeta = false }
      return final(byte, parameters)
    case 0x1B:
      state = .escape
      isMeta = false
      return nil
    default:
      // A control inside a sequence cancels it.
      state = .ground
      isMeta = false
      return nil
    }
  }

  private mutating func final(_ byte: UInt8, _ parameters: [UInt8]) -> Input? {
    if parameters.first == 0x3C { return mouse(byte, parameters.dropFirst()) }
    if byte == 0x4D && parameters.isEmpty {
      state = .oldMouse(left: 3)
      return nil
    }
    if parameters.contains(where: { !(0x30...0x39).contains($0) && $0 != 0x3B }) { return nil }
    let numbers = parameters.split(separator: 0x3B, omittingEmptySubsequences: false).map { decimal($0) }
    let modifiers = modifiers(ofParameter: numbers.count > 1 ? numbers[1] : 1)
    if byte != 0x7E {
      if byte == 0x5A { return finish(.tab, .shift) }
      // Only `CSI letter` and `CSI 1 ; modifier letter` are keys.
      guard parameters.isEmpty || numbers.first == 1 else { return nil }
      return single(byte, modifiers: modifiers, isFunctionOnly: false)
    }
    switch numbers.first ?? 0 {
    case 200:
      state = .paste
      pasted = []
      return nil
    case 1, 7: return finish(.home, modifiers)
    case 4, 8: return finish(.end, modifiers)
    case 2: return finish(.insert, modifiers)
    case 3: return finish(.delete, modifiers)
    case 5: return finish(.pageUp, modifiers)
    case 6: return finish(.pageDown, modifiers)
    case let number where Self.functionNumbers[number] != nil:
      return finish(.function(Self.functionNumbers[number] ?? 1), modifiers)
    default: return nil
    }
  }

  private static let functionNumbers: [Int: Int] = [
    11: 1, 12: 2, 13: 3, 14: 4, 15: 5, 17: 6, 18: 7, 19: 8, 20: 9, 21: 10, 23: 11, 24: 12,
    25: 13, 26: 14, 28: 15, 29: 16, 31: 17, 32: 18, 33: 19, 34: 20,
  ]

  private mutating func single(
    _ byte: UInt8, modifiers: Key.Modifiers, isFunctionOnly: Bool = true
  ) -> Input? {
    switch byte {
    case 0x41: return finish(.up, modifiers)
    case 0x42: return finish(.down, modifiers)
    case 0x43: return finish(.right, modifiers)
    case 0x44: return finish(.left, modifiers)
    case 0x48: return finish(.home, modifiers)
    case 0x46: return finish(.end, modifiers)
    case 0x50...0x53: return finish(.function(Int(byte) - 0x4F), modifiers)
    case 0x4D where isFunctionOnly: return finish(.enter, modifiers)
    default:
      // Among them focus in and out, `CSI I` and `CSI O`.
      isMeta = false
      return nil
    }
  }

  private func mouse(_ byte: UInt8, _ parameters: ArraySlice<UInt8>) -> Input? {
    let numbers = parameters.split(separator: 0x3B).map { decimal($0) }
    guard numbers.count == 3, byte == 0x4D || byte == 0x6D, numbers[1] >= 1, numbers[2] >= 1 else {
      return nil
    }
    let (x, y) = (min(numbers[1], 1000) - 1, min(numbers[2], 1000) - 1)
    // Bits 2 to 4 are modifiers, bit 5 motion.
    switch numbers[0] & ~0x1C {
    case 0: return .mouse(Mouse(byte == 0x4D ? .press : .release, x: x, y: y))
    case 64: return .mouse(Mouse(.wheelUp, x: x, y: y))
    case 65: return .mouse(Mouse(.wheelDown, x: x, y: y))
    default: return nil
    }
  }

  private func decimal(_ digits: some Sequence<UInt8>) -> Int {
    digits.reduce(0) { total, digit in
      (0x30...0x39).contains(digit) ? min(99_999, total * 10 + Int(digit) - 0x30) : total
    }
  }

  /// xterm's: 1 plus 1 for shift, 2 for meta, 4 for control.
  private func modifiers(ofParameter parameter: Int) -> Key.Modifiers {
    Key.Modifiers(rawValue: UInt8(clamping: max(0, parameter - 1) & 7))
  }
}
