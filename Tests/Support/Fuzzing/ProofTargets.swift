// ProofTargets.swift: fuzz targets of what a visitor and a verifier read: the tiles of a log, what a node
// publishes of itself, and saved requests and answers. Whatever the bytes are, nothing traps, and nothing is
// believed that does not lead to a root.

import JSON
import Node
import Receipts

/// A log whose tiles have all forms: full ones, one cut, and a second level.
private enum SampleLog {
  static let leaves = (0..<700).map { SHA256.leaf(Array("receipt \($0)".utf8)) }
  static let tree = MerkleTree(leaves: leaves)
  static let size = leaves.count
  static let tiles: [TilePath: [UInt8]] = Dictionary(
    uniqueKeysWithValues: TilePath.all(ofLog: size).compactMap { path in
      tree.tile(path).map { (path, $0) }
    })
  static let paths = tiles.keys.sorted { $0.text < $1.text }
}

extension FuzzTarget {
  /// A path has one spelling, and of spoiled tiles nothing is taken but what the root says.
  package static let tiles = FuzzTarget(
    name: "tiles",
    prepare: {
      [
        "tile/0/000", "tile/0/002.p/188", "tile/1/000.p/2", "tile/6/x070/x368/x744/x177/663",
        "tile/0/x001/x234/067.p/255", "tile/63/x999/x999/x999/x999/x999/x999/999",
      ].map { Array($0.utf8) }
    },
    run: { corpus, generator in
      let seed = corpus[generator.below(corpus.count)]
      let text = String(
        decoding: Mutation.mutate(seed, corpus: corpus, limit: 200, &generator), as: UTF8.self)
      if let path = TilePath(parsing: text), path.text != text {
        return "two spellings of \(path.text): \(text)"
      }
      let spoiled = SampleLog.paths[generator.below(SampleLog.paths.count)]
      var bytes = SampleLog.tiles[spoiled] ?? []
      if !generator.oneIn(8) {
        bytes = Mutation.mutate(bytes, corpus: [bytes], limit: 9_000, &generator)
      }
      let size = generator.oneIn(4) ? generator.below(SampleLog.size + 3) : SampleLog.size
      let root = SampleLog.tree.root(at: min(size, SampleLog.size)) ?? .zero
      do throws(TileProblem) {
        var log = try TiledLog(size: size, root: root) { path in
          path == spoiled ? bytes : SampleLog.tree.tile(path) ?? bytes
        }
        let index = generator.below(SampleLog.size + 2)
        if try log.leaf(at: index) != SampleLog.tree.leaf(at: index) { return "another leaf at \(index)" }
        let smaller = generator.below(size + 2)
        if try log.root(at: smaller) != SampleLog.tree.root(at: smaller) {
          return "another root at \(smaller)"
        }
      } catch {}
      return nil
    })

  /// A node's card, notes and checkpoints: what is read is written the same, and no id leads out of a folder.
  package static let published = FuzzTarget(
    name: "published",
    prepare: {
      let root = Base64.format(SampleLog.tree.root.bytes)
      let origin = "hotpot/" + String(repeating: "ab", count: 32)
      let key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKIk65KOpiPJbbE8YoaJ+qVgAwFaSiWQCCq18d4RWuP2"
      let card =
        #"{"hotpot":1,"name":"a node","version":"1","key":"\#(key)","models":[{"name":"m","sha256":"00"}],"#
        + #""witnesses":["w+12345678+BAEC"],"samples":["0123456789abcdef"],"prices_per_million_tokens":[]}"#
      let checkpoint =
        "\(origin)\n700\n\(root)\ntime 1796078628477548\nprev-checkpoint-sha256 \(String(repeating: "0", count: 64))\n"
      return [
        card, checkpoint,
        checkpoint + "\n-----BEGIN SSH SIGNATURE-----\nU1NIU0lH\n-----END SSH SIGNATURE-----\n",
        "\(origin)\n700\n\(root)\n\n\u{2014} \(origin) q6urq3Jvb3Q=\n",
        "old 5\n\(root)\n\n\(origin)\n700\n\(root)\n\n\u{2014} \(origin) q6urq3Jvb3Q=\n",
        "\(origin)+12345678+AcNzaC1lZDI1NTE5AAAAIKIk65KOpiPJbbE8YoaJ+qVg",
        (try? InclusionProof(
          index: 3, path: SampleLog.tree.inclusion(of: 3, in: SampleLog.size) ?? [],
          checkpoint: Checkpoint(parsing: checkpoint)
        ).text) ?? "", key,
      ].map { Array($0.utf8) }
    },
    run: { corpus, generator in
      let seed = corpus[generator.below(corpus.count)]
      let bytes = Mutation.mutate(seed, corpus: corpus, &generator)
      let text = String(decoding: bytes, as: UTF8.self)
      if let card = try? PublishedCard(bytes) {
        if card.samples.contains(where: { $0.utf8.count != 16 || $0.contains("/") }) {
          return "an id: \(text)"
        }
        if card.name.unicodeScalars.contains(where: { $0.value < 0x20 }) { return "a name: \(text)" }
      }
      func differs(_ read: (String) throws -> String) -> Bool {
        guard let written = try? read(text) else { return false }
        return (try? read(written)) != written
      }
      if differs({ try Checkpoint(parsing: $0).text }) { return "a checkpoint: \(text)" }
      if differs({ try SignedNote(parsing: $0).whole }) { return "a note: \(text)" }
      if differs({ try InclusionProof(parsing: $0).text }) { return "a proof: \(text)" }
      _ = try? SignedCheckpoint(parsing: text)
      _ = try? ConsistencyProof(parsing: text)
      _ = try? AddCheckpoint(parsing: text)
      _ = NoteKey(parsing: text)
      _ = SSHPublicKey(parsing: text)
      return nil
    })

