// A CUDA driver of nothing but the processor: the kernels of csrc/*.cu, built as C++, behind the functions that the
// loader calls. "Device" memory is the process's own. KERNELS is generated: includes and REGISTER lines.

#include <cmath>
#include <cstring>
#include <functional>
#include <map>
#include <string>
#include <utility>

#define __global__
#define __device__

struct Three { unsigned x, y, z; };
static thread_local Three threadIdx, blockIdx, blockDim, gridDim;

#include "kernels.inc"

using Kernel = std::function<void(void**)>;

template <class... A, size_t... I>
static void call(void (*kernel)(A...), void** given, std::index_sequence<I...>) {
    kernel(*static_cast<A*>(given[I])...);
}

template <class... A>
static Kernel wrap(void (*kernel)(A...)) {
    return [kernel](void** given) { call(kernel, given, std::index_sequence_for<A...>{}); };
}

static std::map<std::string, Kernel>& kernels() {
    static std::map<std::string, Kernel> all{REGISTERED};
    return all;
}

static thread_local int depth = 0;

extern "C" {
int fake_version = 12000;
int fake_launches = 0;
int fake_launch_error = 0;
char fake_log[256] = "";

int cuInit(unsigned) { return 0; }
int cuDriverGetVersion(int* version) { *version = fake_version; return 0; }
int cuDeviceGet(int* device, int ordinal) { *device = ordinal; return 0; }
int cuDevicePrimaryCtxRetain(void** context, int) { *context = &fake_version; return 0; }
int cuCtxPushCurrent_v2(void* context) { depth++; return context == &fake_version ? 0 : 201; }
int cuCtxPopCurrent_v2(void** context) { *context = &fake_version; return depth-- > 0 ? 0 : 201; }
int fake_depth() { return depth; }

int cuGetErrorName(int code, const char** name) {
    *name = code == 218 ? "CUDA_ERROR_INVALID_PTX" : code == 500 ? "CUDA_ERROR_NOT_FOUND" : "CUDA_ERROR_INVALID_VALUE";
    return 0;
}

int cuModuleLoadDataEx(void** module, const char* image, unsigned count, const int* options, void** values) {
    if (!depth) return 201;
    if (*fake_log) {
        for (unsigned i = 0; i < count; i++)
            if (options[i] == 5) std::strcpy((char*)values[i], fake_log);
        return 218;
    }
    *module = new std::string(image);
    return 0;
}

int cuModuleGetFunction(void** function, void* module, const char* name) {
    if (!depth) return 201;
    auto found = kernels().find(name);
    bool there = static_cast<std::string*>(module)->find(".entry " + std::string(name) + "(") != std::string::npos;
    if (found == kernels().end() || !there) return 500;
    *function = &found->second;
    return 0;
}

int cuLaunchKernel(
    void* function, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz,
    unsigned, void*, void** given, void**) {
    if (!depth) return 201;
    if (fake_launch_error) return fake_launch_error;
    if (!gx || !gy || !gz || gx > 2147483647u || gy > 65535u || gz > 65535u || bx * by * bz > 1024u) return 1;
    fake_launches++;
    gridDim = {gx, gy, gz};
    blockDim = {bx, by, bz};
    for (unsigned b = 0; b < gx * gy * gz; b++)
        for (unsigned t = 0; t < bx * by * bz; t++) {
            blockIdx = {b % gx, b / gx % gy, b / gx / gy};
            threadIdx = {t % bx, t / bx % by, t / bx / by};
            (*static_cast<Kernel*>(function))(given);
        }
    return 0;
}
}
