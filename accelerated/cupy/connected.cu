// Fully connected layers of the detector's and the validator's networks (spec 10.5), with bias and activation.
//
// A block makes 64 units of some samples; weights and inputs go through shared memory, and every weight is used for as
// many samples as a thread has. Sums are sequential over the inputs, by fused multiply-adds. Each sample looks up its
// own network's weights by `view`; a negative view leaves the sample out.
//
// Defined by the launcher: the samples of a thread, one where samples have networks of their own, for example
//   -DSAMPLES=4
#include "activation.cuh"

#define CONNECTED 64   // units of a block, a lane each
#define TEAMS 4        // samples in rows of lanes, SAMPLES each
#define KEPT 128       // values of the input at a time

// inputs (count, depth), weights (networks, depth, padded), biases and slopes (networks, units) to out (count, units).
// A block: `together` samples (one where they have networks of their own), CONNECTED units.
extern "C" __global__ void __launch_bounds__(CONNECTED * TEAMS)
connect(const float* __restrict__ inputs, int count, int together, int depth, const float* __restrict__ weights,
        int units, int padded, const float* __restrict__ biases, const float* __restrict__ slopes, int activation,
        const int* __restrict__ view, float* __restrict__ out) {
    __shared__ float4 own_weights[KEPT * CONNECTED / 4];
    __shared__ __align__(16) float own_inputs[KEPT][TEAMS * SAMPLES + 4];  // 4 more: fewer bank conflicts when written
    const int first = blockIdx.x * together, items = min(together, count - first);
    const int network = view[first];
    if (together == 1 && network < 0) return;
    weights += together == 1 ? i64(network) * depth * padded : 0;
    biases += together == 1 ? network * units : 0;
    slopes += together == 1 ? network * units : 0;
    const int first_unit = blockIdx.y * CONNECTED, unit = first_unit + threadIdx.x;
    const int thread = threadIdx.y * CONNECTED + threadIdx.x;

    float sums[SAMPLES];
#pragma unroll
    for (int s = 0; s < SAMPLES; ++s) sums[s] = 0.0f;
    for (int start = 0; start < depth; start += KEPT) {
        const int length = min(KEPT, depth - start);
        __syncthreads();
        for (int i = thread; i < length * (CONNECTED / 4); i += CONNECTED * TEAMS) {
            const int at = first_unit + i % (CONNECTED / 4) * 4;
            const i64 from = i64(start + i / (CONNECTED / 4)) * padded + at;
            own_weights[i] = at < padded ? *reinterpret_cast<const float4*>(weights + from)
                                         : make_float4(0.0f, 0.0f, 0.0f, 0.0f);
        }
        for (int i = thread; i < TEAMS * SAMPLES * KEPT; i += CONNECTED * TEAMS) {
            const int item = i / KEPT, k = i % KEPT;
            const bool there = item < items && k < length;
            own_inputs[k][item] = there ? inputs[i64(first + item) * depth + start + k] : 0.0f;
        }
        __syncthreads();
        const float* const column = reinterpret_cast<const float*>(own_weights) + threadIdx.x;
        if (int(threadIdx.y) * SAMPLES < items)
#pragma unroll 8
            for (int k = 0; k < length; ++k) {
                const float weight = column[k * CONNECTED];
#pragma unroll
                for (int s = 0; s < SAMPLES; ++s)
                    sums[s] = __fmaf_rn(weight, own_inputs[k][threadIdx.y * SAMPLES + s], sums[s]);
            }
    }
    if (unit >= units) return;
#pragma unroll
    for (int s = 0; s < SAMPLES; ++s) {
        const int item = threadIdx.y * SAMPLES + s;
        if (item < items)
            out[i64(first + item) * units + unit] = activated(sums[s] + biases[unit], activation, slopes[unit]);
    }
}
