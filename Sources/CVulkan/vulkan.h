// vulkan.h: the part of Vulkan's ABI that is used, declared here so that nothing is needed at build
// time. Names, layouts and numbers are those of the specification, version 1.2
// (https://registry.khronos.org/vulkan/specs/1.2/html/). Start at CV_DEVICE_FUNCTIONS.
#ifndef CV_VULKAN_H
#define CV_VULKAN_H

#include <stddef.h>
#include <stdint.h>

typedef struct VkInstance_T *VkInstance;
typedef struct VkPhysicalDevice_T *VkPhysicalDevice;
typedef struct VkDevice_T *VkDevice;
typedef struct VkQueue_T *VkQueue;
typedef struct VkCommandBuffer_T *VkCommandBuffer;
// Handles that are numbers.
typedef uint64_t VkBuffer;
typedef uint64_t VkDeviceMemory;
typedef uint64_t VkSemaphore;
typedef uint64_t VkShaderModule;
typedef uint64_t VkPipeline;
typedef uint64_t VkPipelineLayout;
typedef uint64_t VkPipelineCache;
typedef uint64_t VkCommandPool;

typedef int32_t VkResult;
typedef uint32_t VkBool32;
typedef void (*PFN_vkVoidFunction)(void);

enum {
  VK_SUCCESS = 0,
  VK_TIMEOUT = 2,
  VK_ERROR_OUT_OF_HOST_MEMORY = -1,
  VK_ERROR_OUT_OF_DEVICE_MEMORY = -2,
  VK_ERROR_INITIALIZATION_FAILED = -3,
  VK_ERROR_DEVICE_LOST = -4,
  VK_ERROR_INCOMPATIBLE_DRIVER = -9,
};

// VkStructureType
enum {
  CV_APPLICATION_INFO = 0,
  CV_INSTANCE_CREATE_INFO = 1,
  CV_DEVICE_QUEUE_CREATE_INFO = 2,
  CV_DEVICE_CREATE_INFO = 3,
  CV_SUBMIT_INFO = 4,
  CV_MEMORY_ALLOCATE_INFO = 5,
  CV_SEMAPHORE_CREATE_INFO = 9,
  CV_BUFFER_CREATE_INFO = 12,
  CV_SHADER_MODULE_CREATE_INFO = 16,
  CV_PIPELINE_SHADER_STAGE_CREATE_INFO = 18,
  CV_COMPUTE_PIPELINE_CREATE_INFO = 29,
  CV_PIPELINE_LAYOUT_CREATE_INFO = 30,
  CV_COMMAND_POOL_CREATE_INFO = 39,
  CV_COMMAND_BUFFER_ALLOCATE_INFO = 40,
  CV_COMMAND_BUFFER_BEGIN_INFO = 42,
  CV_MEMORY_BARRIER = 46,
  CV_FEATURES_2 = 1000059000,
  CV_PROPERTIES_2 = 1000059001,
  CV_MEMORY_ALLOCATE_FLAGS_INFO = 1000060000,
  CV_DRIVER_PROPERTIES = 1000196000,
  CV_FLOAT_CONTROLS_PROPERTIES = 1000197000,
  CV_TIMELINE_SEMAPHORE_FEATURES = 1000207000,
  CV_SEMAPHORE_TYPE_CREATE_INFO = 1000207002,
  CV_TIMELINE_SEMAPHORE_SUBMIT_INFO = 1000207003,
  CV_SEMAPHORE_WAIT_INFO = 1000207004,
  CV_BUFFER_DEVICE_ADDRESS_INFO = 1000244001,
  CV_BUFFER_DEVICE_ADDRESS_FEATURES = 1000257000,
};

