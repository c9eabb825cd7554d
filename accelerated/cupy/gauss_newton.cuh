// A Gauss-Newton step of one face by its whole block (spec 30.4, 50.3, 90.4): rows of the Jacobian, normal equations,
// Cholesky and substitution. Every entry of the system belongs to one thread from the sum that makes it to its last
// elimination, so a column of the factorisation costs one barrier and nothing depends on the number of threads.
//
// The unknowns are the six global parameters, then the m modes; the right side is one more row below the matrix, whose
// elimination solves L y = b. Products are rounded to float32, sums kept in double (reference/numerics.solve_spd).
#pragma once

#include "pdm.cuh"

// Defined by the launcher (pdm.py): ENTRIES that a thread owns at most, and MOST_THREADS of a block.
constexpr unsigned ALL_LANES = 0xffffffffu;
constexpr int LANES = 32;

// Stands for the inverse of a pivot that is too small to have one.
constexpr float VANISHED = -1.0f;

__device__ inline int triangle(int row) { return row * (row + 1) / 2; }

// Rows and columns of the entries `threadIdx.x + k * blockDim.x` of a lower triangle, row by row.
struct Entries {
    int row[ENTRIES], column[ENTRIES];
};

__device__ inline Entries own_entries() {
    Entries own;
#pragma unroll
    for (int k = 0; k < ENTRIES; ++k) {
        const int entry = threadIdx.x + k * blockDim.x;
        int row = static_cast<int>((sqrtf(8.0f * entry + 1.0f) - 1.0f) * 0.5f);
        while (triangle(row + 1) <= entry) ++row;
        while (triangle(row) > entry) --row;
        own.row[k] = row;
        own.column[k] = entry - triangle(row);
    }
    return own;
}

// A system of up to `most` unknowns in shared memory.
struct System {
    double* rest;     // entries: what elimination has left of them; on the diagonal the squares to be subtracted
    double* totals;   // (most,)
    float* diagonal;  // (most,)
    float* inverse;   // (most,) of the pivots; VANISHED where there is none
    float* solution;  // (most,)
};

// Root and division take longer than all else of a column: its owner makes them before the others need them.
__device__ inline void invert_pivot(const System& system, int j) {
    const double pivot = static_cast<double>(system.diagonal[j]) - system.rest[triangle(j) + j];
    const bool good = pivot >= static_cast<double>(FLOAT_EPSILON);
    system.inverse[j] = good ? static_cast<float>(1.0 / sqrt(pivot)) : VANISHED;
}

// Sum of `count` doubles in shared memory, in one order whichever warp asks; to all lanes of the warp.
__device__ inline double warp_sum(const double* values, int count) {
    double total = 0.0;
    for (int k = threadIdx.x % LANES; k < count; k += LANES) total += values[k];
    for (int step = LANES / 2; step > 0; step /= 2) total += __shfl_xor_sync(ALL_LANES, total, step);
    return total;
}

// Rows of J transposed, `stride` apart: a row an unknown, x of all n points, then y; 0 for points that are not seen.
// The first six, and all m modes where `with_modes`. The block has at least 2n threads.
__device__ inline void jacobian_rows(const float* g, const float* r, const float* shape, const float* modes,
                                     const int* seen, int n, int m, bool with_modes, int stride, float* rows) {
    const int groups = blockDim.x / (2 * n), group = threadIdx.x / (2 * n), at = threadIdx.x % (2 * n);
    if (group >= groups) return;
    const int axis = at >= n ? 1 : 0, i = at - axis * n;
    if (group == 0) {
        rigid_jacobian(g[0], r, axis, shape[i], shape[n + i], shape[2 * n + i], rows + at, stride);
        if (!seen[i])
            for (int j = 0; j < 6; ++j) rows[j * stride + at] = 0.0f;
    }
    if (!with_modes) return;
    for (int j = group; j < m; j += groups) {
        const float* const mode = modes + j * 3 * n + i;
        rows[(6 + j) * stride + at] = seen[i] ? mode_jacobian(g[0], r, axis, mode[0], mode[n], mode[2 * n]) : 0.0f;
    }
}

