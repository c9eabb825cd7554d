// Similarity between two point sets (spec 40.3, 60.2), operation for operation as reference/similarity.py, for all
// threads of a block: every sum belongs to one thread and runs over the points in order, in double.
#pragma once

#include "rotations.cuh"

// Doubles of shared memory that `align_with_scale` works in.
constexpr int SIMILARITY_SUMS = 4;

// The scaled rotation (2, 2) with destination = out * source for offsets from the means, and in `good` whether both
// sets have any extent (where not, `out` is 0).
//
// `points` (2, 2, n) are all x and all y of the source, then of the destination; they are changed. `points`, `sums`
// and `good` are shared memory, `out` may be; all threads of the block call this and may read the results afterwards.
__device__ inline void align_with_scale(float* points, int n, double* sums, float* out, int* good) {
    const int thread = threadIdx.x, threads = blockDim.x;
    __syncthreads();
    if (thread < 4) {
        double total = 0.0;
        for (int i = 0; i < n; ++i) total += static_cast<double>(points[thread * n + i]);
        sums[thread] = total;
    }
    __syncthreads();
    for (int i = thread; i < 4 * n; i += threads) points[i] -= static_cast<float>(sums[i / n] / n);
    __syncthreads();
    if (thread < 2) {
        double squares = 0.0;
        for (int i = 0; i < 2 * n; ++i) {
            const float value = points[thread * 2 * n + i];
            squares += static_cast<double>(value * value);
        }
        sums[thread] = squares;
    }
    __syncthreads();
    const float spread_source = static_cast<float>(sqrt(sums[0] / n));
    const float spread_destination = static_cast<float>(sqrt(sums[1] / n));
    const bool extended = spread_source > 0.0f && spread_destination > 0.0f;
    if (extended)
        for (int i = thread; i < 4 * n; i += threads) {
            const float spread = i < 2 * n ? spread_source : spread_destination;
            points[i] *= static_cast<float>(1.0 / static_cast<double>(spread));
        }
    __syncthreads();
    if (thread < 4) {
        const float *a = points + thread / 2 * n, *b = points + (2 + thread % 2) * n;
        double total = 0.0;
        for (int i = 0; i < n; ++i) total += static_cast<double>(a[i]) * static_cast<double>(b[i]);
        sums[thread] = total;
    }
    __syncthreads();
    if (thread == 0) {
        float covariance[4], u[4], singular[2], vt[4];
#pragma unroll
        for (int k = 0; k < 4; ++k) covariance[k] = static_cast<float>(sums[k]);
        jacobi_svd<2>(covariance, u, singular, vt);
        if (singular[1] <= FLOAT_TINY) {  // all points on a line: the second direction is the first one's normal
            u[1] = -u[2];
            u[3] = u[0];
        }
        // V U^T, with V's second column turned round where that were a reflection.
        double r[4];
        for (double sign = 1.0;; sign = -1.0) {
#pragma unroll
            for (int i = 0; i < 2; ++i)
#pragma unroll
                for (int j = 0; j < 2; ++j)
                    r[2 * i + j] = static_cast<double>(vt[i]) * static_cast<double>(u[2 * j])
                                   + sign * static_cast<double>(vt[2 + i]) * static_cast<double>(u[2 * j + 1]);
            if (sign < 0.0 || r[0] * r[3] - r[1] * r[2] > 0.0) break;
        }
        const float scale = spread_destination / spread_source;
#pragma unroll
        for (int k = 0; k < 4; ++k) out[k] = extended ? scale * static_cast<float>(r[k]) : 0.0f;
        *good = extended;
    }
    __syncthreads();
}

// Inverse of a (2, 2) matrix, as reference/patch_experts.invert_2x2.
__device__ inline void invert_2x2(const float* matrix, float* out) {
    const float a = matrix[0], b = matrix[1], c = matrix[2], d = matrix[3];
    const float reciprocal = 1.0f / __fmaf_rn(a, d, -(b * c));
    out[0] = d * reciprocal;
    out[1] = -b * reciprocal;
    out[2] = -c * reciprocal;
    out[3] = a * reciprocal;
}
