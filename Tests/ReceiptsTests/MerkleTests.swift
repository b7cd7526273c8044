// MerkleTests.swift: the tree against the vectors of the Certificate Transparency reference and against a plain recursion.
import Foundation
import Receipts
import Testing

private func bytes(_ hex: String) -> [UInt8] {
  stride(from: 0, to: hex.utf8.count, by: 2).map { i in
    UInt8(hex.dropFirst(i).prefix(2), radix: 16) ?? 0
  }
}

/// RFC 6962, 2.1, word for word.
private func plainRoot(_ leaves: ArraySlice<SHA256Digest>) -> SHA256Digest {
  if leaves.isEmpty { return SHA256.hash([]) }
  if leaves.count == 1 { return leaves[leaves.startIndex] }
  var k = 1
  while k * 2 < leaves.count { k *= 2 }
  return SHA256.node(plainRoot(leaves.prefix(k)), plainRoot(leaves.dropFirst(k)))
}

@Suite struct MerkleTests {
  /// The inputs and roots of certificate-transparency's merkletree tests.
  static let inputs = [
    "", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f",
  ].map(bytes)
  static let roots = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
  ]

  @Test func referenceRoots() {
    var tree = MerkleTree()
    #expect(tree.root.hex == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")
    for (input, root) in zip(Self.inputs, Self.roots) {
      tree.append(leaf: SHA256.leaf(input))
      #expect(tree.root.hex == root)
    }
  }

  @Test func everyProofOfEverySizeHoldsAndNoOtherDoes() {
    let leaves = (0..<40).map { SHA256.leaf([UInt8($0)]) }
    let tree = MerkleTree(leaves: leaves)
    var grown = MerkleTree()
    for leaf in leaves { grown.append(leaf: leaf) }
    for size in 0...40 {
      let root = plainRoot(leaves[..<size])
      #expect(tree.root(at: size) == root)
      #expect(grown.root(at: size) == root)
      for index in 0..<size {
        guard let path = tree.inclusion(of: index, in: size) else {
          Issue.record("no path of \(index) in \(size)")
          continue
        }
        func check(_ i: Int, _ n: Int, _ p: [SHA256Digest], _ leaf: SHA256Digest) -> Bool {
          MerkleTree.rootFromInclusion(leaf: leaf, index: i, size: n, path: p) == root
        }
        #expect(check(index, size, path, leaves[index]))
        #expect(!check(index, size, path, leaves[(index + 1) % 40]))
        #expect(!check(index, size, path + [.zero], leaves[index]))
        if !path.isEmpty { #expect(!check(index, size, Array(path.dropLast()), leaves[index])) }
        for other in 0..<size where other != index { #expect(!check(other, size, path, leaves[index])) }
      }
      for old in 0...size {
        guard let path = tree.consistency(from: old, to: size) else {
          Issue.record("no proof from \(old) to \(size)")
          continue
        }
        let before = plainRoot(leaves[..<old])
        func check(_ a: Int, _ ra: SHA256Digest, _ b: Int, _ rb: SHA256Digest, _ p: [SHA256Digest]) -> Bool {
          MerkleTree.checkConsistency(old: a, oldRoot: ra, new: b, newRoot: rb, path: p)
        }
        #expect(check(old, before, size, root, path), "\(old) to \(size)")
        #expect(!check(old, .zero, size, root, path))
        #expect(!check(old, before, size, .zero, path) || (old == 0 && size > 0))
        #expect(!check(old, before, size, root, path + [.zero]))
        for i in path.indices {
          var bad = path
          bad[i] = .zero
          #expect(!check(old, before, size, root, bad))
        }
      }
    }
    #expect(tree.inclusion(of: 40, in: 40) == nil)
    #expect(tree.inclusion(of: 0, in: 41) == nil)
    #expect(tree.inclusion(of: -1, in: 4) == nil)
    #expect(tree.consistency(from: 5, to: 4) == nil)
    #expect(tree.root(at: 41) == nil)
  }
}
