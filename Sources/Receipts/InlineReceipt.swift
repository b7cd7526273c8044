// InlineReceipt.swift: a receipt that travels inside its answer, with a signature of its own, for
// clients behind a proxy that forwards nothing else. Its place in the log is in a bundle
// (ReceiptBundle.swift). Start at InlineReceipt.

/// A receipt's line and the node's signature over it.
///
/// The signature is a detached SSH signature (`PROTOCOL.sshsig`) over the line with its newline,
/// namespace `receipt@hotpot`. It says that the node made the receipt, and nothing of the log.
public struct InlineReceipt: Hashable, Sendable {
  public static let namespace = "receipt@hotpot"
  /// As long as any line of a journal.
  package static let maximumLineBytes = 64 << 10

  /// With its newline.
  public var line: String
  /// Armored; nil if it could not be made.
  public var signature: String?

  public init(line: String, signature: String?) {
    self.line = line
    self.signature = signature
  }
}

extension Verification {
  /// Makes every check of an inline receipt for which the input is available.
  public init(_ inline: InlineReceipt, evidence: Evidence = Evidence(), keygen: SSHKeygen = SSHKeygen()) {
    self.init(line: Array(inline.line.utf8), transcript: nil, evidence: evidence) { receipt in
      let why = "an inline receipt says nothing of the log; the node's bundle does"
      return [
        (.signature, Self.signature(inline, receipt, evidence, keygen)), (.inclusion, .notChecked(why)),
        (.consistency, .notChecked(why)), (.witness, .notChecked(why)),
      ]
    }
  }

  private static func signature(
    _ inline: InlineReceipt, _ receipt: Receipt?, _ evidence: Evidence, _ keygen: SSHKeygen
  ) -> Outcome {
    guard let signature = inline.signature else {
      return .notChecked("the answer holds the receipt's line without a signature")
    }
    return Self.judged { () throws(SignatureError) in
      let named: SSHPublicKey
      do throws(FormatError) { named = try SSHSignature(parsing: signature).key } catch {
        throw .format(error)
      }
      let own = "hotpot namespaces=\"\(InlineReceipt.namespace)\" \(named.text)\n"
      let key = try keygen.verify(
        Array(inline.line.utf8), signature: signature, namespace: InlineReceipt.namespace,
        allowedSigners: evidence.allowedSigners ?? own, revoked: evidence.revoked, time: receipt?.ended ?? 0)
      if let receipt, receipt.node != key.fingerprint {
        return .failed("the receipt names the node \(receipt.node), the signer is \(key.fingerprint)")
      }
      let trust =
        evidence.allowedSigners == nil ? ", as the answer itself says; compare it with a key you trust" : ""
      return .ok("the line is signed by \(key.fingerprint)\(trust)")
    }
  }
}
