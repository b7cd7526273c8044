// nvml.c: a library with NVML's names and layouts (nvml.h, API version 13) and GPUs that a test
// defines. TelemetryTests compiles it at run time. Start at fake_set.
//   -DWITHOUT_COUNT, -DWITHOUT_POWER, -DWITHOUT_MEMORY_V2  leave a function out
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct {
  unsigned utilization, power, limit, temperature, slowdown, clock, memory_clock, mig_mode, parts, processes;
  unsigned tx, rx;
  unsigned long long total, used, reserved, energy, throttle, corrected, uncorrected;
  int error;  // of every question about this GPU
} fake_gpu_t;

static fake_gpu_t gpus[16];
static unsigned count;
static int init_error, handle_error, initialised, inits;
static int hang_in = -1, hang_said = -1;

void fake_count(unsigned wanted) { count = wanted; }
void fake_set(unsigned index, const char *field, unsigned long long value) {
#define FIELD(name) \
  if (strcmp(field, #name) == 0) { gpus[index].name = value; return; }
  FIELD(utilization) FIELD(power) FIELD(limit) FIELD(temperature) FIELD(slowdown) FIELD(clock) FIELD(memory_clock)
  FIELD(mig_mode) FIELD(parts) FIELD(processes) FIELD(tx) FIELD(rx) FIELD(total) FIELD(used) FIELD(reserved)
  FIELD(energy) FIELD(throttle) FIELD(corrected) FIELD(uncorrected) FIELD(error)
  abort();
}
void fake_init_error(int error) { init_error = error; }
void fake_handle_error(int error) { handle_error = error; }
int fake_inits(void) { return inits; }
// The next question about temperature writes a byte to `said`, and returns when there is one to read from `in`.
void fake_hang(int in, int said) {
  hang_said = said;
  hang_in = in;
}

#define UNINITIALIZED 1
#define INVALID 2
#define NOT_SUPPORTED 3
#define NOT_FOUND 6
#define INSUFFICIENT_SIZE 7

// A handle is the address of its GPU; a part's is the address of a byte inside.
static fake_gpu_t *gpu_of(void *handle) {
  if ((char *)handle < (char *)gpus || (char *)handle >= (char *)(gpus + 16)) return NULL;
  return &gpus[((char *)handle - (char *)gpus) / sizeof(fake_gpu_t)];
}
static int part_of(void *handle) { return (int)(((char *)handle - (char *)gpus) % sizeof(fake_gpu_t)); }

#define GPU(handle)                            \
  if (!initialised) return UNINITIALIZED;      \
  fake_gpu_t *gpu = gpu_of(handle);            \
  if (!gpu) return INVALID;                    \
  if (gpu->error) return gpu->error

int nvmlInit_v2(void) {
  inits++;
  if (init_error) return init_error;
  initialised++;
  return 0;
}

int nvmlShutdown(void) {
  if (!initialised) return UNINITIALIZED;
  initialised--;
  return 0;
}

#ifndef WITHOUT_COUNT
int nvmlDeviceGetCount_v2(unsigned *wanted) {
  if (!initialised) return UNINITIALIZED;
  *wanted = count;
  return 0;
}
#endif

int nvmlDeviceGetHandleByIndex_v2(unsigned index, void **handle) {
  if (!initialised) return UNINITIALIZED;
  if (handle_error) return handle_error;
  if (index >= count) return INVALID;
  *handle = &gpus[index];
  return 0;
}

int nvmlDeviceGetName(void *handle, char *name, unsigned length) {
  GPU(handle);
  char text[] = "NVIDIA Test 0";
  text[12] = (char)('0' + (gpu - gpus));
  const char *chosen = part_of(handle) ? "NVIDIA Test MIG 1g.10gb" : text;
  if (strlen(chosen) + 1 > length) return INSUFFICIENT_SIZE;
  strcpy(name, chosen);
  return 0;
}

int nvmlDeviceGetUtilizationRates(void *handle, struct { unsigned gpu, memory; } *rates) {
  GPU(handle);
  if (gpu->mig_mode) return NOT_SUPPORTED;
  rates->gpu = gpu->utilization;
  rates->memory = 0;
  return 0;
}

int nvmlDeviceGetMemoryInfo(void *handle, struct { unsigned long long total, free, used; } *memory) {
  GPU(handle);
  memory->total = gpu->total;
  memory->used = gpu->used + gpu->reserved;
  memory->free = gpu->total - memory->used;
  return 0;
}

#ifndef WITHOUT_MEMORY_V2
struct memory_v2 { unsigned version; unsigned long long total, reserved, free, used; };
int nvmlDeviceGetMemoryInfo_v2(void *handle, struct memory_v2 *memory) {
  GPU(handle);
  if (memory->version != (sizeof *memory | 2 << 24)) return 25;
  int part = part_of(handle);
  memory->total = part ? 10ull << 30 : gpu->total;
  memory->used = part ? (unsigned long long)part << 30 : gpu->used;
  memory->reserved = gpu->reserved;
  memory->free = memory->total - memory->used - memory->reserved;
  return 0;
}
#endif

#ifndef WITHOUT_POWER
int nvmlDeviceGetPowerUsage(void *handle, unsigned *milliwatts) {
  GPU(handle);
  *milliwatts = gpu->power;
  return 0;
}
#endif

int nvmlDeviceGetEnforcedPowerLimit(void *handle, unsigned *milliwatts) {
  GPU(handle);
  *milliwatts = gpu->limit;
  return 0;
}

int nvmlDeviceGetTotalEnergyConsumption(void *handle, unsigned long long *millijoules) {
  GPU(handle);
  if (!gpu->energy) return NOT_SUPPORTED;
  *millijoules = gpu->energy;
  return 0;
}

int nvmlDeviceGetTemperature(void *handle, int sensor, unsigned *celsius) {
  if (hang_in >= 0) {
    int in = hang_in;
    char byte = 0;
    hang_in = -1;
    if (write(hang_said, &byte, 1) != 1) abort();
    if (read(in, &byte, 1) != 1) abort();
  }
  GPU(handle);
  if (sensor != 0) return INVALID;
  *celsius = gpu->temperature;
  return 0;
}

int nvmlDeviceGetTemperatureThreshold(void *handle, int threshold, unsigned *celsius) {
  GPU(handle);
  if (threshold != 1) return INVALID;
  *celsius = gpu->slowdown;
  return 0;
}

int nvmlDeviceGetClockInfo(void *handle, int domain, unsigned *megahertz) {
  GPU(handle);
  if (domain != 0 && domain != 2) return INVALID;
  *megahertz = domain == 0 ? gpu->clock : gpu->memory_clock;
  return 0;
}

// The older of its two names.
int nvmlDeviceGetCurrentClocksThrottleReasons(void *handle, unsigned long long *reasons) {
  GPU(handle);
  *reasons = gpu->throttle;
  return 0;
}

int nvmlDeviceGetTotalEccErrors(void *handle, int type, int counter, unsigned long long *errors) {
  GPU(handle);
  if (counter != 0) return INVALID;
  *errors = type == 0 ? gpu->corrected : gpu->uncorrected;
  return 0;
}

int nvmlDeviceGetPcieThroughput(void *handle, int counter, unsigned *kilobytes) {
  GPU(handle);
  *kilobytes = counter == 0 ? gpu->tx : gpu->rx;
  return 0;
}

struct process { unsigned pid; unsigned long long used; unsigned gpu_instance, compute_instance; };
int nvmlDeviceGetComputeRunningProcesses_v3(void *handle, unsigned *room, struct process *processes) {
  GPU(handle);
  unsigned found = gpu->processes, fit = *room;
  *room = found;
  if (found > fit) return INSUFFICIENT_SIZE;
  for (unsigned i = 0; i < found; i++)
    processes[i] = (struct process){1000 + i, i == 0 ? ~0ull : (unsigned long long)i << 20, ~0u, ~0u};
  return 0;
}

int nvmlDeviceGetMigMode(void *handle, unsigned *current, unsigned *pending) {
  GPU(handle);
  *current = gpu->mig_mode;
  *pending = gpu->mig_mode;
  return 0;
}

int nvmlDeviceGetMaxMigDeviceCount(void *handle, unsigned *most) {
  GPU(handle);
  *most = 7;
  return 0;
}

// Every other place is empty.
int nvmlDeviceGetMigDeviceHandleByIndex(void *handle, unsigned index, void **part) {
  GPU(handle);
  if (index >= 7) return INVALID;
  if (index % 2 || index / 2 >= gpu->parts) return NOT_FOUND;
  *part = (char *)gpu + 1 + index / 2;
  return 0;
}
