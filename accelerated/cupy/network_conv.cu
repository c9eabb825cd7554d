// Convolutions of the network detectors and landmarkers (reference/networks/layers.py), with bias, a sum with maps that
// are there already, and activation. Zeros around the maps are not in memory.
//
// A matrix product of weights and windows, of which nobody writes the windows down: a block makes some units (output
// maps) at some positions of all images of the batch, one after the other; weights and the values that the positions
// see go through shared memory, DEPTH taps at a time, and a thread keeps UNITS x POSITIONS sums in registers. Sums are
// sequential, by fused multiply-adds, over (map, row, column), whatever the size of a block; the bias is added last. So
// a result depends neither on the batch nor on how it is cut.
//
// Fully connected layers are convolutions of maps of one place.
#include "activation.cuh"

#define UNITS 8      // of a thread
#define POSITIONS 4  // of a thread, blockDim.x apart
#define DEPTH 16     // taps in shared memory

constexpr int kNowhere = -(1 << 30);

// maps (count, inputs, height, width), weights (inputs * kernel * kernel, padded) with zeros from `units` on, biases and
// slopes (units,), added (count, units, out_height, out_width) where `adds`, to the units from `first_map` on of
// out (count, out_maps, out_height, out_width). Block (i, j): positions i * blockDim.x * POSITIONS on, units
// j * blockDim.y * UNITS on. `padding`: zeros at the top and at the left.
// Shared: (16 + 4 * DEPTH) * positions of a block + 4 * DEPTH * (units of a block + 4) bytes.
extern "C" __global__ void __launch_bounds__(256)
windows(const float* __restrict__ maps, int count, int inputs, int height, int width, const float* __restrict__ weights,
        int units, int padded, const float* __restrict__ biases, const float* __restrict__ slopes, int activation,
        int kernel, int stride, int padding, const float* __restrict__ added, int adds, float* __restrict__ out,
        int out_height, int out_width, int out_maps, int first_map) {
    DYNAMIC_SHARED(i64, shared);
    const int across = blockDim.x, block_positions = across * POSITIONS, block_units = blockDim.y * UNITS;
    i64* const item = shared;                                            // (block_positions) where its image begins
    int* const top = reinterpret_cast<int*>(item + block_positions);     // (block_positions) first row that it sees
    int* const left = top + block_positions;                             // (block_positions) first column
    int* const taps = left + block_positions;                            // (DEPTH, 4): map, row, column
    float* const own_weights = reinterpret_cast<float*>(taps + 4 * DEPTH);  // (DEPTH, block_units)
    float* const own_values = own_weights + DEPTH * block_units;            // (DEPTH, block_positions)

    const int plane = out_height * out_width, thread = threadIdx.y * across + threadIdx.x;
    const int threads = across * blockDim.y, first_unit = blockIdx.y * block_units;
    const i64 first = i64(blockIdx.x) * block_positions, positions = i64(count) * plane;
    for (int p = thread; p < block_positions; p += threads) {
        const bool there = first + p < positions;
        const i64 image = there ? (first + p) / plane : 0;
        const int at = static_cast<int>(first + p - image * plane);
        item[p] = image * inputs * height * width;
        top[p] = there ? at / out_width * stride - padding : kNowhere;
        left[p] = there ? at % out_width * stride - padding : kNowhere;
    }
    float sums[UNITS][POSITIONS];
#pragma unroll
    for (int u = 0; u < UNITS; ++u)
#pragma unroll
        for (int i = 0; i < POSITIONS; ++i) sums[u][i] = 0.0f;

    const int depth = inputs * kernel * kernel;
    for (int start = 0; start < depth; start += DEPTH) {
        __syncthreads();
        for (int k = thread; k < DEPTH; k += threads) {
            const int tap = (start + k) % (kernel * kernel);
            taps[4 * k] = (start + k) / (kernel * kernel);
            taps[4 * k + 1] = tap / kernel;
            taps[4 * k + 2] = tap % kernel;
        }
        for (int k = threadIdx.y; k < DEPTH; k += blockDim.y)
            for (int u = 4 * threadIdx.x; u < block_units; u += 4 * across) {
                const bool there = start + k < depth && first_unit + u < padded;
                const i64 from = i64(start + k) * padded + first_unit + u;
                *reinterpret_cast<float4*>(own_weights + k * block_units + u) =
                    there ? *reinterpret_cast<const float4*>(weights + from) : make_float4(0.0f, 0.0f, 0.0f, 0.0f);
            }
        __syncthreads();
        for (int k = threadIdx.y; k < DEPTH; k += blockDim.y) {
            const int map = taps[4 * k], row = taps[4 * k + 1], column = taps[4 * k + 2];
#pragma unroll
            for (int i = 0; i < POSITIONS; ++i) {
                const int p = threadIdx.x + i * across, y = top[p] + row, x = left[p] + column;
                const bool there = map < inputs && y >= 0 && y < height && x >= 0 && x < width;
                const i64 from = item[p] + (i64(map) * height + y) * width + x;
                own_values[k * block_positions + p] = there ? maps[from] : 0.0f;
            }
        }
        __syncthreads();
#pragma unroll
        for (int k = 0; k < DEPTH; ++k) {
            const float4* const row = reinterpret_cast<const float4*>(own_weights + k * block_units + threadIdx.y * UNITS);
            float value[POSITIONS];
#pragma unroll
            for (int i = 0; i < POSITIONS; ++i) value[i] = own_values[k * block_positions + threadIdx.x + i * across];
#pragma unroll
            for (int u = 0; u < UNITS; u += 4) {
                const float4 w = row[u / 4];
#pragma unroll
                for (int i = 0; i < POSITIONS; ++i) {
                    sums[u][i] = __fmaf_rn(w.x, value[i], sums[u][i]);
                    sums[u + 1][i] = __fmaf_rn(w.y, value[i], sums[u + 1][i]);
                    sums[u + 2][i] = __fmaf_rn(w.z, value[i], sums[u + 2][i]);
                    sums[u + 3][i] = __fmaf_rn(w.w, value[i], sums[u + 3][i]);
                }
            }
        }
    }

#pragma unroll
    for (int i = 0; i < POSITIONS; ++i) {
        const i64 position = first + threadIdx.x + i * across;
        if (position >= positions) continue;
        const i64 image = position / plane, at = position - image * plane;
#pragma unroll
        for (int u = 0; u < UNITS; ++u) {
            const int unit = first_unit + threadIdx.y * UNITS + u;
            if (unit >= units) continue;
            float value = sums[u][i] + biases[unit];
            if (adds) value = value + added[(image * units + unit) * plane + at];
            out[(image * out_maps + first_map + unit) * plane + at] = activated(value, activation, slopes[unit]);
        }
    }
}

