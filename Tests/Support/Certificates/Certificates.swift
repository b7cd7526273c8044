// Certificates.swift: an authority of our own, and certificates good and bad, made by the command
// `openssl` once a run. Tests of TLS are skipped, saying so, where it is absent.

import Foundation
import TestSettings

package enum Certificates {
  package struct Unmade: Error {
    package let output: String
    package init(output: String) { self.output = output }
  }

  /// The folder with the files; nil where there is no `openssl`.
  package static let folder: String? = try? make()

  package static var areAbsent: Bool { folder == nil }

  /// The path of a file: `ca.pem`; `good.pem` for localhost, 127.0.0.1 and ::1; `other.pem` for
  /// elsewhere.test; `expired.pem`; `revoked.pem`; `self.pem`, which no authority signed;
  /// `client.pem`; `ca-crl.pem`, the authority with its revocations. `NAME.key` beside each.
  /// `locked.key` is the key of `good.pem` under a passphrase.
  package static func path(_ name: String) throws -> String {
    guard let folder else { throw Unmade(output: "there is no openssl") }
    return folder + "/" + name
  }

  /// The absolute path of a program of the system; nil where it is absent.
  package static func program(_ name: String) -> String? {
    ["/usr/bin/", "/bin/", "/usr/local/bin/", "/usr/sbin/"].map { $0 + name }.first {
      FileManager.default.isExecutableFile(atPath: $0)
    }
  }

  /// Runs a program to its end. Its standard output and error come as one text.
  package static func run(
    _ arguments: [String], input: String = "", in directory: String = "/"
  ) throws -> (status: Int32, output: String) {
    guard let path = program(arguments[0]) else { throw Unmade(output: "there is no \(arguments[0])") }
    let process = Process()
    process.executableURL = URL(filePath: path)
    process.arguments = Array(arguments.dropFirst())
    process.currentDirectoryURL = URL(filePath: directory)
    process.environment = ["PATH": "/usr/bin:/bin", "HOME": directory, "LC_ALL": "C"]
    let (standardInput, output) = (Pipe(), Pipe())
    process.standardInput = standardInput
    process.standardOutput = output
    process.standardError = output
    try process.run()
    try standardInput.fileHandleForWriting.write(contentsOf: Data(input.utf8))
    try standardInput.fileHandleForWriting.close()
    let bytes = try output.fileHandleForReading.readToEnd() ?? Data()
    process.waitUntilExit()
    return (process.terminationStatus, String(decoding: bytes, as: UTF8.self))
  }

  private static func make() throws -> String {
    let folder = NSTemporaryDirectory() + "hotpot-certificates-\(getpid())"
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    let made = try run(["sh", "-c", script], in: folder)
    guard made.status == 0 else { throw Unmade(output: made.output) }
    return folder
  }

  private static let script = """
    set -eu
    cat >ca.cnf <<END
    [ca]
    default_ca = own
    [own]
    dir = .
    database = index.txt
    serial = serial
    new_certs_dir = .
    certificate = ca.pem
    private_key = ca.key
    default_md = sha256
    default_days = 30
    default_crl_days = 30
    policy = any
    copy_extensions = copy
    [any]
    commonName = supplied
    [req]
    distinguished_name = name
    [name]
    [authority]
    basicConstraints = critical,CA:true
    keyUsage = critical,keyCertSign,cRLSign
    END
    : >index.txt
    echo 01 >serial
    key() { openssl ecparam -name prime256v1 -genkey -noout -out "$1.key"; }
    request() {
      key "$1"
      openssl req -new -config ca.cnf -key "$1.key" -subj "/CN=$1" -addext "subjectAltName=$2" -out "$1.csr"
    }
    sign() { name=$1; shift; openssl ca -batch -notext -config ca.cnf -in "$name.csr" -out "$name.pem" "$@"; }
    key ca
    openssl req -new -x509 -config ca.cnf -extensions authority -key ca.key -subj /CN=authority -days 30 -out ca.pem
    for name in good again revoked expired; do request $name DNS:localhost,IP:127.0.0.1,IP:::1; done
    request other DNS:elsewhere.test
    request client DNS:client.test
    for name in good again revoked other client; do sign $name; done
    sign expired -startdate 20200101000000Z -enddate 20200201000000Z
    key self
    openssl req -new -x509 -config ca.cnf -key self.key -subj /CN=self -addext subjectAltName=DNS:localhost -days 30 -out self.pem
    openssl ca -config ca.cnf -revoke revoked.pem
    openssl ca -config ca.cnf -gencrl -out crl.pem
    cat ca.pem crl.pem >ca-crl.pem
    openssl ec -aes128 -passout pass:secret -in good.key -out locked.key
    """
}
