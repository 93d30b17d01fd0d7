// Normalised blending: tiles gathered into frames, and one patch added to a canvas.
//
// No header is included, so that NVRTC needs no CUDA toolkit; sums are float32. A kind of element is
// 0 float32, 1 float16, 2 bfloat16, 3 uint8 in [0, 255] for values in [0, 1] (results alone).

typedef long long int64;

static __device__ float as_float(unsigned bits) {
    union { unsigned bits; float value; } both;
    both.bits = bits;
    return both.value;
}

static __device__ unsigned as_bits(float value) {
    union { unsigned bits; float value; } both;
    both.value = value;
    return both.bits;
}

static __device__ float from_half(unsigned short half) {
    unsigned sign = (half & 0x8000u) << 16, rest = (half & 0x7fffu) << 13;
    if (rest >= 0x0f800000u) return as_float(sign | 0x70000000u | rest);  // infinity, NaN
    return as_float(sign | as_bits(as_float(rest) * 5.192296858534828e33f));  // 2^112: subnormals too
}

static __device__ unsigned short to_half(float value) {
    unsigned bits = as_bits(value), sign = (bits >> 16) & 0x8000u, size = bits & 0x7fffffffu;
    if (size > 0x7f800000u) return (unsigned short)(sign | 0x7e00u);
    if (size >= 0x477ff000u) return (unsigned short)(sign | 0x7c00u);
    // Adding 1/2 leaves the multiples of the smallest subnormal in the last bits, rounded to even.
    if (size < 0x38800000u) return (unsigned short)(sign | (as_bits(as_float(size) + 0.5f) - 0x3f000000u));
    size += 0x0fffu + ((size >> 13) & 1u);
    return (unsigned short)(sign | ((size - 0x38000000u) >> 13));
}

static __device__ unsigned short to_bfloat(float value) {
    unsigned bits = as_bits(value);
    if ((bits & 0x7fffffffu) > 0x7f800000u) return 0x7fc0u;
    return (unsigned short)((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}

static __device__ float load(const void* from, int64 index, int kind) {
    if (kind == 0) return ((const float*)from)[index];
    unsigned short bits = ((const unsigned short*)from)[index];
    return kind == 1 ? from_half(bits) : as_float((unsigned)bits << 16);
}

static __device__ void store(void* to, int64 index, int kind, float value) {
    if (kind == 0) ((float*)to)[index] = value;
    else if (kind == 1) ((unsigned short*)to)[index] = to_half(value);
    else if (kind == 2) ((unsigned short*)to)[index] = to_bfloat(value);
    else ((unsigned char*)to)[index] = (unsigned char)rintf(fminf(fmaxf(value, 0.0f), 1.0f) * 255.0f);
}

// Frames (T, H, W, C), contiguous, out of windows x rows x columns of equal tiles (T, H, W, C) of any strides.
// Of every axis `index` holds the first window that reaches each cell, then the starts of all windows, and
// `weight` their weights, one window after the other. A thread makes one channel of one column.
extern "C" __global__ void blend_tiles(
    void* out, int out_kind, int frames, int height, int width, int channels,
    const int64* tiles, int tile_kind, int64 stride_t, int64 stride_y, int64 stride_x, int64 stride_c,
    int windows, int rows, int columns, int tile_frames, int tile_height, int tile_width,
    const int* index_t, const int* index_y, const int* index_x,
    const float* weight_t, const float* weight_y, const float* weight_x) {
    int place = blockIdx.x * blockDim.x + threadIdx.x;
    if (place >= width * channels) return;
    int x = place / channels, c = place - x * channels;
    const int *start_t = index_t + frames, *start_y = index_y + height, *start_x = index_x + width;
    for (int y = blockIdx.y; y < height; y += gridDim.y) {
        for (int t = blockIdx.z; t < frames; t += gridDim.z) {
            float sum = 0.0f;
            for (int i = index_t[t]; i < windows && start_t[i] <= t; i++) {
                int inner_t = t - start_t[i];
                float share_t = weight_t[i * tile_frames + inner_t];
                for (int j = index_y[y]; j < rows && start_y[j] <= y; j++) {
                    int inner_y = y - start_y[j];
                    float share_y = weight_y[j * tile_height + inner_y];
                    for (int k = index_x[x]; k < columns && start_x[k] <= x; k++) {
                        int inner_x = x - start_x[k];
                        float share = share_t * (share_y * weight_x[k * tile_width + inner_x]);
                        const void* tile = (const void*)tiles[((int64)i * rows + j) * columns + k];
                        int64 from = inner_t * stride_t + inner_y * stride_y + inner_x * stride_x + c * stride_c;
                        sum += share * load(tile, from, tile_kind);
                    }
                }
            }
            store(out, (((int64)t * height + y) * width + x) * channels + c, out_kind, sum);
        }
    }
}

// canvas += patch * weight_t * weight_yx, both (C, T, H, W) of any strides; `canvas` points to the first cell.
extern "C" __global__ void add_patch(
    float* canvas, int64 canvas_c, int64 canvas_t, int64 canvas_y, int64 canvas_x,
    const void* patch, int kind, int64 patch_c, int64 patch_t, int64 patch_y, int64 patch_x,
    const float* weight_t, const float* weight_yx, int channels, int frames, int height, int width) {
    int place = blockIdx.x * blockDim.x + threadIdx.x;
    if (place >= height * width) return;
    int y = place / width, x = place - y * width;
    float share_yx = weight_yx[place];
    for (int t = blockIdx.y; t < frames; t += gridDim.y) {
        float share = weight_t[t] * share_yx;
        for (int c = blockIdx.z; c < channels; c += gridDim.z) {
            int64 from = c * patch_c + t * patch_t + y * patch_y + x * patch_x;
            int64 to = c * canvas_c + t * canvas_t + y * canvas_y + x * canvas_x;
            canvas[to] += share * load(patch, from, kind);
        }
    }
}
