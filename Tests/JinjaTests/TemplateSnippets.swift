// TemplateSnippets.swift: small templates for the comparison with jinja2: every filter, test,
// method and operator with values that Python treats in ways of its own. Start at
// TemplateSnippets.all.

enum TemplateSnippets {
  /// Values as a template spells them.
  static let texts: [String] = [
    "''", "'a'", "'hello world'", "\"the quick-brown fox's (jump) o'neil\"", "'ABC'", "'aBc dEf'", "'straße'",
    "'ǆungla ǅ'", "'İstanbul'", "'ΟΔΥΣΣΕΥΣ ΟΣ'", "'e\\u0301te\\u0301'", "'a\\tb\\nc\\r\\nd\\x07'", "'42'",
    "' -17 '", "'42.5'", "'0x1F'", "'1_000'", "'1e3'", "'٣٤'", "'²½'", "'一二'", "'<a href=\"x\">&\\'</a>'",
    "'x=%d y=%s'", "'{} {a}'", "'a.b,c-d_e'", "'\\u200b\\xa0z\\u2028y'", "'😀 smile'", "'nan'", "'-inf'",
    "'  lead and trail  '", "'line one\\n\\n  line two\\n'", "\"it's\"", "'say \"hi\"'", "'both \\' and \"'",
    "'[x] {y} <z> -w'", "'back\\\\slash'", "'_id9'", "'ﬁne'", "'あいう ABC'",
  ]
  static let numbers: [String] = [
    "0", "1", "-1", "2", "5", "-5", "7", "10", "255", "1234567", "9223372036854775807",
    "(-9223372036854775807 - 1)",
    "18446744073709551615", "(2 ** 100)", "(-(3 ** 50))", "0.0", "-0.0", "0.5", "1.5", "2.5", "-2.5", "0.15",
    "2.675",
    "3.14159", "1e16", "1e15", "1.5e-7", "1e22", "123456.789", "9007199254740993", "1e300", "nan",
    "inf", "ninf", "true", "false",
  ]
  static let containers: [String] = [
    "[]", "[1, 2, 3]", "[3, 1, 2, 1]", "['b', 'A', 'a', 'B']", "[1, 'a']", "[none, 1]",
    "[[2, 'x'], [1, 'y']]",
    "(1, 2)", "()", "(1,)", "{}", "{'a': 1, 'b': 2}", "{'b': 'x', 'A': none, 'c': [1, {'d': 2.5}]}",
    "{1: 'one', 2.5: true, none: 'n'}", "[{'n': 'x', 'v': 2}, {'n': 'Y', 'v': 1}, {'n': 'x', 'v': 3}]",
    "range(4)",
    "range(10, 0, -3)", "[true, false, 1, 0]", "[0.5, 2, true]", "['x', ['y', ('z',)]]", "[missing, 1]",
    "['a', 'b', 'c', 'd', 'e', 'f', 'g']", "[['a', 1], ['b', 2]]", "[1.5, 2.25, -1]",
  ]
  static let others: [String] = [
    "none", "missing", "namespace(a=1)", "('<b>' | safe)", "('a' | e)", "dict(x=1)", "('&' | escape)",
  ]
  static var values: [String] { texts + numbers + containers + others }

  static let filters: [String] = [
    "abs", "abs(1)", "attr('upper')", "attr('real')", "attr('nothing')", "batch(2) | list",
    "batch(2, 'x') | list",
    "batch(linecount=3, fill_with=0) | list", "batch(0) | list", "capitalize", "capitalize()", "center",
    "center(9)",
    "center(width=10)", "center('x')", "count", "d('z')", "default('z')", "default('z', true)",
    "default(boolean=true, default_value=5)", "default", "dictsort", "dictsort(true)", "dictsort(by='value')",
    "dictsort(false, 'key', true)", "dictsort(by='nothing')", "e", "escape", "e | upper", "filesizeformat",
    "filesizeformat(true)", "first", "float", "float('x')", "float(default=none)", "forceescape", "format",
    "format(1)", "format('a', 2)", "format(a=1)", "groupby('v')", "groupby('n') | map('first') | list",
    "groupby(0)", "groupby('zz', default='q')", "groupby('n', case_sensitive=true)", "indent", "indent(2)",
    "indent('> ')", "indent(first=true)", "indent(3, true, true)", "indent(width=1, blank=true)", "int",
    "int('x')",
    "int(7, 16)", "int(base=2)", "int(base=0)", "int(none)", "items | list", "join", "join(', ')", "join(1)",
    "join(', ', 'n')", "join(attribute='v')", "join(d='-')", "last", "length", "list", "lower",
    "map('upper') | list",
    "map(attribute='n') | list", "map(attribute='n', default='q') | list", "map('default', 'q') | list",
    "map('int') | list", "map(attribute=0) | list", "map('round', 1) | list", "map | list", "max", "min",
    "max(attribute='v')", "min(case_sensitive=true)", "max(true)", "reject | list", "select | list",
    "reject('string') | list", "select('number') | list", "select('gt', 1) | list",
    "select('equalto', 'a') | list",
    "selectattr('v') | list", "selectattr('v', 'gt', 1) | list", "rejectattr('n', 'equalto', 'x') | list",
    "selectattr('n', 'in', ['x', 'z']) | list", "replace('a', 'b')", "replace('', '-')",
    "replace('l', 'L', 1)",
    "replace(old='a', new='<')", "replace(1, 2)", "replace('a')", "reverse", "reverse | list", "round",
    "round(1)",
    "round(2)", "round(-1)", "round(-2)", "round(precision=3)", "round(0, 'ceil')", "round(1, 'floor')",
    "round(method='floor')", "round(2, 'nothing')", "round(none)", "round(-1, 'ceil')", "safe", "safe ~ '<'",
    "slice(2) | list", "slice(3, 'x') | list", "slice(0) | list", "sort", "sort(true)", "sort(reverse=true)",
    "sort(case_sensitive=true)", "sort(attribute='v')", "sort(attribute='n,v')", "sort(attribute=1)",
    "sort(false, true, 'n')", "string", "string | length", "sum", "sum('v')", "sum(attribute='v', start=10)",
    "sum(start=0.5)", "sum(start=[])", "title", "tojson", "tojson(indent=2)", "tojson(true)",
    "tojson(separators=(',', ':'))", "tojson(sort_keys=true)", "tojson(ensure_ascii=true, indent=1)",
    "tojson(indent='--')", "trim", "trim('a')", "trim(chars=' xa')", "trim(none)", "truncate", "truncate(5)",
    "truncate(5, true)", "truncate(9, false, '..', 0)", "truncate(3, leeway=0)", "truncate(length=7, end='')",
    "truncate(1)", "unique | list", "unique(true) | list", "unique(attribute='n') | list", "upper",
    "urlencode",
    "wordcount", "xmlattr", "xmlattr(false)", "upper | lower | title", "list | length", "list | first",
    "string | upper", "length + 1", "map('length') | list", "map('string') | map('length') | list",
    "nothing_here",
    "upper(1)", "join(nothing=1)", "sort(1, 2, 3, 4)", "trim() | center(20) | length",
  ]

