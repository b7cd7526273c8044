// VulkanDeviceTests.swift: the kernels on a software device, where there is one (Debian's mesa-vulkan-drivers), and
// what is said where there is no loader. Start at VulkanDevice.

import CKernels
import CVulkan
import Foundation
import Testing

/// A reason that C wrote.
private struct Reason {
  var characters = [CChar](repeating: 0, count: Int(CV_REASON))

  var words: String {
    String(decoding: characters.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }
}

/// The first software device of this machine.
private final class VulkanDevice {
  let loader: OpaquePointer
  let device: OpaquePointer

  /// Why there is none; nil where there is one.
  static let absence: String? = {
    do {
      _ = try VulkanDevice()
      return nil
    } catch {
      return "\(error)"
    }
  }()

  struct Absent: Error, CustomStringConvertible {
    let description: String
  }

  init() throws {
    var reason = Reason()
    guard let loader = cv_load("libvulkan.so.1", &reason.characters) else {
      throw Absent(description: reason.words)
    }
    for index in 0..<cv_count(loader) {
      var facts = cv_facts()
      cv_describe(loader, index, &facts)
      guard facts.is_software else { continue }
      if let device = cv_open(loader, index, true, &reason.characters) {
        (self.loader, self.device) = (loader, device)
        return
      }
    }
    cv_unload(loader)
    throw Absent(description: "no software device of Vulkan: \(reason.words)")
  }

  deinit {
    cv_close(device)
    cv_unload(loader)
  }

  var problem: String { String(cString: cv_problem(device)) }
}

@Suite struct VulkanLoaderTests {
  @Test func `without a loader the reason names it`() {
    var reason = Reason()
    #expect(cv_load("/nowhere/libvulkan.so.1", &reason.characters) == nil)
    #expect(
      reason.words
        == "Vulkan's loader cannot be opened: /nowhere/libvulkan.so.1: cannot open shared object file: No such file or directory"
    )
  }

  @Test func `another library is no loader`() {
    var reason = Reason()
    #expect(cv_load("libm.so.6", &reason.characters) == nil)
    #expect(reason.words == "libm.so.6 is no Vulkan loader of version 1.2 or later")
  }

  @Test func `every kernel has a name of its own, and every part a kernel`() {
    let names = (0..<CV_KERNEL_COUNT.rawValue).map { String(cString: cv_kernel_name(cv_kernel($0))) }
    #expect(Set(names).count == names.count)
    let parts = (0..<ck_test_part_count()).map { ck_test_part_at($0).pointee }
    let products = parts.filter { $0.kind == CK_TEST_KIND_PRODUCT }.map { String(cString: $0.name) }
    #expect(products.allSatisfy(names.contains))
    #expect(products.count == names.count { $0.hasPrefix("product ") })
  }
}

@Suite(.enabled(if: VulkanDevice.absence == nil, "no software device of Vulkan on this machine"))
struct VulkanDeviceTests {
  @Test func `a software device is refused unless it is allowed`() throws {
    let open = try VulkanDevice()
    var reason = Reason()
    for index in 0..<cv_count(open.loader) {
      var facts = cv_facts()
      cv_describe(open.loader, index, &facts)
      guard facts.is_software else { continue }
      #expect(cv_open(open.loader, index, false, &reason.characters) == nil)
      #expect(
        reason.words
          == "it is software on the processors, which compute faster themselves; HOTPOT_VULKAN_CPU=1 lets tests use it"
      )
    }
  }

  @Test func `every kernel gives the frozen bits`() throws {
    let open = try VulkanDevice()
    var reason = Reason()
    let passed = cv_self_test(open.device, &reason.characters)
    #expect(reason.words == "")
    #expect(passed == ck_test_part_count())
    #expect(open.problem == "")

    // One bit of a weight, of a key and of a function's result: each is refused by the name of its kernel.
    for (fault, name) in [(Fault.weight, "product Q5_0"), (.key, "attention"), (.result, "silu")] {
      let faulty = FaultyDevice(device: open.device, fault: fault)
      let refused = withUnsafePointer(to: faulty) { context in
        var tested = FaultyDevice.tested(UnsafeMutableRawPointer(mutating: context))
        return cv_compare(open.device, &tested, &reason.characters)
      }
      #expect(refused < ck_test_part_count())
      #expect(reason.words == "kernel \(name) does not give the frozen bits")
    }
  }

  @Test func `tickets end in order, and what cannot be launched is said`() throws {
    let open = try VulkanDevice()
    var arena = cv_arena()
    try #require(cv_arena_make(open.device, 1 << 16, CV_SHARED, &arena))
    defer { cv_arena_free(open.device, &arena) }
    let numbers = try #require(arena.bytes).withMemoryRebound(to: Float.self, capacity: 128) { $0 }
    for i in 0..<64 { (numbers[i], numbers[64 + i]) = (1, 0) }
    // y = x + y, many times: each launch sees what the one before wrote.
    struct Push {
      var x: UInt64
      var y: UInt64
      var n: UInt32
      var rest: UInt32
    }
    var push = Push(x: arena.address, y: arena.address + 256, n: 64, rest: 0)
    var last: UInt64 = 0
    for _ in 0..<10 {
      withUnsafeBytes(of: &push) { bytes in
        let one = cv_dispatch(
          kernel: CV_ADD, grid: (1, 1, 1), push: bytes.baseAddress!, push_bytes: UInt32(bytes.count))
        let ticket = cv_submit(open.device, [one, one, one], 3)
        #expect(ticket == last + 1)
        last = ticket
      }
    }
    #expect(cv_wait(open.device, last, 60_000_000_000) == CV_DONE)
    #expect((0..<64).allSatisfy { numbers[64 + $0] == 30 })
    #expect(cv_wait(open.device, last + 1, 0) == CV_FAILED)
    withUnsafeBytes(of: &push) { bytes in
      let one = cv_dispatch(kernel: CV_ADD, grid: (1, 1, 1), push: bytes.baseAddress!, push_bytes: 300)
      #expect(cv_submit(open.device, [one], 1) == 0)
    }
    #expect(open.problem == "kernel add is told 300 bytes, 128 are the most")
  }
}

