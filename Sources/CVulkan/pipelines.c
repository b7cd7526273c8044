// pipelines.c: shaders with the float modes of a device, and pipelines of them. Words are those of
// words.h, so they are well formed. Start at cv_pipeline.
#include "device.h"

#include <stdlib.h>
#include <string.h>

// Numbers of the SPIR-V specification: instructions, and capabilities with their execution modes.
enum {
  OP_ENTRY_POINT = 15,
  OP_EXECUTION_MODE = 16,
  OP_CAPABILITY = 17,
  HEADER = 5,
  DENORM_PRESERVE = 4464,
  DENORM_PRESERVE_MODE = 4459,
  SIGNED_ZERO_INF_NAN_PRESERVE = 4466,
  SIGNED_ZERO_INF_NAN_PRESERVE_MODE = 4461,
  ROUNDING_MODE_RTE = 4467,
  ROUNDING_MODE_RTE_MODE = 4462,
};

// The words with the modes that the device has, for 32 bits: capabilities come first, modes behind
// the entry point. The result is the caller's to free; NULL without memory.
static uint32_t *with_modes(const cv_device *device, const cv_source *source, size_t *count) {
  uint32_t modes[3][2] = {
      {SIGNED_ZERO_INF_NAN_PRESERVE, SIGNED_ZERO_INF_NAN_PRESERVE_MODE},
      {ROUNDING_MODE_RTE, ROUNDING_MODE_RTE_MODE},
      {DENORM_PRESERVE, DENORM_PRESERVE_MODE},
  };
  size_t used = device->keeps_denormals ? 3 : 2;
  uint32_t *words = malloc((source->count + used * 6) * sizeof *words);
  if (words == NULL) return NULL;
  memcpy(words, source->words, HEADER * sizeof *words);
  size_t to = HEADER;
  uint32_t entry = 0;
  bool has_capabilities = false;
  bool has_modes = false;
  for (size_t from = HEADER; from < source->count;) {
    uint32_t opcode = source->words[from] & 0xffff;
    uint32_t length = source->words[from] >> 16;
    if (!has_capabilities && opcode != OP_CAPABILITY) {
      for (size_t i = 0; i < used; i++) {
        words[to++] = 2 << 16 | OP_CAPABILITY;
        words[to++] = modes[i][0];
      }
      has_capabilities = true;
    }
    if (opcode == OP_ENTRY_POINT) {
      entry = source->words[from + 2];
    } else if (entry != 0 && !has_modes) {
      for (size_t i = 0; i < used; i++) {
        words[to++] = 4 << 16 | OP_EXECUTION_MODE;
        words[to++] = entry;
        words[to++] = modes[i][1];
        words[to++] = 32;
      }
      has_modes = true;
    }
    memcpy(words + to, source->words + from, length * sizeof *words);
    to += length;
    from += length;
  }
  *count = to;
  return words;
}

VkPipeline cv_pipeline(cv_device *device, cv_kernel kernel) {
  if (kernel >= CV_KERNEL_COUNT) return 0;
  if (device->pipelines[kernel] != 0) return device->pipelines[kernel];
  const cv_source *source = cv_source_of(kernel);
  size_t count = 0;
  uint32_t *words = with_modes(device, source, &count);
  if (words == NULL) {
    cv_fail(device, "there is not enough memory");
    return 0;
  }
  VkShaderModuleCreateInfo info = {
      .sType = CV_SHADER_MODULE_CREATE_INFO, .codeSize = count * sizeof *words, .pCode = words};
  VkShaderModule module = 0;
  VkResult result = device->CreateShaderModule(device->device, &info, NULL, &module);
  free(words);
  if (result != VK_SUCCESS) {
    cv_fail(device, "kernel %s was not accepted: %s (%d)", source->name, cv_words_of(result), result);
    return 0;
  }
  uint32_t constants[1 + CV_MOST_CONSTANTS] = {device->fuses ? 1 : 0};
  VkSpecializationMapEntry entries[1 + CV_MOST_CONSTANTS];
  memcpy(constants + 1, source->constants, sizeof source->constants);
  uint32_t used = 1 + source->constant_count;
  for (uint32_t i = 0; i < used; i++) entries[i] = (VkSpecializationMapEntry){i, i * 4, 4};
  VkSpecializationInfo specialization = {used, entries, used * sizeof *constants, constants};
  VkComputePipelineCreateInfo pipeline = {
      .sType = CV_COMPUTE_PIPELINE_CREATE_INFO,
      .stage =
          {
              .sType = CV_PIPELINE_SHADER_STAGE_CREATE_INFO,
              .stage = CV_STAGE_COMPUTE,
              .module = module,
              .pName = "main",
              .pSpecializationInfo = &specialization,
          },
      .layout = device->layout,
  };
  result = device->CreateComputePipelines(device->device, 0, 1, &pipeline, NULL, &device->pipelines[kernel]);
  device->DestroyShaderModule(device->device, module, NULL);
  if (result != VK_SUCCESS) {
    device->pipelines[kernel] = 0;
    cv_fail(device, "kernel %s cannot be compiled: %s (%d)", source->name, cv_words_of(result), result);
  }
  return device->pipelines[kernel];
}

void cv_forget_pipelines(cv_device *device) {
  for (int i = 0; i < CV_KERNEL_COUNT; i++) {
    if (device->pipelines[i] != 0) device->DestroyPipeline(device->device, device->pipelines[i], NULL);
    device->pipelines[i] = 0;
  }
}
