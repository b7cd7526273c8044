// device.h: what the files of this target share: the loader, the device and the table of kernels.
#ifndef CV_DEVICE_H
#define CV_DEVICE_H

#include "include/cvulkan.h"
#include "vulkan.h"

enum {
  // submits that may run at a time
  CV_SLOTS = 4,
  // bytes that every device lets launches be told
  CV_MOST_PUSH = 128,
  CV_MOST_CONSTANTS = 5,
};

struct cv_loader {
  void *library;
  VkInstance instance;
  uint32_t count;
  VkPhysicalDevice devices[16];
#define X(result, name, parameters) result(*name) parameters;
  CV_INSTANCE_FUNCTIONS(X)
#undef X
};

struct cv_device {
  const cv_loader *loader;
  VkPhysicalDevice physical;
  VkDevice device;
  VkQueue queue;
  // of queues
  uint32_t family;
  VkPhysicalDeviceMemoryProperties memory;
  bool is_software;
  bool keeps_denormals;
  // whether the built-in fma rounds once
  bool fuses;
  VkPipelineLayout layout;
  VkPipeline pipelines[CV_KERNEL_COUNT];
  VkCommandPool pool;
  VkCommandBuffer buffers[CV_SLOTS];
  // its value is the last ticket whose launches have ended
  VkSemaphore timeline;
  uint64_t last_ticket;
  char problem[CV_REASON];
  // of the self-test
  cv_arena scratch;
#define X(result, name, parameters) result(*name) parameters;
  CV_DEVICE_FUNCTIONS(X)
#undef X
};

// A shader and the constants from number 1 on; number 0 is `fuses`.
typedef struct cv_source {
  const char *name;
  const uint32_t *words;
  size_t count;
  uint32_t constants[CV_MOST_CONSTANTS];
  uint32_t constant_count;
} cv_source;

const cv_source *cv_source_of(cv_kernel kernel);

// The kernel of a function, CV_KERNEL_COUNT if there is none.
cv_kernel cv_function_of(ck_test_function function);

// Sets the problem, if there is none yet.
void cv_fail(cv_device *device, const char *format, ...) __attribute__((format(printf, 2, 3)));

// What a result means, in words.
const char *cv_words_of(VkResult result);

// The pipeline, compiled if it is not yet; 0 if it cannot be.
VkPipeline cv_pipeline(cv_device *device, cv_kernel kernel);
void cv_forget_pipelines(cv_device *device);

#endif
