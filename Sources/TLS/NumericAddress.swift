// NumericAddress.swift: a numeric IPv4 or IPv6 address, told from a name: certificates have a field
// for each.

import Glibc

struct NumericAddress {
  /// nil for a name.
  init?(_ text: String) {
    var bytes = in6_addr()
    guard inet_pton(AF_INET, text, &bytes) == 1 || inet_pton(AF_INET6, text, &bytes) == 1 else { return nil }
  }
}