  /// A client's saved answer beside its request: every check has a verdict, and nothing is proved without a
  /// model.
  package static let answers = FuzzTarget(
    name: "answers",
    prepare: { (answerSeeds + requestSeeds).map { Array($0.utf8) } },
    run: { corpus, generator in
      let (answers, requests) = (corpus.prefix(answerSeeds.count), corpus.suffix(requestSeeds.count))
      let place = generator.below(answers.count)
      var answer = answers[answers.startIndex + place]
      // The answer with a receipt inside is read to the last check.
      if generator.oneIn(2) { answer = answers[answers.startIndex + inlineSeed] }
      answer = generator.oneIn(6) ? answer : Mutation.mutate(answer, corpus: corpus, &generator)
      var request = requests[requests.startIndex + generator.below(requests.count)]
      if !generator.oneIn(4) { request = Mutation.mutate(request, corpus: corpus, &generator) }
      _ = try? SavedAnswer(answer)
      guard let proof = try? ReceiptProof(nil, answer: answer, request: generator.oneIn(3) ? nil : request)
      else { return nil }
      let checks = proof.verify().checks
      if checks.isEmpty { return "no checks: \(String(decoding: answer, as: UTF8.self))" }
      if let proved = checks.first(where: { $0.name == .reexecution && $0.result == .ok }) {
        return "proved without a model: \(proved.detail)"
      }
      return nil
    })
}

/// Which of them has a receipt inside.
private let inlineSeed = 2

