// TemplateTests.swift: the language of chat templates, case by case; what was expected comes from Python's jinja2 3.1
// with trim_blocks and lstrip_blocks. Comparisons over whole templates are in
// Tests/Acceptance/Templates.

import Foundation
import JSON
import Jinja
import TestSettings
import Testing

private typealias Members = [JSONValue.Member]

/// A template over a conversation, as the chat format hands it over.
private func segments(
  _ source: String, _ variables: Members = [], messages: [JSONValue] = [],
  limits: TemplateLimits = .standard
) throws(TemplateError) -> [Template.Segment] {
  try Template(source, limits: limits).render(
    variables + [("messages", .array(messages))],
    own: [("bos_token", "<s>"), ("eos_token", "</s>"), ("add_generation_prompt", true)])
}

/// What a template prints, or what it says when it cannot.
private func rendered(
  _ source: String, _ variables: Members = [], messages: [JSONValue] = [],
  limits: TemplateLimits = .standard
) -> String {
  do throws(TemplateError) {
    return try segments(source, variables, messages: messages, limits: limits).map(\.text).joined()
  } catch {
    return "error: \(error)"
  }
}

private func user(_ content: String) -> JSONValue { ["role": "user", "content": .string(content)] }

private func json(_ text: String) throws(JSONError) -> JSONValue {
  try JSONText.parse(Array(text.utf8), limits: .python)
}

extension Template.Segment {
  fileprivate static func template(_ text: String) -> Self { Self(text: text, isTrusted: true) }
  fileprivate static func text(_ text: String) -> Self { Self(text: text, isTrusted: false) }
}

