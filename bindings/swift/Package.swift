// swift-tools-version: 6.0
// Package.swift - Offhook for Swift: the library, an example that is a call, the helpers of tests and benchmark.
import PackageDescription

let package = Package(
  name: "Offhook",
  platforms: [.macOS(.v15), .iOS(.v18)],
  products: [.library(name: "Offhook", targets: ["Offhook"])],
  targets: [
    .systemLibrary(name: "COffhook", pkgConfig: "offhook"),
    .target(name: "Offhook", dependencies: ["COffhook"]),
    .executableTarget(name: "call", dependencies: ["Offhook"]),
    .executableTarget(name: "first-call", dependencies: ["Offhook"]),
    .executableTarget(name: "version-child", dependencies: ["Offhook"]),
    .target(name: "CBench", dependencies: ["COffhook"], path: "bench/CBench"),
    .executableTarget(name: "bench", dependencies: ["Offhook", "CBench"], path: "bench/bench"),
    .testTarget(name: "OffhookTests", dependencies: ["Offhook", "COffhook", "version-child"]),
  ],
  swiftLanguageModes: [.v6]
)
