// TileTests.swift: the tree as tiles: their paths, the roots that follow from them, and that no byte of a tile is believed
// that does not lead to the signed root.
import Testing

@testable import Receipts

@Suite struct TileTests {
  private func tree(_ size: Int) -> MerkleTree {
    MerkleTree(leaves: (0..<size).map { SHA256.leaf(Array("\($0)".utf8)) })
  }

  @Test func `a path has one spelling`() throws {
    let paths = [
      ("tile/0/000", 0, 0, 256), ("tile/0/001.p/5", 0, 1, 5),
      ("tile/1/x001/x234/067", 1, 1_234_067, 256),
      ("tile/2/x001/000.p/255", 2, 1_000, 255), ("tile/6/999.p/1", 6, 999, 1),
    ]
    for (text, level, index, width) in paths {
      let path = try #require(TilePath(parsing: text), "\(text)")
      #expect((path.level, path.index, path.width) == (level, index, width), "\(text)")
      #expect(path.text == text)
    }
    for text in [
      "", "tile", "tile/0", "tile/0/", "tile/0/0", "tile/0/1000", "tile/00/000", "tile/0/x001",
      "tile/0/x000/001",
      "tile/0/001/002", "tile/0/000.p", "tile/0/000.p/0", "tile/0/000.p/256", "tile/0/000.p/05",
      "tile/0/-01",
      "tile/7/000", "tile/0/000/", "/tile/0/000", "tile/entries/000", "tile/0/000.p/1/2",
      "tile/0/x00/000",
      "tile/0/x001/x002/x003/x004/x005/x006/007", "tile/x/000", "tile/0/.p/000.p/1",
      "tile/0/00\u{661}",
    ] { #expect(TilePath(parsing: text) == nil, "\(text)") }
  }

  @Test func `a log's tiles give every root that it ever had`() throws {
    for size in [0, 1, 2, 255, 256, 257, 511, 512, 70_000] {
      let tree = tree(size)
      let paths = Array(TilePath.all(ofLog: size))
      #expect(Set(paths).count == paths.count)
      let tiles = Dictionary(
        uniqueKeysWithValues: paths.compactMap { path in tree.tile(path).map { (path, $0) } })
      #expect(tiles.count == paths.count)
      // 70,000 leaves: 273 full tiles and one of 112, one full one and one of 17, one of 1.
      if size == 70_000 {
        #expect(paths.count == 277)
        #expect(
          paths.filter { $0.width < 256 }.map(\.text) == [
            "tile/0/273.p/112", "tile/1/001.p/17", "tile/2/000.p/1",
          ])
      }
      var read = 0
      var log = try TiledLog(size: size, root: tree.root) { path in
        read += 1
        return try #require(tiles[path], "\(path.text)")
      }
      #expect(read <= 3)
      let sizes =
        size <= 600 ? Array(0...size) : [0, 1, 255, 256, 257, 65_535, 65_536, 65_537, 69_999, size]
      for earlier in sizes {
        #expect(try log.root(at: earlier) == tree.root(at: earlier), "\(earlier) of \(size)")
      }
      for index in sizes.dropLast() { #expect(try log.leaf(at: index) == tree.leaf(at: index)) }
      #expect(throws: TileProblem.self) { try log.root(at: size + 1) }
      #expect(throws: TileProblem.self) { try log.leaf(at: size) }
      #expect(
        tree.tile(try #require(TilePath(level: 0, index: size / 256, width: size % 256 + 1))) == nil
      )
    }
  }

  @Test func `no changed byte of a tile is believed`() throws {
    let size = 66_000
    let tree = tree(size)
    for changed in [
      "tile/0/257.p/208", "tile/1/001.p/1", "tile/2/000.p/1", "tile/0/000", "tile/0/100",
      "tile/1/000",
    ] {
      let path = try #require(TilePath(parsing: changed))
      for byte in [0, 32 * path.width - 1] {
        #expect(throws: TileProblem.self, "\(changed), byte \(byte)") {
          var log = try TiledLog(size: size, root: tree.root) { found in
            var bytes = try #require(tree.tile(found), "\(found.text)")
            if found == path { bytes[byte] ^= 1 }
            return bytes
          }
          _ = try log.root(at: 300)
          _ = try log.leaf(at: 3)
          _ = try log.leaf(at: 25_700)
        }
      }
    }
    // A tile that is too short, too long or missing.
    for bytes in [[], [UInt8](repeating: 0, count: 31), [UInt8](repeating: 0, count: 32 * 257)] {
      #expect(throws: TileProblem.self) { try TiledLog(size: 5, root: tree.root) { _ in bytes } }
    }
    let other = self.tree(size + 1)
    #expect(throws: TileProblem("the tiles of the log of \(size) receipts do not give its root")) {
      try TiledLog(size: size, root: other.root) { tree.tile($0) ?? [] }
    }
  }

  @Test func `a path with more digits than an index has is none`() {
    for groups in 5...12 {
      let path = "tile/0/" + String(repeating: "x999/", count: groups) + "999"
      #expect(TilePath(parsing: path) == nil, "\(path)")
      #expect(TilePath(parsing: path + ".p/7") == nil, "\(path).p/7")
    }
  }
}