  static let tests: [String] = [
    "boolean", "callable", "defined", "divisibleby(2)", "divisibleby 3", "divisibleby(num=5)",
    "divisibleby(0)", "escaped",
    "even", "false", "float", "integer", "iterable", "lower", "mapping", "none", "number", "odd", "sequence",
    "string", "true", "undefined", "upper", "eq(1)", "equalto('a')", "ne(1)", "lt(2)", "lessthan 2", "le 1",
    "gt(1)",
    "greaterthan(1)", "ge 2.5", "sameas(1)", "sameas true", "sameas none", "in [1, 'a', none]",
    "in 'hello abc'",
    "in {'a': 1}", "in(5)", "filter", "test", "nothing_here", "defined(1)", "eq", "number and true",
  ]

  static let methodsOfTexts: [String] = [
    "capitalize()", "casefold()", "casefold() == 'straße'.casefold()", "center(12)", "center(12, '*')",
    "center(3)", "count('a')", "count('')",
    "count('l', 2)",
    "count('l', 2, 4)", "endswith('c')", "endswith(('c', 'd'))", "endswith('d', 1, 4)", "expandtabs()",
    "expandtabs(4)", "expandtabs(tabsize=0)", "find('l')", "find('l', 4)", "find('', 99)",
    "find('a', -3, -1)",
    "index('a')", "index('zz')", "isalnum()", "isalpha()", "isascii()", "isdecimal()", "isdigit()",
    "isidentifier()",
    "islower()", "isnumeric()", "isprintable()", "isspace()", "istitle()", "isupper()", "join(['x', 'y'])",
    "join('xyz')", "join([1])", "ljust(8)", "ljust(8, '.')", "ljust(8, 'ab')", "lower()", "lstrip()",
    "lstrip(' a<')",
    "partition(' ')", "partition('')", "removeprefix('a')", "removesuffix('d')", "replace('a', 'X')",
    "replace('', '.')", "replace('l', '', 1)", "replace('a', 'b', -1)", "rfind('l')", "rindex('a')",
    "rjust(8)",
    "rjust(9, '0')", "rpartition('l')", "rsplit()", "rsplit(none, 1)", "rsplit(' ', 1)", "rsplit(maxsplit=1)",
    "rstrip()", "rstrip('d\\n ')", "split()", "split(' ')", "split('l')", "split(none, 1)", "split(' ', 1)",
    "split(maxsplit=2)", "split(sep='a', maxsplit=0)", "split('')", "splitlines()", "splitlines(true)",
    "splitlines(keepends=true)", "startswith('h')", "startswith(('a', 'h'))", "startswith('e', 1)",
    "startswith(1)",
    "strip()", "strip('a')", "strip(none)", "swapcase()", "title()", "upper()", "zfill(7)", "zfill(0)",
    "format(1, a=2)",
    "format_map({'a': 1})", "upper", "nothing", "nothing()", "upper(1)", "__class__", "__class__.__mro__",
    "split(1)", "strip(1)", "zfill('x')", "title().lower()", "split()[0]", "split()[-1]", "split()[5]",
  ]

  static let methodsOfOthers: [(String, [String])] = [
    (
      "[3, 1, 2, 1]",
      [
        "count(1)", "index(1)", "index(1, 2)", "index(9)", "index(1, -1)", "copy()", "nothing", "count()",
        "count(1, 2)",
        "__len__", "sort", "__class__",
      ]
    ),
    ("(1, 2, 1)", ["count(1)", "index(2)", "append(1)", "nothing()"]),
    (
      "{'a': 1, 'items': 2, 'x y': none}",
      [
        "items", "items()", "keys()", "values()", "keys() | list", "values() | list", "items() | list",
        "get('a')",
        "get('z')", "get('z', 0)", "get()", "get('a', default=1)", "a", "z", "copy()", "items() | length",
        "items()[0]",
        "keys()[0]", "keys() | first", "items() | first", "keys() is sequence", "keys() == ['a']", "get([])",
        "x",
        "values() | sum", "items() | last", "keys() | sort", "keys() | join",
      ]
    ),
    (
      "5",
      [
        "real", "imag", "numerator", "denominator", "bit_length()", "bit_count()", "conjugate()",
        "as_integer_ratio()", "nothing", "upper()",
      ]
    ),
    ("true", ["real", "bit_length()", "numerator"]),
    ("2.5", ["real", "imag", "is_integer()", "conjugate()", "nothing", "numerator"]),
    ("(2.0)", ["is_integer()"]), ("none", ["x", "x()", "x.y"]), ("missing", ["x", "x()", "x.y"]),
    ("range(5)", ["count(2)", "index(3)", "start"]),
    (
      "('<b>' | safe)",
      [
        "upper()", "replace('b', '<')", "split('b')", "join(['<', 'x'])", "format('<')", "strip('<')",
        "center(9, '*')", "partition('b')", "nothing",
      ]
    ),
  ]