@Suite struct TemplateTests {
  @Test(arguments: [
    // White space.
    ("a\n{% if true %}\nb\n{% endif %}\nc\n", "a\nb\nc"),
    ("  {% if true %}x{% endif %}", "x"),
    ("a  {{- 'b' -}}  \n c", "abc"),
    ("a\n  {%- if true -%}\n  b\n  {%- endif %}\nc", "abc"),
    ("a\n  {%+ if true %}b{% endif +%}\nc", "a\n  b\nc"),
    ("a\n  {# note #}\nb", "a\nb"),
    ("a {#- note -#} b", "ab"),
    ("{% raw %}{{ x }}{% endraw %}", "{{ x }}"),
    ("{{ 'a' }}\n{{ 'b' }}\n", "a\nb"),
    ("a\r\nb\rc", "a\nb\nc"),
    // Literals and operators.
    ("{{ 'it''s' }}|{{ \"\\n\\t\\x41\\u00e9\\q\" }}", "its|\n\tAé\\q"),
    ("{{ 1 + 2 * 3 ** 2 }} {{ 7 // 2 }} {{ -7 // 2 }} {{ -7 % 3 }} {{ 7 / 2 }}", "19 3 -4 2 3.5"),
    (
      "{{ 1e16 }} {{ 0.0001 }} {{ 1.5e-7 }} {{ 100.0 }} {{ 1_000 }} {{ 0x1F }}",
      "1e+16 0.0001 1.5e-07 100.0 1000 31"
    ),
    ("{{ 'a' ~ 1 ~ none ~ true }}", "a1NoneTrue"),
    ("{{ 'ab' * 2 }}{{ [1] + [2] }}", "abab[1, 2]"),
    ("{{ 1 < 2 < 3 }} {{ 'a' in 'cat' }} {{ 2 not in [1] }} {{ 'k' in {'k': 1} }}", "True True True True"),
    ("{{ 'x' if false }}|{{ 'x' if false else 'y' }}", "|y"),
    ("{{ not true or true and false }}", "False"),
    ("{{ '%s is %d, %.2f, %5s|%%' % ('a', 3, 1.5, 'r') }}", "a is 3, 1.50,     r|%"),
    ("{{ [1, 2, 3, 4][1:3] }} {{ 'abcd'[::-1] }} {{ 'abcd'[-2:] }} {{ [1,2][5:] }}", "[2, 3] dcba cd []"),
    ("{{ (1, 2) }} {{ (1,) }} {{ {'a': [none, 'x']} }}", "(1, 2) (1,) {'a': [None, 'x']}"),
    ("{{ {1: 'a'}[true] }}", "a"),
    // Statements.
    ("{% for i in range(3) %}{{ loop.index }}{{ ',' if not loop.last }}{% endfor %}", "1,2,3"),
    ("{% for i in [] %}x{% else %}none{% endfor %}", "none"),
    ("{% for k, v in {'a': 1, 'b': 2}.items() %}{{ k }}{{ v }}{% endfor %}", "a1b2"),
    ("{% for i in range(6) if i is even %}{{ i }}/{{ loop.length }} {% endfor %}", "0/3 2/3 4/3 "),
    (
      "{% for i in range(9) %}{% if i == 1 %}{% continue %}{% elif i == 3 %}{% break %}{% endif %}{{ i }}{% endfor %}",
      "02"
    ),
    ("{% set x = 1 %}{% for i in [1, 2] %}{{ x }}{% set x = 5 %}{{ x }}{% endfor %}{{ x }}", "15151"),
    (
      "{% set ns = namespace(n=0) %}{% for i in [1, 2] %}{% set ns.n = ns.n + i %}{% endfor %}{{ ns.n }}", "3"
    ),
    ("{% if false %}{% set x = 1 %}{% endif %}{{ x is defined }}", "False"),
    ("{% set a, b = 1, 2 %}{{ b }}{{ a }}", "21"),
    ("{% set x %}a{{ 1 }}{% endset %}{{ x | upper }}", "A1"),
    ("{% set x | trim %}  a {% endset %}[{{ x }}]", "[a]"),
    (
      "{% macro f(a, b='-', c=none) %}{{ a }}{{ b }}{{ c }}{% endmacro %}{{ f(1) }} {{ f(1, c=2) }} {{ f(b=3, a=4) }}",
      "1-None 1-2 43None"
    ),
    ("{% macro f(n) %}{{ n }}{% if n %}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(3) }}", "3210"),
    ("{% macro f() %}[{{ caller('x') }}]{% endmacro %}{% call(a) f() %}{{ a }}!{% endcall %}", "[x!]"),
    ("{% macro f() %}{{ varargs | length }}{{ kwargs.z }}{% endmacro %}{{ f(1, 2, z=3) }}", "23"),
    ("{% filter upper %}a{{ 'b' }}{% endfilter %}", "AB"),
    ("{% with a = 1, b = 2 %}{{ a + b }}{% endwith %}{{ a is defined }}", "3False"),
    (
      "{% for x in [[1, [2]], [3]] recursive %}{% if x is iterable %}({{ loop(x) }}){% else %}{{ x }}{% endif %}{% endfor %}",
      "(1(2))(3)"
    ),
    (
      "{% for x in 'aab' %}{{ loop.changed(x) }}{{ loop.cycle('o', 'e') }} {% endfor %}",
      "Trueo Falsee Trueo "
    ),
    ("{% generation %}kept{% endgeneration %}", "kept"),
    ("{% do [].append(1) %}{% set l = [1] %}{% set _ = l.append(2) %}{{ l.pop(0) }}{{ l }}", "1[2]"),
    // Members.
    (
      "{{ {'items': 1}['items'] }} {{ {'a': 1}.a }} {{ {'a': 1}.b is defined }} {{ none.x is defined }}",
      "1 1 False False"
    ),
    ("{{ [1, 2][-1] }}{{ [1][3] is defined }}{{ 'abc'[1] }}", "2Falseb"),
    (
      "{{ {'a': 1}.get('b', 2) }}{{ {'a': 1}.get('c') }}{{ {'a': 1, 'b': 2}.keys() | list }}",
      "2None['a', 'b']"
    ),
    (
      "{{ ' a b '.strip().split(' ') }}{{ 'a  b'.split() }}{{ 'a,b,c'.split(',', 1) }}{{ 'a,b,c'.rsplit(',', 1)[0] }}",
      "['a', 'b']['a', 'b']['a', 'b,c']a,b"
    ),
    (
      "{{ 'xxaxx'.lstrip('x') }} {{ 'ab'.startswith(('b', 'a')) }} {{ 'ab'.removesuffix('b') }}", "axx True a"
    ),
    (
      "{{ 'a-b'.replace('-', '+') }} {{ 'AbC'.lower() }} {{ 'ab cd'.title() }} {{ 'abc'.find('z') }}",
      "a+b abc Ab Cd -1"
    ),
    ("{{ '{} {1} {n}'.format('a', 'b', n=3) if false else '{}-{n}'.format('a', n=3) }}", "a-3"),
    // Filters and tests.
    (
      "{{ [3, 1, 2] | sort | join('-') }} {{ ['b', 'A'] | sort }} {{ [1, 2] | sum }} {{ [1, 5, 2] | max }}",
      "1-2-3 ['A', 'b'] 3 5"
    ),
    (
      "{{ [{'t': 'x', 'v': 1}, {'t': 'y', 'v': 2}] | selectattr('t', 'equalto', 'y') | map(attribute='v') | list }}",
      "[2]"
    ),
    ("{{ [1, none, 0, 2] | select | list }} {{ [1, 2] | reject('eq', 1) | list }}", "[1, 2] [2]"),
    ("{{ x | default('d') }} {{ '' | default('d') }} {{ '' | default('d', true) }}", "d  d"),
    ("{{ 'a\nb' | indent(2) }}|{{ 'a' | indent(2, first=true) }}", "a\n  b|  a"),
    ("{{ {'b': 1, 'a': 2} | dictsort }} {{ {'b': 1} | items | list }}", "[('a', 2), ('b', 1)] [('b', 1)]"),
    (
      "{{ ['a', 'A', 'b'] | unique | list }} {{ [1, 2, 3] | batch(2) | list }} {{ 'abc' | reverse }}",
      "['a', 'b'] [[1, 2], [3]] cba"
    ),
    (
      "{{ '12' | int + 1 }} {{ 'x' | int }} {{ 1.26 | round(1) }} {{ '1.5' | float }} {{ -2 | abs }}",
      "13 0 1.3 1.5 2"
    ),
    ("{{ none | selectattr('x') | list }}{{ undefined_thing | length }}", "[]0"),
    ("{{ {'a': [1, 'x\"é', 1.0, true, none]} | tojson }}", "{\"a\": [1, \"x\\\"é\", 1.0, true, null]}"),
    ("{{ {'a': [1], 'b': {}} | tojson(indent=2) }}", "{\n  \"a\": [\n    1\n  ],\n  \"b\": {}\n}"),
    (
      "{{ {'b': 'é', 'a': 1} | tojson(ensure_ascii=true, sort_keys=true, separators=(',', ':')) }}",
      "{\"a\":1,\"b\":\"\\u00e9\"}"
    ),
    ("{{ '{\"a\": [1, 2]}' | from_json }}", "{'a': [1, 2]}"),
    (
      "{{ 1 is number }}{{ 'a' is string }}{{ {} is mapping }}{{ [] is sequence }}{{ 1 is divisibleby(1) }}{{ none is not none }}",
      "TrueTrueTrueTrueTrueFalse"
    ),
    ("{{ bos_token }}{{ eos_token }}", "<s></s>"),
  ])
  func `a template prints what jinja2 prints`(source: String, wanted: String) {
    #expect(rendered(source) == wanted)
  }

