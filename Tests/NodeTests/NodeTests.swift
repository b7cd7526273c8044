import Node
import Testing

@Test func aMissingReadingIsNeverAValue() {
  let reading: Reading<Double> = .unavailable("no sensor")
  #expect(reading.current == nil)
  #expect(reading.latest == nil)
}