  static let operators: [String] = [
    "+", "-", "*", "/", "//", "%", "**", "~", "==", "!=", "<", "<=", ">", ">=", "in", "not in", "and", "or",
  ]

  static let operands: [String] = [
    "0", "1", "-3", "7", "2.5", "-0.0", "1e16", "0.1", "true", "false", "none", "missing", "''", "'ab'",
    "'%s'", "[]",
    "[1, 2]", "(1, 2)", "{'ab': 1}", "('<' | safe)", "9223372036854775807", "(2 ** 70)", "nan",
    "inf", "range(3)", "[none]", "9007199254740993", "9007199254740992.0",
  ]

  static let indices: [String] = [
    "[0]", "[-1]", "[3]", "[99]", "['a']", "['upper']", "[none]", "[1.0]", "[true]", "[1:]", "[:-1]", "[::2]",
    "[::-1]", "[-3:-1]",
    "[5:1:-2]", "[:99]", "[99:]", "[::0]", "['x':]", "[1:3]", "[-99:2]", "[::-3]", "[2 ** 70:]",
    "[:-(2 ** 70)]", ".0", ".a",
    "[missing]", "[1, 2]", "[0][0]",
  ]

  /// The classes of `%` and what they are given.
  static let printf: [String] = {
    var made: [String] = []
    let flags = [
      "", "5", "-8", "08", "+", " ", "+.2", ".3", "#", "10.2", "-10.1", "010.3", ".0", "#.0", "+08", "-+6",
    ]
    for kind in ["d", "i", "u", "x", "X", "o", "e", "E", "f", "F", "g", "G", "s", "r", "a", "c"] {
      for flag in flags {
        for value in [
          "42", "-7", "3.14159", "'é\\n'", "none", "true", "1e20", "nan", "65", "(2 ** 70)", "-0.0",
        ] {
          made.append("{{ '[%\(flag)\(kind)]' % \(value) }}")
        }
      }
    }
    for text in [
      "'%s %s' % (1,)", "'%s' % (1, 2)", "'%d%%' % 5", "'%' % 1", "'%z' % 1",
      "'%(a)s %(b)05d' % {'a': 1, 'b': 2}",
      "'%(z)s' % {'a': 1}", "'%(a)s' % 1", "'%*d|' % (5, 42)", "'%-*d|' % (5, 42)", "'%.*f' % (2, 3.14159)",
      "'abc' % [1]", "'abc' % {}", "'abc' % 1", "'%s' % [1]", "'%s %s' % ('a', [1, 'b'])", "'%5%|' % ()",
      "'%ld' % 5",
      "'%s' % missing", "'%d' % missing", "'%s' % none", "'%c%c' % ('x', 121)", "'%c' % 'xy'", "'%' % ()",
      "'%s' % ()",
    ] { made.append("{{ \(text) }}") }
    return made
  }()

  static let format: [String] = {
    var made: [String] = []
    let specifications = [
      "", ":5", ":<6", ":>6", ":^7", ":*^9", ":06", ":=+7", ":+", ": ", ":,", ":_", ":d", ":x", ":#x", ":X",
      ":b",
      ":#b", ":o", ":c", ":e", ":.2e", ":f", ":.0f", ":.2f", ":g", ":.3g", ":%", ":.1%", ":10.3f", ":+.1f",
      ":,.2f",
      ":012,d", ":n", ":s", ":.2", ":.2s", ":10s", ":>10.1s", "!r", "!s", "!r:>8", "!a", ":z.1f", ":#g",
      ":#.0f", ":_x",
      ":020,.2f", ":G", ":.0e", ":q", ":5.5.5", ":é^7", ":<", ":08.2f", ":-^+12.3e", ":.10", ":.1", ":.17g",
    ]
    for specification in specifications {
      for value in [
        "42", "-7", "1234567", "3.14159", "-0.001", "1234567.891", "'héllo'", "true", "none", "[1]", "1e20",
        "0.0001234",
        "inf", "(2 ** 70)", "0", "-0.0", "12345678.0", "100.0", "missing",
      ] { made.append("{{ '[{\(specification)}]'.format(\(value)) }}") }
    }
    for text in [
      "'{} {}'.format(1)", "'{0} {1} {0}'.format('a', 'b')", "'{} {0}'.format(1)", "'{a}'.format(a=1)",
      "'{a}'.format(1)", "'{{}} {}'.format(1)", "'{'.format(1)", "'}'.format(1)", "'{0[a]}'.format({'a': 1})",
      "'{0[1]}'.format([1, 2])", "'{a[x][y]}'.format(a={'x': {'y': 1}})", "'{0.a}'.format({'a': 1})",
      "'{0.real}'.format(5)", "'{0.__class__}'.format('a')", "'{0.__class__.__mro__}'.format('a')",
      "'{:{}}|'.format('x', 5)", "'{:{w}.{p}f}'.format(3.14159, w=8, p=2)", "'{0:{1}}'.format('x', 4)",
      "'{!x}'.format(1)", "'{0[}'.format([1])", "'{0.}'.format(1)", "'{a.b}'.format(a=missing)",
      "'{}'.format()",
      "'{:>{w}}'.format('a', w='5')", "'{0}{1}{x}'.format(1, 2, x=3)", "'{ }'.format(1)", "'{:}'.format(1)",
      "'{1}'.format(1)", "'{-1}'.format(1)", "'{0[-1]}'.format([1])",
    ] { made.append("{{ \(text) }}") }
    return made
  }()
}