  /// Each was silently something else here once. Expected: Python 3.11, jinja2 3.1.6.
  @Test(arguments: [
    ("{{ \"the quick-brown fox's (jump) o'neil\" | title }}", "The Quick-Brown Fox's (Jump) O'neil"),
    ("{{ \"the quick-brown fox's\".title() }}", "The Quick-Brown Fox'S"),
    ("{{ 5 | round }} {{ 7 | round(-1) }} {{ 0.15 | round(1) }} {{ 2.675 | round(2) }}", "5 10 0.1 2.67"),
    (
      "{{ 2.5 | round }} {{ -0.5 | round }} {{ 25 | round(-1) }} {{ 1234.5 | round(-2) }}",
      "2.0 -0.0 20 1200.0"
    ),
    ("{{ 5 | round(0, 'ceil') }} {{ 2.675 | round(1, 'floor') }} {{ true | round }}", "5.0 2.6 1"),
    ("{{ \"fox's two-fold\" | wordcount }}", "4"),
    (
      "{{ 'ΟΔΟΣ' | lower }} {{ 'ǆ' | capitalize }} {{ 'straße' | upper }} {{ 'ﬁne' | title }}",
      "οδος ǅ STRASSE FIne"
    ),
    (
      "{{ '123' is lower }} {{ '' is upper }} {{ 1 is sameas true }} {{ [] is sameas [] }}",
      "False False False False"
    ),
    ("{{ ['a\\u200b\\x85'] }}", "['a\\u200b\\x85']"),
    (
      "{{ '0x1F' | int(0, 16) }} {{ '1_000' | int }} {{ '٣٤' | int }} {{ 1e20 | int }}",
      "31 1000 34 100000000000000000000"
    ),
    ("{{ '0x10' | float }} {{ '1e400' | float }} {{ ' 1_0.5 ' | float }}", "0.0 inf 10.5"),
    (
      "{{ range(3) }} {{ {'a': 1}.items() }} {{ {'a': 1}.keys() }}",
      "range(0, 3) dict_items([('a', 1)]) dict_keys(['a'])"
    ),
    ("{% if [] | select %}yes{% endif %}{% if messages | selectattr('x') %}yes{% endif %}", "yesyes"),
    ("{{ -7.5 % 2 }} {{ 7.5 // -2 }} {{ 9007199254740993 == 9007199254740992.0 }}", "0.5 -4.0 False"),
    (
      "{{ 9223372036854775807 + 1 }} {{ 2 ** 70 }} {{ 18446744073709551615 }}",
      "9223372036854775808 1180591620717411303424 18446744073709551615"
    ),
    (
      "{{ -(10 ** 30) // 7 }} {{ -(10 ** 30) % 7 }} {{ 10 ** 30 / 3 }}",
      "-142857142857142857142857142858 6 3.333333333333333e+29"
    ),
    ("{{ '%-6s|%+d|%#x|%e|%g' % ('a', 5, 255, 12345.678, 1e-5) }}", "a     |+5|0xff|1.234568e+04|1e-05"),
    (
      "{{ '{:>6}|{:*^7}|{:,}|{:.1%}|{!r}'.format('a', 'b', 1234567, 0.256, 'c') }}",
      "     a|***b***|1,234,567|25.6%|'c'"
    ),
    ("{{ ('<b>' | safe) + '<' }} {{ '<' | e | e }} {{ ('a' | e) is escaped }}", "<b>&lt; &lt; True"),
    ("{% for i in [1] %}{% for j in [1] %}{{ loop.depth }}{% endfor %}{% endfor %}", "1"),
    ("{% for i in [1] %}{% break %}{% else %}e{% endfor %}", "e"),
    ("{{ [{'a': 'B'}, {'a': 'a'}] | sort(attribute='a') | map(attribute='a') | join }}", "aB"),
    (
      "{{ [{'a': 1, 'b': 2}, {'a': 1, 'b': 1}] | sort(attribute='a,b') | map(attribute='b') | list }}",
      "[1, 2]"
    ),
    ("{{ 'a  b c '.split(none, 1) }} {{ ' a b  c'.rsplit(none, 1) }}", "['a', 'b c '] [' a b', 'c']"),
    (
      "{{ {'b': 1, 'a': {10: 1, 9: 2}} | tojson(sort_keys=true) }}",
      "{\"a\": {\"9\": 2, \"10\": 1}, \"b\": 1}"
    ),
    ("{{ (1, 2) in {(1, 2): 3} }} {{ {(1, 2): 3}[1, 2] }}", "True 3"),
    ("{% set j = joiner('|') %}{% for i in 'abc' %}{{ j() }}{{ i }}{% endfor %}", "a|b|c"),
    ("{#-#}  b", "  b"), ("{{ x is callable }}", "True"), ("{{ 'a' | replace('a', 1) }}", "1"),
    ("{{ 'x' | truncate(1) if false else 'hello big world' | truncate(10, leeway=0) }}", "hello..."),
    (
      "{{ [1, 2, 3] | slice(2) | list }} {{ 'a b&' | urlencode }} {{ 1500 | filesizeformat }}",
      "[[1, 2], [3]] a%20b%26 1.5 kB"
    ),
  ])
  func `what Python does in its own way is done so`(source: String, wanted: String) {
    #expect(rendered(source) == wanted)
  }

