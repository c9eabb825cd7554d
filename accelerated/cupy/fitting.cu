// Fitting by regularised landmark mean-shift (spec 50.2 to 50.5): a block a face, and everything that a scale does with
// its response maps in one launch: the rigid and the full pass with all their iterations, the likelihoods, and the end
// of a fit whose face became too small. Nothing of it needs the host; a face goes its own way and stops when it has
// converged.
//
// State of B faces: g (B, 6), p (B, m), alive (B,): 0 once a face is left alone. Defined by the launcher, from
// reference/fitting.py, for example
//   -DGRID_STEP=0.1 -DCELLS_PER_PX=10 -DCONVERGED=0.01 -DINVISIBLE=-1e8 -DSMALLEST_SCALE=0.25 -DLIKELIHOOD_SCALE=0.3
//   -DENTRIES=4 -DMOST_THREADS=512
#include "fitting.cuh"

__device__ inline bool is_finite(float value) { return fabsf(value) <= 3.402823466e38f; }

// Entry (cell x, cell y, row, column) of the (10 w)^2 kernels of w * w values, `size` of them in all.
extern "C" __global__ void kernel_table(int window, float factor, int size, float* __restrict__ out) {
    const int at = blockIdx.x * blockDim.x + threadIdx.x;
    if (at >= size) return;
    const int pixel = at % (window * window), centre = at / (window * window), cells = CELLS_PER_PX * window;
    const float x = CELL * static_cast<float>(centre / cells) - static_cast<float>(pixel % window);
    const float y = CELL * static_cast<float>(centre % cells) - static_cast<float>(pixel / window);
    out[at] = static_cast<float>(exp(static_cast<double>(factor * __fmaf_rn(x, x, y * y))));
}

// Starts of fits: copies of the starting parameters with their landmarks (B, n, 2). Faces whose `active` is 0 are left
// alone, and those whose parameters are no numbers, which are not `finite`.
extern "C" __global__ void __launch_bounds__(MOST_THREADS)
    start_fits(const float* __restrict__ start_g, const float* __restrict__ start_p, const u8* __restrict__ active,
               const float* __restrict__ mean, const float* __restrict__ modes, int n, int m, float* __restrict__ all_g,
               float* __restrict__ all_p, u8* __restrict__ alive, u8* __restrict__ success, u8* __restrict__ finite,
               int* __restrict__ view, u8* __restrict__ has_likelihood, float* __restrict__ likelihood,
               float* __restrict__ landmark_likelihoods, float* __restrict__ landmarks) {
    DYNAMIC_SHARED(float, shared);
    const int face = blockIdx.x, t = threadIdx.x;
    float *const g = shared, *const r = g + 6, *const p = r + 9, *const shape = p + m;
    int bad = 0;
    if (t < 6) {
        g[t] = all_g[face * 6 + t] = start_g[face * 6 + t];
        bad = !is_finite(g[t]);
    }
    for (int j = t; j < m; j += blockDim.x) {
        p[j] = all_p[face * m + j] = start_p[face * m + j];
        bad |= !is_finite(p[j]);
    }
    bad = __syncthreads_or(bad);
    if (t == 0) {
        rotation_from_euler(g + 1, r);
        const u8 wanted = active[face] != 0;
        alive[face] = success[face] = wanted && !bad;
        finite[face] = !(wanted && bad);
        view[face] = 0;
        has_likelihood[face] = 0;
        likelihood[face] = 0.0f;
    }
    shape_beside(mean, modes, p, n, m, shape);
    __syncthreads();
    for (int at = t; at < 2 * n; at += blockDim.x)
        landmarks[(face * n + at % n) * 2 + at / n] = landmark(g, r, shape, n, at);
    for (int i = t; i < n; i += blockDim.x) landmark_likelihoods[face * n + i] = 0.0f;
}

// What a block keeps of its face in shared memory; the launcher knows the size (fitting.py).
struct Face {
    System system;
    double* squares;  // (2n,) px^2 that the landmarks have moved
    float* rows;      // (capacity,): the Jacobian; before it the maps times their kernels; at the end, likelihoods
    float *g, *r, *p, *prior, *shape;                      // (6,), (9,), (m,), (m,), (3n,)
    float *current, *base, *position, *within, *residual;  // (2n,) each
    float* weight;                                         // (n,)
    int *seen, *table_row;                                 // (n,)
};

