// CCNF responses (spec 40.6, 40.8): a block makes the map of one landmark of one face, a thread one of its positions.
//
// The area is sampled into shared memory once. A thread normalises its patch in the reference order of sums and
// correlates it with eight neurons at a time, whose sums stay in registers; sigmoids are in double and added up in
// float32, neuron after neuron. The field's covariance is stored turned, so that threads side by side read floats
// side by side.
//
// For 64 faces of 68 landmarks with 7 neurons and windows of 9 px it does 0.7 GFLOP for the neurons, half as much for
// the normalisation, 2.5 million sigmoids and 57 MFLOP for the covariances, of which it reads 26 KB a landmark and
// face, 114 MB: from the L2 cache as far as faces share views (faces run next to each other). On an H200 that is 30
// us of L2 traffic and about as much of arithmetic and of reads from shared memory; nothing here is worth tiling
// further. It has been run on the host only (parity_tests/cuda_on_host), never on a GPU.
//
// Defined by the launcher: the side of a patch in px, for example
//   -DSUPPORT=11
#include "areas.cuh"

#define TAPS (SUPPORT * SUPPORT)
#define TOGETHER 8  // neurons
#define SUMS 16     // partial sums of a product with a covariance

__device__ inline float smallest_of_block(float value, float* of_warps) {
    for (int bits = 16; bits > 0; bits /= 2) value = fminf(value, __shfl_xor_sync(0xffffffffu, value, bits));
    if (threadIdx.x % 32 == 0) of_warps[threadIdx.x / 32] = value;
    __syncthreads();
    for (int k = 0; k < static_cast<int>(blockDim.x) / 32; ++k) value = fminf(value, of_warps[k]);
    return value;
}

// Sum of the sigmoid neurons of an expert (its weights (groups, TAPS, 8), biases and alphas (groups, 8)) for one
// patch.
__device__ inline float neurons(const float* first, int side, int groups, const float* __restrict__ weights,
                                const float* __restrict__ biases, const double* __restrict__ alphas) {
    const Contrast contrast = contrast_of<SUPPORT>(first, side, 1);
    float raw = 0.0f;
    for (int group = 0; group < groups; ++group) {
        float z[TOGETHER];
#pragma unroll
        for (int k = 0; k < TOGETHER; ++k) z[k] = biases[group * TOGETHER + k];
        const float4* row = reinterpret_cast<const float4*>(weights) + group * TAPS * (TOGETHER / 4);
        for (int u = 0; u < SUPPORT; ++u)
#pragma unroll
            for (int v = 0; v < SUPPORT; ++v, row += TOGETHER / 4) {
                const float value = (first[v * side + u] - contrast.mean) * contrast.factor;
#pragma unroll
                for (int k = 0; k < TOGETHER / 4; ++k) {
                    const float4 w = __ldg(row + k);
                    z[4 * k] = __fmaf_rn(w.x, value, z[4 * k]);
                    z[4 * k + 1] = __fmaf_rn(w.y, value, z[4 * k + 1]);
                    z[4 * k + 2] = __fmaf_rn(w.z, value, z[4 * k + 2]);
                    z[4 * k + 3] = __fmaf_rn(w.w, value, z[4 * k + 3]);
                }
            }
#pragma unroll
        for (int k = 0; k < TOGETHER; ++k) {
            const double alpha = alphas[group * TOGETHER + k];
            if (alpha == 0.0) continue;
            const double term = alpha / (1.0 + exp(-static_cast<double>(z[k])));
            raw = static_cast<float>(static_cast<double>(raw) + term);
        }
    }
    return raw;
}

// The sum of `count` values of a column (count, count) times `raw`: sixteen partial sums, which keep the loads in
// flight and the rounding small, then neighbours added in pairs.
__device__ inline float smoothed(const float* __restrict__ column, const float* raw, int count) {
    float sums[SUMS];
#pragma unroll
    for (int lane = 0; lane < SUMS; ++lane) sums[lane] = 0.0f;
    for (int first = 0; first < count; first += SUMS)
#pragma unroll
        for (int lane = 0; lane < SUMS; ++lane)
            if (first + lane < count)
                sums[lane] = __fmaf_rn(column[(first + lane) * count], raw[first + lane], sums[lane]);
#pragma unroll
    for (int width = 1; width < SUMS; width *= 2)
#pragma unroll
        for (int lane = 0; lane < SUMS; lane += 2 * width) sums[lane] += sums[lane + width];
    return sums[0];
}

// gray (S, height, width); of every face its image, landmarks (points, 2), ref_to_img (2, 2), view and good; experts
// (views, points): which expert, or -1; sigma (experts, w * w, w * w), transposed. Out: maps (faces, points, w, w), 0
// where there is no expert and of faces that are not good. Grid (faces, points); shared: side * side + 2 w * w
// floats.
extern "C" __global__ void __launch_bounds__(256)
ccnf_responses(const PIXEL* __restrict__ gray, int height, int width, const int* __restrict__ frame,
               const float* __restrict__ landmarks, const float* __restrict__ ref_to_img, const int* __restrict__ view,
               const u8* __restrict__ good, const int* __restrict__ experts, int groups,
               const float* __restrict__ weights, const float* __restrict__ biases, const double* __restrict__ alphas,
               const float* __restrict__ sigma, int window, float* __restrict__ maps) {
    DYNAMIC_SHARED(float, area);
    __shared__ float of_warps[8];
    const int face = blockIdx.x, landmark = blockIdx.y, points = gridDim.y;
    const int thread = threadIdx.x, threads = blockDim.x;
    const int side = window + SUPPORT - 1, positions = window * window;
    float* const raw = area + side * side;
    float* const smooth = raw + positions;
    float* const map = maps + (static_cast<i64>(face) * points + landmark) * positions;
    const int expert = good[face] ? experts[view[face] * points + landmark] : -1;
    if (expert < 0) {
        for (int q = thread; q < positions; q += threads) map[q] = 0.0f;
        return;
    }
    const PIXEL* const image = gray + static_cast<i64>(frame[face]) * height * width;
    const Area place = area_around(landmarks + 2 * (face * points + landmark), ref_to_img + 4 * face, side);
    for (int i = thread; i < side * side; i += threads)
        area[i] = area_pixel(image, height, width, place, i / side, i % side);
    __syncthreads();

    weights += static_cast<i64>(expert) * groups * TAPS * TOGETHER;
    biases += expert * groups * TOGETHER;
    alphas += expert * groups * TOGETHER;
    for (int q = thread; q < positions; q += threads)
        raw[q] = neurons(area + q / window * side + q % window, side, groups, weights, biases, alphas);
    __syncthreads();

    sigma += static_cast<i64>(expert) * positions * positions;
    float lowest = 0.0f;
    for (int q = thread; q < positions; q += threads) {
        const float total = smoothed(sigma + q, raw, positions);
        smooth[q] = total;
        lowest = fminf(lowest, total);
    }
    lowest = smallest_of_block(lowest, of_warps);
    for (int q = thread; q < positions; q += threads) map[q] = smooth[q] - lowest;
}