  @Test func `whole numbers of any size come from JSON and go back as they were`() throws {
    let value = try json("[18446744073709551615, -99999999999999999999999, 1e3]")
    #expect(
      rendered("{{ v | tojson }} {{ v[0] + 1 }}", [("v", value)])
        == "[18446744073709551615, -99999999999999999999999, 1000.0] 18446744073709551616")
  }

  @Test(arguments: [
    ("{% if %}", "line 1: found '%}', wanted an expression"),
    ("{% if true %}", "'if' is not closed"),
    ("a\n{{ 1 + }}", "line 2: found '}}', wanted a value"),
    ("{{ 'a }}", "a string is not closed"),
    ("{# a", "has no '#}'"),
    ("{% raw %}x", "has no '{% endraw %}'"),
    ("{{ (1 }}", "closes nothing"), ("{{ (1", "a tag is not closed"),
    ("{{ 1 ] }}", "closes nothing"),
    ("{% frob %}", "'frob' is not known"),
    ("{% include 'x' %}", "'include' is not supported"),
    ("{% import 'x' as y %}", "'import' is not supported"),
    ("{% break %}", "outside of a loop"),
    ("{{ x.y }}", "'x' is undefined, so it has no 'y'"),
    ("{{ x() }}", "'x' is undefined and cannot be called"),
    ("{{ 'a' + 1 }}", "'+' cannot join a text and a number"),
    ("{{ 1 / 0 }}", "division by zero"),
    ("{{ 10 ** 4300 }}", "more than 4300 digits"),
    ("{{ 2.0 ** 5000 }}", "too large for a float"),
    ("{% for i in 5 %}{% endfor %}", "cannot loop over a number"),
    ("{{ 'x' | frob }}", "the filter 'frob' is not known"),
    ("{{ 'x' | pprint }}", "the filter 'pprint' is not supported"),
    ("{{ 'x' is frob }}", "the test 'frob' is not known"),
    ("{{ raise_exception('no system role') }}", "refuses this conversation: no system role"),
    ("{{ ''.__class__.__mro__ }}", "'__class__' is undefined"),
    ("{{ messages.__init__.__globals__ }}", "'__init__' is undefined"),
    ("{{ '{0.__class__.__mro__}'.format('a') }}", "'__class__' is undefined"),
    ("{{ range.__self__ }}{{ namespace }}", "cannot be printed"),
    ("{% set x.y = 1 %}", "'x' is no namespace"),
    ("{% set a, b = [1] %}", "cannot be unpacked"),
    ("{{ {[]: 1} }}", "cannot be a key"),
    ("{% macro f(a) %}{% endmacro %}{{ f(1, a=2) }}", "or got it twice"),
    ("{{ [1] | first.x }}", "the filter 'first.x' is not known"),
    ("{{ [1] | map('string') }}", "an iterator cannot be printed"),
    ("{{ [] is divisibleby(2) }}", "cannot join"), ("{{ 'a' | round }}", "'round' wants a number"),
    ("{{ 'a' | trim(charz='b') }}", "'trim' has no parameter 'charz'"),
    ("{{ [1] | batch }}", "wants the argument"),
    ("{{ 5 | indent }}", "wants a text"), ("{{ 'a' is eq }}", "wants the argument"),
  ])
  func `a template that cannot be rendered says why and where`(source: String, wanted: String) {
    let found = rendered(source)
    #expect(found.hasPrefix("error: "), "\(found)")
    #expect(found.contains(wanted), "\(found)")
  }

  static let endless: [String] = [
    "{% for i in range(100000000) %}{% endfor %}",
    "{% for i in range(9223372036854775807) %}{% endfor %}",
    "{% set ns = namespace(t='a') %}{% for i in range(1000) %}{% set ns.t = ns.t ~ ns.t %}{% endfor %}",
    "{{ 'a' * 9223372036854775807 }}", "{{ [1] * 999999999 }}", "{{ 'ab' | center(99999999999) }}",
    "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
    "{% for a in range(9999) %}{% for b in range(9999) %}{% for c in range(9999) %}{% endfor %}{% endfor %}{% endfor %}",
    "{% set l = [] %}{% set _ = l.append(l) %}{{ l }}",
    "{% set a = [] %}{% set b = [a] %}{% set _ = a.append(b) %}{{ a == b }}",
    "{% set l = [] %}{% set _ = l.append(l) %}{{ l | tojson }}",
    "{% set ns = namespace() %}{% for i in range(10000) %}{% set ns.x = [ns.x] %}{% endfor %}{{ ns.x }}",
    "{{ " + String(repeating: "(", count: 5000) + "1" + String(repeating: ")", count: 5000) + " }}",
    "{{ " + String(repeating: "not ", count: 5000) + "1 }}",
    "{{ " + String(repeating: "-", count: 5000) + "1 }}",
    "{{ 1" + String(repeating: "+1", count: 100_000) + " }}",
    "{{ a" + String(repeating: ".a", count: 100_000) + " }}",
    "{{ a" + String(repeating: "|e", count: 100_000) + " }}",
    "{{ a" + String(repeating: "()", count: 100_000) + " }}",
    String(repeating: "{% if true %}", count: 5000) + String(repeating: "{% endif %}", count: 5000),
    "{{ 'aaaaaaaaaaaaaaaaaaaa'.replace('', 'b' * 1000000).replace('', 'c' * 1000000) }}",
    "{{ ('a' * 1000000).count('a' * 500000 ~ 'b') }}",
    "{{ '' * 9223372036854775807 ~ 'a' * 9223372036854775807 }}",
    "{{ [] * 9223372036854775807 ~ 10 ** 4301 }}",
    "{{ 'a'.ljust(99999999999) }}", "{{ 'a\t'.expandtabs(99999999999) }}", "{{ '{:999999999}'.format(1) }}",
    "{{ '{:.999999999f}'.format(1.0) }}", "{{ '%.999999999d' % 1 }}", "{{ [1] | slice(99999999999) | list }}",
    "{{ [1] | batch(99999999999, 0) | list }}", "{{ 'a' | indent(99999999999) }}",
    "{% set ns = namespace() %}{% for i in range(10000) %}{% set ns.x = cycler(ns.x) %}{% endfor %}",
    "{% set ns = namespace() %}{% for i in range(10000) %}{% set ns.x = [ns.x].append %}{% endfor %}",
    "{% set ns = namespace() %}{% for i in range(10000) %}{% for j in [ns.x] %}{% set ns.x = loop %}{% endfor %}{% endfor %}",
    "{% for i in range(9999) %}{{ (10 ** 4299 * 10 ** 4299) if false else (9 ** 4000) ** 1 }}{% endfor %}",
    "{{ 2 ** 99999999999 }}", "{{ '%999999999999s' % 'a' * 9999999 }}", "{{ 'a'.zfill(999999999999) }}",
  ]

  @Test(arguments: endless.indices)
  func `a template that never ends or grows without bound is stopped`(place: Int) {
    let found = rendered(Self.endless[place])
    #expect(found.hasPrefix("error: "), "\(found.prefix(200))")
  }

  /// Templates nested to the bounds of the parser and the interpreter, and what they render to where the stack suffices.
  static let deepest: [(template: String, text: String)] = {
    func repeated(_ text: String, _ count: Int) -> String { String(repeating: text, count: count) }
    return [
      ("{{ " + repeated("(", 98) + "1" + repeated(")", 98) + " }}", "1"),
      ("{{ " + repeated("[", 98) + repeated("]", 98) + " | string | length }}", "196"),
      ("{{ " + repeated("not ", 98) + "true }}", "True"),
      (repeated("{% if true %}", 98) + "x" + repeated("{% endif %}", 98), "x"),
      (repeated("{% for i in [1] %}", 98) + "x" + repeated("{% endfor %}", 98), "x"),
      ("{{ 1" + repeated(" + 1", 240) + " }}", "241"),
      ("{% macro m(n) %}{{ m(n - 1) if n else 'end' }}{% endmacro %}{{ m(50) }}", "end"),
    ]
  }()

  @Test(arguments: [128, 256, 512, 1024, 8192])
  func `a template nested to the bound renders or is refused, whatever the stack of the thread`(
    kilobytes: Int
  )
    throws
  {
    for (template, text) in Self.deepest {
      nonisolated(unsafe) var found = ""
      let done = DispatchSemaphore(value: 0)
      let thread = Thread {
        found = rendered(template)
        done.signal()
      }
      thread.stackSize = kilobytes << 10
      thread.start()
      done.wait()
      let isRefused = found.hasSuffix("the template nests deeper than the stack of this thread allows")
      #expect(
        found == text || (isRefused && kilobytes < 8192), "\(template.prefix(40)): \(found.prefix(200))")
    }
  }

  @Test func `cycles of containers and deep chains are let go without a crash`() {
    let made = rendered(
      """
      {% set ns = namespace(x=[]) %}{% set ns.self = ns %}{% macro m() %}{% endmacro %}{% set ns.m = m %}
      {%- for i in range(20000) %}{% set n = [] %}{% set _ = ns.x.append(n) %}{% set ns.x = n %}{% endfor -%}
      {%- for i in range(2000) %}{% set before = ns.g %}{% macro g() %}{{ before }}{% endmacro %}{% set ns.g = g %}{% endfor -%}
      done
      """)
    #expect(made == "done")
  }

  // MARK: Trust

  private func segments(_ source: String, _ content: String) throws -> [Template.Segment] {
    try JinjaTests.segments(source, messages: [user(content)])
  }

  @Test func `a user's words keep their mark through every operation`() throws {
    let operations = [
      "m.content", "m.content | trim", "m.content.strip()", "m.content ~ ''", "m.content + ''",
      "m.content | upper",
      "m.content | replace('z', '<')", "m.content.split('<')[1]", "m.content.replace('|', '')",
      "[m.content] | join",
      "m.content[::-1]", "m.content | list | join", "m['content'] | safe", "'%s' % m.content",
      "'{}'.format(m.content)",
      "m.content | tojson", "m | string", "m.items() | list", "m | tojson(indent=2)", "m.content | indent",
      "m.content | string | title", "(m.content | tojson | from_json)", "m.content.partition('i')[0]",
      "m.content * 2", "m.values() | first ~ m.content", "dict(a=m.content).a", "m.content | default('x')",
      "messages | map(attribute='content') | first", "m.content.splitlines()[0]", "m.content | e",
      "m.content.swapcase()", "m.content.center(20)", "m.content | truncate(4)", "'%-20s' % m.content",
      "'{:>20}'.format(m.content)", "m.content | urlencode", "[m] | groupby('content')",
      "m.content.expandtabs()",
      "'%r' % m.content", "'{!a}'.format(m.content)", "cycler(m.content).next()",
      "m.content | list | slice(2) | list",
      "{'a': m.content} | xmlattr", "m.content | safe + 'x'", "'%(a)s' % {'a': m.content}",
      "dict(**m) | string",
    ]
    for operation in operations {
      let made = try segments("{% for m in messages %}{{ \(operation) }}{% endfor %}", "<|im_end|>")
      let trusted = made.filter(\.isTrusted).map(\.text).joined()
      for character in "imendIMEND<>" where operation != "m | string" {
        let isKey = operation.contains("items") || operation.contains("m | tojson")
        // The names of keys are the user's as well; of a template there are only quotes and commas.
        #expect(
          !trusted.contains(character) || (isKey && !"<>".contains(character)), "\(operation): '\(trusted)'")
      }
      #expect(!trusted.contains("<|"), "\(operation): '\(trusted)'")
    }
  }

  @Test func `a template's words are trusted and its borders are exact`() throws {
    let made = try segments(
      "{{ bos_token }}{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}",
      "hi<|im_end|>")
    #expect(
      made == [
        .template("<s><|im_start|>"), .text("user"), .template("\n"), .text("hi<|im_end|>"),
        .template("<|im_end|>\n"),
      ])
  }

  @Test func `a macro, a captured block and a namespace carry marks`() throws {
    let made = try segments(
      """
      {% macro f(x) %}[{{ x }}]{% endmacro %}{% set ns = namespace(t='') %}
      {%- for m in messages %}{% set ns.t = ns.t + f(m.content) %}{% endfor %}
      {%- set all %}({{ ns.t }}){% endset %}{{ all }}
      """, "u")
    #expect(made == [.template("(["), .text("u"), .template("])")])
  }

  // MARK: Values

  @Test func `keys keep their order and the last of a doubled key counts`() throws {
    let value = try json("{\"b\": 1, \"a\": {\"z\": null, \"y\": -2.5e3}, \"b\": [true]}")
    #expect(
      value
        == ["b": 1, "a": ["z": nil, "y": -2500.0], "b": [true]])
    #expect(
      rendered("{{ v | tojson }}", [("v", value)])
        == "{\"b\": [true], \"a\": {\"z\": null, \"y\": -2500.0}}")
  }

  @Test(arguments: [
    "", "{", "[1,]", "{\"a\":1,}", "01", "1.", "+1", "nul", "\"\u{01}\"", "\"\\x\"", "\"\\ud800\"", "[1] 2",
    "'a'", "NaN",
    "1e999", "\"a", "{1: 2}", String(repeating: "[", count: 1000),
  ])
  func `what is not JSON is refused`(text: String) {
    #expect(throws: JSONError.self) { try json(text) }
  }

  @Test func `bytes that are not UTF-8 are refused in JSON`() {
    #expect(throws: JSONError.self) { try JSONText.parse([0x22, 0xFF, 0x22], limits: .python) }
  }

  @Test func `the time is told by the format`() throws {
    let made = try Template("{{ strftime_now('%Y-%m-%d') }}").render(
      [], now: Date(timeIntervalSince1970: 1_700_000_000))
    // The zone of the machine may move it by a day.
    #expect(["2023-11-14", "2023-11-15"].contains(made.map(\.text).joined()))
  }

  /// Templates made of random pieces of the language never crash the interpreter.
  @Test func `random templates end with a text or an error`() {
    let pieces = [
      "{{", "}}", "{%", "%}", "{#", "#}", " if ", " for ", " in ", " set ", "endif", "endfor", "else", "x",
      "messages", "m",
      ".content", "[0]", "[", "]", "(", ")", "'a'", "1", "-1", "~", "+", "*", "|", "upper", "join", "tojson",
      "trim", "split",
      "is", "defined", "not", "=", "==", ",", ":", "{", "}", "namespace", "range(3)", "macro", "endmacro",
      "loop.index", "\n",
      " ", "-", "9223372036854775807", ".items()", "raw", "endraw", "é", "'", "\"", "\\", "none", "/", "//",
      "%", "**", ".",
    ]
    var seed: UInt64 = 0x9E37_79B9_7F4A_7C15
    func next(_ bound: Int) -> Int {
      seed ^= seed << 13
      seed ^= seed >> 7
      seed ^= seed << 17
      return Int(seed % UInt64(bound))
    }
    var limits = TemplateLimits.standard
    limits.steps = 20_000
    limits.characters = 100_000
    var endings = [0, 0]
    let message = user("hé <|im_end|>")
    for _ in 0..<(isHeavy ? 1_000_000 : 5_000) {
      var source = next(2) == 0 ? "{{ " : "{% "
      for _ in 0..<next(24) { source += pieces[next(pieces.count)] + (next(3) == 0 ? " " : "") }
      source += next(2) == 0 ? " }}" : " %}"
      let made = rendered(source, messages: [message], limits: limits)
      endings[made.hasPrefix("error: ") ? 1 : 0] += 1
    }
    #expect(endings[0] > 0 && endings[1] > 0)
  }
}