// Bits and values of the structures below.
enum {
  CV_DEVICE_TYPE_CPU = 4,
  CV_QUEUE_COMPUTE = 2,
  CV_HEAP_DEVICE_LOCAL = 1,
  CV_MEMORY_DEVICE_LOCAL = 1,
  CV_MEMORY_HOST_VISIBLE = 2,
  CV_MEMORY_HOST_COHERENT = 4,
  CV_MEMORY_HOST_CACHED = 8,
  CV_BUFFER_STORAGE = 0x20,
  CV_BUFFER_SHADER_DEVICE_ADDRESS = 0x20000,
  CV_ALLOCATE_DEVICE_ADDRESS = 2,
  CV_STAGE_COMPUTE = 0x20,
  CV_PIPELINE_STAGE_COMPUTE = 0x800,
  CV_PIPELINE_STAGE_HOST = 0x4000,
  CV_ACCESS_SHADER_READ = 0x20,
  CV_ACCESS_SHADER_WRITE = 0x40,
  CV_ACCESS_HOST_READ = 0x2000,
  CV_BIND_COMPUTE = 1,
  CV_SEMAPHORE_TIMELINE = 1,
  CV_POOL_RESETS_BUFFERS = 2,
  CV_ONE_SUBMIT = 1,
};

#define CV_VERSION(major, minor) ((uint32_t)(major) << 22 | (uint32_t)(minor) << 12)

typedef struct VkApplicationInfo {
  uint32_t sType;
  const void *pNext;
  const char *pApplicationName;
  uint32_t applicationVersion;
  const char *pEngineName;
  uint32_t engineVersion;
  uint32_t apiVersion;
} VkApplicationInfo;

typedef struct VkInstanceCreateInfo {
  uint32_t sType;
  const void *pNext;
  uint32_t flags;
  const VkApplicationInfo *pApplicationInfo;
  uint32_t enabledLayerCount;
  const char *const *ppEnabledLayerNames;
  uint32_t enabledExtensionCount;
  const char *const *ppEnabledExtensionNames;
} VkInstanceCreateInfo;

typedef struct VkPhysicalDeviceLimits {
  uint32_t before[54];
  uint32_t maxComputeSharedMemorySize;
  uint32_t maxComputeWorkGroupCount[3];
  uint32_t maxComputeWorkGroupInvocations;
  uint32_t after[67];
} VkPhysicalDeviceLimits;

typedef struct VkPhysicalDeviceProperties {
  uint32_t apiVersion;
  uint32_t driverVersion;
  uint32_t vendorID;
  uint32_t deviceID;
  uint32_t deviceType;
  char deviceName[256];
  uint8_t pipelineCacheUUID[16];
  _Alignas(8) VkPhysicalDeviceLimits limits;
  VkBool32 sparse[5];
} VkPhysicalDeviceProperties;

typedef struct VkPhysicalDeviceProperties2 {
  uint32_t sType;
  void *pNext;
  VkPhysicalDeviceProperties properties;
} VkPhysicalDeviceProperties2;

typedef struct VkPhysicalDeviceDriverProperties {
  uint32_t sType;
  void *pNext;
  uint32_t driverID;
  char driverName[256];
  char driverInfo[256];
  uint8_t conformanceVersion[4];
} VkPhysicalDeviceDriverProperties;

// Of each three: 16, 32 and 64 bits.
typedef struct VkPhysicalDeviceFloatControlsProperties {
  uint32_t sType;
  void *pNext;
  uint32_t denormBehaviorIndependence;
  uint32_t roundingModeIndependence;
  VkBool32 shaderSignedZeroInfNanPreserve[3];
  VkBool32 shaderDenormPreserve[3];
  VkBool32 shaderDenormFlushToZero[3];
  VkBool32 shaderRoundingModeRTE[3];
  VkBool32 shaderRoundingModeRTZ[3];
} VkPhysicalDeviceFloatControlsProperties;

typedef struct VkPhysicalDeviceFeatures2 {
  uint32_t sType;
  void *pNext;
  VkBool32 features[55];
} VkPhysicalDeviceFeatures2;

typedef struct VkPhysicalDeviceBufferDeviceAddressFeatures {
  uint32_t sType;
  void *pNext;
  VkBool32 bufferDeviceAddress;
  VkBool32 bufferDeviceAddressCaptureReplay;
  VkBool32 bufferDeviceAddressMultiDevice;
} VkPhysicalDeviceBufferDeviceAddressFeatures;

