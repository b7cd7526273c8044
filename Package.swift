// swift-tools-version: 6.2
// The rooms of Hotpot and the arrows between them. Leaves never import leaves; Node composes them.
import PackageDescription

let strict: [SwiftSetting] = [.treatAllWarnings(as: .error)]

// Kernels are optimised in every configuration: a debug build with -O0 kernels would take minutes a token.
// No contraction and no fast-math: the order of every rounding is part of the numerics profile.
let kernelFlags: [CSetting] = [
  .unsafeFlags([
    "-O3", "-std=c17", "-ffp-contract=off", "-fno-math-errno", "-Wall", "-Wextra", "-Werror",
  ])
]
let cFlags: [CSetting] = [.unsafeFlags(["-O2", "-std=gnu17", "-Wall", "-Wextra", "-Werror"])]

func room(_ name: String, _ dependencies: [Target.Dependency] = []) -> Target {
  .target(name: name, dependencies: dependencies, swiftSettings: strict)
}

// Tests are built without optimisation, also where what they test is optimised: that halves the time of a build.
let testSettings: [SwiftSetting] = strict + [.unsafeFlags(["-Onone"])]

func tests(_ name: String, _ dependencies: [Target.Dependency], exclude: [String] = []) -> Target {
  .testTarget(
    name: name, dependencies: dependencies + ["Dice", "TestSettings"], exclude: exclude,
    swiftSettings: testSettings)
}

