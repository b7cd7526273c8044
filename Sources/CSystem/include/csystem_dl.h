// csystem_dl.h: the part of NVIDIA's management library (NVML) that is read, opened at run time,
// never linked. Names, layouts and numbers are the library's published ABI (nvml.h, API version
// 13). Not here: what the figures mean (Telemetry's NVIDIALibrary.swift). Start at
// csystem_nvml_open.
#ifndef CSYSTEM_DL_H
#define CSYSTEM_DL_H

#include <stddef.h>

typedef struct csystem_nvml_device *csystem_nvml_device;

typedef struct {
  unsigned gpu, memory;  // percent of the last sample period
} csystem_nvml_utilization;

typedef struct {
  unsigned long long total, free, used;  // bytes; `used` includes what the driver reserves
} csystem_nvml_memory;

typedef struct {
  unsigned version;  // CSYSTEM_NVML_MEMORY_V2
  unsigned long long total, reserved, free, used;
} csystem_nvml_memory_v2;

typedef struct {
  unsigned pid;
  unsigned long long used;  // bytes; all ones if unknown
  unsigned gpu_instance, compute_instance;
} csystem_nvml_process;

// What the functions return: nvmlReturn_t.
static const int CSYSTEM_NVML_SUCCESS = 0;
static const int CSYSTEM_NVML_UNINITIALIZED = 1;
static const int CSYSTEM_NVML_INVALID_ARGUMENT = 2;
static const int CSYSTEM_NVML_NOT_SUPPORTED = 3;
static const int CSYSTEM_NVML_NO_PERMISSION = 4;
static const int CSYSTEM_NVML_NOT_FOUND = 6;
static const int CSYSTEM_NVML_INSUFFICIENT_SIZE = 7;
static const int CSYSTEM_NVML_DRIVER_NOT_LOADED = 9;
static const int CSYSTEM_NVML_TIMEOUT = 10;
static const int CSYSTEM_NVML_IRQ_ISSUE = 11;
static const int CSYSTEM_NVML_LIBRARY_NOT_FOUND = 12;
static const int CSYSTEM_NVML_FUNCTION_NOT_FOUND = 13;
static const int CSYSTEM_NVML_CORRUPTED_INFOROM = 14;
static const int CSYSTEM_NVML_GPU_IS_LOST = 15;
static const int CSYSTEM_NVML_RESET_REQUIRED = 16;
static const int CSYSTEM_NVML_OPERATING_SYSTEM = 17;
static const int CSYSTEM_NVML_LIB_RM_VERSION_MISMATCH = 18;
static const int CSYSTEM_NVML_MEMORY = 20;
static const int CSYSTEM_NVML_NO_DATA = 21;
static const int CSYSTEM_NVML_UNKNOWN = 999;

// The values of their arguments: nvmlClockType_t, nvmlTemperatureSensors_t,
// nvmlTemperatureThresholds_t, nvmlMemoryErrorType_t, nvmlEccCounterType_t, nvmlPcieUtilCounter_t,
// and MIG's modes.
static const int CSYSTEM_NVML_CLOCK_GRAPHICS = 0;
static const int CSYSTEM_NVML_CLOCK_MEMORY = 2;
static const int CSYSTEM_NVML_TEMPERATURE_GPU = 0;
static const int CSYSTEM_NVML_THRESHOLD_SLOWDOWN = 1;
static const int CSYSTEM_NVML_ERROR_CORRECTED = 0;
static const int CSYSTEM_NVML_ERROR_UNCORRECTED = 1;
static const int CSYSTEM_NVML_ECC_VOLATILE = 0;
static const int CSYSTEM_NVML_PCIE_SENT = 0;
static const int CSYSTEM_NVML_PCIE_RECEIVED = 1;
static const int CSYSTEM_NVML_MIG_DISABLED = 0;

static const unsigned CSYSTEM_NVML_MEMORY_V2 = sizeof(csystem_nvml_memory_v2) | (2u << 24);

// The functions; NULL if the library has none of that name. All return one of the results
// above.
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

// Opens the library and looks its functions up. Returns 1; 0 if there is no such library; -1 if it
// cannot be loaded, with the loader's message in `error`.
int csystem_nvml_open(const char *path, csystem_nvml *nvml, char *error, size_t error_size);

void csystem_nvml_close(csystem_nvml *nvml);

#endif