typedef struct VkPhysicalDeviceTimelineSemaphoreFeatures {
  uint32_t sType;
  void *pNext;
  VkBool32 timelineSemaphore;
} VkPhysicalDeviceTimelineSemaphoreFeatures;

typedef struct VkMemoryType {
  uint32_t propertyFlags;
  uint32_t heapIndex;
} VkMemoryType;

typedef struct VkMemoryHeap {
  uint64_t size;
  uint32_t flags;
} VkMemoryHeap;

typedef struct VkPhysicalDeviceMemoryProperties {
  uint32_t memoryTypeCount;
  VkMemoryType memoryTypes[32];
  uint32_t memoryHeapCount;
  VkMemoryHeap memoryHeaps[16];
} VkPhysicalDeviceMemoryProperties;

typedef struct VkQueueFamilyProperties {
  uint32_t queueFlags;
  uint32_t queueCount;
  uint32_t timestampValidBits;
  uint32_t minImageTransferGranularity[3];
} VkQueueFamilyProperties;

typedef struct VkDeviceQueueCreateInfo {
  uint32_t sType;
  const void *pNext;
  uint32_t flags;
  uint32_t queueFamilyIndex;
  uint32_t queueCount;
  const float *pQueuePriorities;
} VkDeviceQueueCreateInfo;

typedef struct VkDeviceCreateInfo {
  uint32_t sType;
  const void *pNext;
  uint32_t flags;
  uint32_t queueCreateInfoCount;
  const VkDeviceQueueCreateInfo *pQueueCreateInfos;
  uint32_t enabledLayerCount;
  const char *const *ppEnabledLayerNames;
  uint32_t enabledExtensionCount;
  const char *const *ppEnabledExtensionNames;
  const void *pEnabledFeatures;
} VkDeviceCreateInfo;

typedef struct VkBufferCreateInfo {
  uint32_t sType;
  const void *pNext;
  uint32_t flags;
  uint64_t size;
  uint32_t usage;
  uint32_t sharingMode;
  uint32_t queueFamilyIndexCount;
  const uint32_t *pQueueFamilyIndices;
} VkBufferCreateInfo;

typedef struct VkMemoryRequirements {
  uint64_t size;
  uint64_t alignment;
  uint32_t memoryTypeBits;
} VkMemoryRequirements;

typedef struct VkMemoryAllocateFlagsInfo {
  uint32_t sType;
  const void *pNext;
  uint32_t flags;
  uint32_t deviceMask;
} VkMemoryAllocateFlagsInfo;

typedef struct VkMemoryAllocateInfo {
  uint32_t sType;
  const void *pNext;
  uint64_t allocationSize;
  uint32_t memoryTypeIndex;
} VkMemoryAllocateInfo;

typedef struct VkBufferDeviceAddressInfo {
  uint32_t sType;
  const void *pNext;
  VkBuffer buffer;
} VkBufferDeviceAddressInfo;

typedef struct VkShaderModuleCreateInfo {
  uint32_t sType;
  const void *pNext;
  uint32_t flags;
  size_t codeSize;
  const uint32_t *pCode;
} VkShaderModuleCreateInfo;

typedef struct VkPushConstantRange {
  uint32_t stageFlags;
  uint32_t offset;
  uint32_t size;
} VkPushConstantRange;

typedef struct VkPipelineLayoutCreateInfo {
  uint32_t sType;
  const void *pNext;
  uint32_t flags;
  uint32_t setLayoutCount;
  const void *pSetLayouts;
  uint32_t pushConstantRangeCount;
  const VkPushConstantRange *pPushConstantRanges;
} VkPipelineLayoutCreateInfo;

typedef struct VkSpecializationMapEntry {
  uint32_t constantID;
  uint32_t offset;
  size_t size;
} VkSpecializationMapEntry;

typedef struct VkSpecializationInfo {
  uint32_t mapEntryCount;
  const VkSpecializationMapEntry *pMapEntries;
  size_t dataSize;
  const void *pData;
} VkSpecializationInfo;

