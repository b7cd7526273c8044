// Formats.swift: the string formats of JSON Schema that are held, as expressions. A format that is
// not here is an annotation, as the specification has it (draft 2020-12, validation, section 7).
// Start at Formats.expressions.

enum Formats {
  /// By name, an expression for whole texts. Each is what RFC 3339, 4122, 2673, 4291, 5321, 3986 and
  /// 1123 allow, or a part of it that every checker takes.
  static let expressions: [String: String] = [
    "date": date,
    "time": time,
    "date-time": "(\(date))T(\(time))",
    "duration": duration,
    "uuid": "[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}",
    "ipv4": ipv4,
    "ipv6": ipv6,
    "email": "\(atom)(\\.\(atom))*@\(label)(\\.\(label))*",
    "hostname": "\(shortLabel)(\\.\(shortLabel)){0,3}",
    "uri": uri,
  ]

  private static let year = "([1-9][0-9]{3}|0[1-9][0-9]{2}|00[1-9][0-9]|000[1-9])"
  private static let leapYear =
    "([0-9]{2}(0[48]|[2468][048]|[13579][26])|(0[48]|[2468][048]|[13579][26])00)"
  private static let date =
    "\(year)-((0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])|(0[469]|11)-(0[1-9]|[12][0-9]|30)"
    + "|02-(0[1-9]|1[0-9]|2[0-8]))|\(leapYear)-02-29"
  private static let time =
    "([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\\.[0-9]{1,6})?(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9])"
  private static let duration =
    "P([0-9]{1,9}W|\(days)(T\(hours))?|T\(hours))"
  private static let days =
    "([0-9]{1,9}Y([0-9]{1,9}M([0-9]{1,9}D)?)?|[0-9]{1,9}M([0-9]{1,9}D)?|[0-9]{1,9}D)"
  private static let hours =
    "([0-9]{1,9}H([0-9]{1,9}M([0-9]{1,9}S)?)?|[0-9]{1,9}M([0-9]{1,9}S)?|[0-9]{1,9}S)"
  private static let ipv4 =
    "(25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])(\\.(25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])){3}"
  private static let ipv6: String = {
    let group = "[0-9a-fA-F]{1,4}"
    var forms = ["(\(group):){7}\(group)"]
    // A double colon with `before` groups in front of it and up to the rest behind.
    for before in 0...6 {
      let front = before == 0 ? ":" : "\(group)(:\(group)){\(before - 1)}:"
      forms.append("\(front)(:\(group)){1,\(7 - before)}")
    }
    for before in 0...7 {
      forms.append(before == 0 ? "::" : "\(group)(:\(group)){\(before - 1)}::")
    }
    return forms.joined(separator: "|")
  }()
  private static let atom = "[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
  private static let label = "[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?"
  /// Four of these are within the 253 bytes of a name.
  private static let shortLabel = "[A-Za-z0-9]([A-Za-z0-9-]{0,60}[A-Za-z0-9])?"
  private static let uri: String = {
    let plain = "([A-Za-z0-9._~!$&'()*+,;=:@-]|%[0-9A-Fa-f]{2})"
    let authority = "//(\(label)(\\.\(label))*(:[0-9]{1,5})?)?"
    return "[A-Za-z][A-Za-z0-9+.-]*:(\(authority)(/\(plain)*)*|\(plain)+(/\(plain)*)*)"
      + "(\\?(\(plain)|[/?])*)?(#(\(plain)|[/?])*)?"
  }()
}