// The own entries of J^T W J + prior, and of J^T W e - prior p in row `size`: sums in double over x of all points and
// over y, stored in float32. `weights` (n,) or null for the identity; `prior` and `p` (size - 6,).
__device__ inline void normal_equations(const Entries& own, int size, int n, const float* rows, int stride,
                                        const float* residual, const float* weights, const float* prior,
                                        const float* p, const System& system) {
#pragma unroll
    for (int e = 0; e < ENTRIES; ++e) {
        const int i = own.row[e], k = own.column[e];
        if (i > size || k >= size) continue;
        const float* const left = rows + (i == size ? k : i) * stride;
        const float* const right = i == size ? residual : rows + k * stride;
        double x = 0.0, y = 0.0;
        for (int c = 0; c < n; ++c) {
            const float weight = weights == nullptr ? 1.0f : weights[c];
            // Products of float32 are exact in double: fused or not, the sums are the same.
            x = __fma_rn(static_cast<double>(left[c] * weight), static_cast<double>(right[c]), x);
            y = __fma_rn(static_cast<double>(left[n + c] * weight), static_cast<double>(right[n + c]), y);
        }
        float value = static_cast<float>(x + y);
        if (k >= 6 && i == size) value -= prior[k - 6] * p[k - 6];
        if (k >= 6 && i == k) value += prior[k - 6];
        if (i == k) system.diagonal[i] = value;
        system.rest[triangle(i) + k] = i == k ? 0.0 : static_cast<double>(value);
    }
    if (threadIdx.x == 0) invert_pivot(system, 0);  // the owner of the first entry
}

// Cholesky factorisation; false, for all threads, where a pivot vanishes. Afterwards entry (i, j) of the factor is
// `rest` there times the inverse pivot of its column j, rounded to float32.
__device__ inline bool factorise(const Entries& own, int size, const System& system) {
    double* const rest = system.rest;
    for (int j = 0; j < size; ++j) {
        __syncthreads();
        if (system.inverse[j] == VANISHED) return false;
        const double inverse = static_cast<double>(system.inverse[j]);
#pragma unroll
        for (int e = 0; e < ENTRIES; ++e) {
            const int i = own.row[e], k = own.column[e];
            if (k <= j || k >= size || i > size) continue;
            const float a = static_cast<float>(rest[triangle(i) + j] * inverse);
            const float b = static_cast<float>(rest[triangle(k) + j] * inverse);
            double* const entry = rest + triangle(i) + k;
            if (i == k) *entry = __fma_rn(static_cast<double>(a), static_cast<double>(a), *entry);  // an exact product
            else *entry -= static_cast<double>(a * b);
            if (i == j + 1 && k == j + 1) invert_pivot(system, j + 1);
        }
    }
    __syncthreads();
    return true;
}

// Back substitution by one warp into `solution`; zeros ("no update") where the factorisation failed.
__device__ inline void substitute(int size, bool solvable, const System& system) {
    const int lane = threadIdx.x % LANES;
    for (int i = lane; i < size; i += LANES) {
        system.totals[i] = 0.0;
        if (!solvable) system.solution[i] = 0.0f;
    }
    __syncwarp();
    if (!solvable) return;
    for (int k = size - 1; k >= 0; --k) {
        const double inverse = static_cast<double>(system.inverse[k]);
        const float y = static_cast<float>(system.rest[triangle(size) + k] * inverse);
        const float x = static_cast<float>((static_cast<double>(y) - system.totals[k]) * inverse);
        for (int i = lane; i < k; i += LANES) {
            const double left = system.rest[triangle(k) + i] * static_cast<double>(system.inverse[i]);
            system.totals[i] += static_cast<double>(static_cast<float>(left) * x);
        }
        if (lane == 0) system.solution[k] = x;
        __syncwarp();
    }
}

// Global parameters g (6,) and their rotation r after a step, by one thread (spec 30.5).
__device__ inline void step_global(const float* step, float* g, float* r) {
    g[0] += step[0];
    g[4] += step[4];
    g[5] += step[5];
    turned_euler(r, step + 1, g + 1);
    rotation_from_euler(g + 1, r);
}

// Coordinates of the shape by all warps but the first, which has the rotation to compute meanwhile.
__device__ inline void shape_beside(const float* mean, const float* modes, const float* p, int n, int m, float* shape) {
    if (threadIdx.x < LANES) return;
    for (int at = threadIdx.x - LANES; at < 3 * n; at += blockDim.x - LANES)
        shape[at] = shape_flat(mean, modes, p, m, 3 * n, at);
}

// Coordinate `at` of the landmarks (2n): x of all points, then y.
__device__ inline float landmark(const float* g, const float* r, const float* shape, int n, int at) {
    const int axis = at >= n ? 1 : 0, i = at - axis * n;
    return project(g, r, axis, shape[i], shape[n + i], shape[2 * n + i]);
}