// The same where each map has a kernel of its own: maps (count, channels, height, width), weights (channels, kernel *
// kernel). Block (i, j): map i of all images, outputs j * blockDim.x on. Sums over (row, column); zeros are left out.
extern "C" __global__ void __launch_bounds__(256)
windows_of_one_map(const float* __restrict__ maps, int channels, int height, int width,
                   const float* __restrict__ weights, const float* __restrict__ biases,
                   const float* __restrict__ slopes, int activation, int kernel, int stride, int padding,
                   float* __restrict__ out, int out_height, int out_width, int out_maps, int first_map) {
    DYNAMIC_SHARED(float, own_weights);
    const int image = blockIdx.x / channels, channel = blockIdx.x % channels;
    for (int k = threadIdx.x; k < kernel * kernel; k += blockDim.x)
        own_weights[k] = weights[channel * kernel * kernel + k];
    __syncthreads();
    const int plane = out_height * out_width;
    const float* const own = maps + i64(blockIdx.x) * height * width;
    float* const to = out + (i64(image) * out_maps + first_map + channel) * plane;
    for (int at = blockIdx.y * blockDim.x + threadIdx.x; at < plane; at += gridDim.y * blockDim.x) {
        const int top = at / out_width * stride - padding, left = at % out_width * stride - padding;
        float sum = 0.0f;
        for (int row = max(-top, 0); row < min(kernel, height - top); ++row)
            for (int column = max(-left, 0); column < min(kernel, width - left); ++column)
                sum = __fmaf_rn(own_weights[row * kernel + column], own[(top + row) * width + left + column], sum);
        to[at] = activated(sum + biases[channel], activation, slopes[channel]);
    }
}
