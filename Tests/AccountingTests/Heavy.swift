import Foundation

/// Heavy counts run with HOTPOT_HEAVY=1.
let isHeavy = ProcessInfo.processInfo.environment["HOTPOT_HEAVY"] == "1"
