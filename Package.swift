// swift-tools-version: 6.2
// SPDX-License-Identifier: MIT
import PackageDescription

// Spans stored behind computed properties need lifetime annotations; strict memory safety makes every unsafe
// expression visible as `unsafe`.
let settings: [SwiftSetting] = [
  .enableExperimentalFeature("Lifetimes"),
  .strictMemorySafety(),
]

let package = Package(
  name: "swift-lrp2p",
  products: [
    .library(name: "LRP2P", targets: ["LRP2P", "LRP2PReactor", "LRP2PCore"]),
    // Virtual worlds for tests of programs that use the library; its cipher suite keeps no secrets.
    .library(name: "LRP2PSimulation", targets: ["LRP2PSimulation", "LRP2PCore"]),
  ],
  targets: [
    .target(name: "CLinux"),
    // Loads libipsec-mb at run time, where there is one; nothing of it is needed here.
    .target(name: "CIPSecMB"),
    .systemLibrary(name: "CSodium", pkgConfig: "libsodium", providers: [.apt(["libsodium-dev"])]),
    .systemLibrary(name: "CUring", pkgConfig: "liburing", providers: [.apt(["liburing-dev"])]),
    // Square roots and roundings are the C library's, for whoever links this alone.
    .target(name: "LRP2PCore", swiftSettings: settings, linkerSettings: [.linkedLibrary("m")]),
    .target(name: "LRP2PSodium", dependencies: ["LRP2PCore", "CSodium"], swiftSettings: settings),
    .target(name: "LRP2PIPSecMB", dependencies: ["LRP2PCore", "CIPSecMB"], swiftSettings: settings),
    .target(name: "LRP2PSimulation", dependencies: ["LRP2PCore"], swiftSettings: settings),
    .target(name: "LRP2PReactor", dependencies: ["LRP2PCore", "CLinux", "CUring"], swiftSettings: settings),
    // Its async calls stay on the executor of their caller (SE-0461).
    .target(
      name: "LRP2P", dependencies: ["LRP2PCore", "LRP2PReactor", "LRP2PSodium", "LRP2PIPSecMB"],
      swiftSettings: settings + [.enableUpcomingFeature("NonisolatedNonsendingByDefault")]),
    .target(name: "CFiles"),
    .target(name: "CBlake3"),
    .target(
      name: "LRP2PTool", dependencies: ["LRP2P", "LRP2PSodium", "CFiles", "CBlake3"], swiftSettings: settings),
    .testTarget(
      name: "LRP2PCoreTests", dependencies: ["LRP2PCore", "LRP2PSimulation"], swiftSettings: settings),
    .testTarget(
      name: "LRP2PSimulationTests", dependencies: ["LRP2PSimulation", "LRP2PCore"], swiftSettings: settings),
    .testTarget(
      name: "LRP2PSodiumTests", dependencies: ["LRP2PSodium", "LRP2PIPSecMB", "LRP2PCore"],
      resources: [.copy("Vectors")], swiftSettings: settings),
    .target(name: "CSystemCallFilter", path: "Tests/CSystemCallFilter"),
    .testTarget(
      name: "LRP2PReactorTests", dependencies: ["LRP2PReactor", "LRP2PCore", "CLinux", "CSystemCallFilter"],
      swiftSettings: settings),
    .testTarget(
      name: "LRP2PToolTests", dependencies: ["LRP2PTool", "LRP2PSodium", "CSystemCallFilter"], swiftSettings: settings),
    .target(name: "CMemoryUse", path: "Tests/CMemoryUse"),
    .target(name: "CProcess", path: "Tests/CProcess"),
    .testTarget(
      name: "LRP2PTests", dependencies: ["LRP2P", "LRP2PIPSecMB", "LRP2PSimulation", "CMemoryUse", "CProcess"],
      swiftSettings: settings),
  ]
)

