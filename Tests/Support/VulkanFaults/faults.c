// faults.c: the functions that are wrapped; their types are Vulkan's as far as they are used.
#include "vulkan_faults.h"

#include <dlfcn.h>
#include <stddef.h>
#include <string.h>

enum { OUT_OF_DEVICE_MEMORY = -2, DEVICE_LOST = -4, MOST_MAPPINGS = 64 };

typedef void (*function)(void);
typedef function (*finder)(void *, const char *);

static finder real_find;
static finder real_device_find;
static int32_t (*real_create)(void *, const void *, const void *, void *);
static int32_t (*real_submit)(void *, uint32_t, const void *, uint64_t);
static int32_t (*real_wait)(void *, const void *, uint64_t);
static int32_t (*real_allocate)(void *, const void *, const void *, uint64_t *);
static int32_t (*real_map)(void *, uint64_t, uint64_t, uint64_t, uint32_t, void **);
static vulkan_faults wanted;
static vulkan_faults seen;
static bool is_lost;
static uint8_t *mappings[MOST_MAPPINGS];
static uint32_t mapping_count;

void vulkan_faults_set(vulkan_faults faults) {
  wanted = faults;
  seen = (vulkan_faults){0};
}

vulkan_faults vulkan_faults_seen(void) {
  return seen;
}

static int32_t create(void *physical, const void *info, const void *allocator, void *device) {
  is_lost = false;
  mapping_count = 0;
  return real_create(physical, info, allocator, device);
}

static int32_t submit(void *queue, uint32_t count, const void *submits, uint64_t fence) {
  if (++seen.submit == wanted.submit) is_lost = true;
  return is_lost ? DEVICE_LOST : real_submit(queue, count, submits, fence);
}

static int32_t wait_for(void *device, const void *info, uint64_t timeout) {
  // What was started ends, so that its memory can be freed.
  int32_t result = real_wait(device, info, timeout);
  if (++seen.wait == wanted.wait) is_lost = true;
  if (seen.wait == wanted.flip && wanted.mapping < mapping_count) {
    mappings[mapping_count - 1 - wanted.mapping][wanted.byte] ^= 1;
  }
  return is_lost ? DEVICE_LOST : result;
}

static int32_t allocate(void *device, const void *info, const void *allocator, uint64_t *memory) {
  if (++seen.allocation == wanted.allocation) return OUT_OF_DEVICE_MEMORY;
  return real_allocate(device, info, allocator, memory);
}

static int32_t map(void *device, uint64_t memory, uint64_t offset, uint64_t size, uint32_t flags, void **data) {
  int32_t result = real_map(device, memory, offset, size, flags, data);
  if (result == 0 && mapping_count < MOST_MAPPINGS) mappings[mapping_count++] = *data;
  return result;
}

static function device_find(void *device, const char *name) {
  function found = real_device_find(device, name);
  if (strcmp(name, "vkQueueSubmit") == 0) {
    *(function *)&real_submit = found;
    return (function)submit;
  }
  if (strcmp(name, "vkWaitSemaphores") == 0) {
    *(function *)&real_wait = found;
    return (function)wait_for;
  }
  if (strcmp(name, "vkAllocateMemory") == 0) {
    *(function *)&real_allocate = found;
    return (function)allocate;
  }
  if (strcmp(name, "vkMapMemory") == 0) {
    *(function *)&real_map = found;
    return (function)map;
  }
  return found;
}

bool vulkan_faults_open(void) {
  if (real_find != NULL) return true;
  void *library = dlopen("libvulkan.so.1", RTLD_NOW | RTLD_LOCAL);
  if (library == NULL) return false;
  *(void **)&real_find = dlsym(library, "vkGetInstanceProcAddr");
  return real_find != NULL;
}

void (*vulkan_faults_find(void *instance, const char *name))(void) {
  function found = real_find(instance, name);
  if (strcmp(name, "vkGetDeviceProcAddr") == 0) {
    *(function *)&real_device_find = found;
    return (function)device_find;
  }
  if (strcmp(name, "vkCreateDevice") == 0) {
    *(function *)&real_create = found;
    return (function)create;
  }
  return found;
}
