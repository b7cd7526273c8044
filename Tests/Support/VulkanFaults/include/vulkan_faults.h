// vulkan_faults.h: the loader's functions with faults on demand: a device that is lost, memory that is
// refused, results with a wrong bit. One thread uses it. Start at vulkan_faults_open.
#ifndef VULKAN_FAULTS_H
#define VULKAN_FAULTS_H

#include <stdbool.h>
#include <stdint.h>

/// Opens "libvulkan.so.1", once. false without it.
bool vulkan_faults_open(void);

/// vkGetInstanceProcAddr, with the functions that fail.
void (*vulkan_faults_find(void *instance, const char *name))(void);

typedef struct vulkan_faults {
  /// Which call from now on has the fault, 1 for the next; 0: none. A submit or a wait that fails says
  /// that the device is lost, and so do all after it, until a device is opened.
  uint32_t submit;
  uint32_t wait;
  uint32_t allocation;
  /// Before this wait from now on returns, the lowest bit of a byte of the memory that was mapped last but
  /// `mapping` is turned.
  uint32_t flip;
  uint32_t mapping;
  uint64_t byte;
} vulkan_faults;

/// What is to fail, and what was counted since the call before: submits, waits and allocations.
void vulkan_faults_set(vulkan_faults faults);
vulkan_faults vulkan_faults_seen(void);

#endif