let package = Package(
  name: "hotpot",
  targets: [
    .target(name: "CKernels", cSettings: kernelFlags),
    .target(name: "CDigest", cSettings: kernelFlags),
    .target(name: "CSystem", cSettings: cFlags, linkerSettings: [.linkedLibrary("dl")]),
    // TLS by the system's library, which is opened at run time.
    .target(name: "CTLS", cSettings: cFlags, linkerSettings: [.linkedLibrary("dl")]),
    .target(
      name: "CVulkan", dependencies: ["CKernels"], exclude: ["Shaders"], cSettings: cFlags,
      linkerSettings: [.linkedLibrary("dl")]),
    // The pages of man/, for `hotpot install`.
    .target(name: "CManuals", cSettings: cFlags),
    .systemLibrary(name: "CNCurses", providers: [.apt(["libncurses-dev"])]),

    room("JSON"),
    room("TLS", ["CTLS", "CSystem"]),
    room("Jinja", ["JSON", "CSystem"]),
    room("Tools", ["JSON"]),
    // What a text must be, as a mask over tokens. It knows no model.
    room("Grammar", ["CDigest", "JSON"]),
    room("Inference", ["CKernels", "CVulkan", "CDigest", "CSystem", "JSON", "Jinja"]),
    room("Scheduling"),
    room("Receipts", ["CDigest", "CSystem"]),
    room("Accounting"),
    room("Telemetry", ["CSystem"]),
    room("Intake", ["CSystem", "JSON", "TLS"]),
    // A client of NATS servers and their work queues; it knows no job.
    room("NATS", ["CSystem", "JSON", "TLS"]),
    // What a screen or a script says to a node, and what it hears: words alone, so that neither needs an engine.
    room("Control", ["Scheduling", "Accounting", "Telemetry", "JSON"]),
    room(
      "Node",
      [
        "Grammar", "Inference", "Tools", "Scheduling", "Receipts", "Accounting", "Telemetry", "Intake",
        "Control",
        "JSON", "TLS", "NATS",
      ]),
    room("Terminal", ["CNCurses"]),
    room("Dashboard", ["Control", "Terminal"]),
    .executableTarget(
      name: "hotpot",
      dependencies: [
        "Inference", "Scheduling", "Receipts", "Accounting", "Telemetry", "Intake", "Control",
        "Node", "Terminal", "Dashboard", "JSON", "TLS", "NATS", "CSystem", "CManuals", "CVulkan",
      ],
      swiftSettings: strict),

    .target(name: "TestSettings", path: "Tests/Support/TestSettings", swiftSettings: testSettings),
    // The fuzz targets and what tests make inputs with, for the test suite and for the command `fuzz`.
    .target(
      name: "Fuzzing",
      dependencies: ["Grammar", "Inference", "Intake", "Jinja", "JSON", "NATS", "Node", "Receipts", "Tools"],
      path: "Tests/Support/Fuzzing",
      swiftSettings: strict),
    .executableTarget(
      name: "fuzz", dependencies: ["Fuzzing"], path: "Tests/Programs/Fuzz", swiftSettings: strict),
    tests("FuzzTests", ["Fuzzing"]),

    // The engine's speed, beside a peer's where HOTPOT_PEER names one.
    .executableTarget(
      name: "Benchmarks", dependencies: ["Grammar", "Inference", "JSON"], path: "Tests/Programs/Benchmarks",
      swiftSettings: strict),

    // A served node under load, beside the bare engine.
    .executableTarget(
      name: "load", dependencies: ["CSystem"], path: "Tests/Programs/Load", exclude: ["load.py"],
      swiftSettings: strict
    ),

    // Seeded random numbers.
    .target(name: "Dice", path: "Tests/Support/Dice", swiftSettings: testSettings),
    // A disk in memory that fails on demand and loses power.
    .target(
      name: "SimulatedFileSystem", dependencies: ["Dice", "Receipts"],
      path: "Tests/Support/SimulatedFileSystem", swiftSettings: testSettings),

    tests("JSONTests", ["JSON", "Fuzzing"]),
    tests("JinjaTests", ["Jinja", "JSON", "Fuzzing"]),
    tests("ToolsTests", ["Tools", "JSON"]),
    // Vulkan's loader with faults on demand.
    .target(
      name: "VulkanFaults", path: "Tests/Support/VulkanFaults", cSettings: cFlags,
      linkerSettings: [.linkedLibrary("dl")]),
    tests(
      "InferenceTests",
      ["Inference", "CKernels", "CSystem", "CDigest", "JSON", "Fuzzing", "ManualPages", "VulkanFaults"],
      exclude: ["Programs"]),
    tests("CVulkanTests", ["CVulkan", "CKernels"]),
    tests("GrammarTests", ["Grammar", "JSON"]),
    tests("SchedulingTests", ["Scheduling"]),
    // The commands of man/, for tests that run them.
    .target(
      name: "ManualPages", dependencies: ["TestSettings"], path: "Tests/Support/ManualPages",
      swiftSettings: testSettings),
    tests(
      "ReceiptsTests", ["Receipts", "CDigest", "ManualPages", "SimulatedFileSystem"], exclude: ["Vectors"]),
    tests("AccountingTests", ["Accounting"]),
    tests("TelemetryTests", ["Telemetry", "CSystem"]),
    // Certificates and keys made by the command `openssl`, for tests of TLS.
    .target(
      name: "Certificates", dependencies: ["TestSettings"], path: "Tests/Support/Certificates",
      swiftSettings: testSettings),
    tests("TLSTests", ["TLS", "CTLS", "CSystem", "Certificates"]),
    // The real servers that are on this machine, started for a test.
    .target(
      name: "NATSServers", dependencies: ["TestSettings", "Certificates"], path: "Tests/Support/NATSServers",
      swiftSettings: testSettings),
    tests("NATSTests", ["NATS", "TLS", "CSystem", "JSON", "Fuzzing", "Certificates", "NATSServers"]),
    tests("IntakeTests", ["Intake", "CSystem", "JSON", "TLS", "Fuzzing", "Certificates"]),
    // HTTP as bytes, for tests that look at a node from outside.
    .target(name: "Wire", path: "Tests/Support/Wire", swiftSettings: testSettings),
    tests(
      "NodeTests",
      [
        "Node", "Control", "Grammar", "Inference", "Tools", "Scheduling", "Receipts", "Accounting",
        "Telemetry", "Intake", "JSON", "TLS", "SimulatedFileSystem", "Wire", "Fuzzing", "ManualPages",
        "Certificates", "NATS", "NATSServers",
      ], exclude: ["Vectors"]),
    .target(name: "StrictTerminal", path: "Tests/Support/StrictTerminal", swiftSettings: strict),
    // A node that follows a script, and the real dashboard over it: for pictures and for measuring.
    .target(
      name: "ScriptedNode", dependencies: ["Control", "Telemetry"], path: "Tests/Support/ScriptedNode",
      swiftSettings: strict),
    .executableTarget(
      name: "dashboard-preview", dependencies: ["Dashboard", "Control", "Terminal", "ScriptedNode"],
      path: "Tests/Programs/DashboardPreview", swiftSettings: strict),
    tests("TerminalTests", ["Terminal", "StrictTerminal"]),
    tests(
      "DashboardTests", ["Dashboard", "Control", "Telemetry", "Terminal", "ScriptedNode", "StrictTerminal"],
      exclude: ["Screens", "Scenarios"]),
    // The repository itself: comments, circles between folders, the papers.
    tests("TreeTests", []),
    tests(
      "CommandTests",
      ["Wire", "ManualPages", "Fuzzing", "Inference", "Control", "Node", "ScriptedNode", "NATSServers"]),
  ]
)
