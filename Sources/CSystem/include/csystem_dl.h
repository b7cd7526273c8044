// csystem_dl.h: the part of NVIDIA's management library (NVML) that is read, opened at run time, never linked.
// Names, layouts and numbers are the library's published ABI (nvml.h, API version 13). Leaves out what the figures
// mean. Start at csystem_nvml_open.
#ifndef CSYSTEM_DL_H
#define CSYSTEM_DL_H

#include <stddef.h>

typedef struct csystem_nvml_device *csystem_nvml_device;

typedef struct {
  unsigned gpu, memory;  // percent of the last sample period
} csystem_nvml_utilization;

typedef struct {
  unsigned long long total, free, used;  // bytes; `used` holds what the driver keeps for itself
} csystem_nvml_memory;

typedef struct {
  unsigned version;  // CSYSTEM_NVML_MEMORY_V2
  unsigned long long total, reserved, free, used;
} csystem_nvml_memory_v2;

typedef struct {
  unsigned pid;
  unsigned long long used;  // bytes; all ones where it is not known
  unsigned gpu_instance, compute_instance;
} csystem_nvml_process;

static const unsigned CSYSTEM_NVML_MEMORY_V2 = sizeof(csystem_nvml_memory_v2) | (2u << 24);

// The functions, each NULL where the library has none of that name. All return 0 or an error number of NVML's.
typedef struct {
  void *library;
  int (*init)(void);
  int (*shutdown)(void);
  int (*count)(unsigned *count);
  int (*handle)(unsigned index, csystem_nvml_device *device);
  int (*name)(csystem_nvml_device device, char *name, unsigned length);
  int (*utilization)(csystem_nvml_device device, csystem_nvml_utilization *utilization);
  int (*memory)(csystem_nvml_device device, csystem_nvml_memory *memory);
  int (*memory_v2)(csystem_nvml_device device, csystem_nvml_memory_v2 *memory);
  int (*power)(csystem_nvml_device device, unsigned *milliwatts);
  int (*power_limit)(csystem_nvml_device device, unsigned *milliwatts);
  int (*energy)(csystem_nvml_device device, unsigned long long *millijoules);
  int (*temperature)(csystem_nvml_device device, int sensor, unsigned *celsius);
  int (*temperature_threshold)(csystem_nvml_device device, int threshold, unsigned *celsius);
  int (*clock)(csystem_nvml_device device, int domain, unsigned *megahertz);
  int (*throttle_reasons)(csystem_nvml_device device, unsigned long long *reasons);
  int (*ecc_errors)(csystem_nvml_device device, int type, int counter, unsigned long long *count);
  int (*pcie_throughput)(csystem_nvml_device device, int counter, unsigned *kilobytes);
  int (*processes)(csystem_nvml_device device, unsigned *count, csystem_nvml_process *processes);
  int (*mig_mode)(csystem_nvml_device device, unsigned *current, unsigned *pending);
  int (*mig_count)(csystem_nvml_device device, unsigned *count);
  int (*mig_handle)(csystem_nvml_device device, unsigned index, csystem_nvml_device *part);
} csystem_nvml;

// Opens the library and looks its functions up. Returns 1; 0 when there is no such library; -1 when there is one that
// cannot be loaded, with the loader's words in `error`.
int csystem_nvml_open(const char *path, csystem_nvml *nvml, char *error, size_t error_size);

void csystem_nvml_close(csystem_nvml *nvml);

#endif
