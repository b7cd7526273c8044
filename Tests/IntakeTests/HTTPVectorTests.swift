// HTTPVectorTests.swift: llhttp's request vectors, read by RFC 9112. The table of what each must give, and why,
// is HTTPVectorTable.swift.

import Foundation
import Fuzzing
import Intake
import TestSettings
import Testing

@Suite struct HTTPVectorTests {
  /// What comes of the input; when it ends inside a request, also what comes once its last line is ended.
  private func outcome(_ input: [UInt8]) -> String {
    let found = parseRequests(input)
    guard found.ending == .partial else { return found.description }
    let completed = parseRequests(input + Array("\r\n\r\n".utf8))
    return "\(found) / \(completed)"
  }

  @Test(.enabled(if: ReferenceFolder.url != nil, "the reference folder with vectors/http is absent"))
  func everyVectorGivesWhatRFC9112Says() throws {
    let folder = try #require(ReferenceFolder.url)
    let vectors = try httpVectors(folder)
    #expect(vectors.count == httpVectorTable.count)
    for vector in vectors {
      let expected = httpVectorTable[vector.name]
      let input = isolated(vector.input)
      let found = parseRequests(input)
      #expect(
        outcome(input) == expected?.outcome, "\(vector.name): \(vector.title); RFC \(expected?.reason ?? "?")"
      )
      for cut in input.indices {
        #expect(parseRequests(input, cuts: [cut]) == found, "\(vector.name), cut at \(cut)")
      }
      #expect(parseRequests(input, cuts: Array(input.indices)) == found, "\(vector.name), byte by byte")
    }
  }

  @Test(.enabled(if: ReferenceFolder.url != nil, "the reference folder with vectors/http is absent"))
  func everyVectorWithoutItsHostIsRefused() throws {
    let folder = try #require(ReferenceFolder.url)
    var count = 0
    for vector in try httpVectors(folder) {
      let input = isolated(vector.input)
      // HTTP/1.0 has no Host.
      guard !String(decoding: input, as: UTF8.self).contains("HTTP/1.0"),
        withHost(vector.input) != vector.input, parseRequests(input).requests.count > 0
      else { continue }
      count += 1
      let found = parseRequests(vector.input)
      #expect(found.description.contains("400 host_missing"), "\(vector.name): \(found)")
    }
    #expect(count > 40)
  }
}
