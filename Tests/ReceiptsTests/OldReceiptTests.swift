// OldReceiptTests.swift: what a node of before version 2 wrote is read, kept and verified byte for byte.
import Foundation
import ManualPages
import Receipts
import TestSettings
import Testing

private let vectors = repository.appendingPathComponent("Tests/ReceiptsTests/Vectors/v1").path

private func vector(_ name: String) throws -> [UInt8] {
  Array(try Data(contentsOf: URL(fileURLWithPath: vectors + "/" + name)))
}

private func receipt(_ bundle: ReceiptBundle) throws -> Receipt {
  guard case .receipt(let receipt) = try Entry(parsing: Array(bundle.receipt.utf8)).record else {
    throw CocoaError(.coderInvalidValue)
  }
  return receipt
}

@Suite struct OldReceiptTests {
  @Test func linesOfVersion1AreReadAndWrittenByteForByte() throws {
    let journal = try vector("journal/00000001.jsonl")
    var receipts: [Receipt] = []
    for line in journal.split(separator: 0x0A, omittingEmptySubsequences: false).dropLast() {
      let entry = try Entry(parsing: Array(line) + [0x0A])
      #expect(try entry.line() == Array(line) + [0x0A])
      if case .receipt(let receipt) = entry.record { receipts.append(receipt) }
    }
    #expect(receipts.map(\.version) == [1, 1, 1, 1, 1])
    #expect(receipts.map(\.finish) == [.length, .length, .stopString, .length, .cancelled])
    #expect(receipts.allSatisfy { $0.stopStrings == .zero && !$0.ignoresEnd })
  }

  @Test func aJournalOfVersion1IsWrittenOnInVersion2() throws {
    let scratch = try Scratch()
    try FileManager.default.createDirectory(
      atPath: scratch.path + "/journal", withIntermediateDirectories: true)
    let path = scratch.path + "/journal/00000001.jsonl"
    let old = try vector("journal/00000001.jsonl")
    try Data(old).write(to: URL(fileURLWithPath: path))
    let (journal, _) = try openJournal(scratch.path)
    #expect(journal.read { $0.tree.size } == 5)
    let appended = try journal.append([.receipt(sampleReceipt(job: 77))], at: testTime)
    journal.close()
    let bytes = Array(try Data(contentsOf: URL(fileURLWithPath: path)))
    #expect(bytes.starts(with: old))
    #expect(String(decoding: bytes, as: UTF8.self).contains(",\"v\":2,\"index\":5,"))
    #expect(appended.count == 1)
    let (again, _) = try openJournal(scratch.path)
    #expect(try again.receipt(at: 5).receipt.version == 2)
    #expect(try again.receipt(at: 4).receipt.version == 1)
    again.close()
    #expect(try Journal.check(state: scratch.path).damage == nil)
  }

  @Test(arguments: ["honest", "length", "stopstring"])
  func bundlesOfVersion1VerifyAndSayThatTheEndWasNotChecked(name: String) throws {
    let bundle = try ReceiptBundle(parsing: String(decoding: vector(name + ".bundle"), as: UTF8.self))
    let receipt = try receipt(bundle)
    var evidence = Verification.Evidence()
    evidence.decoding = .decoded(.init(text: "x", firstEnd: 0, firstStop: nil, contextLength: 2048))
    let verification = Verification(bundle, evidence: evidence, keygen: SSHKeygen(deadline: 20))
    #expect(verification.passes(asking: [.receipt, .signature, .inclusion, .counts, .amount]))
    let ending = try #require(verification.checks.first { $0.name == .ending })
    #expect(receipt.version == 1 && ending.result == .notChecked)
    #expect(ending.detail.hasPrefix("the end was not checked: this receipt's version does not say"))
  }

  @Test func aLineInPlaceOfAnotherForgetsWhatOnlyTheOtherHad() throws {
    // A replay reads each receipt over the one before.
    let scratch = try Scratch()
    let (journal, _) = try openJournal(scratch.path)
    var new = sampleReceipt(job: 1)
    new.ignoresEnd = true
    new.stopStrings = SHA256.hash([1])
    var old = sampleReceipt(job: 2)
    old.version = 1
    try journal.append([.receipt(new), .receipt(old)], at: testTime)
    journal.close()
    let (again, _) = try openJournal(scratch.path)
    let read = try again.receipt(at: 1).receipt
    #expect(read.version == 1 && !read.ignoresEnd && read.stopStrings == .zero)
    again.close()
  }
}
