#include "csystem_dl.h"

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

static void *find(void *library, const char *name, const char *older) {
  void *symbol = dlsym(library, name);
  return symbol || !older ? symbol : dlsym(library, older);
}

int csystem_nvml_open(const char *path, csystem_nvml *nvml, char *error, size_t error_size) {
  memset(nvml, 0, sizeof *nvml);
  void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  if (!library) {
    const char *words = dlerror();
    snprintf(error, error_size, "%s", words ? words : "it cannot be loaded");
    // The loader reports a missing file only by its message, which begins with the name of the
    // missing file. It must be the library itself, not another one that it needs.
    return strncmp(error, path, strlen(path)) == 0 && strstr(error, "No such file or directory") ? 0 : -1;
  }
  nvml->library = library;
  *(void **)&nvml->init = find(library, "nvmlInit_v2", NULL);
  *(void **)&nvml->shutdown = find(library, "nvmlShutdown", NULL);
  *(void **)&nvml->count = find(library, "nvmlDeviceGetCount_v2", NULL);
  *(void **)&nvml->handle = find(library, "nvmlDeviceGetHandleByIndex_v2", NULL);
  *(void **)&nvml->name = find(library, "nvmlDeviceGetName", NULL);
  *(void **)&nvml->utilization = find(library, "nvmlDeviceGetUtilizationRates", NULL);
  *(void **)&nvml->memory = find(library, "nvmlDeviceGetMemoryInfo", NULL);
  *(void **)&nvml->memory_v2 = find(library, "nvmlDeviceGetMemoryInfo_v2", NULL);
  *(void **)&nvml->power = find(library, "nvmlDeviceGetPowerUsage", NULL);
  *(void **)&nvml->power_limit = find(library, "nvmlDeviceGetEnforcedPowerLimit", NULL);
  *(void **)&nvml->energy = find(library, "nvmlDeviceGetTotalEnergyConsumption", NULL);
  *(void **)&nvml->temperature = find(library, "nvmlDeviceGetTemperature", NULL);
  *(void **)&nvml->temperature_threshold = find(library, "nvmlDeviceGetTemperatureThreshold", NULL);
  *(void **)&nvml->clock = find(library, "nvmlDeviceGetClockInfo", NULL);
  *(void **)&nvml->throttle_reasons = find(
      library, "nvmlDeviceGetCurrentClocksEventReasons", "nvmlDeviceGetCurrentClocksThrottleReasons");
  *(void **)&nvml->ecc_errors = find(library, "nvmlDeviceGetTotalEccErrors", NULL);
  *(void **)&nvml->pcie_throughput = find(library, "nvmlDeviceGetPcieThroughput", NULL);
  // Version 2 had the same layout as long as it existed.
  *(void **)&nvml->processes = find(
      library, "nvmlDeviceGetComputeRunningProcesses_v3", "nvmlDeviceGetComputeRunningProcesses_v2");
  *(void **)&nvml->mig_mode = find(library, "nvmlDeviceGetMigMode", NULL);
  *(void **)&nvml->mig_count = find(library, "nvmlDeviceGetMaxMigDeviceCount", NULL);
  *(void **)&nvml->mig_handle = find(library, "nvmlDeviceGetMigDeviceHandleByIndex", NULL);
  return 1;
}

void csystem_nvml_close(csystem_nvml *nvml) {
  if (nvml->library) dlclose(nvml->library);
  memset(nvml, 0, sizeof *nvml);
}
