// TemplateTarget.swift: a fuzz target of hostile chat templates, made of the language's own pieces
// or mutated from valid ones.

import Foundation
import Inference
import Jinja

extension FuzzTarget {
  /// Any template ends with a prompt or with an error that has a message, and no character of a
  /// user's text is marked as trusted. Detecting what contents it reads is as harmless.
  package static let template = FuzzTarget(
    name: "template",
    prepare: {
      [
        "{% for m in messages %}<a>{{ m.role }}\n{{ m['content'] | trim }}<b>\n{% endfor %}{% if add_generation_prompt %}<a>{% endif %}",
        "{%- set ns = namespace(x='', l=[]) -%}{% for m in messages if m.role != 'system' %}{% set ns.x = ns.x ~ m.content %}{% else %}-{% endfor %}{{ ns.x.split('e')[-1] }}",
        "{% macro f(a, b=[1, 2.5, 'x']) %}{{ a | upper }}{{ b | tojson(indent=2) }}{{ caller() if caller }}{% endmacro %}{{ f(messages[0].content) }}{% call f('q') %}z{% endcall %}",
        "{{ messages | map(attribute='content') | join(', ') }}{{ messages | selectattr('role', 'equalto', 'user') | list | length }}{{ messages[0].items() | list }}",
        "{% set t %}{{ messages[1:] }}{% endset %}{{ t[::2] | indent(3) | replace('e', 'ee') }}{{ '%s-%d' % (t, 3) }}{{ '{}'.format(t) }}",
        "{%- raw %}{{ x }}{% endraw -%}{# c #}{% with q = messages | length %}{{ q ** 2 // 3 % 5 - -q }}{% endwith %}{{ range(5) | batch(2) | list | string }}",
        "{% for k, v in messages[0] | dictsort %}{{ loop.index0 }}{{ loop.cycle('a', 'b') }}{{ k ~ v }}{% if loop.last %}{% break %}{% endif %}{% endfor %}{{ messages | tojson | from_json | sort(attribute='role') | first }}",
        "{% set l = [] %}{% for i in range(9) %}{% set _ = l.append(i) %}{% set _ = l.insert(0, [l]) %}{% endfor %}{{ l | length }}{{ l.pop() }}{{ l == l }}",
      ].map { Array($0.utf8) }
    },
    run: { corpus, generator in
      let source: String
      if generator.oneIn(2) {
        let seed = corpus[generator.below(corpus.count)]
        source = String(decoding: Mutation.mutate(seed, corpus: corpus, &generator), as: UTF8.self)
      } else {
        source = sentence(&generator)
      }
      let messages = (0...generator.below(3)).map { _ in
        ChatMessage(role: secret, content: generator.oneIn(2) ? secret : secret + "\n" + secret).value
      }
      if generator.oneIn(16) {
        do throws(ChatFormatError) {
          let format = try ChatFormat(source, tokenizer: nil)
          if format.problem != nil, !format.rolesLeftOut.contains("user") {
            return "a problem without a role"
          }
        } catch {
          if "\(error)".isEmpty || error.hint?.isEmpty ?? true { return "an error without words" }
        }
      }
      do throws(TemplateError) {
        let segments = try Template(source, limits: limits).prompt(
          messages, specials: ["bos_token": "<s>"], now: Date(timeIntervalSince1970: 0))
        if segments.contains(where: \.text.isEmpty) { return "an empty segment" }
        // The users' words are of an alphabet that no template above spells.
        if segments.contains(where: {
          $0.isTrusted && $0.text.unicodeScalars.contains { alphabet.contains($0) }
        }),
          !source.unicodeScalars.contains(where: alphabet.contains)
        {
          return "a user's word is trusted: \(source.debugDescription)"
        }
        return nil
      } catch {
        return "\(error)".isEmpty || error.hint.isEmpty ? "an error without words" : nil
      }
    })
}

/// Georgian: has no other case that Latin letters of a template could come from, and none of it is in the corpus.
private let secret = "ქართული"
private let alphabet = Set(secret.unicodeScalars).union(secret.uppercased().unicodeScalars)

private let limits: TemplateLimits = {
  var limits = TemplateLimits.standard
  limits.steps = 3_000
  limits.characters = 50_000
  return limits
}()

private let pieces: [String] = [
  "messages", "m", "x", "ns", "loop", "'a'", "\"<|\"", "1", "0", "-1", "2.5", "none", "true", "[]", "{}",
  "[messages]",
  "{'k': messages}", ".content", ".role", ".x", "[0]", "['content']", "[1:]", "[::-1]", "(", ")", "()", "(1)",
  "(messages)",
  ".split('e')", ".strip()", ".items()", ".get('role')", ".append(m)", ".format(m)", ".replace('', '-')",
  ".join(messages)",
  "|upper", "|tojson", "|list", "|join", "|trim", "|string", "|first", "|last", "|length", "|sort", "|unique",
  "|reverse",
  "|map(attribute='content')", "|selectattr('role')", "|default('d')", "|indent", "|e", "|title", "|batch(2)",
  "|from_json",
  "|groupby('role')", "|slice(2)", "|truncate(4)", "|center(9)", "|format(m)", "|urlencode", "|xmlattr",
  "|safe", "|round",
  "|int", "|attr('upper')", ".swapcase()", ".center(9)", ".partition('e')", ".rsplit()", "cycler(m)",
  "joiner(x)()",
  "9223372036854775807", "(2 ** 70)",
  " is defined", " is string", " is mapping", " in ", " not in ", " + ", " ~ ", " * ", " % ", " // ", " ** ",
  " == ", " < ",
  " and ", " or ", " not ", " if ", " else ", ",", ":", "range(3)", "namespace(a=1)", "dict(b=messages)",
]

private let statements: [String] = [
  "{% for m in messages %}", "{% endfor %}", "{% if m %}", "{% elif x %}", "{% else %}", "{% endif %}",
  "{% set x = ", " %}",
  "{% set x %}", "{% endset %}", "{% macro f(a, b=1) %}", "{% endmacro %}", "{{ f(messages, b=x) }}",
  "{% call f(1) %}",
  "{% endcall %}", "{% set ns = namespace(x=messages) %}", "{% set ns.x = ", "{% filter upper %}",
  "{% endfilter %}", "{% break %}",
  "{% continue %}", "{% with x = 1 %}", "{% endwith %}", "{{- ", " -}}", "{#", "#}", "{% raw %}",
  "{% endraw %}", "\n  ",
  "{% do x.append(x) %}", "{% for x in messages recursive %}", "{{ loop(messages) }}", "{{ caller() }}",
  "{% generation %}",
]

/// A text of the language's pieces, mostly well formed at first sight.
private func sentence(_ generator: inout SeededGenerator) -> String {
  var text = ""
  for _ in 0...generator.below(8) {
    if generator.oneIn(2) {
      text += statements[generator.below(statements.count)]
    } else {
      text += "{{ "
      for _ in 0...generator.below(6) { text += pieces[generator.below(pieces.count)] }
      text += " }}"
    }
  }
  return text
}
