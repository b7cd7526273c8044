// device.c: the loader, its devices, what a device must have, its memory and its submits. What the
// numbers mean is in vulkan.h. Start at cv_load.
#include "device.h"

#include <dlfcn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
  // what the kernels of kernels.c declare at most
  WORKGROUP = 128,
  SHARED_MEMORY = 16384,
};

const char *cv_words_of(VkResult result) {
  switch (result) {
    case VK_ERROR_OUT_OF_HOST_MEMORY: return "there is not enough memory";
    case VK_ERROR_OUT_OF_DEVICE_MEMORY: return "the device has not enough memory";
    case VK_ERROR_INITIALIZATION_FAILED: return "the driver could not start";
    case VK_ERROR_DEVICE_LOST: return "the device was lost";
    case VK_ERROR_INCOMPATIBLE_DRIVER: return "there is no driver for a device of this machine";
    default: return "the driver refused";
  }
}

void cv_fail(cv_device *device, const char *format, ...) {
  if (device->problem[0] != 0) return;
  va_list list;
  va_start(list, format);
  vsnprintf(device->problem, sizeof device->problem, format, list);
  va_end(list);
}

const char *cv_problem(const cv_device *device) {
  return device->problem;
}

// ---------------------------------------------------------------- the loader

static cv_loader *load(cv_finder find, const char *path, char reason[CV_REASON]) {
  VkResult (*version_of)(uint32_t *) = NULL;
  VkResult (*create)(const VkInstanceCreateInfo *, const void *, VkInstance *) = NULL;
  if (find != NULL) {
    *(PFN_vkVoidFunction *)&version_of = find(NULL, "vkEnumerateInstanceVersion");
    *(PFN_vkVoidFunction *)&create = find(NULL, "vkCreateInstance");
  }
  uint32_t version = 0;
  if (create == NULL || version_of == NULL || version_of(&version) != VK_SUCCESS || version < CV_VERSION(1, 2)) {
    snprintf(reason, CV_REASON, "%s is no Vulkan loader of version 1.2 or later", path);
    return NULL;
  }
  VkApplicationInfo application = {
      .sType = CV_APPLICATION_INFO, .pApplicationName = "hotpot", .apiVersion = CV_VERSION(1, 2)};
  VkInstanceCreateInfo info = {.sType = CV_INSTANCE_CREATE_INFO, .pApplicationInfo = &application};
  VkInstance instance = NULL;
  VkResult result = create(&info, NULL, &instance);
  cv_loader *loader = result == VK_SUCCESS ? calloc(1, sizeof *loader) : NULL;
  if (loader == NULL) {
    snprintf(reason, CV_REASON, "Vulkan does not start: %s (%d)", cv_words_of(result), result);
    return NULL;
  }
  loader->instance = instance;
  bool has_all = true;
#define X(result, name, parameters)                                        \
  *(PFN_vkVoidFunction *)&loader->name = find(instance, "vk" #name);       \
  has_all = has_all && loader->name != NULL;
  CV_INSTANCE_FUNCTIONS(X)
#undef X
  if (!has_all) {
    snprintf(reason, CV_REASON, "%s lacks functions of Vulkan 1.2", path);
    cv_unload(loader);
    return NULL;
  }
  loader->count = sizeof loader->devices / sizeof *loader->devices;
  result = loader->EnumeratePhysicalDevices(instance, &loader->count, loader->devices);
  // A positive result says that there are more devices than room.
  if (result < 0 || loader->count == 0) {
    snprintf(
        reason, CV_REASON, "Vulkan has no device: %s", result < 0 ? cv_words_of(result) : "no driver is installed");
    cv_unload(loader);
    return NULL;
  }
  return loader;
}

cv_loader *cv_load(const char *path, char reason[CV_REASON]) {
  void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  if (library == NULL) {
    const char *words = dlerror();
    snprintf(reason, CV_REASON, "Vulkan's loader cannot be opened: %s", words == NULL ? path : words);
    return NULL;
  }
  cv_finder find;
  *(void **)&find = dlsym(library, "vkGetInstanceProcAddr");
  cv_loader *loader = load(find, path, reason);
  if (loader == NULL) {
    dlclose(library);
  } else {
    loader->library = library;
  }
  return loader;
}

cv_loader *cv_load_from(cv_finder find, char reason[CV_REASON]) {
  return load(find, "what was given", reason);
}

void cv_unload(cv_loader *loader) {
  if (loader->DestroyInstance != NULL) loader->DestroyInstance(loader->instance, NULL);
  if (loader->library != NULL) dlclose(loader->library);
  free(loader);
}

uint32_t cv_count(const cv_loader *loader) {
  return loader->count;
}

void cv_describe(const cv_loader *loader, uint32_t index, cv_facts *facts) {
  memset(facts, 0, sizeof *facts);
  if (index >= loader->count) return;
  VkPhysicalDevice physical = loader->devices[index];
  VkPhysicalDeviceProperties properties;
  memset(&properties, 0, sizeof properties);
  loader->GetPhysicalDeviceProperties(physical, &properties);
  uint32_t version = properties.apiVersion;
  snprintf(facts->name, sizeof facts->name, "%.255s", properties.deviceName);
  snprintf(
      facts->api, sizeof facts->api, "Vulkan %u.%u.%u", version >> 22 & 127, version >> 12 & 1023, version & 4095);
  facts->is_software = properties.deviceType == CV_DEVICE_TYPE_CPU;
  if (version >= CV_VERSION(1, 2)) {
    VkPhysicalDeviceDriverProperties driver = {.sType = CV_DRIVER_PROPERTIES};
    VkPhysicalDeviceProperties2 all = {.sType = CV_PROPERTIES_2, .pNext = &driver};
    loader->GetPhysicalDeviceProperties2(physical, &all);
    const char *space = driver.driverInfo[0] != 0 ? " " : "";
    snprintf(facts->driver, sizeof facts->driver, "%.255s%s%.255s", driver.driverName, space, driver.driverInfo);
  }
  VkPhysicalDeviceMemoryProperties memory = {0};
  loader->GetPhysicalDeviceMemoryProperties(physical, &memory);
  for (uint32_t i = 0; i < memory.memoryHeapCount && i < 16; i++) {
    if (memory.memoryHeaps[i].flags & CV_HEAP_DEVICE_LOCAL) facts->memory += memory.memoryHeaps[i].size;
  }
}

// ---------------------------------------------------------------- opening a device

// What the kernels need, in the order in which it is asked for.
static bool meets_needs(const cv_loader *loader, cv_device *device, bool allows_software) {
  VkPhysicalDevice physical = device->physical;
  VkPhysicalDeviceProperties properties;
  memset(&properties, 0, sizeof properties);
  loader->GetPhysicalDeviceProperties(physical, &properties);
  device->is_software = properties.deviceType == CV_DEVICE_TYPE_CPU;
  if (device->is_software && !allows_software) {
    cv_fail(device, "it is software on the processors, which compute faster themselves; HOTPOT_VULKAN_CPU=1 lets tests use it");
    return false;
  }
  if (properties.apiVersion < CV_VERSION(1, 2)) {
    cv_fail(device, "it has Vulkan %u.%u, 1.2 is needed", properties.apiVersion >> 22 & 127, properties.apiVersion >> 12 & 1023);
    return false;
  }
  const VkPhysicalDeviceLimits *limits = &properties.limits;
  if (limits->maxComputeWorkGroupInvocations < WORKGROUP || limits->maxComputeSharedMemorySize < SHARED_MEMORY) {
    cv_fail(
        device, "its workgroups have %u threads and %u bytes, %d and %d are needed",
        limits->maxComputeWorkGroupInvocations, limits->maxComputeSharedMemorySize, WORKGROUP, SHARED_MEMORY);
    return false;
  }
  VkPhysicalDeviceFloatControlsProperties controls = {.sType = CV_FLOAT_CONTROLS_PROPERTIES};
  VkPhysicalDeviceProperties2 all = {.sType = CV_PROPERTIES_2, .pNext = &controls};
  loader->GetPhysicalDeviceProperties2(physical, &all);
  VkPhysicalDeviceTimelineSemaphoreFeatures timeline = {.sType = CV_TIMELINE_SEMAPHORE_FEATURES};
  VkPhysicalDeviceBufferDeviceAddressFeatures address = {
      .sType = CV_BUFFER_DEVICE_ADDRESS_FEATURES, .pNext = &timeline};
  VkPhysicalDeviceFeatures2 features = {.sType = CV_FEATURES_2, .pNext = &address};
  loader->GetPhysicalDeviceFeatures2(physical, &features);
  const struct {
    VkBool32 is_there;
    const char *name;
  } needs[] = {
      {address.bufferDeviceAddress, "bufferDeviceAddress"},
      {timeline.timelineSemaphore, "timelineSemaphore"},
      {controls.shaderRoundingModeRTE[1], "shaderRoundingModeRTEFloat32"},
      {controls.shaderSignedZeroInfNanPreserve[1], "shaderSignedZeroInfNanPreserveFloat32"},
  };
  for (size_t i = 0; i < sizeof needs / sizeof *needs; i++) {
    if (needs[i].is_there) continue;
    cv_fail(device, "it lacks %s", needs[i].name);
    return false;
  }
  device->keeps_denormals = controls.shaderDenormPreserve[1] != 0;
  return true;
}

// Whether a result is good; if not, the problem says what failed.
static bool is_good(cv_device *device, VkResult result, const char *what) {
  if (result == VK_SUCCESS) return true;
  cv_fail(device, "%s: %s (%d)", what, cv_words_of(result), result);
  return false;
}

static bool start(const cv_loader *loader, cv_device *device) {
  VkQueueFamilyProperties families[16] = {0};
  uint32_t count = 16;
  loader->GetPhysicalDeviceQueueFamilyProperties(device->physical, &count, families);
  uint32_t family = 0;
  while (family < count && !(families[family].queueFlags & CV_QUEUE_COMPUTE && families[family].queueCount > 0)) family++;
  if (family == count) {
    cv_fail(device, "it has no queue that computes");
    return false;
  }
  float priority = 1;
  VkDeviceQueueCreateInfo queue = {
      .sType = CV_DEVICE_QUEUE_CREATE_INFO,
      .queueFamilyIndex = family,
      .queueCount = 1,
      .pQueuePriorities = &priority,
  };
  VkPhysicalDeviceTimelineSemaphoreFeatures timeline = {
      .sType = CV_TIMELINE_SEMAPHORE_FEATURES, .timelineSemaphore = 1};
  VkPhysicalDeviceBufferDeviceAddressFeatures address = {
      .sType = CV_BUFFER_DEVICE_ADDRESS_FEATURES, .pNext = &timeline, .bufferDeviceAddress = 1};
  VkDeviceCreateInfo info = {
      .sType = CV_DEVICE_CREATE_INFO, .pNext = &address, .queueCreateInfoCount = 1, .pQueueCreateInfos = &queue};
  VkResult result = loader->CreateDevice(device->physical, &info, NULL, &device->device);
  if (!is_good(device, result, "it cannot be opened")) {
    device->device = NULL;
    return false;
  }
#define X(result, name, parameters)                                                             \
  *(PFN_vkVoidFunction *)&device->name = loader->GetDeviceProcAddr(device->device, "vk" #name); \
  if (device->name == NULL) cv_fail(device, "its driver lacks vk" #name);
  CV_DEVICE_FUNCTIONS(X)
#undef X
  if (device->problem[0] != 0) return false;
  device->family = family;
  device->GetDeviceQueue(device->device, family, 0, &device->queue);
  loader->GetPhysicalDeviceMemoryProperties(device->physical, &device->memory);
  VkPushConstantRange range = {CV_STAGE_COMPUTE, 0, CV_MOST_PUSH};
  VkPipelineLayoutCreateInfo layout = {
      .sType = CV_PIPELINE_LAYOUT_CREATE_INFO, .pushConstantRangeCount = 1, .pPushConstantRanges = &range};
  return is_good(device, device->CreatePipelineLayout(device->device, &layout, NULL, &device->layout), "its layout");
}

// What submits need, made with the first of them: compiling needs none of it.
static bool has_commands(cv_device *device) {
  if (device->buffers[0] != NULL) return true;
  VkCommandPoolCreateInfo pool = {
      .sType = CV_COMMAND_POOL_CREATE_INFO, .flags = CV_POOL_RESETS_BUFFERS, .queueFamilyIndex = device->family};
  VkSemaphoreTypeCreateInfo type = {.sType = CV_SEMAPHORE_TYPE_CREATE_INFO, .semaphoreType = CV_SEMAPHORE_TIMELINE};
  VkSemaphoreCreateInfo semaphore = {.sType = CV_SEMAPHORE_CREATE_INFO, .pNext = &type};
  if (!is_good(device, device->CreateSemaphore(device->device, &semaphore, NULL, &device->timeline), "its timeline")
      || !is_good(device, device->CreateCommandPool(device->device, &pool, NULL, &device->pool), "its commands")) {
    return false;
  }
  VkCommandBufferAllocateInfo buffers = {
      .sType = CV_COMMAND_BUFFER_ALLOCATE_INFO, .commandPool = device->pool, .commandBufferCount = CV_SLOTS};
  return is_good(device, device->AllocateCommandBuffers(device->device, &buffers, device->buffers), "its commands");
}

cv_device *cv_open(cv_loader *loader, uint32_t index, bool allows_software, char reason[CV_REASON]) {
  cv_device *device = calloc(1, sizeof *device);
  if (device == NULL || index >= loader->count) {
    snprintf(reason, CV_REASON, "%s", device == NULL ? "there is not enough memory" : "there is no such device");
    free(device);
    return NULL;
  }
  device->loader = loader;
  device->physical = loader->devices[index];
  device->fuses = true;
  if (meets_needs(loader, device, allows_software) && start(loader, device)) return device;
  snprintf(reason, CV_REASON, "%s", device->problem);
  cv_close(device);
  return NULL;
}

void cv_close(cv_device *device) {
  // A function is absent where the driver lacks one; then nothing was made.
  if (device->device != NULL && device->layout != 0) {
    device->DeviceWaitIdle(device->device);
    cv_arena_free(device, &device->scratch);
    cv_forget_pipelines(device);
    if (device->pool != 0) device->DestroyCommandPool(device->device, device->pool, NULL);
    if (device->timeline != 0) device->DestroySemaphore(device->device, device->timeline, NULL);
    device->DestroyPipelineLayout(device->device, device->layout, NULL);
  }
  if (device->device != NULL && device->DestroyDevice != NULL) device->DestroyDevice(device->device, NULL);
  free(device);
}

// ---------------------------------------------------------------- memory

// The type that the processor reads fastest, or of CV_OWN one of the device's that the processor does
// not see, if there is one; the number of types if there is none.
static uint32_t memory_type(const cv_device *device, uint32_t allowed, cv_memory memory) {
  for (int hidden = 1; memory == CV_OWN && hidden >= 0; hidden--) {
    for (uint32_t i = 0; i < device->memory.memoryTypeCount && i < 32; i++) {
      uint32_t flags = device->memory.memoryTypes[i].propertyFlags;
      if (!(allowed >> i & 1) || !(flags & CV_MEMORY_DEVICE_LOCAL)) continue;
      if (!hidden || !(flags & CV_MEMORY_HOST_VISIBLE)) return i;
    }
  }
  const uint32_t needed = CV_MEMORY_HOST_VISIBLE | CV_MEMORY_HOST_COHERENT;
  for (int cached = 1; cached >= 0; cached--) {
    uint32_t wanted = cached ? needed | CV_MEMORY_HOST_CACHED : needed;
    for (uint32_t i = 0; i < device->memory.memoryTypeCount && i < 32; i++) {
      if (allowed >> i & 1 && (device->memory.memoryTypes[i].propertyFlags & wanted) == wanted) return i;
    }
  }
  return device->memory.memoryTypeCount;
}

bool cv_arena_make(cv_device *device, uint64_t size, cv_memory kind, cv_arena *arena) {
  if (device->problem[0] != 0) return false;
  *arena = (cv_arena){.size = size};
  VkBuffer buffer = 0;
  VkDeviceMemory memory = 0;
  VkBufferCreateInfo info = {
      .sType = CV_BUFFER_CREATE_INFO, .size = size, .usage = CV_BUFFER_STORAGE | CV_BUFFER_SHADER_DEVICE_ADDRESS};
  bool is_made = is_good(device, device->CreateBuffer(device->device, &info, NULL, &buffer), "its memory");
  if (is_made) {
    VkMemoryRequirements needs = {0};
    device->GetBufferMemoryRequirements(device->device, buffer, &needs);
    uint32_t type = memory_type(device, needs.memoryTypeBits, kind);
    VkMemoryAllocateFlagsInfo flags = {.sType = CV_MEMORY_ALLOCATE_FLAGS_INFO, .flags = CV_ALLOCATE_DEVICE_ADDRESS};
    VkMemoryAllocateInfo allocation = {
        .sType = CV_MEMORY_ALLOCATE_INFO, .pNext = &flags, .allocationSize = needs.size, .memoryTypeIndex = type};
    if (type == device->memory.memoryTypeCount) {
      cv_fail(device, kind == CV_OWN ? "it has no memory of its own" : "it has no memory that the processor sees");
      is_made = false;
    } else {
      void *bytes = NULL;
      is_made = is_good(device, device->AllocateMemory(device->device, &allocation, NULL, &memory), "its memory")
          && is_good(device, device->BindBufferMemory(device->device, buffer, memory, 0), "its memory")
          && (kind == CV_OWN || is_good(device, device->MapMemory(device->device, memory, 0, size, 0, &bytes), "its memory"));
      arena->bytes = bytes;
    }
  }
  arena->handles[0] = buffer;
  arena->handles[1] = memory;
  if (is_made) {
    VkBufferDeviceAddressInfo address = {.sType = CV_BUFFER_DEVICE_ADDRESS_INFO, .buffer = buffer};
    arena->address = device->GetBufferDeviceAddress(device->device, &address);
    return true;
  }
  cv_arena_free(device, arena);
  return false;
}

void cv_arena_free(cv_device *device, cv_arena *arena) {
  if (arena->handles[0] != 0) device->DestroyBuffer(device->device, arena->handles[0], NULL);
  if (arena->handles[1] != 0) device->FreeMemory(device->device, arena->handles[1], NULL);
  *arena = (cv_arena){0};
}

// ---------------------------------------------------------------- submits

// Nothing is asked of a device after it was lost.
static bool is_done(cv_device *device, VkResult result, const char *what) {
  if (result == VK_ERROR_DEVICE_LOST) cv_fail(device, "the device was lost");
  return is_good(device, result, what);
}

uint64_t cv_submit(cv_device *device, const cv_dispatch *dispatches, uint32_t count) {
  if (device->problem[0] != 0) return 0;
  for (uint32_t i = 0; i < count; i++) {
    if (dispatches[i].push_bytes > CV_MOST_PUSH || dispatches[i].push_bytes % 4 != 0) {
      cv_fail(
          device, "kernel %s is told %u bytes, %d are the most", cv_kernel_name(dispatches[i].kernel),
          dispatches[i].push_bytes, CV_MOST_PUSH);
      return 0;
    }
    if (cv_pipeline(device, dispatches[i].kernel) == 0) return 0;
  }
  if (!has_commands(device)) return 0;
  uint64_t ticket = device->last_ticket + 1;
  VkCommandBuffer buffer = device->buffers[ticket % CV_SLOTS];
  // The slot's last launches must have ended.
  if (ticket > CV_SLOTS && cv_wait(device, ticket - CV_SLOTS, UINT64_MAX) != CV_DONE) return 0;
  VkCommandBufferBeginInfo begin = {.sType = CV_COMMAND_BUFFER_BEGIN_INFO, .flags = CV_ONE_SUBMIT};
  if (!is_done(device, device->BeginCommandBuffer(buffer, &begin), "its commands")) return 0;
  VkMemoryBarrier barrier = {
      .sType = CV_MEMORY_BARRIER,
      .srcAccessMask = CV_ACCESS_SHADER_WRITE,
      .dstAccessMask = CV_ACCESS_SHADER_READ | CV_ACCESS_SHADER_WRITE,
  };
  for (uint32_t i = 0; i < count; i++) {
    const cv_dispatch *one = &dispatches[i];
    device->CmdPipelineBarrier(
        buffer, CV_PIPELINE_STAGE_COMPUTE, CV_PIPELINE_STAGE_COMPUTE, 0, 1, &barrier, 0, NULL, 0, NULL);
    device->CmdBindPipeline(buffer, CV_BIND_COMPUTE, device->pipelines[one->kernel]);
    device->CmdPushConstants(buffer, device->layout, CV_STAGE_COMPUTE, 0, one->push_bytes, one->push);
    device->CmdDispatch(buffer, one->grid[0], one->grid[1], one->grid[2]);
  }
  barrier.dstAccessMask = CV_ACCESS_HOST_READ;
  device->CmdPipelineBarrier(
      buffer, CV_PIPELINE_STAGE_COMPUTE, CV_PIPELINE_STAGE_HOST, 0, 1, &barrier, 0, NULL, 0, NULL);
  if (!is_done(device, device->EndCommandBuffer(buffer), "its commands")) return 0;
  VkTimelineSemaphoreSubmitInfo values = {
      .sType = CV_TIMELINE_SEMAPHORE_SUBMIT_INFO, .signalSemaphoreValueCount = 1, .pSignalSemaphoreValues = &ticket};
  VkSubmitInfo submit = {
      .sType = CV_SUBMIT_INFO,
      .pNext = &values,
      .commandBufferCount = 1,
      .pCommandBuffers = &buffer,
      .signalSemaphoreCount = 1,
      .pSignalSemaphores = &device->timeline,
  };
  if (!is_done(device, device->QueueSubmit(device->queue, 1, &submit, 0), "a submit")) return 0;
  device->last_ticket = ticket;
  return ticket;
}

cv_outcome cv_wait(cv_device *device, uint64_t ticket, uint64_t nanoseconds) {
  if (ticket == 0 || ticket > device->last_ticket || device->problem[0] != 0) return CV_FAILED;
  VkSemaphoreWaitInfo info = {
      .sType = CV_SEMAPHORE_WAIT_INFO, .semaphoreCount = 1, .pSemaphores = &device->timeline, .pValues = &ticket};
  VkResult result = device->WaitSemaphores(device->device, &info, nanoseconds);
  if (result == VK_TIMEOUT) return CV_LATE;
  return is_done(device, result, "waiting") ? CV_DONE : CV_FAILED;
}
