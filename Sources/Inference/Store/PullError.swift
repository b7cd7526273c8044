// PullError.swift: why a model could not be fetched, each with what to do about it.

import Foundation

/// A pull failed; no file was given its final name.
public enum PullError: Error, Sendable, Equatable, CustomStringConvertible {
  case unknownName(String)
  case badAddress(String, String)
  /// Another pull of the same model is running.
  case busy(String)
  case noPython
  case pythonFailed(step: String, status: Int32, lastLine: String)
  case packageLacksModel(String)
  /// A server's list or manifest that cannot be understood.
  case badListing(String, String)
  /// A repository without GGUF files that could be models.
  case noModelInRepository(String)
  /// A repository has models, and not that one.
  case noSuchModel(String, wanted: String, there: [String])
  /// Both names that the model could get belong to files from elsewhere.
  case nameTaken(String, other: String)
  /// Neither the environment nor the user database gives this user's home.
  case noHome
  case network(address: String, String)
  case status(address: String, Int)
  case endedEarly(address: String, received: Int, wanted: Int)
  case insecureRedirect(from: String, to: String)
  case noSpace(path: String, wanted: Int?, free: Int?)
  case wrongDigest(found: String, wanted: String)
  case wrongSize(found: Int, wanted: Int)
  case notAModel(String)
  /// A system call failed on a path.
  case system(String, String, Int32)
  case cancelled

  public var description: String {
    switch self {
    case .unknownName(let name): "no model is called '\(name)'"
    case .badAddress(let address, let why): "cannot pull '\(address)': \(why)"
    case .busy(let name): "another pull of '\(name)' is at work"
    case .noPython: "python3 was not found; models are fetched with it"
    case .pythonFailed(let step, let status, let lastLine):
      "\(step) failed with status \(status)\(lastLine.isEmpty ? "" : ": \(lastLine)")"
    case .packageLacksModel(let package): "the package \(package) holds no model of the expected size"
    case .badListing(let name, let why): "what the server says of '\(name)' cannot be used: \(why)"
    case .noModelInRepository(let name): "the repository '\(name)' has no model in the GGUF format"
    case .noSuchModel(let name, let wanted, _): "the repository '\(name)' has no model '\(wanted)'"
    case .nameTaken(let name, let other):
      "'\(name)' and '\(other)' are other models here"
    case .noHome: "this user has no home directory, so there is no place for models"
    case .network(let address, let why): "cannot reach \(address): \(why)"
    case .status(let address, let status): "\(address) answered \(status)"
    case .endedEarly(let address, let received, let wanted):
      "\(address) ended after \(received) of \(wanted) bytes"
    case .insecureRedirect(let from, let to): "\(from) leads to \(to), which is not encrypted"
    case .noSpace(let path, let wanted, let free):
      "no space left for '\(path)'" + (wanted.map { ": \($0) bytes are wanted" } ?? "")
        + (free.map { ", \($0) are free" } ?? "")
    case .wrongDigest(let found, let wanted):
      "the file's SHA-256 is \(found), wanted \(wanted)"
    case .wrongSize(let found, let wanted): "the file has \(found) bytes, wanted \(wanted)"
    case .notAModel(let why): "the file is no model: \(why)"
    case .system(let call, let path, let code):
      "\(call) '\(path)' failed: \(String(cString: strerror(code)))"
    case .cancelled: "cancelled"
    }
  }

  /// What to do about it.
  public var hint: String? {
    switch self {
    case .unknownName:
      "known are \(ModelCatalog.models.map(\.name).joined(separator: ", ")); or give hf:OWNER/REPO, ollama:NAME or an https: address"
    case .badAddress:
      "wanted is a known name, hf:OWNER/REPO, hf:OWNER/REPO:QUANT, hf:OWNER/REPO/FILE.gguf, ollama:NAME:TAG or https://HOST/PATH/FILE.gguf"
    case .busy: "wait for it, or end it"
    case .noPython: "install it: apt install python3 python3-pip"
    case .pythonFailed(_, _, let line) where line.contains("No module named pip"):
      "install it: apt install python3-pip"
    case .pythonFailed: "check the network and the space left, then pull again"
    case .packageLacksModel: "a mirror may serve another file under this name; try another network"
    case .badListing: "try again later, or give the https: address of a file"
    case .noModelInRepository(let name):
      "others often publish it in that format: look for '\(name.split(separator: "/").last ?? "")-GGUF'"
    case .noSuchModel(let name, _, let there):
      "it has \(there.prefix(20).joined(separator: ", ")); 'hotpot models search hf:\(name)' shows their sizes"
    case .nameTaken(let name, _):
      "move '\(name).gguf' away in hotpot's directory of models ('hotpot models list --json' shows it), then pull again"
    case .noHome: "set HOME or XDG_DATA_HOME to a directory with its full path"
    case .network: "check the network and the proxy, then pull again"
    case .status(_, 401), .status(_, 403):
      "the file may want an account: set HF_TOKEN to its token once the account may read it, or download it in a browser and use --model FILE"
    case .status(_, 404): "check the spelling of the owner, the repository and the file"
    case .status(_, 429): "the server wants a pause: try again later"
    case .status: "try again later"
    case .endedEarly: "pull again: it goes on where it stopped"
    case .insecureRedirect: "give the address that it leads to, if you trust it, with https:"
    case .noSpace: "free some space, or set XDG_DATA_HOME to a disk with more"
    case .wrongDigest, .wrongSize: "the file was damaged or changed on its way and is removed; pull again"
    case .notAModel: "hotpot reads models in the GGUF format"
    case .system, .cancelled: nil
    }
  }
}
