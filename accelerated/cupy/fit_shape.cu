// CalcParams (spec 30.7): the pose and shape that explain given landmarks, a block a face, from the start to the last
// Gauss-Newton step. Landmarks whose x is exactly 0 are not given: their rows of the Jacobian and of the residual are
// zeros, which adds up to the same numbers as leaving them out.
//
// Defined by the launcher, from reference/fit_shape.py, for example
//   -DMAX_ITERATIONS=1000 -DSTEP=0.75 -DENOUGH=0.999 -DPATIENCE=3
//   -DENTRIES=4 -DMOST_THREADS=512
#include "gauss_newton.cuh"

// Extent of one axis of the given landmarks and of the upright mean shape, by one warp: the scale between them, and the
// centre of the landmarks.
__device__ inline void box_of_axis(const float* target, const float* mean, const int* given, int n, float* scale,
                                   float* centre) {
    const float infinity = __int_as_float(0x7f800000);
    float low = infinity, high = -infinity, own_low = infinity, own_high = -infinity;
    for (int i = threadIdx.x % LANES; i < n; i += LANES) {
        if (!given[i]) continue;
        low = fminf(low, target[i]);
        high = fmaxf(high, target[i]);
        own_low = fminf(own_low, mean[i]);
        own_high = fmaxf(own_high, mean[i]);
    }
    for (int step = LANES / 2; step > 0; step /= 2) {
        low = fminf(low, __shfl_xor_sync(ALL_LANES, low, step));
        high = fmaxf(high, __shfl_xor_sync(ALL_LANES, high, step));
        own_low = fminf(own_low, __shfl_xor_sync(ALL_LANES, own_low, step));
        own_high = fmaxf(own_high, __shfl_xor_sync(ALL_LANES, own_high, step));
    }
    if (threadIdx.x % LANES) return;
    *scale = (high - low) / (own_high - own_low);
    *centre = (low + high) / 2.0f;
}

// Distance of the projected shape from the landmarks in px, by the whole block; `difference` (2n,) is landmarks minus
// shape, 0 where they are not given.
__device__ inline double distance(const float* g, const float* r, const float* shape, const float* target,
                                  const int* given, int n, float* difference, double* squares) {
    for (int at = threadIdx.x; at < 2 * n; at += blockDim.x) {
        difference[at] = given[at % n] ? target[at] - landmark(g, r, shape, n, at) : 0.0f;
        squares[at] = static_cast<double>(difference[at]) * static_cast<double>(difference[at]);
    }
    __syncthreads();
    const double total = warp_sum(squares, 2 * n);
    __syncthreads();
    return static_cast<double>(static_cast<float>(sqrt(total)));
}

// Landmarks (B, n, 2) px to parameters (B, 6) and (B, m); model arrays (3n,), (m, 3n), (m,).
extern "C" __global__ void __launch_bounds__(MOST_THREADS)
    fit_shape(const float* __restrict__ landmarks, const float* __restrict__ mean, const float* __restrict__ modes,
                const float* __restrict__ eigenvalues, int n, int m, float* __restrict__ all_g,
                float* __restrict__ all_p) {
    DYNAMIC_SHARED(double, doubles);
    const int face = blockIdx.x, t = threadIdx.x, size = 6 + m, stride = 2 * n | 1;
    double* const squares = doubles;                            // (2n,)
    System system;
    system.rest = squares + 2 * n;
    system.totals = system.rest + triangle(size + 1);           // with the row of the right side
    float* const rows = reinterpret_cast<float*>(system.totals + size);
    system.diagonal = rows + size * stride;
    system.inverse = system.diagonal + size;
    system.solution = system.inverse + size;
    float* const g = system.solution + size;                    // (6,)
    float* const r = g + 6;                                     // (9,)
    float* const p = r + 9;                                     // (m,)
    float* const prior = p + m;                                 // (m,)
    float* shape = prior + m;                                   // (3n,)
    float* next_shape = shape + 3 * n;                          // (3n,)
    float* const target = next_shape + 3 * n;                   // (2n,)
    float* const residual = target + 2 * n;                     // (2n,)
    int* const given = reinterpret_cast<int*>(residual + 2 * n);  // (n,)
    float* const ratio = reinterpret_cast<float*>(given + n);   // (2,)

    int bad = 0, any = 0;
    for (int i = t; i < n; i += blockDim.x) {
        const float x = landmarks[(face * n + i) * 2], y = landmarks[(face * n + i) * 2 + 1];
        target[i] = x;
        target[n + i] = y;
        given[i] = x != 0.0f;
        any |= given[i];
        bad |= !(fabsf(x) <= 3.402823466e38f && fabsf(y) <= 3.402823466e38f);
    }
    for (int j = t; j < m; j += blockDim.x) {
        p[j] = 0.0f;
        prior[j] = 1.0f / eigenvalues[j];
    }
    bad = __syncthreads_or(bad);
    any = __syncthreads_or(any);
    if (bad || !any) {
        const float nothing = __int_as_float(0x7fc00000);
        if (t < 6) all_g[face * 6 + t] = nothing;
        for (int j = t; j < m; j += blockDim.x) all_p[face * m + j] = nothing;
        return;
    }
    const int axis = t / LANES;
    if (axis < 2) box_of_axis(target + axis * n, mean + axis * n, given, n, ratio + axis, g + 4 + axis);
    if (t < 3) g[1 + t] = 0.0f;
    __syncthreads();
    if (t == 0) {
        g[0] = (ratio[0] + ratio[1]) / 2.0f;
        rotation_from_euler(g + 1, r);
    }
    shape_beside(mean, modes, p, n, m, shape);
    __syncthreads();

    const Entries own = own_entries();
    double error = distance(g, r, shape, target, given, n, residual, squares);
    int not_improved = 0;
    for (int iteration = 0; iteration < MAX_ITERATIONS; ++iteration) {
        jacobian_rows(g, r, shape, modes, given, n, m, true, stride, rows);
        __syncthreads();
        normal_equations(own, size, n, rows, stride, residual, nullptr, prior, p, system);
        const bool solvable = factorise(own, size, system);
        if (t < LANES) {
            substitute(size, solvable, system);
            for (int i = t; i < size; i += LANES) {
                const float step = static_cast<float>(STEP) * system.solution[i];
                system.solution[i] = step;
                if (i >= 6) p[i - 6] += step;
            }
        }
        __syncthreads();
        if (t == 0) step_global(system.solution, g, r);
        shape_beside(mean, modes, p, n, m, next_shape);
        __syncthreads();
        // The new pose is tried on the shape of before the update, as the C++ program does: it decides when to stop.
        const double new_error = distance(g, r, shape, target, given, n, residual, squares);
        // What is not a number stays none, however often it is stepped.
        if (ENOUGH * error < new_error && ++not_improved == PATIENCE) break;
        if (!(new_error == new_error)) break;
        error = new_error;
        float* const before = shape;
        shape = next_shape;
        next_shape = before;
        distance(g, r, shape, target, given, n, residual, squares);
    }
    if (t < 6) all_g[face * 6 + t] = g[t];
    for (int j = t; j < m; j += blockDim.x) all_p[face * m + j] = p[j];
}