/// A node's answers to the requests below: each protocol, whole and streamed, with and without ids.
private let answerSeeds = [
  #"""
  {"id":"chatcmpl-9bdad006c9d579b2","object":"chat.completion","created":1796078628,"model":"s\#
  mollm2","choices":[{"index":0,"message":{"role":"assistant","content":"Hello! How","refusal"\#
  :null},"logprobs":null,"finish_reason":"length"}],"usage":{"prompt_tokens":31,"completion_to\#
  kens":3,"total_tokens":34,"prompt_tokens_details":{"cached_tokens":0}},"hotpot":{"job":"9bda\#
  d006c9d579b2","receipt":"7e1dc777c9e95e18","nonce":"fc6265e842316ba9e6dced62515cfd1bfe8f2a19\#
  d4c297edde5d4293d6fa5fe92bdae001374750ba1fbadab944cf7a738198dfa69b4deb94ba58fbde6965069a","n\#
  once_share":"a748159f8ae8ee3a7902ca88f15f851e0974984e3d9fc3515634b8cfc2e3810cd500a82dd0d230c\#
  30572d3f01d8f19730e8ce6942251c8b5931b728748cbca56","seed":5,"amount_micro":331,"prompt_token\#
  _ids":[1,9690,198,2683,359,253,5356,5646,11173,3365,3511,308,34519,28,7018,411,407,19712,818\#
  2,2,198,1,4093,198,26843,2,198,1,520,9531,198],"token_ids":[19556,17,1073]}}
  """#,
  #"""
  data: {"id":"chatcmpl-732b28970263082e","object":"chat.completion.chunk","created":179607862\#
  8,"model":"smollm2","choices":[{"index":0,"delta":{"role":"assistant","content":""},"logprob\#
  s":null,"finish_reason":null}]}

  data: {"id":"chatcmpl-732b28970263082e","object":"chat.completion.chunk","created":179607862\#
  8,"model":"smollm2","choices":[{"index":0,"delta":{"content":"Hello"},"logprobs":{"content":\#
  [{"token":"Hello","logprob":-0.5309330821037292,"bytes":[72,101,108,108,111],"top_logprobs":\#
  [{"token":"Hello","logprob":-0.5309330821037292,"bytes":[72,101,108,108,111]}]}],"refusal":n\#
  ull},"finish_reason":null}]}

  data: {"id":"chatcmpl-732b28970263082e","object":"chat.completion.chunk","created":179607862\#
  8,"model":"smollm2","choices":[{"index":0,"delta":{"content":"!"},"logprobs":{"content":[{"t\#
  oken":"!","logprob":-0.367586612701416,"bytes":[33],"top_logprobs":[{"token":"!","logprob":-\#
  0.367586612701416,"bytes":[33]}]}],"refusal":null},"finish_reason":null}]}

  data: {"id":"chatcmpl-732b28970263082e","object":"chat.completion.chunk","created":179607862\#
  8,"model":"smollm2","choices":[{"index":0,"delta":{"content":" How"},"logprobs":{"content":[\#
  {"token":" How","logprob":-0.0920075997710228,"bytes":[32,72,111,119],"top_logprobs":[{"toke\#
  n":" How","logprob":-0.0920075997710228,"bytes":[32,72,111,119]}]}],"refusal":null},"finish_\#
  reason":null}]}

  data: {"id":"chatcmpl-732b28970263082e","object":"chat.completion.chunk","created":179607862\#
  8,"model":"smollm2","choices":[{"index":0,"delta":{},"logprobs":null,"finish_reason":"length\#
  "}],"hotpot":{"job":"732b28970263082e","receipt":"9279a2fcac81c0eb","nonce":"b81a2a4d6c8e845\#
  d60b3506fc1d3e8110304209013f6df9ea9cdc5a2ace1f773691c47c56a6814d8033b314eedd808c6e37cfe1c263\#
  b97ff27a5829bbb2704f1","nonce_share":"be62a3612f4d6765b7763d0d0d49d242051818bcc8647ca908d220\#
  7f0b4ca2ece415326d9fcd14cad553348e627452e9ff9145721965a68b99f3d5e5c801c533","seed":890503702\#
  0395372,"amount_micro":331}}

  data: [DONE]
  """#,
  #"""
  {"id":"cmpl-03af6ca2866d01c1","object":"text_completion","created":1796078628,"model":"smoll\#
  m2","choices":[{"index":0,"text":"-once","logprobs":{"tokens":["-","once"],"token_logprobs":\#
  [-0.9218625426292419,-7.499226093292236],"top_logprobs":[{"-":-0.9218625426292419},{"1":-3.0\#
  021615028381348,"once":-7.499226093292236}],"text_offset":[0,1]},"finish_reason":"length"}],\#
  "usage":{"prompt_tokens":1,"completion_tokens":2,"total_tokens":3,"prompt_tokens_details":{"\#
  cached_tokens":0}},"hotpot":{"job":"03af6ca2866d01c1","receipt":"0047f7060563885a","nonce":"\#
  bc4a044fa9a818a631647c1f76abf5d078c06070f4f286d04c358f1785a9388d2b614a62a71bf621e23c4d259dfb\#
  88401643f486eaa4db78431522e0ba187bff","receipt_line":"{\"seq\":7,\"t\":1796078628477548,\"ty\#
  pe\":\"receipt\",\"group\":7,\"v\":2,\"index\":2,\"node\":\"SHA256:OBEEkcF4iqCWJvrRcRRyOKRdB\#
  sKmFVBlu5d8pA6QTuY\",\"job\":\"03af6ca2866d01c1\",\"client\":\"tester\",\"model\":\"smollm2\\#
  ",\"model_sha256\":\"b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53\",\"nu\#
  merics\":\"N1/A15/KVi16\",\"prompt_commitment\":\"95fde033644fbf5e36bb73e10b833b99f8a3a1815e\#
  757a4cbf3d8bfd75fdfd71\",\"output_commitment\":\"15245f13c14cbca6372ffe5ef1fa889a89798a5d910\#
  aed768836a72c5d1fbe9f\",\"prompt_tokens\":1,\"cached_tokens\":0,\"completion_tokens\":2,\"ma\#
  x_tokens\":2,\"temperature\":\"3f800000\",\"top_p\":\"3f800000\",\"min_p\":\"00000000\",\"re\#
  petition_penalty\":\"3f800000\",\"presence_penalty\":\"00000000\",\"frequency_penalty\":\"00\#
  000000\",\"top_k\":0,\"seed\":\"2087248035277320\",\"logit_bias\":\"80eb6a6608c40231d4ca7a5d\#
  77da931c4b0660cea766b818e0554a6b07cd08ac\",\"stop_strings\":\"8e528b169103ebb6383a33cee20023\#
  a6c443501b2cc67514f6d326f571cf1f9e\",\"ignore_eos\":false,\"seed_by\":\"node\",\"finish\":\"\#
  length\",\"submitted\":1796078628465730,\"started\":1796078628465878,\"first_token\":1796078\#
  628471526,\"ended\":1796078628477441,\"currency\":\"EUR\",\"price_prompt\":1000000,\"price_c\#
  ached\":1000000,\"price_completion\":100000000,\"price_minimum\":0,\"amount\":201,\"day\":20\#
  787,\"windows\":\"lLFla00u7WqWku1G+V4Dqo89/3HnRZUx1seC5a7Uyv8=\",\"prev\":\"1da4a86d50cec50b\#
  656bba4845c8239ce68e5a50f1054b08c279a8f42c3500ec\",\"h\":\"3892619ea93a8857\"}\n","seed":208\#
  7248035277320,"amount_micro":201}}
  """#,
  #"""
  event: message_start
  data: {"type":"message_start","message":{"id":"msg_4f80fa371a2c0991","type":"message","role"\#
  :"assistant","model":"smollm2","content":[],"stop_reason":null,"stop_sequence":null,"usage":\#
  {"input_tokens":18,"cache_creation_input_tokens":0,"cache_read_input_tokens":0,"output_token\#
  s":0}}}

  event: content_block_start
  data: {"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}

  event: content_block_delta
  data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"Hello"}}

  event: content_block_delta
  data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":" there"}}

  event: content_block_stop
  data: {"type":"content_block_stop","index":0}

  event: message_delta
  data: {"type":"message_delta","delta":{"stop_reason":"max_tokens","stop_sequence":null},"usa\#
  ge":{"input_tokens":18,"cache_creation_input_tokens":0,"cache_read_input_tokens":0,"output_t\#
  okens":2},"hotpot":{"job":"4f80fa371a2c0991","receipt":"3e5660351b176fe3","nonce":"d03172643\#
  61880dfc80d8c3945e07765ef201ff8ee0ede75a46b525413cc41ffb57dbc8f829578a2922df458b94c4ab0735ea\#
  ad51888c15be6c3163a894c34e5","nonce_share":"d564f44f65735601dd5a158f002c27fc2930971f55abafd5\#
  4823d32c40274195327a0998ab04ba1a4872c5d6bfd85f031890f976f13ac8d3a5ef98861ab94808","seed":992\#
  099261782118,"amount_micro":218}}

  event: message_stop
  data: {"type":"message_stop"}
  """#,
  #"""
  {"id":"resp_a5411f27a37f3937","object":"response","created_at":1796078628,"status":"incomple\#
  te","error":null,"incomplete_details":{"reason":"max_output_tokens"},"instructions":null,"me\#
  tadata":{},"model":"smollm2","output":[{"id":"msg_a5411f27a37f3937_0","type":"message","stat\#
  us":"completed","role":"assistant","content":[{"type":"output_text","text":"Hello,","annotat\#
  ions":[],"logprobs":[]}]}],"parallel_tool_calls":true,"previous_response_id":null,"reasoning\#
  ":{"effort":null,"summary":null},"store":false,"temperature":null,"top_p":null,"text":{"form\#
  at":{"type":"text"}},"tool_choice":"auto","tools":[],"truncation":"disabled","usage":{"input\#
  _tokens":31,"input_tokens_details":{"cached_tokens":16},"output_tokens":2,"total_tokens":33}\#
  ,"hotpot":{"job":"a5411f27a37f3937","receipt":"8925fbbea0cc5ab9","nonce":"5aff2625490b847975\#
  a3133cd889fd4a5b32302d5fdb296a268fd1b103f7ed7a7620044bb88e9e09bd626b9f511fe0d519914b0b45649f\#
  936fe3ceb7849e7694","nonce_share":"19da63762a1418e2516fa937041d288a8c5daf3166d9e1d7a514f98b9\#
  d341aa0ce9426607d8fac84cb0d3a5871e134219e16f0028fe457b3f12334af86f85262","seed":443219030763\#
  3416,"amount_micro":231,"prompt_token_ids":[1,9690,198,2683,359,253,5356,5646,11173,3365,351\#
  1,308,34519,28,7018,411,407,19712,8182,2,198,1,4093,198,26843,2,198,1,520,9531,198],"token_i\#
  ds":[19556,28]}}
  """#,
  #"""
  {"model":"smollm2","created_at":"2026-11-30T22:43:48Z","message":{"role":"assistant","conten\#
  t":"It"},"done":false}
  {"model":"smollm2","created_at":"2026-11-30T22:43:48Z","message":{"role":"assistant","conten\#
  t":"'s"},"done":false}
  {"model":"smollm2","created_at":"2026-11-30T22:43:48Z","message":{"role":"assistant","conten\#
  t":""},"done":true,"done_reason":"length","prompt_eval_count":31,"eval_count":2,"hotpot":{"j\#
  ob":"8172f2c0fc4a0614","receipt":"35acdea82fc5c3b5","nonce":"0a47db9da2726bd0b9d9948cd54ee80\#
  7bc947d7a7c10b1e97d7ddc7a1bf177ac8e0b5acafc3f3de0e3b5b5a80557b4643de6f0d3f7f7433611b3051534e\#
  30709","nonce_share":"1cc257aaa71fcffa1a56cc5423608b16e5f197df917f28451f6fffddb823cde6782bfa\#
  f218070064aca9cff653b11a39a6f15b8ef70451468d8d9a066bf01dc6","seed":5352266471374728,"amount_\#
  micro":231}}
  """#,
  #"""
  {"id":"chatcmpl-479e72dde4c0fa6f","object":"chat.completion","created":1796078628,"model":"s\#
  mollm2","choices":[{"index":0,"message":{"role":"assistant","content":null,"refusal":null,"t\#
  ool_calls":[{"id":"ohllyax5k","type":"function","function":{"name":"f","arguments":"{\"a\":t\#
  rue}"}}]},"logprobs":null,"finish_reason":"tool_calls"}],"usage":{"prompt_tokens":138,"compl\#
  etion_tokens":29,"total_tokens":167,"prompt_tokens_details":{"cached_tokens":0}},"hotpot":{"\#
  job":"479e72dde4c0fa6f","receipt":"4de693b99ffa0bb6","nonce":"78c72049c2a138ac8f12e054684d7b\#
  24fd4f4043d6e2755ddef1e4cb5e139cbd754e394ecb44eb0713618c1d92f56800f487daa0b67efa11b3d1479741\#
  b6acb5","seed":2279467254664606,"amount_micro":3038,"parser":"hermes-json"}}
  """#,
]

private let requestSeeds = [
  #"""
  {"model":"smollm2","hotpot":{"nonce":"000102030405060708090a0b0c0d0e0f000102030405060708090a\#
  0b0c0d0e0f"},"messages":[{"role":"user","content":"Hi"}],"max_tokens":3,"return_token_ids":t\#
  rue,"seed":5,"temperature":0.8}
  """#,
  #"""
  {"model":"smollm2","hotpot":{"nonce":"000102030405060708090a0b0c0d0e0f000102030405060708090a\#
  0b0c0d0e0f"},"messages":[{"role":"user","content":"Hi"}],"max_tokens":3,"stream":true,"stop"\#
  :["\n\n"],"logprobs":true,"top_logprobs":1}
  """#,
  #"""
  {"model":"smollm2","prompt":"A","max_tokens":2,"logprobs":1,"logit_bias":{"40":-1},"hotpot":\#
  {"receipt":"inline"}}
  """#,
  #"""
  {"model":"smollm2","hotpot":{"nonce":"000102030405060708090a0b0c0d0e0f000102030405060708090a\#
  0b0c0d0e0f"},"messages":[{"role":"user","content":"Hi"}],"system":"Be brief.","max_tokens":2\#
  ,"stream":true}
  """#,
  #"""
  {"model":"smollm2","hotpot":{"nonce":"000102030405060708090a0b0c0d0e0f000102030405060708090a\#
  0b0c0d0e0f"},"input":"Hi","max_output_tokens":2,"return_token_ids":true}
  """#,
  #"""
  {"model":"smollm2","hotpot":{"nonce":"000102030405060708090a0b0c0d0e0f000102030405060708090a\#
  0b0c0d0e0f"},"messages":[{"role":"user","content":"Hi"}],"options":{"num_predict":2,"top_k":\#
  30}}
  """#,
  #"""
  {"model":"smollm2","messages":[{"role":"user","content":"Hi"}],"max_tokens":40,"tool_choice"\#
  :"required","tools":[{"type":"function","function":{"name":"f","parameters":{"type":"object"\#
  ,"properties":{"a":{"type":"boolean"}},"required":["a"]}}}]}
  """#,
]
