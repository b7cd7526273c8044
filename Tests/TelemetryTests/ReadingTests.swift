import Foundation
import Telemetry
import Testing

@Test func readingsSurviveJSON() throws {
  let readings: [Reading<Double>] = [.value(1.5), .stale(2, since: 7), .warmingUp, .unavailable("no sensor")]
  let data = try JSONEncoder().encode(readings)
  #expect(try JSONDecoder().decode([Reading<Double>].self, from: data) == readings)
}