typedef struct VkPipelineShaderStageCreateInfo {
  uint32_t sType;
  const void *pNext;
  uint32_t flags;
  uint32_t stage;
  VkShaderModule module;
  const char *pName;
  const VkSpecializationInfo *pSpecializationInfo;
} VkPipelineShaderStageCreateInfo;

typedef struct VkComputePipelineCreateInfo {
  uint32_t sType;
  const void *pNext;
  uint32_t flags;
  VkPipelineShaderStageCreateInfo stage;
  VkPipelineLayout layout;
  VkPipeline basePipelineHandle;
  int32_t basePipelineIndex;
} VkComputePipelineCreateInfo;

typedef struct VkCommandPoolCreateInfo {
  uint32_t sType;
  const void *pNext;
  uint32_t flags;
  uint32_t queueFamilyIndex;
} VkCommandPoolCreateInfo;

typedef struct VkCommandBufferAllocateInfo {
  uint32_t sType;
  const void *pNext;
  VkCommandPool commandPool;
  uint32_t level;
  uint32_t commandBufferCount;
} VkCommandBufferAllocateInfo;

typedef struct VkCommandBufferBeginInfo {
  uint32_t sType;
  const void *pNext;
  uint32_t flags;
  const void *pInheritanceInfo;
} VkCommandBufferBeginInfo;

typedef struct VkMemoryBarrier {
  uint32_t sType;
  const void *pNext;
  uint32_t srcAccessMask;
  uint32_t dstAccessMask;
} VkMemoryBarrier;

typedef struct VkSemaphoreTypeCreateInfo {
  uint32_t sType;
  const void *pNext;
  uint32_t semaphoreType;
  uint64_t initialValue;
} VkSemaphoreTypeCreateInfo;

typedef struct VkSemaphoreCreateInfo {
  uint32_t sType;
  const void *pNext;
  uint32_t flags;
} VkSemaphoreCreateInfo;

typedef struct VkTimelineSemaphoreSubmitInfo {
  uint32_t sType;
  const void *pNext;
  uint32_t waitSemaphoreValueCount;
  const uint64_t *pWaitSemaphoreValues;
  uint32_t signalSemaphoreValueCount;
  const uint64_t *pSignalSemaphoreValues;
} VkTimelineSemaphoreSubmitInfo;

typedef struct VkSubmitInfo {
  uint32_t sType;
  const void *pNext;
  uint32_t waitSemaphoreCount;
  const VkSemaphore *pWaitSemaphores;
  const uint32_t *pWaitDstStageMask;
  uint32_t commandBufferCount;
  const VkCommandBuffer *pCommandBuffers;
  uint32_t signalSemaphoreCount;
  const VkSemaphore *pSignalSemaphores;
} VkSubmitInfo;

typedef struct VkSemaphoreWaitInfo {
  uint32_t sType;
  const void *pNext;
  uint32_t flags;
  uint32_t semaphoreCount;
  const VkSemaphore *pSemaphores;
  const uint64_t *pValues;
} VkSemaphoreWaitInfo;

// X(result, name, parameters)
#define CV_INSTANCE_FUNCTIONS(X)                                                                              \
  X(void, DestroyInstance, (VkInstance, const void *))                                                        \
  X(VkResult, EnumeratePhysicalDevices, (VkInstance, uint32_t *, VkPhysicalDevice *))                         \
  X(void, GetPhysicalDeviceProperties, (VkPhysicalDevice, VkPhysicalDeviceProperties *))                      \
  X(void, GetPhysicalDeviceProperties2, (VkPhysicalDevice, VkPhysicalDeviceProperties2 *))                    \
  X(void, GetPhysicalDeviceFeatures2, (VkPhysicalDevice, VkPhysicalDeviceFeatures2 *))                        \
  X(void, GetPhysicalDeviceMemoryProperties, (VkPhysicalDevice, VkPhysicalDeviceMemoryProperties *))          \
  X(void, GetPhysicalDeviceQueueFamilyProperties, (VkPhysicalDevice, uint32_t *, VkQueueFamilyProperties *))  \
  X(VkResult, CreateDevice, (VkPhysicalDevice, const VkDeviceCreateInfo *, const void *, VkDevice *))         \
  X(PFN_vkVoidFunction, GetDeviceProcAddr, (VkDevice, const char *))

