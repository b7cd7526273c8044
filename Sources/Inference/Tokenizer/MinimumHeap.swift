// MinimumHeap.swift: the queue of candidate merges, smallest key first.

/// A binary heap of (key, payload); equal keys come out in any order, so callers make keys unique.
struct MinimumHeap {
  struct Item {
    let key: UInt64
    let payload: UInt32
  }

  private var items: [Item] = []

  var isEmpty: Bool { items.isEmpty }

  mutating func removeAll() { items.removeAll(keepingCapacity: true) }

  mutating func insert(_ item: Item) {
    items.append(item)
    var child = items.count - 1
    while child > 0 {
      let parent = (child - 1) / 2
      if items[parent].key <= item.key { break }
      items[child] = items[parent]
      child = parent
    }
    items[child] = item
  }

  mutating func removeMinimum() -> Item? {
    guard let first = items.first, let last = items.popLast() else { return nil }
    guard !items.isEmpty else { return first }
    var parent = 0
    while true {
      var child = 2 * parent + 1
      if child >= items.count { break }
      if child + 1 < items.count, items[child + 1].key < items[child].key { child += 1 }
      if last.key <= items[child].key { break }
      items[parent] = items[child]
      parent = child
    }
    items[parent] = last
    return first
  }
}
