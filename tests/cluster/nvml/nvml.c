/* A stand-in for NVIDIA's libnvidia-ml.so.1, as much of it as nvdra asks. What the hardware is stands in the file
 * hardware.conf beside the library, read at each nvmlInit, so that a test changes it while everything runs:
 *
 *   driver 580.95.05
 *   init 0                                          what nvmlInit returns (9: driver not loaded)
 *   gpu GPU-<uuid> fabric <state> <status> <cluster uuid> <clique id>
 *   gpu GPU-<uuid> none                             NVML_ERROR_NOT_SUPPORTED for the fabric
 *   gpu GPU-<uuid> error <code>                     what each question about it returns (15: GPU is lost)
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { OK = 0, UNINITIALIZED = 1, INVALID_ARGUMENT = 2, NOT_SUPPORTED = 3, NOT_FOUND = 6, DRIVER_NOT_LOADED = 9,
       INSUFFICIENT_SIZE = 7, ARGUMENT_VERSION_MISMATCH = 25 };
enum { MAX_GPUS = 16, V2 = 0x2000024 };

typedef struct { char uuid[96]; int error, has_fabric; unsigned state, status, clique; unsigned char cluster[16]; } Gpu;
typedef struct { unsigned char cluster[16]; unsigned status, clique; unsigned char state; } FabricInfo;
typedef struct { unsigned version; unsigned char cluster[16]; unsigned status, clique; unsigned char state; unsigned health; } FabricInfoV2;

static Gpu gpus[MAX_GPUS];
static unsigned count, users;
static char driver[64];

static void uuid_bytes(const char *text, unsigned char *bytes) {
    for (int i = 0; i < 16 && *text; i++, text += 2) {
        if (*text == '-') text++;
        sscanf(text, "%2hhx", &bytes[i]);
    }
}

static void read_gpu(const char *line) {
    Gpu *gpu = &gpus[count];
    char what[16] = "", cluster[64] = "";
    memset(gpu, 0, sizeof *gpu);
    if (count == MAX_GPUS || sscanf(line, "gpu %95s %15s", gpu->uuid, what) < 2) return;
    if (!strcmp(what, "error")) sscanf(line, "gpu %*s %*s %d", &gpu->error);
    if (!strcmp(what, "fabric")) {
        gpu->has_fabric = 1;
        sscanf(line, "gpu %*s %*s %u %u %63s %u", &gpu->state, &gpu->status, cluster, &gpu->clique);
        uuid_bytes(cluster, gpu->cluster);
    }
    count++;
}

static int read_hardware(void) {
    Dl_info self;
    char path[4096], line[512];
    int answer = OK;
    if (!dladdr((void *)read_hardware, &self)) return DRIVER_NOT_LOADED;
    const char *slash = strrchr(self.dli_fname, '/');
    snprintf(path, sizeof path, "%.*shardware.conf", slash ? (int)(slash - self.dli_fname + 1) : 0, self.dli_fname);
    FILE *file = fopen(path, "re");
    if (!file) return DRIVER_NOT_LOADED;
    count = 0;
    while (fgets(line, sizeof line, file)) {
        sscanf(line, "driver %63s", driver);
        sscanf(line, "init %d", &answer);
        if (!strncmp(line, "gpu ", 4)) read_gpu(line);
    }
    fclose(file);
    return answer;
}

int nvmlInitWithFlags(unsigned flags) {
    (void)flags;
    int answer = users ? OK : read_hardware();
    if (answer == OK) users++;
    return answer;
}
int nvmlInit_v2(void) { return nvmlInitWithFlags(0); }

int nvmlShutdown(void) {
    if (!users) return UNINITIALIZED;
    users--;
    return OK;
}

static int put(char *to, unsigned size, const char *text) {
    if (strlen(text) >= size) return INSUFFICIENT_SIZE;
    strcpy(to, text);
    return OK;
}

int nvmlSystemGetDriverVersion(char *to, unsigned size) { return users ? put(to, size, driver) : UNINITIALIZED; }

int nvmlDeviceGetCount_v2(unsigned *to) {
    if (!users) return UNINITIALIZED;
    *to = count;
    return OK;
}

int nvmlDeviceGetHandleByIndex_v2(unsigned index, Gpu **to) {
    if (!users) return UNINITIALIZED;
    if (index >= count) return INVALID_ARGUMENT;
    *to = &gpus[index];
    return OK;
}

int nvmlDeviceGetUUID(Gpu *gpu, char *to, unsigned size) {
    if (!users) return UNINITIALIZED;
    return gpu->error ? gpu->error : put(to, size, gpu->uuid);
}

static int fabric_of(const Gpu *gpu) {
    if (!users) return UNINITIALIZED;
    return gpu->error ? gpu->error : gpu->has_fabric ? OK : NOT_SUPPORTED;
}

int nvmlDeviceGetGpuFabricInfo(Gpu *gpu, FabricInfo *to) {
    int answer = fabric_of(gpu);
    if (answer != OK) return answer;
    memcpy(to->cluster, gpu->cluster, sizeof to->cluster);
    to->status = gpu->status, to->clique = gpu->clique, to->state = (unsigned char)gpu->state;
    return OK;
}

int nvmlDeviceGetGpuFabricInfoV(Gpu *gpu, FabricInfoV2 *to) {
    int answer = fabric_of(gpu);
    if (answer != OK) return answer;
    if (to->version != V2) return ARGUMENT_VERSION_MISMATCH;
    memcpy(to->cluster, gpu->cluster, sizeof to->cluster);
    to->status = gpu->status, to->clique = gpu->clique, to->state = (unsigned char)gpu->state, to->health = 0;
    return OK;
}

const char *nvmlErrorString(int error) {
    static char text[64];
    if (error == DRIVER_NOT_LOADED) return "Driver Not Loaded";
    snprintf(text, sizeof text, "NVML error %d", error);
    return text;
}