#define CV_DEVICE_FUNCTIONS(X)                                                                                \
  X(void, DestroyDevice, (VkDevice, const void *))                                                            \
  X(VkResult, DeviceWaitIdle, (VkDevice))                                                                     \
  X(void, GetDeviceQueue, (VkDevice, uint32_t, uint32_t, VkQueue *))                                          \
  X(VkResult, CreateBuffer, (VkDevice, const VkBufferCreateInfo *, const void *, VkBuffer *))                 \
  X(void, DestroyBuffer, (VkDevice, VkBuffer, const void *))                                                  \
  X(void, GetBufferMemoryRequirements, (VkDevice, VkBuffer, VkMemoryRequirements *))                          \
  X(VkResult, AllocateMemory, (VkDevice, const VkMemoryAllocateInfo *, const void *, VkDeviceMemory *))       \
  X(void, FreeMemory, (VkDevice, VkDeviceMemory, const void *))                                               \
  X(VkResult, BindBufferMemory, (VkDevice, VkBuffer, VkDeviceMemory, uint64_t))                               \
  X(VkResult, MapMemory, (VkDevice, VkDeviceMemory, uint64_t, uint64_t, uint32_t, void **))                   \
  X(uint64_t, GetBufferDeviceAddress, (VkDevice, const VkBufferDeviceAddressInfo *))                          \
  X(VkResult, CreateShaderModule, (VkDevice, const VkShaderModuleCreateInfo *, const void *, VkShaderModule *)) \
  X(void, DestroyShaderModule, (VkDevice, VkShaderModule, const void *))                                      \
  X(VkResult, CreatePipelineLayout,                                                                           \
    (VkDevice, const VkPipelineLayoutCreateInfo *, const void *, VkPipelineLayout *))                         \
  X(void, DestroyPipelineLayout, (VkDevice, VkPipelineLayout, const void *))                                  \
  X(VkResult, CreateComputePipelines,                                                                         \
    (VkDevice, VkPipelineCache, uint32_t, const VkComputePipelineCreateInfo *, const void *, VkPipeline *))   \
  X(void, DestroyPipeline, (VkDevice, VkPipeline, const void *))                                              \
  X(VkResult, CreateCommandPool, (VkDevice, const VkCommandPoolCreateInfo *, const void *, VkCommandPool *))  \
  X(void, DestroyCommandPool, (VkDevice, VkCommandPool, const void *))                                        \
  X(VkResult, AllocateCommandBuffers, (VkDevice, const VkCommandBufferAllocateInfo *, VkCommandBuffer *))     \
  X(VkResult, BeginCommandBuffer, (VkCommandBuffer, const VkCommandBufferBeginInfo *))                        \
  X(VkResult, EndCommandBuffer, (VkCommandBuffer))                                                            \
  X(void, CmdBindPipeline, (VkCommandBuffer, uint32_t, VkPipeline))                                           \
  X(void, CmdPushConstants,                                                                                   \
    (VkCommandBuffer, VkPipelineLayout, uint32_t, uint32_t, uint32_t, const void *))                          \
  X(void, CmdDispatch, (VkCommandBuffer, uint32_t, uint32_t, uint32_t))                                       \
  X(void, CmdPipelineBarrier,                                                                                 \
    (VkCommandBuffer, uint32_t, uint32_t, uint32_t, uint32_t, const VkMemoryBarrier *, uint32_t,              \
     const void *, uint32_t, const void *))                                                                   \
  X(VkResult, QueueSubmit, (VkQueue, uint32_t, const VkSubmitInfo *, uint64_t))                               \
  X(VkResult, CreateSemaphore, (VkDevice, const VkSemaphoreCreateInfo *, const void *, VkSemaphore *))        \
  X(void, DestroySemaphore, (VkDevice, VkSemaphore, const void *))                                            \
  X(VkResult, WaitSemaphores, (VkDevice, const VkSemaphoreWaitInfo *, uint64_t))

#endif
