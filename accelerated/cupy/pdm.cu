// Shapes of many faces (spec 30.2, 30.3): a block a face, a thread a coordinate or a point. Model arrays: mean (3n,),
// modes (m, 3n).
#include "pdm.cuh"

// Local parameters (B, m) to shapes (B, n, 3) mm.
extern "C" __global__ void shapes_3d(const float* __restrict__ mean, const float* __restrict__ modes, int n, int m,
                                     const float* __restrict__ p, float* __restrict__ out) {
    const i64 face = blockIdx.x;
    for (int at = threadIdx.x; at < 3 * n; at += blockDim.x)
        out[(face * n + at % n) * 3 + at / n] = shape_flat(mean, modes, p + face * m, m, 3 * n, at);
}

// Parameters (B, 6), (B, m) to landmarks (B, n, 2) px.
extern "C" __global__ void shapes_2d(const float* __restrict__ mean, const float* __restrict__ modes, int n, int m,
                                     const float* __restrict__ g, const float* __restrict__ p,
                                     float* __restrict__ out) {
    __shared__ float r[9];
    const i64 face = blockIdx.x;
    if (threadIdx.x == 0) rotation_from_euler(g + face * 6 + 1, r);
    __syncthreads();
    for (int i = threadIdx.x; i < n; i += blockDim.x) {
        float at[3];
#pragma unroll
        for (int k = 0; k < 3; ++k) at[k] = shape_flat(mean, modes, p + face * m, m, 3 * n, k * n + i);
#pragma unroll
        for (int k = 0; k < 2; ++k) out[(face * n + i) * 2 + k] = project(g + face * 6, r, k, at[0], at[1], at[2]);
    }
}

// Global parameters (B, 6) with which shapes of p (B, m), turned by `euler` (B, 3) rad, fill face boxes (B, 4) px of
// x, y, width and height. A block of one warp.
extern "C" __global__ void params_from_boxes(const float* __restrict__ mean, const float* __restrict__ modes, int n,
                                             int m, const float* __restrict__ boxes, const float* __restrict__ p,
                                             const float* __restrict__ euler, float* __restrict__ out) {
    __shared__ float r[9];
    const i64 face = blockIdx.x;
    if (threadIdx.x == 0) rotation_from_euler(euler + face * 3, r);
    __syncthreads();
    const float infinity = __int_as_float(0x7f800000);
    float low[2] = {infinity, infinity}, high[2] = {-infinity, -infinity};
    for (int i = threadIdx.x; i < n; i += blockDim.x) {
        float at[3];
#pragma unroll
        for (int k = 0; k < 3; ++k) at[k] = shape_flat(mean, modes, p + face * m, m, 3 * n, k * n + i);
#pragma unroll
        for (int k = 0; k < 2; ++k) {
            // Rounded one by one here: that is how the reference build has it.
            const float value = at[0] * r[3 * k] + at[1] * r[3 * k + 1] + at[2] * r[3 * k + 2];
            low[k] = fminf(low[k], value);
            high[k] = fmaxf(high[k], value);
        }
    }
#pragma unroll
    for (int k = 0; k < 2; ++k)
        for (int step = 16; step > 0; step /= 2) {
            low[k] = fminf(low[k], __shfl_xor_sync(0xffffffffu, low[k], step));
            high[k] = fmaxf(high[k], __shfl_xor_sync(0xffffffffu, high[k], step));
        }
    if (threadIdx.x > 0) return;
    const float* const box = boxes + face * 4;
    float* const g = out + face * 6;
    const float scale = (box[2] / (high[0] - low[0]) + box[3] / (high[1] - low[1])) / 2.0f;
    g[0] = scale;
#pragma unroll
    for (int k = 0; k < 3; ++k) g[1 + k] = euler[face * 3 + k];
#pragma unroll
    for (int k = 0; k < 2; ++k) g[4 + k] = __fmaf_rn(-scale, (low[k] + high[k]) / 2.0f, box[k] + box[2 + k] / 2.0f);
}
