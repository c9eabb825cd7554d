// The point distribution model in kernels (spec 30.2, 30.4): one coordinate of a shape, one landmark, one entry of a
// Jacobian, for whichever thread wants it. Roundings, fused operations and the order of sums are those of
// reference/pdm.py. Shapes are flat: all x, all y, all z; `modes` (m, 3n) are rows.
#pragma once

#include "rotations.cuh"

// Partial sums that the reference build's matrix-vector product keeps (reference/numerics.py).
constexpr int SHAPE_SUMS = 16;

// Coordinate `at` of the shape (size = 3n) of m local parameters p, mm.
__device__ inline float shape_flat(const float* mean, const float* modes, const float* p, int m, int size, int at) {
    if (m < SHAPE_SUMS) {
        float total = 0.0f;
        for (int k = 0; k < m; ++k) total = __fmaf_rn(modes[k * size + at], p[k], total);
        return mean[at] + total;
    }
    float sums[SHAPE_SUMS];
#pragma unroll
    for (int lane = 0; lane < SHAPE_SUMS; ++lane) sums[lane] = 0.0f;
    for (int first = 0; first < m; first += SHAPE_SUMS)
#pragma unroll
        for (int lane = 0; lane < SHAPE_SUMS; ++lane) {
            const int k = first + lane;
            if (k < m) sums[lane] = __fmaf_rn(modes[k * size + at], p[k], sums[lane]);
        }
    // Neighbours in pairs, in steps that a compiler can unroll: the sums stay in registers.
#pragma unroll
    for (int width = 1; width < SHAPE_SUMS; width *= 2)
#pragma unroll
        for (int lane = 0; lane < SHAPE_SUMS; lane += 2 * width) sums[lane] += sums[lane + width];
    return mean[at] + sums[0];
}

// a (3,) times (x, y, z) as the reference build contracts it: first and last product fused, the middle one rounded.
__device__ inline float dot_3(const float* a, float x, float y, float z) {
    return __fmaf_rn(a[2], z, __fmaf_rn(a[0], x, a[1] * y));
}

// Coordinate `axis` (0: x, 1: y) in px of a point (x, y, z) mm under parameters g (6,) with rotation r (3, 3).
__device__ inline float project(const float* g, const float* r, int axis, float x, float y, float z) {
    return __fmaf_rn(g[0], dot_3(r + 3 * axis, x, y, z), g[4 + axis]);
}

// Entries 0 to 5 of the Jacobian's row of coordinate `axis` of a point, `stride` apart in `out`.
__device__ inline void rigid_jacobian(float s, const float* r, int axis, float x, float y, float z, float* out,
                                      int stride) {
    const float* const row = r + 3 * axis;
    out[0] = dot_3(row, x, y, z);
    out[stride] = s * __fmaf_rn(y, row[2], -(z * row[1]));
    out[2 * stride] = -s * __fmaf_rn(x, row[2], -(z * row[0]));
    out[3 * stride] = s * __fmaf_rn(x, row[1], -(y * row[0]));
    out[4 * stride] = axis == 0 ? 1.0f : 0.0f;
    out[5 * stride] = axis == 0 ? 0.0f : 1.0f;
}

// The Jacobian's entry of coordinate `axis` of a point by one mode, whose displacement of the point is (x, y, z).
__device__ inline float mode_jacobian(float s, const float* r, int axis, float x, float y, float z) {
    return s * dot_3(r + 3 * axis, x, y, z);
}
