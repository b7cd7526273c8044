// FormatTests.swift: numbers as they are shown, extremes among them.
import Dashboard
import Testing

@Suite struct FormatTests {
  @Test func aDayIsThatOfItsPlace() {
    #expect(date(0, offset: 0) == "1970-01-01" && date(-1_000_000, offset: 0) == "1969-12-31")
    #expect(date(1_773_486_566_000_000, offset: 0) == "2026-03-14")
    #expect(date(1_773_486_566_000_000, offset: 50_000) == "2026-03-15")
    #expect(date(951_782_400_000_000, offset: 0) == "2000-02-29")
    // Whatever a socket may carry.
    for time in [Int64.min, .max] { #expect(!date(time, offset: .max).isEmpty) }
  }

  private func check(_ found: String, _ expected: String) { #expect(found == expected) }

  @Test func counts() {
    check(grouped(0), "0")
    check(grouped(1204), "1,204")
    check(grouped(-1_000_000), "-1,000,000")
    check(grouped(Int.min), "-9,223,372,036,854,775,808")
    check(compact(412), "412")
    check(compact(3104), "3.1k")
    check(compact(999_499), "999k")
    check(compact(48_210_512), "48M")
    check(compact(Int.max), "9223372T")
    check(compact(Double.nan), "-")
  }

  @Test func rates() {
    check(rate(51.24), "51.2")
    check(rate(412), "412")
    check(rate(.infinity), "-")
    check(percent(0.831), "83")
    check(percent(.nan), "-")
    check(milliseconds(9.4), "9.4")
    check(milliseconds(310), "310")
  }

  @Test func amounts() {
    check(money(21_400), "0.0214")
    check(money(1_284_000), "1.284")
    check(money(123_456_789), "123.46")
    check(money(12), "0.000012")
    check(money(0), "0.0000")
    check(exactMoney(213), "0.000213")
    check(exactMoney(12_840_000), "12.8400")
    check(sumMoney(1_284_000), "1.2840")
    check(price(20_000), "0.020")
    check(bytes(12_992_276_070), "12.1G")
    check(bytes(512), "512")
    check(bytes(.max), "8388608.0T")
    check(byteRate(387), "380/s")
    check(byteRate(31_900), "31K/s")
    check(byteRate(3_500), "3.4K/s")
    check(byteRate(-.infinity), "-")
    check(byteRate(1e300), "909.5T/s")
  }

  @Test func energies() {
    check(energy(0), "0.00 J")
    check(energy(0.424), "0.42 J")
    check(energy(51.24), "51.2 J")
    check(energy(3_599), "3,599 J")
    check(energy(4_500), "1.25 Wh")
    check(energy(3_600_000), "1.00 kWh")
    check(energy(-.infinity), "-")
    check(energy(1e300), "1,000,000,000,000,000 kWh")
  }

  @Test func times() {
    check(age(4_200_000), "4s")
    check(age(13_000_000), "10s")
    check(age(59_000_000), "55s")
    check(age(60_000_000), "1m")
    check(age(7_500_000_000), "2h05")
    check(age(200_000_000_000), "2d")
    check(age(-5), "0s")
    check(countdown(252_000_000), "4:12")
    check(countdown(-1), "0:00")
    check(patience(512_000_000), "8m")
    check(patience(299_000_000), "4:59")
    check(patience(.min), "0:00")
    check(span(4_200_000), "4.2 s")
    check(span(65_000_000), "1:05")
    check(uptime(274_320_000_000), "3d 04:12")
    check(latencyWords(1_090_000), "1.1s")
    #expect(latencyPair(84, 310) == ("84/310", "ms"))
    #expect(latencyPair(28_400, 58_100) == ("28.4/58.1", "s"))
    #expect(latencyPair(19.4, nil) == ("19", "ms"))
    #expect(latencyPair(.nan, .infinity) == ("-/-", "ms"))
    check(clock(1_773_486_566_000_000, offset: 3600, withSeconds: true), "12:09:26")
    #expect(elapsed(.min, .max) == .max)
    #expect(elapsed(.max, .min) == 0)
  }
}
