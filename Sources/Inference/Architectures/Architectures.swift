// Architectures.swift: the table of supported architectures.
//
// To add an architecture:
// 1. Write Architectures/NAME.swift: its list of operations in the order of its paper, as
//    Llama.swift has it. Numbers that only it has are read there too, from `keys`. If the metadata
//    names a feature that the list does not compute, refuse it by name.
// 2. Add its row below. Sizes, packing, phases, barriers, prefetching, fusion and counts follow
//    from the list.
// 3. In ProgramTests add its golden text, in ConformanceTests its digest, in GoldenTests its
//    reference logits; DeviceTests compares it with ReferenceDevice, which is the page in Swift.
//
// An operation that does not exist yet is a file in Operations/ and a case of Operation;
// hotpot-numerics(7) gets its formula, and ReferenceDevice the same in a few lines.

extension Architecture {
  package static let all: [Architecture] = [
    .llama, .qwen2, .qwen3, .gemma2, .gemma3, .smollm3, .granite, .minicpm, .olmo2, .exaone4, .ernie45,
    .hunyuanDense, .phi3, .glm4, .starcoder2, .nemotron, .cohere2, .mistral3, .gemma4,
    .qwen3moe, .qwen2moe, .granitemoe, .ernie45moe, .gptOSS, .glm4moe, .llama4, .deepseek2,
    .qwen35, .lfm2, .falconH1, .qwen35moe, .qwen3next, .museGlimmer, .nemotronH, .nemotronHMoE,
    .gemmaEmbedding,
  ]
}
