// Convolutions of the detector's and the validator's networks (spec 20.3, 10.5), with bias, activation and pooling.
//
// They are computed directly: a block makes a tile of positions for a few units (output maps). Weights and the
// part of the input that the tile looks at go through shared memory, some input maps at a time; a thread keeps
// 32 sums in registers, of UNITS units at 32 / UNITS positions, so that what it reads from shared memory is used
// several times. Lanes are neighbouring positions (no bank conflicts) of the same units (weights are broadcast).
// Sums are sequential, by fused multiply-adds, over (map, row, column): the order of accelerated/numba/convnet.py.
//
// Items are samples or whole pyramids: the maps of an item are `n_levels` maps of different sizes one after the other.
// Each item looks up its own network's weights by `view`; a negative view leaves the item out.
//
// Defined by the launcher: the size of the kernel, and the units of a thread, for example
//   -DKERNEL_Y=3 -DKERNEL_X=3 -DUNITS=8
#include "activation.cuh"

#define POSITIONS (32 / UNITS)
#define TAPS (KERNEL_Y * KERNEL_X)

constexpr int kRowsAtOnce = TAPS <= 9 ? KERNEL_Y : 1;  // of a kernel, in the innermost loops' code

// Of one level of an item: where its maps begin and how large they are, before and after the layer; its tiles.
struct Level {
    int in_at, in_height, in_width, out_at, out_height, out_width, first_tile, tiles_across;
};

// The maps that lie in shared memory, (items, maps, rows, columns), from those of the items from `first` on.
__device__ void load_maps(const float* __restrict__ maps, i64 item_floats, int items, int first_map, int map_count,
                          int maps_kept, const Level& level, int y0, int x0, int rows, int columns, float* target) {
    const int thread = threadIdx.y * blockDim.x + threadIdx.x, threads = blockDim.x * blockDim.y;
    const int plane = rows * columns;
    for (int i = thread; i < items * map_count * plane; i += threads) {
        const int at = i % plane, which = i / plane;
        const int item = which / map_count, map = which % map_count;
        const int y = y0 + at / columns, x = x0 + at % columns;
        const i64 line = (i64(first_map + map) * level.in_height + y) * level.in_width;
        target[(item * maps_kept + map) * plane + at] = maps[item * item_floats + level.in_at + line + x];
    }
}