extension TemplateSnippets {
  /// Statements, white space, scopes, macros and loops.
  static let statements: [String] = [
    "a\n{% if true %}\nb\n{% endif %}\nc\n", "  {% if true %}x{% endif %}", "a  {{- 'b' -}}  \n c",
    "a\n  {%- if true -%}\n  b\n  {%- endif %}\nc",
    "a\n  {%+ if true %}b{% endif +%}\nc", "a\n  {# note #}\nb", "a {#- note -#} b", "{#-#}  b",
    "a  {#+ x +#}\nb", "a{#--#} b", "{% raw %}{{ x }}{% endraw %}",
    "a {%- raw -%} {{ x }} {%- endraw -%} b", "  {% raw %}\n x{% endraw %}\ny", "{%raw%}{%endraw%}",
    "{{ 'a' }}\n{{ 'b' }}\n", "a\n\n", "a\r\nb\rc", "\n\n{% if 1 %}\n\n{% endif %}\n\n",
    "\t{% set x = 1 %}\t\n{{ x }}", "x {% set y = 1 %}\n z", "{{ 1 }}\n  {% if 1 %}2{% endif %}",
    "{{ 1 -}}\n  {% if 1 %}2{% endif %}", "{%- set a = 1 -%}\n{%+ set b = 2 +%}\n{{ a }}{{ b }}",
    "  {{ 1 }}", "{{- 1 }}  {{ 2 -}}  ", "{%if 1%}a{%else%}b{%endif%}", "{{1}}{{2}}",
    "{{ {'a': {'b': 1}}['a']['b'] }}", "{{ {'a':{}} }}",
    "{% for i in range(3) %}{{ loop.index }}{{ ',' if not loop.last }}{% endfor %}",
    "{% for i in range(3) %}{{ loop.index0 }}{{ loop.revindex }}{{ loop.revindex0 }}{{ loop.first }}{{ loop.last }}{{ loop.length }}{{ loop.depth }}{{ loop.depth0 }} {% endfor %}",
    "{% for i in [1, 2, 3] %}{{ loop.previtem }}<{{ i }}>{{ loop.nextitem }}{{ loop.previtem is defined }};{% endfor %}",
    "{% for i in 'aab' %}{{ loop.changed(i) }}{{ loop.cycle('x', 'y') }}{% endfor %}",
    "{% for i in [1] %}{{ loop.cycle() }}{% endfor %}",
    "{% for i in [1] %}{{ loop.nothing }}|{{ loop.nothing is defined }}{% endfor %}",
    "{% for i in [1, 2] %}{{ loop }}{% endfor %}",
    "{% for i in [1] %}{% for j in [1] %}{{ loop.depth }}{% endfor %}{% endfor %}",
    "{% for i in [1, 2] %}{% for j in [i] %}{{ loop.index }}{% endfor %}{{ loop.index }}{% endfor %}",
    "{% for i in [] %}x{% else %}none{% endfor %}", "{% for i in missing %}x{% else %}none{% endfor %}",
    "{% for i in none %}x{% endfor %}", "{% for i in 5 %}x{% endfor %}",
    "{% for i in [1, 2, 3] if i > 1 %}{{ i }}{{ loop.index }}{{ loop.length }}{% else %}e{% endfor %}",
    "{% for i in [1] if i > 1 %}x{% else %}e{% endfor %}",
    "{% for k, v in {'a': 1}.items() %}{{ k }}={{ v }}{% endfor %}",
    "{% for a, (b, c) in [(1, (2, 3))] %}{{ a }}{{ b }}{{ c }}{% endfor %}",
    "{% for a, b in [1] %}x{% endfor %}", "{% for a, b in [(1, 2, 3)] %}x{% endfor %}",
    "{% for i in {'x': 1, 'y': 2} %}{{ i }}{% endfor %}",
    "{% for i in range(5) %}{% if i == 1 %}{% continue %}{% endif %}{% if i == 3 %}{% break %}{% endif %}{{ i }}{% else %}e{% endfor %}",
    "{% for i in [1, 2] %}{% break %}{% else %}e{% endfor %}",
    "{% for i in [[1, [2]], [3]] recursive %}{% if i is iterable %}({{ loop(i) }}:{{ loop.depth }}){% else %}{{ i }}{% endif %}{% endfor %}",
    "{% for i in [1] %}{{ loop([2]) }}{% endfor %}", "{% for i in [1, 2] %}{% endfor %}{{ i }}",
    "{% set i = 9 %}{% for i in [1, 2] %}{% endfor %}{{ i }}", "{{ loop }}",
    "{% set x = 1 %}{% for i in [1, 2] %}{{ x }}{% set x = 5 %}{{ x }}{% endfor %}{{ x }}",
    "{% set x = 1 %}{% if true %}{% set x = 2 %}{% endif %}{{ x }}",
    "{% if false %}{% set x = 1 %}{% endif %}{{ x }}|{{ x is defined }}",
    "{% set ns = namespace(n=0) %}{% for i in [1, 2] %}{% set ns.n = ns.n + i %}{% endfor %}{{ ns.n }}",
    "{% set ns = namespace({'a': 1}, b=2) %}{{ ns.a }}{{ ns.b }}{{ ns.c }}{{ ns['a'] }}{{ ns }}",
    "{% set x = {} %}{% set x.y = 1 %}", "{% set x.y = 1 %}",
    "{% set a, b = 1, 2 %}{{ b }}{{ a }}", "{% set a, b = [1] %}", "{% set a = 1, 2 %}{{ a }}",
    "{% set x %}a{{ 1 }}{% endset %}{{ x | upper }}", "{% set x | upper | trim %} a {% endset %}[{{ x }}]",
    "{% set x %}{% set y = 1 %}{% endset %}{{ y }}",
    "{% macro f(a, b='-', c=none) %}{{ a }}{{ b }}{{ c }}{% endmacro %}{{ f(1) }} {{ f(1, c=2) }} {{ f(b=3, a=4) }}",
    "{% macro f(a) %}{{ a }}{% endmacro %}{{ f() }}|{{ f(1) }}",
    "{% macro f(a) %}{{ a }}{% endmacro %}{{ f(1, 2) }}",
    "{% macro f(a) %}{{ a }}{% endmacro %}{{ f(1, b=2) }}",
    "{% macro f(a) %}{{ a }}{% endmacro %}{{ f(1, a=2) }}",
    "{% macro f() %}{{ varargs }}{{ kwargs }}{% endmacro %}{{ f(1, 2, z=3) }}",
    "{% macro f(a) %}{{ varargs | length }}{% endmacro %}{{ f(1, 2, 3) }}",
    "{% macro f() %}{{ kwargs }}{% endmacro %}{{ f(1) }}",
    "{% macro f(n) %}{{ n }}{% if n %}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(3) }}",
    "{% macro f(a, b=a) %}{{ a }}{{ b }}{% endmacro %}{{ f(1) }}", "{% macro f(a=1, b) %}{% endmacro %}",
    "{% macro f() %}[{{ caller() }}]{% endmacro %}{% call f() %}x{% endcall %}",
    "{% macro f() %}[{{ caller('x') }}]{% endmacro %}{% call(a) f() %}{{ a }}!{% endcall %}",
    "{% macro f() %}x{% endmacro %}{% call f() %}y{% endcall %}",
    "{% macro f() %}{{ caller is defined }}{{ caller }}{% endmacro %}{{ f() }}",
    "{% macro f() %}{{ caller(1, 2) }}{% endmacro %}{% call(a) f() %}{{ a }}{% endcall %}",
    "{% macro f() %}{{ caller() }}{% endmacro %}{% call(a=7) f() %}{{ a }}{% endcall %}",
    "{% macro f() %}{{ x }}{% endmacro %}{% set x = 1 %}{{ f() }}",
    "{% set x = 1 %}{% macro f() %}{{ x }}{% set x = 2 %}{{ x }}{% endmacro %}{{ f() }}{{ x }}",
    "{% macro f() %}{% endmacro %}{{ f }}{{ f.name }}{{ f.arguments }}",
    "{% macro f(a, b) %}{% endmacro %}{{ f.arguments }}{{ f.catch_varargs }}{{ f.catch_kwargs }}{{ f.caller }}",
    "{% for i in [1] %}{% macro f() %}{{ i }}{% endmacro %}{{ f() }}{% endfor %}{{ f is defined }}",
    "{% macro f() %}a{% endmacro %}{{ f() | upper ~ f() }}",
    "{% macro outer() %}{% macro inner() %}{{ varargs }}{% endmacro %}{{ inner(1) }}{% endmacro %}{{ outer() }}",
    "{% filter upper %}a{{ 'b' }}{% endfilter %}", "{% filter replace('a', 'b') | upper %}aa{% endfilter %}",
    "{% filter indent(2) %}a\nb{% endfilter %}", "{% filter nothing_here %}a{% endfilter %}",
    "{% with a = 1, b = 2 %}{{ a + b }}{% endwith %}{{ a is defined }}",
    "{% set a = 5 %}{% with a = 1, b = a %}{{ a }}{{ b }}{% endwith %}{{ a }}",
    "{% with %}{% set q = 1 %}{{ q }}{% endwith %}{{ q }}", "{% generation %}kept{{ 1 }}{% endgeneration %}",
    "{% if %}x{% endif %}", "{% if 1 %}", "{% endif %}", "{% else %}", "{% for %}{% endfor %}",
    "{% for x in [1] %}", "{% nothing_here %}", "{{ 1 + }}", "{{ }}", "{{ 'a }}", "{# a", "{% raw %}",
    "{{ (1 }}", "{{ 1 ] }}", "{{ a b }}", "{{ a.'b' }}", "{{ a[ }}", "{{ |upper }}", "{{ 1 | }}",
    "{{ x is }}",
    "{% include 'x' %}", "{% import 'x' as y %}", "{% from 'x' import y %}", "{% extends 'x' %}",
    "{% break %}", "{% set 1 = 2 %}", "{% set true = 2 %}", "{% set x %}", "{% macro %}{% endmacro %}",
    "{% macro f( %}{% endmacro %}", "{% call 1 %}{% endcall %}", "{% for loop in [1] %}{% endfor %}",
    "{{ 012 }}", "{{ 0 }}{{ 00 }}", "{{ 1_000 }}{{ 0x1f }}{{ 0b101 }}{{ 0o17 }}", "{{ 1__0 }}",
    "{{ 1e5 }}{{ 1.5E-3 }}{{ 2.50 }}", "{{ 1.real }}", "{{ 1..real }}", "{{ 99999999999999999999 }}",
    "{{ 1e400 }}", "{{ .5 }}", "{{ 5. }}", "{{ 0x }}",
    "{{ 'it''s' }}", "{{ \"\\n\\t\\x41\\u00e9\\q\\'\\\"\\\\\" }}", "{{ '\\101\\7' }}", "{{ '\\U0001F600' }}",
    "{{ 'a\\\nb' }}", "{{ 'a\nb' }}", "{{ '\\x4' }}", "{{ '\\N{BULLET}' }}",
    "{{ 1 + 2 * 3 ** 2 }}", "{{ 2 ** 3 ** 2 }}", "{{ -2 ** 2 }}", "{{ -1 | abs }}", "{{ (-1) | abs }}",
    "{{ 1 - -1 }}", "{{ --1 }}", "{{ +1 }}", "{{ +true }}", "{{ -'a' }}", "{{ 'a' ~ 1 + 2 }}",
    "{{ 1 ~ 2 * 3 }}", "{{ 1 + 2 ~ 3 }}", "{{ 7 // 2 * 2 }}", "{{ 2 * 7 // 2 }}", "{{ 10 % 4 * 3 }}",
    "{{ 1 < 2 < 3 }}", "{{ 1 < 3 < 2 }}", "{{ 1 == 1.0 == true }}", "{{ not true or true and false }}",
    "{{ not 1 == 2 }}", "{{ not x is defined }}", "{{ x is not defined }}", "{{ 1 in [1] == true }}",
    "{{ 'x' if false }}|{{ 'x' if false else 'y' }}", "{{ 1 if 0 else 2 if 0 else 3 }}", "{{ (1 if 1) + 1 }}",
    "{{ 'a' if x is defined else 'b' }}", "{{ x is defined and x }}",
    "{{ [1, 2,] }}{{ (1, 2,) }}{{ {'a': 1,} }}", "{{ () }}{{ (1) }}{{ 1, 2 }}", "{{ [1, [2, (3,)]] }}",
    "{{ {'a': 1, 'a': 2} }}", "{{ {1: 2, true: 3, 1.0: 4} }}", "{{ {[]: 1} }}", "{{ {(1, 2): 3}[1, 2] }}",
    "{{ {(1, 2): 3}[(1, 2)] }}", "{{ {missing: 1} }}",
    "{{ [1, 2, 3].0 }}", "{{ [[1, 2]].0.1 }}", "{{ 'abc'.1 }}", "{{ {'0': 1}.0 }}", "{{ {0: 1}.0 }}",
    "{{ 'a'.upper }}", "{{ range }}", "{{ dict }}", "{{ range(3) }}{{ range(1, 9, 2) }}{{ range(3)[1:] }}",
    "{{ range(3)[0] }}{{ range(3)[-1] }}", "{{ range(5)[::2] }}{{ range(5)[::-1] }}{{ range(10)[2:8:3] }}",
    "{{ range(0) }}{{ range(-3) | list }}", "{{ range() }}", "{{ range('a') }}", "{{ range(1, 5, 0) }}",
    "{{ range(100001) | length }}", "{{ range(100000) | length }}", "{{ range(true) | list }}",
    "{{ range(2.0) }}",
    "{{ dict(a=1, b=2) }}", "{{ dict({'a': 1}, b=2) }}", "{{ dict([('a', 1)]) }}", "{{ dict(5) }}",
    "{{ dict([1]) }}", "{{ dict() }}", "{{ dict({'a': 1}, {'b': 2}) }}", "{{ namespace(a=1).a }}",
    "{{ namespace() }}", "{{ namespace(5) }}",
    "{% set c = cycler('a', 'b') %}{{ c.next() }}{{ c.next() }}{{ c.next() }}{{ c.current }}{{ c.reset() }}{{ c.current }}",
    "{{ cycler() }}", "{% set j = joiner() %}{{ j() }}a{{ j() }}b{{ j() }}",
    "{% set j = joiner('|') %}{{ j() }}a{{ j() }}b", "{% set j = joiner(sep='-') %}{{ j() }}{{ j() }}",
    "{{ raise_exception('no') }}", "{{ raise_exception() }}", "{{ strftime_now('%Y') | length }}",
    "{{ nothing_here() }}", "{{ 5() }}", "{{ 'a'() }}", "{{ missing }}", "{{ missing.x }}",
    "{{ missing['x'] }}", "{{ missing[0] }}", "{{ missing() }}", "{{ missing + 1 }}", "{{ missing ~ 'a' }}",
    "{{ missing == missing }}", "{{ missing == none }}", "{{ missing | list }}", "{{ missing | length }}",
    "{{ -missing }}", "{{ missing < 1 }}", "{{ missing in [1] }}", "{{ 1 in missing }}", "{{ not missing }}",
    "{{ missing or 5 }}", "{{ [missing] }}", "{{ {'a': missing} }}",
    "{% set g = [1, 2, 3] | map('string') %}{{ g | first }}{{ g | list }}{{ g | list }}",
    "{{ ([1] | map('string'))[0] }}",
    "{{ [] | map('upper') is iterable }}{{ ([] | map('upper')) is sequence }}",
    "{% if [] | select %}yes{% else %}no{% endif %}", "{{ ([1] | map('string')) | length }}",
    "{{ [3, 1] | reverse | first }}", "{{ ([3, 1] | reverse)[0] }}", "{{ {'a': 1} | items | list }}",
    "{{ {'a': 1}.items() }}{{ {'a': 1}.keys() }}{{ {'a': 1}.values() }}",
    "{{ {'a': 1}.items() == {'a': 1}.items() }}", "{{ {'a': 1}.keys() == {'a': 2}.keys() }}",
    "{{ {'a': 1}.values() == {'a': 1}.values() }}", "{{ {'b': 1, 'a': 2}.items() | sort }}",
    "{{ {'a': 1}.items() + [1] }}", "{{ {'a': 1}.items() | tojson }}", "{{ [1] | map('string') | tojson }}",
    "{{ range(3) | tojson }}",
    "{{ [{'v': 1, 'n': 'a'}, {'v': 1, 'n': 'b'}] | groupby('v') }}",
    "{% for g in [{'v': 2, 'n': 'a'}, {'v': 1, 'n': 'b'}] | groupby('v') %}{{ g.grouper }}{{ g.list }}{{ g[0] }}{% endfor %}",
    "{% for k, l in ['a', 'B', 'b'] | groupby(0) %}{{ k }}{{ l }}{% endfor %}",
    "{{ ('<' | safe) + '<' }}", "{{ '<' + ('<' | safe) }}", "{{ ('<' | e) ~ '<' }}",
    "{{ ('<%s>' | safe) % '<' }}", "{{ ('a' | safe) * 2 + '<' }}", "{{ [('<' | safe)] }}",
    "{{ ('<' | e | e) }}", "{{ ('<' | e | forceescape) }}", "{{ ('<' | e) | tojson }}",
    "{{ [('<' | safe), '<'] | join('&') }}", "{{ ('<a>' | safe)[0] ~ ('<a>' | safe)[1:] + '<' }}",
    "{{ ('<' | safe) == '<' }}", "{{ '<' in ('<a' | safe) }}",
    "{{ ('<' | safe) is string }}{{ ('<' | safe) is escaped }}{{ '<' is escaped }}",
    "{{ ('a<b' | safe).replace('a', '<') }}", "{{ ('<' | safe) | replace('<', '>') }}",
    "{{ 'a' | safe | indent(2, true) + '<' }}",
    "{{ 'a' is sameas 'a' }}{{ [] is sameas [] }}{{ none is sameas none }}",
    "{% set x = [1] %}{{ x is sameas x }}{{ x is sameas [1] }}", "{{ x is defined is true }}",
    "{{ 5 is divisibleby 5 and true }}", "{{ 1 is in [1, 2] }}", "{{ 1 is not in [1, 2] }}",
    "{{ 3 is odd }}{{ 2.0 is even }}{{ true is odd }}",
    "{{ f(*[1, 2]) }}",
    "{% macro f(a, b) %}{{ a }}{{ b }}{% endmacro %}{{ f(*[1, 2]) }}{{ f(**{'a': 3, 'b': 4}) }}{{ f(1, *[2]) }}{{ f(*[1], b=9) }}",
    "{% macro f(a) %}{{ a }}{% endmacro %}{{ f(a=1, a=2) }}",
    "{% macro f(a) %}{{ a }}{% endmacro %}{{ f(a=1, 2) }}",
    "{% macro f(a) %}{{ a }}{% endmacro %}{{ f(a=1, **{'a': 2}) }}",
    "{{ dict(**{'a': 1}) }}{{ 'a-b'.split(*['-']) }}",
    "{{ 'x' 'y' }}", "{{ \"a\" \"b\" 'c' }}", "{{ true and 'a' or 'b' }}", "{{ none or 'b' }}{{ '' and 1 }}",
    "{{ True }}{{ False }}{{ None }}{{ true }}{{ none }}", "{{ TRUE }}", "{{ x.y.z is defined }}",
    "{{ {}.x.y is defined }}", "{{ {}.x is defined }}",
    "{{ 'é'[0] }}{{ '日本'[1] }}{{ '😀a'[1] }}{{ '😀' | length }}", "{{ 'é' | length }}{{ 'e\\u0301' | length }}",
    "{{ 'abc' | list }}", "{{ 'a,b' | replace(',', '\\n') }}", "{{ [1, 2] | join(',') | length }}",
    "{{ 'a' < 'b' }}{{ 'Z' < 'a' }}{{ 'é' > 'z' }}{{ [1, 2] < [1, 3] }}{{ (1,) < (1, 0) }}{{ [1] == (1,) }}",
    "{{ 1 == true }}{{ 0 == false }}{{ '1' == 1 }}{{ none == false }}{{ [] == false }}",
    "{{ {'a': 1} == {'a': 1.0} }}{{ {'a': 1, 'b': 2} == {'b': 2, 'a': 1} }}",
    "{{ [1, 2] in [[1, 2]] }}{{ 1.0 in [1] }}{{ 'a' in ['a'] }}{{ '' in 'a' }}",
    "{{ [1, [2]] | string }}{{ 'a\\nb' | string }}{{ ['a\\nb'] | string }}",
    "{{ 1 / 3 }}{{ 6 / 3 }}{{ 1e308 * 10 }}{{ 10 ** -2 }}{{ 2 ** 0.5 }}{{ 7.5 // 2 }}{{ -7.5 % 2 }}{{ 7 % -3 }}{{ -7 // 2.0 }}",
    "{{ 1 // 0 }}", "{{ 1.0 % 0 }}", "{{ 0 ** -1 }}", "{{ 10.0 ** 400 }}", "{{ (2 ** 100) / 3 }}",
    "{{ (10 ** 30) // (7 ** 9) }}{{ -(10 ** 30) % (7 ** 9) }}{{ (10 ** 30) % -(7 ** 20) }}",
    "{{ 9223372036854775807 + 1 }}", "{{ -9223372036854775807 - 2 }}", "{{ 4611686018427387904 * 2 }}",
    "{{ 2 ** 64 - 2 ** 64 }}", "{{ (2 ** 64 == 18446744073709551616.0) }}",
    "{{ 10 ** 4299 | string | length }}", "{{ 2 ** 99999 | length }}",
    "{{ 'ab' * 0 }}{{ 'ab' * -1 }}{{ 3 * 'a' }}{{ [0] * 3 }}{{ (1, 2) * 2 }}{{ true * 'x' }}",
    "{{ 'a' * 2.0 }}",
    "{% for c in 'é😀' %}[{{ c }}]{% endfor %}",
    "{% set x = 'abc' %}{{ x[1] }}{{ x[-1] }}{{ x[::-1] }}{{ x[5] }}{{ x[5:] }}",
    "{%- for m in messages -%}\n  {{ m.role }}: {{ m.content | trim }}\n{%- endfor %}",
    "{% for m in messages %}{{ loop.index }}{{ m['role'] }}{{ m.get('name', '-') }}{{ '\\n' if not loop.last }}{% endfor %}",
    "{{ messages | selectattr('role', 'equalto', 'user') | map(attribute='content') | join('; ') }}",
    "{{ messages[-1].role }}{{ messages[1:] | length }}{{ messages | last | tojson }}",
    "{{ tools | tojson(indent=4) }}", "{{ tools[0] | tojson }}",
    "{% for k, v in tools[0].function.parameters.properties.items() %}{{ k }}: {{ v.type | upper }}{{ ', ' if not loop.last }}{% endfor %}",
    "{{ tools | map(attribute='function.name') | list }}",
    "{{ tools[0].function.parameters.required | join(', ') }}",
    "{{ tools[0].function.parameters.properties.days.maximum }}",
    "{{ messages[0] | string }}", "{{ messages[0].items() | list }}",
    "{% set ns = namespace(found=false) %}{% for m in messages %}{% if m.role == 'user' %}{% set ns.found = true %}{% endif %}{% endfor %}{{ ns.found }}",
    "{{ messages | map(attribute='role') | unique | list }}",
    "{{ messages | groupby('role') | map('first') | list }}",
    "{{ messages | rejectattr('role', 'in', ['system']) | list | length }}",
    "{{ messages[0]['content'].split('\\n')[0].strip() | capitalize }}",
    "{{ messages | sum(attribute='n', start=0) }}",
    // What the operators of one line say of where they fail.
    "a\n\n{{ 1 / 0 }}", "{% if true %}\n{{ missing.x }}\n{% endif %}",
    "x\n{% for i in [1] %}\n\n{{ i.x.y }}{% endfor %}", "\n\n{% if %}", "{# a\nb #}\n{{ 1 + }}",
    "{% macro f() %}\n{{ 1 / 0 }}{% endmacro %}\n\n{{ f() }}", "{{ 'a\nb' }}\n{{ 'c' | nothing_here }}",
    "\n{% set x = none.y.z %}",
  ]