__device__ inline Face face_in(double* memory, int n, int m, int capacity) {
    const int most = 6 + m;
    Face face;
    face.squares = memory;
    face.system.rest = face.squares + 2 * n;
    face.system.totals = face.system.rest + triangle(most + 1);  // with the row of the right side
    face.rows = reinterpret_cast<float*>(face.system.totals + most);
    face.system.diagonal = face.rows + capacity;
    face.system.inverse = face.system.diagonal + most;
    face.system.solution = face.system.inverse + most;
    face.g = face.system.solution + most;
    face.r = face.g + 6;
    face.p = face.r + 9;
    face.prior = face.p + m;
    face.shape = face.prior + m;
    face.current = face.shape + 3 * n;
    face.base = face.current + 2 * n;
    face.position = face.base + 2 * n;
    face.within = face.position + 2 * n;
    face.residual = face.within + 2 * n;
    face.weight = face.residual + 2 * n;
    face.seen = reinterpret_cast<int*>(face.weight + n);
    face.table_row = face.seen + n;
    return face;
}

struct Model {
    const float *mean, *modes, *largest;  // (3n,), (m, 3n), (m,)
    int n, m;
};

// The response maps of one face and the kernels to climb them by.
struct Landscape {
    const float *maps, *table, *img_to_ref, *ref_to_img;
    int window, capacity;
};

// Landmarks of the parameters into `current`; whether they have moved too little to go on, for all threads alike.
__device__ inline bool has_converged(const Face& face, int n, bool first) {
    for (int at = threadIdx.x; at < 2 * n; at += blockDim.x) {
        const float value = landmark(face.g, face.r, face.shape, n, at);
        const double moved = first ? 0.0 : static_cast<double>(value - face.current[at]);
        face.squares[at] = moved * moved;
        face.current[at] = value;
    }
    __syncthreads();
    return !first && warp_sum(face.squares, 2 * n) < CONVERGED * CONVERGED;
}

// Up to `iterations` Gauss-Newton steps, of the global parameters alone or, `full`, of all (spec 50.3).
__device__ inline void optimise(const Model& model, const Landscape& landscape, const Entries& own, const Face& face,
                                bool full, const float* weights, int iterations) {
    const int n = model.n, m = model.m, t = threadIdx.x, size = full ? 6 + m : 6, stride = 2 * n | 1;
    if (t < n) face.position[t] = face.position[n + t] = 0.0f;
    for (int iteration = 0; iteration < iterations; ++iteration) {
        if (has_converged(face, n, iteration == 0)) break;
        if (t < n)
            place_in_map(face.current, face.base, landscape.img_to_ref, n, t, landscape.window, face.position,
                         face.within, face.table_row);
        __syncthreads();
        mean_shifts(landscape.maps, landscape.table, face.table_row, face.within, face.seen, landscape.ref_to_img, n,
                    landscape.window, face.rows, landscape.capacity, face.residual);
        jacobian_rows(face.g, face.r, face.shape, model.modes, face.seen, n, m, full, stride, face.rows);
        __syncthreads();
        normal_equations(own, size, n, face.rows, stride, face.residual, weights, face.prior, face.p, face.system);
        const bool solvable = factorise(own, size, face.system);
        if (t < LANES) {
            substitute(size, solvable, face.system);
            for (int j = t; j < m; j += LANES) {
                const float moved = full ? face.p[j] + face.system.solution[6 + j] : face.p[j];
                face.p[j] = clamped(moved, -model.largest[j], model.largest[j]);
            }
        }
        __syncthreads();
        if (t == 0) step_global(face.system.solution, face.g, face.r);
        shape_beside(model.mean, model.modes, face.p, n, m, face.shape);
        __syncthreads();
    }
    __syncthreads();
}

