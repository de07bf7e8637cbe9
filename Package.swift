// swift-tools-version: 6.2
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
    .executable(name: "lrp2p", targets: ["lrp2p"]),
  ],
  dependencies: [
    // Only the command-line tool uses it: a package that depends on the library does not resolve it (SE-0226).
    .package(url: "https://github.com/apple/swift-argument-parser", from: "1.5.0")
  ],
  targets: [
    .target(name: "CLinux"),
    .systemLibrary(name: "CSodium", pkgConfig: "libsodium", providers: [.apt(["libsodium-dev"])]),
    .target(name: "LRP2PCore", swiftSettings: settings),
    .target(name: "LRP2PSodium", dependencies: ["LRP2PCore", "CSodium"], swiftSettings: settings),
    .target(name: "LRP2PSimulation", dependencies: ["LRP2PCore"], swiftSettings: settings),
    .target(name: "LRP2PReactor", dependencies: ["LRP2PCore", "CLinux"], swiftSettings: settings),
    .target(name: "LRP2P", dependencies: ["LRP2PCore", "LRP2PReactor", "LRP2PSodium"], swiftSettings: settings),
    .executableTarget(
      name: "lrp2p",
      dependencies: ["LRP2P", .product(name: "ArgumentParser", package: "swift-argument-parser")],
      swiftSettings: settings),
    .testTarget(name: "LRP2PCoreTests", dependencies: ["LRP2PCore"], swiftSettings: settings),
    .testTarget(
      name: "LRP2PSimulationTests", dependencies: ["LRP2PSimulation", "LRP2PCore"], swiftSettings: settings),
    .testTarget(
      name: "LRP2PSodiumTests", dependencies: ["LRP2PSodium", "LRP2PCore"], resources: [.copy("Vectors")],
      swiftSettings: settings),
    .testTarget(
      name: "LRP2PReactorTests", dependencies: ["LRP2PReactor", "LRP2PCore", "CLinux"], swiftSettings: settings),
    .target(name: "CMemoryUse", path: "Tests/CMemoryUse"),
    .testTarget(
      name: "LRP2PTests", dependencies: ["LRP2P", "LRP2PSimulation", "CMemoryUse"], swiftSettings: settings),
  ]
)

// libFuzzer brings its own main, so this target exists only for a build with `--sanitize fuzzer` (see scripts/fuzz).
if Context.environment["LRP2P_FUZZ"] != nil {
  package.targets.append(
    .executableTarget(
      name: "lrp2p-fuzz", dependencies: ["LRP2PSimulation", "LRP2PCore"], path: "Fuzz/lrp2p-fuzz",
      swiftSettings: settings + [.unsafeFlags(["-parse-as-library"])]))
}
