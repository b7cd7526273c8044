// NATSTarget.swift: the fuzz target for what a NATS server sends: the same is read however the bytes
// are split, nothing is read after a fault, and all that is read is within its bounds.

import NATS

/// What a parser made of bytes: what was said, and the fault that ended it.
package struct NATSReading: Equatable {
  package var said: [NATSSaid] = []
  package var fault: String?
  package var isPartial = false
}

/// Feeds the bytes in pieces that end at the given offsets, in ascending order.
package func parseNATS(
  _ input: [UInt8], cuts: [Int] = [], bounds: NATSParser.Bounds = .init()
) -> NATSReading {
  var parser = NATSParser(bounds)
  var reading = NATSReading()
  var start = 0
  for end in cuts + [input.count] where end >= start {
    parser.append(input[start..<end])
    start = end
    do throws(NATSFault) {
      while let said = try parser.next() { reading.said.append(said) }
    } catch {
      reading.fault = error.description
      return reading
    }
  }
  reading.isPartial = parser.holdsBytes
  return reading
}

package enum NATSFuzz {
  package static let bounds = {
    var bounds = NATSParser.Bounds()
    (bounds.line, bounds.info, bounds.payload) = (60, 200, 80)
    return bounds
  }()

  static let seeds = [
    "INFO {\"server_id\":\"X\",\"headers\":true,\"max_payload\":1048576,\"nonce\":\"abcdefgh\"}\r\n",
    "MSG hotpot.job.m.std.alice 7 $JS.ACK.HOTPOT.c.1.2.3.4.5 5\r\nhello\r\nPING\r\nPONG\r\n+OK\r\n",
    "HMSG _INBOX.a.1 1 25 30\r\nNATS/1.0\r\nA: b\r\nC:d\r\n\r\nhello\r\n",
    "HMSG _INBOX.a.1 9 28 28\r\nNATS/1.0 404 No Messages\r\n\r\n\r\n",
    "-ERR 'Permissions Violation for Publish to \"x\"'\r\nmsg\ta  3 0\r\n\r\nping\n",
  ].map { Array($0.utf8) }

  static let pieces = [
    "\r\n", "\n", "\r", " ", "\t", "0", "1", "80", "81", "-1", "18446744073709551616", "9223372036854775807",
    "MSG ", "HMSG ", "INFO ", "PING", "-ERR ", "NATS/1.0", "NATS/1.0 503\r\n\r\n", ":", "\u{0}", "é",
  ].map { Array($0.utf8) }

  package static func check(_ input: [UInt8], _ generator: inout SeededGenerator) -> String? {
    let whole = parseNATS(input, bounds: bounds)
    var splits = [(0...generator.below(6)).map { _ in generator.below(input.count + 1) }.sorted()]
    if generator.oneIn(16) { splits += [Array(input.indices)] + input.indices.map { [$0] } }
    for split in splits where parseNATS(input, cuts: split, bounds: bounds) != whole {
      return "cut at \(split), it reads otherwise than whole: \(input)"
    }
    for case .message(let message) in whole.said where message.payload.count > bounds.payload {
      return "a payload over the bound: \(input)"
    }
    return nil
  }
}

extension FuzzTarget {
  package static let nats = FuzzTarget(name: "nats", prepare: { NATSFuzz.seeds }) { corpus, generator in
    var input: [UInt8] = []
    for _ in 0...generator.below(3) { input += corpus[generator.below(corpus.count)] }
    if generator.oneIn(2) {
      input.insert(
        contentsOf: NATSFuzz.pieces[generator.below(NATSFuzz.pieces.count)],
        at: generator.below(input.count + 1))
    }
    return NATSFuzz.check(Mutation.mutate(input, corpus: corpus, limit: 600, &generator), &generator)
  }
}