// Both passes of one scale. Maps (B, n, w, w), visible (B, n), similarities (B, 2, 2), view (B,), good (B,); model
// arrays (3n,), (m, 3n), (m,), (m,); weights (V, n) by view, of use where `weighted`, and whether the full pass uses
// those of a view (V,); the kernel table; floats that `capacity` leaves for Jacobian or maps times kernels.
extern "C" __global__ void __launch_bounds__(MOST_THREADS)
    fit_scale(const float* __restrict__ maps, const u8* __restrict__ visible, const float* __restrict__ img_to_ref,
              const float* __restrict__ ref_to_img, const int* __restrict__ view, const u8* __restrict__ good,
              const float* __restrict__ mean, const float* __restrict__ modes, const float* __restrict__ eigenvalues,
              const float* __restrict__ largest, const float* __restrict__ weights, const u8* __restrict__ full_weights,
              const float* __restrict__ table, int n, int m, int window, int iterations, int weighted, int last,
              int capacity, float reg, double sigma, float* __restrict__ all_g, float* __restrict__ all_p,
              u8* __restrict__ alive, u8* __restrict__ success, u8* __restrict__ finite, int* __restrict__ view_used,
              u8* __restrict__ has_likelihood, float* __restrict__ likelihood, float* __restrict__ landmark_likelihoods,
              float* __restrict__ landmarks) {
    const int number = blockIdx.x, t = threadIdx.x;
    if (!alive[number]) return;
    if (!good[number]) {  // landmarks that all coincide: the C++ program cannot go on from there
        if (t == 0) alive[number] = success[number] = finite[number] = 0;
        return;
    }
    DYNAMIC_SHARED(double, memory);
    const Face face = face_in(memory, n, m, capacity);
    const Model model = {mean, modes, largest, n, m};
    const Landscape landscape = {maps + static_cast<i64>(number) * n * window * window, table, img_to_ref + 4 * number,
                                 ref_to_img + 4 * number, window, capacity};
    const Entries own = own_entries();
    const int own_view = view[number];
    if (t < 6) face.g[t] = all_g[number * 6 + t];
    for (int j = t; j < m; j += blockDim.x) {
        face.p[j] = all_p[number * m + j];
        face.prior[j] = reg / eigenvalues[j];
    }
    for (int i = t; i < n; i += blockDim.x) {
        face.seen[i] = visible[number * n + i] != 0;
        face.weight[i] = weighted ? weights[own_view * n + i] : 1.0f;
    }
    __syncthreads();
    if (t == 0) rotation_from_euler(face.g + 1, face.r);
    shape_beside(mean, modes, face.p, n, m, face.shape);
    __syncthreads();
    for (int at = t; at < 2 * n; at += blockDim.x) face.base[at] = landmark(face.g, face.r, face.shape, n, at);
    optimise(model, landscape, own, face, false, weighted ? face.weight : nullptr, iterations);
    const bool small = static_cast<double>(face.g[0]) < LIKELIHOOD_SCALE;
    optimise(model, landscape, own, face, true, weighted && full_weights[own_view] ? face.weight : nullptr, iterations);

    int bad = t < 6 && !is_finite(face.g[t]);
    for (int j = t; j < m; j += blockDim.x) bad |= !is_finite(face.p[j]);
    bad = __syncthreads_or(bad);
    const bool likely = !bad && (last || small);
    if (likely) {
        const float found = likelihoods(landscape.maps, face.position, face.seen, n, window, sigma,
                                        reinterpret_cast<double*>(face.rows), landmark_likelihoods + number * n);
        if (t == 0) likelihood[number] = found;
    }
    if (t < 6) all_g[number * 6 + t] = face.g[t];
    for (int j = t; j < m; j += blockDim.x) all_p[number * m + j] = face.p[j];
    for (int at = t; at < 2 * n; at += blockDim.x)
        landmarks[(number * n + at % n) * 2 + at / n] = landmark(face.g, face.r, face.shape, n, at);
    if (t > 0) return;
    view_used[number] = own_view;
    if (likely) has_likelihood[number] = 1;
    if (bad) finite[number] = 0;
    if (bad || static_cast<double>(face.g[0]) < SMALLEST_SCALE) alive[number] = success[number] = 0;
}
