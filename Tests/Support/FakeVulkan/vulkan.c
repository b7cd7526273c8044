// vulkan.c: a Vulkan loader with two devices that are none, for tests of what breaks. AT_LOAD and
// AT_DEVICE are what it does when it is opened, and when its first device is: CRASH, HANG or
// REFUSE; else the device lacks what is needed. Start at vkGetInstanceProcAddr.
#include "../../../Sources/CVulkan/vulkan.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define GOOD 0
#define CRASH 1
#define HANG 2
#define REFUSE 3
#ifndef AT_LOAD
#define AT_LOAD GOOD
#endif
#ifndef AT_DEVICE
#define AT_DEVICE GOOD
#endif

static VkResult act(int what) {
  // A signal that is only sent may be blocked.
  if (what == CRASH) *(volatile int *)8 = 1;
  while (what == HANG) pause();
  return what == REFUSE ? VK_ERROR_INITIALIZATION_FAILED : VK_SUCCESS;
}

static struct VkPhysicalDevice_T {
  int number;
} devices[2] = {{0}, {1}};

static VkResult version(uint32_t *version) {
  // Words of a driver's own, which are no message of ours.
  printf("hello from a driver\n");
  fflush(stdout);
  *version = CV_VERSION(1, 3);
  return VK_SUCCESS;
}

static VkResult create(const VkInstanceCreateInfo *info, const void *allocator, VkInstance *instance) {
  *instance = (VkInstance)devices;
  return act(AT_LOAD);
}

static void destroy(VkInstance instance, const void *allocator) {}

static VkResult enumerate(VkInstance instance, uint32_t *count, VkPhysicalDevice *list) {
  *count = 2;
  list[0] = &devices[0];
  list[1] = &devices[1];
  return VK_SUCCESS;
}

static void properties(VkPhysicalDevice device, VkPhysicalDeviceProperties *p) {
  p->apiVersion = CV_VERSION(1, 3) | 7;
  p->deviceType = 2;
  snprintf(p->deviceName, sizeof p->deviceName, "Fake %d", device->number);
  p->limits.maxComputeWorkGroupInvocations = 1024;
  p->limits.maxComputeSharedMemorySize = 32768;
}

static void properties2(VkPhysicalDevice device, VkPhysicalDeviceProperties2 *p) {
  properties(device, &p->properties);
  if (*(uint32_t *)p->pNext == CV_DRIVER_PROPERTIES) {
    VkPhysicalDeviceDriverProperties *driver = p->pNext;
    strcpy(driver->driverName, "fake driver");
    strcpy(driver->driverInfo, "1.0");
  } else {
    VkPhysicalDeviceFloatControlsProperties *controls = p->pNext;
    controls->shaderRoundingModeRTE[1] = controls->shaderSignedZeroInfNanPreserve[1] = 1;
  }
}

static void features(VkPhysicalDevice device, VkPhysicalDeviceFeatures2 *f) {
  VkPhysicalDeviceBufferDeviceAddressFeatures *address = f->pNext;
  VkPhysicalDeviceTimelineSemaphoreFeatures *timeline = address->pNext;
  address->bufferDeviceAddress = 1;
  timeline->timelineSemaphore = device->number == 0;
}

static void memory(VkPhysicalDevice device, VkPhysicalDeviceMemoryProperties *m) {
  m->memoryHeapCount = 2;
  m->memoryHeaps[0] = (VkMemoryHeap){3ull << 30, CV_HEAP_DEVICE_LOCAL};
  m->memoryHeaps[1] = (VkMemoryHeap){64ull << 30, 0};
}

static void queues(VkPhysicalDevice device, uint32_t *count, VkQueueFamilyProperties *q) {
  *count = 1;
  q[0] = (VkQueueFamilyProperties){.queueFlags = CV_QUEUE_COMPUTE, .queueCount = 1};
}

static VkResult open_device(VkPhysicalDevice device, const void *info, const void *allocator, VkDevice *made) {
  *made = (VkDevice)devices;
  return act(AT_DEVICE);
}

static PFN_vkVoidFunction device_function(VkDevice device, const char *name) {
  return NULL;
}

PFN_vkVoidFunction vkGetInstanceProcAddr(VkInstance instance, const char *name) {
  static const struct {
    const char *name;
    void *function;
  } all[] = {
      {"vkEnumerateInstanceVersion", version},
      {"vkCreateInstance", create},
      {"vkDestroyInstance", destroy},
      {"vkEnumeratePhysicalDevices", enumerate},
      {"vkGetPhysicalDeviceProperties", properties},
      {"vkGetPhysicalDeviceProperties2", properties2},
      {"vkGetPhysicalDeviceFeatures2", features},
      {"vkGetPhysicalDeviceMemoryProperties", memory},
      {"vkGetPhysicalDeviceQueueFamilyProperties", queues},
      {"vkCreateDevice", open_device},
      {"vkGetDeviceProcAddr", device_function},
  };
  for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
    if (strcmp(all[i].name, name) == 0) return (PFN_vkVoidFunction)all[i].function;
  }
  return NULL;
}
