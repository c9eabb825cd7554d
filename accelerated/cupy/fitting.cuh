// What a fit does with the response maps of its landmarks (spec 50.3, 50.5): positions in the maps, mean shifts from
// tabulated kernels, likelihoods. Maps are (n, w, w) row by row, positions (2n,) columns of all landmarks, then rows.
// Defines as of fitting.cu.
#pragma once

#include "gauss_newton.cuh"

constexpr float CELL = static_cast<float>(GRID_STEP);

// The nearest grid point's cell along one axis; what is not a number has none, and nothing is made of it later.
__device__ inline int grid_cell(float place) {
    return place == place ? static_cast<int>(static_cast<double>(place / CELL) + 0.5) : 0;
}

// Where landmark i of `current` (2n,) px stands in its map, into `position` (2n,); within the map into `within` (2n,);
// and where the table has the kernel centred on the grid point nearest to that.
__device__ inline void place_in_map(const float* current, const float* base, const float* img_to_ref, int n, int i,
                                    int window, float* position, float* within, int* table_row) {
    const float centre = static_cast<float>((window - 1) / 2), largest = static_cast<float>(window) - CELL;
    const double dx = static_cast<double>(current[i] - base[i]);
    const double dy = static_cast<double>(current[n + i] - base[n + i]);
#pragma unroll
    for (int k = 0; k < 2; ++k) {
        const double a = static_cast<double>(img_to_ref[2 * k]), b = static_cast<double>(img_to_ref[2 * k + 1]);
        const double offset = dx * a + dy * b;
        position[k * n + i] = static_cast<float>(offset) + centre;
        within[k * n + i] = clamped(position[k * n + i], 0.0f, largest);
    }
    table_row[i] = (grid_cell(within[i]) * CELLS_PER_PX * window + grid_cell(within[n + i])) * window * window;
}

// Mean shifts of all landmarks in px of the image, as residuals (2n,); 0 where a landmark is not seen. `mass` holds
// `capacity` floats; where the maps times their kernels do not fit, they are taken some rows at a time.
//
// A warp multiplies a map with its kernel, reading both in one piece; then a thread a landmark adds it up in raster
// order, the moments by fused multiply-adds. The block has at least n threads.
__device__ inline void mean_shifts(const float* __restrict__ maps, const float* __restrict__ table,
                                   const int* table_row, const float* within, const int* seen, const float* ref_to_img,
                                   int n, int window, float* mass, int capacity, float* residual) {
    const int i = threadIdx.x, lane = threadIdx.x % LANES, pixels = window * window;
    int rows_at_once = min(window, capacity / (n * window));
    while (rows_at_once > 1 && n * (rows_at_once * window | 1) > capacity) --rows_at_once;
    const int stride = rows_at_once * window | 1;  // odd: lanes of neighbouring landmarks find different banks
    float total = 0.0f, mean_x = 0.0f, mean_y = 0.0f;
    for (int first = 0; first < window; first += rows_at_once) {
        const int rows = min(rows_at_once, window - first);
        for (int j = threadIdx.x / LANES; j < n; j += blockDim.x / LANES) {
            if (!seen[j]) continue;
            const float* const map = maps + j * pixels + first * window;
            const float* const kernel = table + table_row[j] + first * window;
            for (int q = lane; q < rows * window; q += LANES) mass[j * stride + q] = map[q] * kernel[q];
        }
        __syncthreads();
        if (i < n && seen[i])
            for (int row = 0; row < rows; ++row) {
                const float y = static_cast<float>(first + row);
                const float* const line = mass + i * stride + row * window;
                for (int column = 0; column < window; ++column) {
                    const float value = line[column];
                    total += value;
                    mean_x = __fmaf_rn(value, static_cast<float>(column), mean_x);
                    mean_y = __fmaf_rn(value, y, mean_y);
                }
            }
        __syncthreads();
    }
    if (i >= n) return;
    double x = 0.0, y = 0.0;
    // An all-zero map pulls nowhere (the C++ program divides 0 by 0 there), nor does one around nowhere.
    if (seen[i] && total > 0.0f && within[i] == within[i] && within[n + i] == within[n + i]) {
        x = static_cast<double>(mean_x / total - within[i]);
        y = static_cast<double>(mean_y / total - within[n + i]);
    }
#pragma unroll
    for (int k = 0; k < 2; ++k)
        residual[k * n + i] = static_cast<float>(x * static_cast<double>(ref_to_img[2 * k])
                                                 + y * static_cast<double>(ref_to_img[2 * k + 1]));
}

// Likelihoods of all landmarks into `out` (n,), and of the model, which thread 0 gets. A warp takes a landmark at a
// time, its sum in one fixed order. `scratch`: n + 2 w doubles a warp.
__device__ inline float likelihoods(const float* __restrict__ maps, const float* position, const int* seen, int n,
                                    int window, double sigma, double* scratch, float* out) {
    const int warp = threadIdx.x / LANES, lane = threadIdx.x % LANES, pixels = window * window;
    double* const logs = scratch;
    double* const across = scratch + n + warp * 2 * window;
    double* const down = across + window;
    for (int i = warp; i < n; i += blockDim.x / LANES) {
        if (!seen[i]) {
            if (lane == 0) out[i] = static_cast<float>(INVISIBLE);
            continue;
        }
        for (int k = lane; k < window; k += LANES) {
            const double dx = static_cast<double>(position[i]) - k, dy = static_cast<double>(position[n + i]) - k;
            across[k] = exp(-0.5 * (dx * dx) / (sigma * sigma));
            down[k] = exp(-0.5 * (dy * dy) / (sigma * sigma));
        }
        __syncwarp();
        double density = 0.0;
        for (int q = lane; q < pixels; q += LANES) {
            const int row = q / window;
            density += static_cast<double>(maps[i * pixels + q]) * (down[row] * across[q - row * window]);
        }
        for (int step = LANES / 2; step > 0; step /= 2) density += __shfl_xor_sync(ALL_LANES, density, step);
        if (lane == 0) {
            out[i] = static_cast<float>(density);
            logs[i] = log(density + 1e-8);
        }
    }
    __syncthreads();
    double total = 0.0;
    int count = 0;
    for (int i = 0; threadIdx.x == 0 && i < n; ++i) {
        if (!seen[i]) continue;
        total += logs[i];
        ++count;
    }
    return static_cast<float>(total / count);
}
