// The layers of a CEN expert for a block's rows (spec 40.7), in shared memory and registers: see cen.cu, which
// defines nothing else of the networks. Values are kept as (units, STRIDE), a row's next to each other for all rows
// of the block.
#pragma once

#include "common.cuh"

#define _(entry) entry,  // a list without commas, which nvcc would split
#define TAPS (SUPPORT * SUPPORT)
#define STRIDE (ROWS + 4)  // of a unit's row of values: threads side by side write to different banks
#define TILE 4             // units of a thread
#define AHEAD 4            // rows of weights that are loaded in advance

__device__ constexpr int kUnits[] = {UNITS};
__device__ constexpr int kActivations[] = {ACTIVATIONS};
__device__ constexpr int kLayers = sizeof(kUnits) / sizeof(int);
static_assert(kLayers >= 3 && sizeof(kActivations) == sizeof(kUnits) && kUnits[kLayers - 1] == 1, "layers");
static_assert(CHUNK % TILE == 0 && ROWS % 4 == 0 && ROWS <= THREADS, "tiles");

// Threads that share a row of a layer.
__host__ __device__ constexpr int groups_of(int units) { return (units + TILE - 1) / TILE; }

// Rows of a thread: as few as it takes to have all tiles done at once.
__host__ __device__ constexpr int rows_of(int groups) {
    int rows = 1;
    while (ROWS / rows * groups > THREADS && rows < 16 && ROWS % (2 * rows) == 0) rows *= 2;
    return rows;
}

// Where a layer's weights begin in those of an expert, floats: the first layer's in chunks, each with a row for the
// constant input, TAPS rows and a row of biases; then layers of a row for each input and a row of biases.
__host__ __device__ constexpr int start_of(int layer) {
    constexpr int units[] = {UNITS};
    int start = 0;
    for (int k = 0; k < layer; ++k) {
        const int rows = k == 0 ? (TAPS + 2) * ((units[0] + CHUNK - 1) / CHUNK) : units[k - 1] + 1;
        start += rows * (k == 0 ? CHUNK : k + 1 == kLayers ? 1 : TILE * groups_of(units[k]));
    }
    return (start + TILE - 1) / TILE * TILE;
}

template <int ACTIVATION> __device__ inline float activated(float value) {
    if (ACTIVATION == 2) return value > 0.0f ? value : 0.0f;
    if (ACTIVATION == 0) return 1.0f / (1.0f + static_cast<float>(exp(-static_cast<double>(value))));
    return value;
}

template <int R> __device__ inline void load_rows(const float* from, float (&rows)[R]) {
    if constexpr (R % 4 == 0) {
#pragma unroll
        for (int i = 0; i < R; i += 4) {
            const float4 four = *reinterpret_cast<const float4*>(from + i);
            rows[i] = four.x;
            rows[i + 1] = four.y;
            rows[i + 2] = four.z;
            rows[i + 3] = four.w;
        }
    } else {
#pragma unroll
        for (int i = 0; i < R; ++i) rows[i] = from[i];
    }
}

template <int R> __device__ inline void add_products(const float (&rows)[R], float4 w, float (&sums)[R][TILE]) {
#pragma unroll
    for (int i = 0; i < R; ++i) {
        sums[i][0] = __fmaf_rn(w.x, rows[i], sums[i][0]);
        sums[i][1] = __fmaf_rn(w.y, rows[i], sums[i][1]);
        sums[i][2] = __fmaf_rn(w.z, rows[i], sums[i][2]);
        sums[i][3] = __fmaf_rn(w.w, rows[i], sums[i][3]);
    }
}

// Adds to a tile the products of `depth` rows of weights (GROUPS float4 each, from the thread's own on) with the
// inputs (depth, STRIDE) from the thread's first row on. Reads AHEAD rows of weights more, which are there, and drops
// them.
template <int R, int GROUPS>
__device__ inline void multiply(const float4* __restrict__ weights, const float* inputs, int depth,
                                float (&sums)[R][TILE]) {
    float4 next[AHEAD];
    float rows[R];
#pragma unroll
    for (int d = 0; d < AHEAD; ++d) next[d] = __ldg(weights + d * GROUPS);
    int k = 0;
    for (; k + AHEAD <= depth; k += AHEAD) {
        weights += AHEAD * GROUPS;
#pragma unroll
        for (int d = 0; d < AHEAD; ++d) {
            load_rows<R>(inputs + (k + d) * STRIDE, rows);
            add_products<R>(rows, next[d], sums);
            next[d] = __ldg(weights + d * GROUPS);
        }
    }
#pragma unroll
    for (int d = 0; d < AHEAD - 1; ++d)
        if (k + d < depth) {
            load_rows<R>(inputs + (k + d) * STRIDE, rows);
            add_products<R>(rows, next[d], sums);
        }
}

