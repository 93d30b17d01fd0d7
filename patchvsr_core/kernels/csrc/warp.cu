// A frame mixed with its neighbour along the motion, where the motion and its return agree.
//
// No header is included, so that NVRTC needs no CUDA toolkit. Compiled without contraction of products
// and sums: a position that lies between two cells has to round as it does elsewhere.

typedef long long int64;

// (B, C, H, W) or, of flows, (B, 2, H, W): elements from one to the next along every axis.
#define STRIDES(name) int64 name##_b, int64 name##_c, int64 name##_y, int64 name##_x

// Where a flow leads, in cells. PyTorch's grid_sample multiplies with a reciprocal and contracts on a GPU, and
// divides on a CPU; `contracted` says which of the two to follow.
static __device__ float led_to(int cell, float flow, int size, int contracted) {
    float shown = ((float)cell + flow) * 2.0f + 1.0f, length = (float)size;
    float found;
    if (contracted) found = fmaf(shown * (1.0f / length) - 1.0f + 1.0f, length, -1.0f) * 0.5f;
    else found = (shown / length - 1.0f + 1.0f) * (length * 0.5f) - 0.5f;
    return found > -4.0f && found < length + 4.0f ? found : -4.0f;  // far outside, or no number: nothing is there
}

static __device__ float cell_at(const float* plane, int y, int x, int64 stride_y, int64 stride_x, int height, int width) {
    return y >= 0 && y < height && x >= 0 && x < width ? plane[y * stride_y + x * stride_x] : 0.0f;
}

static __device__ float bilinear(
    const float* plane, float y, float x, int64 stride_y, int64 stride_x, int height, int width) {
    int top = (int)floorf(y), left = (int)floorf(x);
    float down = y - (float)top, across = x - (float)left, up = 1.0f - down, back = 1.0f - across;
    return cell_at(plane, top, left, stride_y, stride_x, height, width) * (back * up)
        + cell_at(plane, top, left + 1, stride_y, stride_x, height, width) * (across * up)
        + cell_at(plane, top + 1, left, stride_y, stride_x, height, width) * (back * down)
        + cell_at(plane, top + 1, left + 1, stride_y, stride_x, height, width) * (across * down);
}

// Keys' cubic with a = -3/4, as grid_sample has it, at the four cells around.
static __device__ void cubic(float part, float* weights) {
    const float a = -0.75f;
    float far = part + 1.0f, near = 1.0f - part, last = 2.0f - part;
    weights[0] = ((a * far - 5.0f * a) * far + 8.0f * a) * far - 4.0f * a;
    weights[1] = ((a + 2.0f) * part - (a + 3.0f)) * part * part + 1.0f;
    weights[2] = ((a + 2.0f) * near - (a + 3.0f)) * near * near + 1.0f;
    weights[3] = ((a * last - 5.0f * a) * last + 8.0f * a) * last - 4.0f * a;
}

static __device__ float bicubic(
    const float* plane, float y, float x, int64 stride_y, int64 stride_x, int height, int width) {
    int top = (int)floorf(y), left = (int)floorf(x);
    float down[4], across[4], sum = 0.0f;
    cubic(y - (float)top, down);
    cubic(x - (float)left, across);
    for (int j = 0; j < 4; j++) {
        float row = 0.0f;
        for (int i = 0; i < 4; i++)
            row += cell_at(plane, top - 1 + j, left - 1 + i, stride_y, stride_x, height, width) * across[i];
        sum += row * down[j];
    }
    return sum;
}

// out (B, C, H, W), contiguous. `interpolation`: 0 nearest, 1 bilinear, 2 bicubic. A thread makes one cell, all channels.
extern "C" __global__ void mix_warped(
    float* out, int batch, int channels, int height, int width,
    const float* frame, STRIDES(frame), const float* neighbour, STRIDES(neighbour),
    const float* there, STRIDES(there), const float* back, STRIDES(back),
    int interpolation, float weight, float alpha1, float alpha2, int contracted) {
    int place = blockIdx.x * blockDim.x + threadIdx.x;
    if (place >= height * width) return;
    int row = place / width, column = place - row * width;
    for (int b = blockIdx.y; b < batch; b += gridDim.y) {
        const float* flow = there + b * there_b + row * there_y + column * there_x;
        float flow_x = flow[0], flow_y = flow[there_c];
        float x = led_to(column, flow_x, width, contracted), y = led_to(row, flow_y, height, contracted);
        const float* returned = back + b * back_b;
        float return_x = bilinear(returned, y, x, back_y, back_x, height, width);
        float return_y = bilinear(returned + back_c, y, x, back_y, back_x, height, width);
        float miss_x = flow_x + return_x, miss_y = flow_y + return_y;
        float size = (flow_x * flow_x + flow_y * flow_y) + (return_x * return_x + return_y * return_y);
        float part = miss_x * miss_x + miss_y * miss_y < alpha1 * size + alpha2 ? weight : 0.0f;
        for (int c = 0; c < channels; c++) {
            const float* plane = neighbour + b * neighbour_b + c * neighbour_c;
            float here = frame[b * frame_b + c * frame_c + row * frame_y + column * frame_x], found;
            if (interpolation == 0)
                found = cell_at(plane, (int)rintf(y), (int)rintf(x), neighbour_y, neighbour_x, height, width);
            else if (interpolation == 1) found = bilinear(plane, y, x, neighbour_y, neighbour_x, height, width);
            else found = bicubic(plane, y, x, neighbour_y, neighbour_x, height, width);
            float step = found - here;  // as torch.lerp: exact at both ends
            out[(((int64)b * channels + c) * height + row) * width + column] =
                part < 0.5f ? here + part * step : found - step * (1.0f - part);
        }
    }
}