// maps (count, item_floats), weights (networks, inputs * TAPS, padded), biases and slopes (networks, units) to
// out (count, out_floats). A block: tile blockIdx.x of `together` items, units blockIdx.y * blockDim.y * UNITS on.
// Pools of 1 x 1 are none. `by_columns`: maps are written column after column, as a fully connected layer reads them.
extern "C" __global__ void __launch_bounds__(256)
convolve(const float* __restrict__ maps, i64 item_floats, const Level* __restrict__ levels, int n_levels, int tiles,
         int count, int together, int inputs, int maps_kept, const float* __restrict__ weights, int units, int padded,
         const float* __restrict__ biases, const float* __restrict__ slopes, int activation,
         const int* __restrict__ view, int tile_rows, int tile_columns, int pool_y, int pool_x, int stride_y,
         int stride_x, int by_columns, float* __restrict__ out, i64 out_floats) {
    DYNAMIC_SHARED(float, shared);
    const int first = blockIdx.x / tiles * together, items = min(together, count - first);
    const int network = view[first];
    if (together == 1 && network < 0) return;
    weights += together == 1 ? i64(network) * inputs * TAPS * padded : 0;
    biases += together == 1 ? network * units : 0;
    slopes += together == 1 ? network * units : 0;

    const int tile = blockIdx.x % tiles;
    int which = 0;
    while (which + 1 < n_levels && tile >= levels[which + 1].first_tile) ++which;
    const Level level = levels[which];
    const int out_y = (tile - level.first_tile) / level.tiles_across * tile_rows;
    const int out_x = (tile - level.first_tile) % level.tiles_across * tile_columns;
    const int out_rows = min(tile_rows, level.out_height - out_y);
    const int out_columns = min(tile_columns, level.out_width - out_x);
    const int y0 = out_y * stride_y, x0 = out_x * stride_x;  // windows of the pool are cut at the border
    const int rows = min((out_rows - 1) * stride_y + pool_y, level.in_height - KERNEL_Y + 1 - y0);
    const int columns = min((out_columns - 1) * stride_x + pool_x, level.in_width - KERNEL_X + 1 - x0);
    const int in_rows = rows + KERNEL_Y - 1, in_columns = columns + KERNEL_X - 1, plane = in_rows * in_columns;

    const int block_units = blockDim.y * UNITS, first_unit = blockIdx.y * block_units;
    float4* const own_weights = reinterpret_cast<float4*>(shared);
    float* const own_maps = shared + maps_kept * TAPS * block_units;
    const int positions = items * rows * columns;
    int place[POSITIONS];
#pragma unroll
    for (int i = 0; i < POSITIONS; ++i) {
        const int p = threadIdx.x + i * blockDim.x, at = p % (rows * columns);
        const int inside = (p / (rows * columns)) * maps_kept * plane + at / columns * in_columns + at % columns;
        place[i] = p < positions ? inside : 0;
    }
    float sums[UNITS][POSITIONS];
#pragma unroll
    for (int u = 0; u < UNITS; ++u)
#pragma unroll
        for (int i = 0; i < POSITIONS; ++i) sums[u][i] = 0.0f;

    const int thread = threadIdx.y * blockDim.x + threadIdx.x, threads = blockDim.x * blockDim.y;
    for (int map = 0; map < inputs; map += maps_kept) {
        const int map_count = min(maps_kept, inputs - map);
        __syncthreads();
        for (int i = thread; i < map_count * TAPS * (block_units / 4); i += threads) {
            const int unit = first_unit + i % (block_units / 4) * 4;
            const i64 from = (i64(map) * TAPS + i / (block_units / 4)) * padded + unit;
            own_weights[i] = unit < padded ? *reinterpret_cast<const float4*>(weights + from)
                                           : make_float4(0.0f, 0.0f, 0.0f, 0.0f);
        }
        load_maps(maps + first * item_floats, item_floats, items, map, map_count, maps_kept, level, y0, x0, in_rows,
                  in_columns, own_maps);
        __syncthreads();
        for (int m = 0; m < map_count; ++m)
#pragma unroll kRowsAtOnce
            for (int ky = 0; ky < KERNEL_Y; ++ky)
#pragma unroll
                for (int kx = 0; kx < KERNEL_X; ++kx) {
                    const float4* const row = own_weights + ((m * KERNEL_Y + ky) * KERNEL_X + kx) * (block_units / 4);
                    const float* const from = own_maps + m * plane + ky * in_columns + kx;
                    float value[POSITIONS];
#pragma unroll
                    for (int i = 0; i < POSITIONS; ++i) value[i] = from[place[i]];
#pragma unroll
                    for (int u = 0; u < UNITS; u += 4) {
                        const float4 w = row[(threadIdx.y * UNITS + u) / 4];
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

    const int units_here = min(block_units, units - first_unit);
    __syncthreads();  // the sums take the place of weights and maps
#pragma unroll
    for (int u = 0; u < UNITS; ++u) {
        const int unit = threadIdx.y * UNITS + u;
        if (unit >= units_here) continue;
        const float bias = biases[first_unit + unit], slope = slopes[first_unit + unit];
#pragma unroll
        for (int i = 0; i < POSITIONS; ++i) {
            const int p = threadIdx.x + i * blockDim.x;
            if (p < positions) shared[unit * positions + p] = activated(sums[u][i] + bias, activation, slope);
        }
    }
    __syncthreads();
    const int out_plane = out_rows * out_columns;
    for (int i = thread; i < units_here * items * out_plane; i += threads) {
        const int along = i % out_plane, item = i / out_plane % items, unit = i / out_plane / items;
        const int y = by_columns ? along % out_rows : along / out_columns;
        const int x = by_columns ? along / out_rows : along % out_columns;
        const int last_y = min(y * stride_y + pool_y, rows), last_x = min(x * stride_x + pool_x, columns);
        const float* const own = shared + unit * positions + item * rows * columns;
        float largest = own[y * stride_y * columns + x * stride_x];
        for (int dy = y * stride_y; dy < last_y; ++dy)
            for (int dx = x * stride_x; dx < last_x; ++dx) largest = max(largest, own[dy * columns + dx]);
        const int at_y = out_y + y, at_x = out_x + x;
        const int at = by_columns ? at_x * level.out_height + at_y : at_y * level.out_width + at_x;
        const i64 map = i64(first_unit + unit) * level.out_height * level.out_width;
        out[(first + item) * out_floats + level.out_at + map + at] = largest;
    }
}