private enum Fault {
  case weight, key, result
}

/// A device in whose memory one bit is wrong.
private struct FaultyDevice {
  let device: OpaquePointer
  let fault: Fault

  private static func of(_ context: UnsafeMutableRawPointer?) -> FaultyDevice? {
    context?.load(as: FaultyDevice.self)
  }

  static func tested(_ context: UnsafeMutableRawPointer) -> ck_tested {
    var tested = cv_tested(context.load(as: FaultyDevice.self).device)
    tested.context = context
    tested.quantise = { context, profile, x, cols, v, d, s in
      guard let faulty = FaultyDevice.of(context) else { return false }
      return cv_tested(faulty.device).quantise(
        UnsafeMutableRawPointer(faulty.device), profile, x, cols, v, d, s)
    }
    tested.product = { context, product, out in
      guard let faulty = FaultyDevice.of(context) else { return false }
      var product = product.pointee
      let count = Int(product.rows) * ck_row_bytes(product.type, product.cols)
      var weights = Array(UnsafeBufferPointer(start: product.weights, count: count))
      if faulty.fault == .weight, product.type == CK_Q5_0, product.profile == CK_A15, !product.gated {
        weights[count - 1] ^= 0x10
      }
      return weights.withUnsafeBufferPointer {
        guard let base = $0.baseAddress else { return false }
        product.weights = base
        return cv_tested(faulty.device).product(UnsafeMutableRawPointer(faulty.device), &product, out)
      }
    }
    tested.function = { context, function, x, n, y in
      guard let faulty = FaultyDevice.of(context) else { return false }
      let isGood = cv_tested(faulty.device).function(
        UnsafeMutableRawPointer(faulty.device), function, x, n, y)
      if faulty.fault == .result, function == CK_TEST_SILU { y[77] = Float(bitPattern: y[77].bitPattern ^ 1) }
      return isGood
    }
    tested.norm = { context, x, weight, n, epsilon, y in
      guard let faulty = FaultyDevice.of(context) else { return false }
      return cv_tested(faulty.device).norm(UnsafeMutableRawPointer(faulty.device), x, weight, n, epsilon, y)
    }
    tested.rope = { context, style, x, heads, size, pairs, table in
      guard let faulty = FaultyDevice.of(context) else { return false }
      return cv_tested(faulty.device).rope(
        UnsafeMutableRawPointer(faulty.device), style, x, heads, size, pairs, table)
    }
    tested.store = { context, key, value, size, keys, values, slot in
      guard let faulty = FaultyDevice.of(context) else { return false }
      return cv_tested(faulty.device).store(
        UnsafeMutableRawPointer(faulty.device), key, value, size, keys, values, slot)
    }
    tested.attend = { context, attention in
      guard let faulty = FaultyDevice.of(context) else { return false }
      var attention = attention.pointee
      var keys = Array(UnsafeBufferPointer(start: attention.keys, count: attention.page_stride * 19))
      if faulty.fault == .key { keys[attention.page_stride * 7 + 64 + 5] ^= 0x20 }
      return keys.withUnsafeBufferPointer {
        guard let base = $0.baseAddress else { return false }
        attention.keys = base
        return cv_tested(faulty.device).attend(UnsafeMutableRawPointer(faulty.device), &attention)
      }
    }
    return tested
  }
}