  /// Filters of a mutable list or mapping: allowed here, as in llama.cpp.
  static let mutations: [String] = [
    "{% set l = [1] %}{% do l.append(2) %}{{ l }}",
    "{% set l = [1] %}{% set _ = l.append(2) %}{{ l }}{{ _ }}",
    "{% set l = [1, 2, 3] %}{{ l.pop() }}{{ l.pop(0) }}{{ l }}", "{% set l = [] %}{{ l.pop() }}",
    "{% set l = [1] %}{{ l.pop(5) }}",
    "{% set l = [1] %}{{ l.insert(0, 0) }}{{ l.insert(-1, 5) }}{{ l.insert(99, 9) }}{{ l }}",
    "{% set l = [1] %}{{ l.extend([2, 3]) }}{{ l.extend('ab') }}{{ l }}",
    "{% set l = [1, 2, 1] %}{{ l.remove(1) }}{{ l }}{{ l.remove(9) }}",
    "{% set l = [1, 2] %}{{ l.reverse() }}{{ l }}{{ l.clear() }}{{ l }}",
    "{% set d = {'a': 1} %}{{ d.update({'b': 2}, c=3) }}{{ d }}",
    "{% set d = {'a': 1} %}{{ d.pop('a') }}{{ d }}{{ d.pop('z', 5) }}", "{% set d = {} %}{{ d.pop('z') }}",
    "{% set d = {} %}{{ d.setdefault('a', 1) }}{{ d.setdefault('a', 2) }}{{ d.setdefault('b') }}{{ d }}",
    "{% set d = {'a': 1, 'b': 2} %}{{ d.popitem() }}{{ d }}{{ d.clear() }}{{ d }}",
    "{% set d = {} %}{{ d.update([('a', 1)]) }}{{ d }}", "{% set l = [1] %}{{ l.append() }}",
    "{% set l = [1] %}{{ l.append(1, 2) }}", "{% set a = [1] %}{% set b = a %}{% do b.append(2) %}{{ a }}",
    "{% set a = [1] %}{% set b = a.copy() %}{% do b.append(2) %}{{ a }}",
  ]

  static var all: [String] {
    var made = statements + printf + format
    for value in values {
      made.append("{{ \(value) }}")
      made.append("{{ [\(value)] }}")
      made += filters.map { "{{ \(value) | \($0) }}" }
      made += tests.map { "{{ \(value) is \($0) }}" }
      // By a name: jinja2 folds what is constant, with results of its own.
      made += indices.map { "{% set v = \(value) %}{{ v\($0) }}" }
    }
    for value in texts { made += methodsOfTexts.map { "{{ \(value).\($0) }}" } }
    for (value, names) in methodsOfOthers { made += names.map { "{{ \(value).\($0) }}" } }
    for left in operands {
      for right in operands {
        // Python would compute these for ever.
        let isHuge = ["9223372036854775807", "(2 ** 70)", "9007199254740993"].contains(right)
        made += operators.filter { !isHuge || $0 != "**" && $0 != "*" }.map { "{{ \(left) \($0) \(right) }}" }
      }
    }
    return made
  }
}
