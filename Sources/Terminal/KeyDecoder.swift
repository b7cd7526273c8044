// KeyDecoder.swift: turns a terminal's bytes into keys. A value: it has no clock and no file; the
// caller says when bytes arrived. An escape sequence is read as a whole and, if it isn't one of
// ours, dropped as a whole: its letters never become keys, even if a slow line delivers it in
// pieces. Text between the marks of a bracketed paste is text, never keys. The reasons for the
// times are in Decisions/0003. Start at feed and expire.

package struct KeyDecoder: Sendable {
  /// How many bytes of one paste are kept; the rest is dropped.
  package static let pasteLimit = 1 << 20
  /// A lone ESC becomes the key Esc after this many microseconds.
  package static let escapeTime: Int64 = 100_000
  /// The rest of a sequence belongs to it if it arrives within this time after the last byte. A `[`
  /// or an `O` this soon after a lone ESC begins the late rest of a sequence, which is dropped.
  package static let patience: Int64 = 2_000_000
  /// A rest that arrives later than `patience` but within this time is dropped; after that, bytes
  /// are new keys.
  package static let lateness: Int64 = 5_000_000
  /// A paste whose end mark does not arrive within this time after its last byte is over: otherwise
  /// keys would never work again.
  package static let pasteSilence: Int64 = 60_000_000
  /// How many bytes of one OSC, DCS or APC are dropped at most.
  static let stringLimit = 1 << 16

  private enum State: Equatable, Sendable {
    case ground
    /// This many ESC bytes, 1 or 2.
    case escape(count: Int)
    /// After a lone ESC that was taken for Esc: this byte may begin a string. It is a key if the
    /// rest does not follow at once.
    case held(UInt8)
    /// After `ESC [`: the parameters and intermediates so far.
    case sequence([UInt8])
    /// `ESC [ [`, the Linux console's function keys: one more byte.
    case console
    /// After `ESC O`; a modifier digit may follow.
    case single([UInt8])
    /// OSC, DCS, APC, PM or SOS, which lasts to BEL or `ESC \`.
    case string(sawEscape: Bool, length: Int)
    case paste
    /// The rest of a UTF-8 scalar.
    case scalar([UInt8], needed: Int)
    /// X10 mouse reports: three bytes, dropped.
    case oldMouse(left: Int)
  }

  private var state = State.ground
  private var isMeta = false
  /// The sequence being read arrived too late to have an effect.
  private var isLate = false
  /// Until then the rest of a sequence may follow an ESC that was taken for the key Esc.
  private var lateUntil: Int64?
  /// When the last byte arrived.
  private var last: Int64 = 0
  private var pasted: [UInt8] = []

  package init() {}

  /// When `expire` will return something if no bytes arrive before: a lone ESC then becomes a key.
  package var due: Int64? {
    switch state {
    case .escape, .held: last &+ KeyDecoder.escapeTime
    case .ground, .sequence, .console, .single, .string, .paste, .scalar, .oldMouse: nil
    }
  }

  /// Reports that no byte arrived until now: bytes that wait only briefly for their rest become
  /// keys.
  /// - time: of a monotonic clock, in microseconds, like that of `feed`. Read all available input
  ///   first.
  package mutating func expire(at time: Int64) -> [Input] {
    guard let due, time >= due else { return [] }
    switch state {
    case .escape(let count):
      reset()
      lateUntil = last &+ KeyDecoder.patience
      return Array(repeating: .key(Key(.escape)), count: count)
    case .held(let byte):
      reset()
      return [ground(byte)].compactMap { $0 }
    case .ground, .sequence, .console, .single, .string, .paste, .scalar, .oldMouse: return []
    }
  }

  /// - time: when these bytes arrived, in microseconds of a monotonic clock
  package mutating func feed(_ bytes: some Sequence<UInt8>, at time: Int64) -> [Input] {
    var result: [Input] = []
    for byte in bytes {
      if let input = age(time) { result.append(input) }
      last = time
      step(byte, &result)
    }
    return result
  }

  /// A state that has waited too long is first late, then over.
  private mutating func age(_ time: Int64) -> Input? {
    let silence = time &- last
    if let until = lateUntil, time > until { lateUntil = nil }
    switch state {
    case .string(sawEscape: true, _) where silence > KeyDecoder.escapeTime:
      // Its end arrived in two pieces, or Esc was pressed to get out of it: the paste is over in
      // both cases.
      reset()
      if silence <= KeyDecoder.lateness { state = .held(0x1B) }
      return nil
    case .sequence, .console, .single, .string, .oldMouse:
      if silence > (isLate ? KeyDecoder.patience : KeyDecoder.lateness) {
        reset()
      } else if silence > KeyDecoder.patience {
        isLate = true
      }
      return nil
    case .paste: return silence > KeyDecoder.pasteSilence ? endPaste(dropping: 0) : nil
    // The bytes of a scalar fit nothing else, so they may wait indefinitely.
    case .ground, .escape, .held, .scalar: return nil
    }
  }

  private mutating func reset() {
    state = .ground
    isMeta = false
    isLate = false
  }

  private mutating func step(_ byte: UInt8, _ result: inout [Input]) {
    switch state {
    case .held(0x1B):
      // After an ESC inside a string: `\` ends it, and the rest of a sequence isn't a key.
      reset()
      lateUntil = last &+ KeyDecoder.patience
      if byte != 0x5C { step(byte, &result) }
    case .held(let first):
      reset()
      if Self.continues(first, byte) {
        state = .string(sawEscape: false, length: 1)
        return
      }
      if let input = ground(first) { result.append(input) }
      step(byte, &result)
    case .escape(2) where byte == 0x1B:
      // A third ESC: the first was the key.
      result.append(.key(Key(.escape)))
    default: if let input = step(byte) { result.append(input) }
    }
  }

  /// Whether a byte can follow the first one of an OSC, DCS or APC that terminals send.
  private static func continues(_ first: UInt8, _ byte: UInt8) -> Bool {
    switch first {
    case 0x5D: (0x30...0x39).contains(byte) || [0x4C, 0x49, 0x6C].contains(byte)
    case 0x50: (0x21...0x3F).contains(byte)
    default: (0x20...0x7E).contains(byte)
    }
  }

  private mutating func step(_ byte: UInt8) -> Input? {
    if byte == 0x1B {
      // ESC starts a new sequence whatever came before it; in a paste it is text, in a string
      // possibly its end.
      switch state {
      case .sequence, .console, .single, .scalar, .oldMouse: reset()
      case .ground, .escape, .held, .string, .paste: break
      }
    }
    switch state {
    case .ground: return begin(byte)
    case .escape(let count): return escape(byte, count)
    case .held: return nil
    case .console:
      return end((0x41...0x45).contains(byte) ? finish(.function(Int(byte) - 0x40)) : nil)
    case .single(let parameters):
      if (0x30...0x3B).contains(byte) {
        if parameters.count < 8 { state = .single(parameters + [byte]) }
        return nil
      }
      return end(single(byte, modifiers: modifiers(ofParameter: decimal(parameters))))
    case .sequence(let parameters): return sequence(byte, parameters)
    case .string(let sawEscape, let length): return string(byte, sawEscape, length)
    case .paste:
      pasted.append(byte)
      let mark: [UInt8] = [0x1B, 0x5B, 0x32, 0x30, 0x31, 0x7E]
      if pasted.suffix(mark.count).elementsEqual(mark) { return endPaste(dropping: mark.count) }
      // Far beyond the limit only the tail is kept, to find the end mark.
      if pasted.count > Self.pasteLimit + 4096 { pasted.removeSubrange(Self.pasteLimit..<(pasted.count - 8)) }
      return nil
    case .scalar(let start, let needed):
      guard byte & 0xC0 == 0x80 else {
        reset()
        return begin(byte)
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
      if left > 1 && byte >= 0x20 { state = .oldMouse(left: left - 1) } else { reset() }
      return nil
    }
  }

  /// Ends a sequence: returns its input, or nothing if it arrived too late.
  private mutating func end(_ input: Input?) -> Input? {
    defer { reset() }
    return isLate ? nil : input
  }

  /// A byte outside of any sequence.
  private mutating func begin(_ byte: UInt8) -> Input? {
    let isRest = lateUntil != nil
    lateUntil = nil
    switch byte {
    case 0x5B where isRest, 0x4F where isRest:
      isLate = true
      state = byte == 0x5B ? .sequence([]) : .single([])
      return nil
    case 0x5D where isRest, 0x50 where isRest, 0x5F where isRest:
      state = .held(byte)
      return nil
    default: return ground(byte)
    }
  }

  private mutating func string(_ byte: UInt8, _ sawEscape: Bool, _ length: Int) -> Input? {
    if sawEscape && byte != 0x5C {
      // ESC cancels a string and begins something new.
      reset()
      return escape(byte, 1)
    }
    let isEnd = sawEscape || (byte < 0x20 && byte != 0x1B) || length >= Self.stringLimit
    if isEnd { reset() } else { state = .string(sawEscape: byte == 0x1B, length: length + 1) }
    return nil
  }

  private mutating func endPaste(dropping count: Int) -> Input {
    let text = String(decoding: pasted.dropLast(count).prefix(Self.pasteLimit), as: UTF8.self)
    pasted = []
    reset()
    return .paste(text)
  }

  private mutating func finish(_ code: Key.Code, _ modifiers: Key.Modifiers = []) -> Input {
    defer { isMeta = false }
    return .key(Key(code, isMeta ? modifiers.union(.meta) : modifiers))
  }

  private mutating func ground(_ byte: UInt8) -> Input? {
    switch byte {
    case 0x1B:
      state = .escape(count: 1)
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

  private mutating func escape(_ byte: UInt8, _ count: Int) -> Input? {
    // Two in a row mean meta with a sequence: rxvt sends ESC ESC [ A for M-Up.
    isMeta = count > 1
    switch byte {
    case 0x5B: state = .sequence([])
    case 0x4F: state = .single([])
    case 0x5D, 0x50, 0x58, 0x5E, 0x5F: state = .string(sawEscape: false, length: 0)
    case 0x1B: state = .escape(count: 2)
    default:
      state = .ground
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
      // Longer than any known sequence: it is still read to its end, but no longer kept.
      state = .sequence(parameters.count < 32 ? parameters + [byte] : parameters)
      return nil
    case 0x40...0x7E: return final(byte, parameters)
    default:
      // A control inside a sequence cancels it.
      reset()
      return nil
    }
  }

  private mutating func final(_ byte: UInt8, _ parameters: [UInt8]) -> Input? {
    if byte == 0x4D && parameters.isEmpty {
      state = .oldMouse(left: 3)
      return nil
    }
    if byte == 0x7E && parameters == Array("200".utf8) {
      // However late, what follows is pasted text.
      reset()
      state = .paste
      pasted = []
      return nil
    }
    return end(key(byte, parameters))
  }

  private mutating func key(_ byte: UInt8, _ parameters: [UInt8]) -> Input? {
    if parameters.first == 0x3C { return mouse(byte, parameters.dropFirst()) }
    if parameters.contains(where: { !(0x30...0x39).contains($0) && $0 != 0x3B }) { return nil }
    let numbers = parameters.split(separator: 0x3B, omittingEmptySubsequences: false).map { decimal($0) }
    let modifier = numbers.count > 1 ? numbers[1] : 1
    // More parameters mean a report from the terminal that ends like a key, such as the cursor
    // position's.
    guard numbers.count <= 2, modifier <= 16 else { return nil }
    let modifiers = modifiers(ofParameter: modifier)
    if byte != 0x7E {
      if byte == 0x5A { return finish(.tab, .shift) }
      // Only `CSI letter` and `CSI 1 ; modifier letter` are keys.
      guard parameters.isEmpty || numbers.first == 1 else { return nil }
      return single(byte, modifiers: modifiers, isFunctionOnly: false)
    }
    switch numbers.first ?? 0 {
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
      // Includes focus in and out, `CSI I` and `CSI O`.
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

  /// xterm's encoding: 1 plus 1 for shift, 2 for Alt, 4 for control, 8 for Meta on keyboards that
  /// have both.
  private func modifiers(ofParameter parameter: Int) -> Key.Modifiers {
    let bits = max(0, parameter - 1)
    let known = Key.Modifiers(rawValue: UInt8(bits & 7))
    return bits & 8 == 0 ? known : known.union(.meta)
  }
}