// Writes a tile as the next layer's inputs (units, STRIDE); unit j of the thread's is `group` + j * GROUPS.
template <int ACTIVATION, int R, int GROUPS>
__device__ inline void finish(const float (&sums)[R][TILE], float4 bias, int group, int row, float* outputs) {
    const float biases[TILE] = {bias.x, bias.y, bias.z, bias.w};
#pragma unroll
    for (int j = 0; j < TILE; ++j) {
        float* const to = outputs + (group + j * GROUPS) * STRIDE + row;
        float values[R];
#pragma unroll
        for (int i = 0; i < R; ++i) values[i] = activated<ACTIVATION>(sums[i][j] + biases[j]);
        if constexpr (R % 4 == 0) {
#pragma unroll
            for (int i = 0; i < R; i += 4)
                *reinterpret_cast<float4*>(to + i) =
                    make_float4(values[i], values[i + 1], values[i + 2], values[i + 3]);
        } else {
#pragma unroll
            for (int i = 0; i < R; ++i) to[i] = values[i];
        }
    }
}

// Layer LAYER and those behind it but the last, each over its inputs in `values`.
template <int LAYER> __device__ inline void later_layers(const float* weights, float* values) {
    if constexpr (LAYER + 1 < kLayers) {
        constexpr int GROUPS = groups_of(kUnits[LAYER]), R = rows_of(GROUPS), DEPTH = kUnits[LAYER - 1];
        static_assert(ROWS / R * GROUPS <= THREADS, "more tiles than threads");
        const int group = threadIdx.x % GROUPS, row = threadIdx.x / GROUPS * R;
        const float4* const own = reinterpret_cast<const float4*>(weights + start_of(LAYER)) + group;
        float sums[R][TILE] = {};
        if (row < ROWS) multiply<R, GROUPS>(own, values + row, DEPTH, sums);
        __syncthreads();
        if (row < ROWS)
            finish<kActivations[LAYER], R, GROUPS>(sums, __ldg(own + DEPTH * GROUPS), group, row, values);
        __syncthreads();
        later_layers<LAYER + 1>(weights, values);
    }
}

// The first two layers, from `inputs` (TAPS, STRIDE) to the second one's outputs in their place; `chunk` lies behind
// the inputs, and the outputs may reach over it.
__device__ inline void first_layers(const float* __restrict__ weights, float* inputs, float* chunk) {
    constexpr int GROUPS = CHUNK / TILE, R = rows_of(GROUPS), NEXT_GROUPS = groups_of(kUnits[1]);
    constexpr int NEXT_R = rows_of(NEXT_GROUPS);
    static_assert(ROWS / R * GROUPS <= THREADS && ROWS / NEXT_R * NEXT_GROUPS <= THREADS, "more tiles than threads");
    const int group = threadIdx.x % GROUPS, row = threadIdx.x / GROUPS * R;
    const int next_group = threadIdx.x % NEXT_GROUPS, next_row = threadIdx.x / NEXT_GROUPS * NEXT_R;
    const float4* const next_own = reinterpret_cast<const float4*>(weights + start_of(1)) + next_group;
    float next_sums[NEXT_R][TILE] = {};
    for (int first = 0; first < kUnits[0]; first += CHUNK) {
        if (row < ROWS) {
            const float4* const own = reinterpret_cast<const float4*>(weights + first * (TAPS + 2)) + group;
            const float4 constant = __ldg(own);  // of the input that is always 1
            float sums[R][TILE];
#pragma unroll
            for (int i = 0; i < R; ++i) {
                sums[i][0] = constant.x;
                sums[i][1] = constant.y;
                sums[i][2] = constant.z;
                sums[i][3] = constant.w;
            }
            multiply<R, GROUPS>(own + GROUPS, inputs + row, TAPS, sums);
            finish<kActivations[0], R, GROUPS>(sums, __ldg(own + (TAPS + 1) * GROUPS), group, row, chunk);
        }
        __syncthreads();
        if (next_row < ROWS)
            multiply<NEXT_R, NEXT_GROUPS>(next_own + first * NEXT_GROUPS, chunk + next_row,
                                          min(CHUNK, kUnits[0] - first), next_sums);
        __syncthreads();
    }
    if (next_row < ROWS)
        finish<kActivations[1], NEXT_R, NEXT_GROUPS>(next_sums, __ldg(next_own + kUnits[0] * NEXT_GROUPS), next_group,
                                                     next_row, inputs);
    __syncthreads();
}