// The programs use swift-argument-parser. SwiftPM resolves a dependency for everyone who depends on this package, used
// or not (SE-0226 is not in effect), so it is named only where the programs are built: `make build` sets the variable.
if Context.environment["LRP2P_TOOLS"] != nil {
  package.dependencies.append(.package(url: "https://github.com/apple/swift-argument-parser", from: "1.5.0"))
  let argumentParser = Target.Dependency.product(name: "ArgumentParser", package: "swift-argument-parser")
  package.products += [
    .executable(name: "lrp2p", targets: ["lrp2p"]), .executable(name: "lrp2p-bench", targets: ["lrp2p-bench"]),
    .executable(name: "lrp2p-sim", targets: ["lrp2p-sim"]),
  ]
  // The programs run where no toolchain is. Only linking differs, so tests and programs share what is compiled. The argument
  // parser was compiled for the shared Foundation, which does not name the parts of the static one.
  let isStatic: [LinkerSetting] = [
    .unsafeFlags(["-static-stdlib", "-use-ld=lld"]), .linkedLibrary("_FoundationCollections"),
    .linkedLibrary("_FoundationCShims"),
    .linkedLibrary("swiftSynchronization"),
  ]
  package.targets += [
    .executableTarget(
      name: "lrp2p", dependencies: ["LRP2P", "LRP2PTool", "LRP2PSodium", argumentParser], swiftSettings: settings,
      linkerSettings: isStatic),
    .executableTarget(
      name: "lrp2p-sim", dependencies: ["LRP2PSimulation", "LRP2PCore", argumentParser], swiftSettings: settings,
      linkerSettings: isStatic),
    // The harness is no package of its own, so that it can measure what only this package sees.
    .target(name: "CAllocationCount", path: "Benchmarks/CAllocationCount"),
    .target(name: "CBenchSystem", dependencies: ["CLinux"], path: "Benchmarks/CBenchSystem"),
    .executableTarget(
      name: "lrp2p-bench",
      dependencies: [
        "LRP2P", "LRP2PSodium", "LRP2PSimulation", "CLinux", "CAllocationCount", "CBenchSystem", argumentParser,
      ],
      path: "Benchmarks/lrp2p-bench", swiftSettings: settings, linkerSettings: isStatic),
  ]
  for example in ["simple", "multiplexing", "embedded", "echo", "publisher", "game", "rpc"] {
    package.targets.append(
      .executableTarget(
        name: "example-\(example)", dependencies: ["LRP2P"], path: "Examples/\(example)", swiftSettings: settings))
  }
} else {
  // `swift run lrp2p` in a clone says how it is done.
  package.targets.append(.executableTarget(name: "lrp2p", path: "Sources/lrp2p-missing", swiftSettings: settings))
}

// Warnings are errors in our own builds, by the compilers that are known not to have new ones.
#if compiler(<6.4)
  if Context.environment["LRP2P_TOOLS"] != nil {
    for target in package.targets where target.type != .system {
      target.swiftSettings = (target.swiftSettings ?? []) + [.treatAllWarnings(as: .error)]
      target.cSettings = (target.cSettings ?? []) + [.treatAllWarnings(as: .error)]
    }
  }
#endif

// Free cells of the receive pool are filled, and looked at when they are taken: for the sanitizer and the fuzzer.
if Context.environment["LRP2P_POISON"] != nil {
  for target in package.targets where target.name == "LRP2PCore" {
    target.swiftSettings = (target.swiftSettings ?? []) + [.define("POISONS_POOL")]
  }
}

// libFuzzer brings its own main, so this target exists only for a build with `--sanitize fuzzer` (see scripts/fuzz).
if Context.environment["LRP2P_FUZZ"] != nil {
  package.targets.append(
    .executableTarget(
      name: "lrp2p-fuzz", dependencies: ["LRP2PSimulation", "LRP2PCore"], path: "Fuzz/lrp2p-fuzz",
      swiftSettings: settings + [.unsafeFlags(["-parse-as-library"])]))
}

// It needs valgrind's headers, so it exists only for scripts/check-constant-time.
if Context.environment["LRP2P_CONSTANT_TIME"] != nil {
  package.targets += [
    .target(name: "CMemcheck", path: "Tests/CMemcheck"),
    .executableTarget(
      name: "constant-time", dependencies: ["LRP2PCore", "LRP2PSodium", "LRP2PIPSecMB", "CMemcheck"],
      path: "Tests/ConstantTime", exclude: ["verdicts.supp"], swiftSettings: settings,
      linkerSettings: [.linkedLibrary("m")]),
  ]
}

// LRP2P_ONLY names the targets, by commas, of which a script builds its own kind (instrumented, sanitized): no others
// are built than they and what they depend on.
if let names = Context.environment["LRP2P_ONLY"] {
  var kept: Set<String> = []
  var found = names.split(separator: ",").map(String.init)
  while let name = found.popLast() {
    guard kept.insert(name).inserted, let target = package.targets.first(where: { $0.name == name }) else { continue }
    for case .byNameItem(let dependency, _) in target.dependencies { found.append(dependency) }
  }
  package.targets.removeAll { !kept.contains($0.name) }
  package.products.removeAll()
}
