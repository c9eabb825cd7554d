// Where the experts of one scale look (spec 40.2, 40.3): landmarks of the parameters, similarity to the reference frame
// and back, nearest view. A block a face.
//
// For 64 faces of 68 points and 34 modes it reads 1.8 MB, nearly all of it the 28 KB of modes, which stay in the L2
// cache, and does 1 MFLOP: what bounds it are a few hundred dependent additions in double for each face, all faces at
// once, and the launch itself. It has been run on the host only (parity_tests/cuda_on_host), never on a GPU.
#include "pdm.cuh"
#include "similarity.cuh"

// mean (3n,), modes (m, 3n), centres (views, 3) rad, visibility (views, n); of every face g (6,), p (m,), active. Out:
// landmarks (n, 2) px, img_to_ref and ref_to_img (2, 2), view, good (the landmarks do not all coincide), visible (n,).
// A face that is not active gets 0 everywhere. Shared: 7 n floats.
extern "C" __global__ void __launch_bounds__(128)
place(const float* __restrict__ mean, const float* __restrict__ modes, int n, int m, float scale,
      const float* __restrict__ centres, int views, const u8* __restrict__ visibility, const float* __restrict__ g,
      const float* __restrict__ p, const u8* __restrict__ active, float* __restrict__ landmarks,
      float* __restrict__ img_to_ref, float* __restrict__ ref_to_img, int* __restrict__ view, u8* __restrict__ good,
      u8* __restrict__ visible) {
    DYNAMIC_SHARED(float, shared);
    __shared__ float rotations[2][9], upright[6], matrix[4];
    __shared__ double sums[SIMILARITY_SUMS];
    __shared__ int extended;
    float* const points = shared;          // (2, 2, n): in the image and in the reference frame
    float* const shape = shared + 4 * n;   // (3n,)
    const int face = blockIdx.x, thread = threadIdx.x, threads = blockDim.x;
    g += 6 * face;
    p += m * face;
    landmarks += 2 * n * face;
    visible += n * face;
    if (!active[face]) {
        for (int i = thread; i < 2 * n; i += threads) landmarks[i] = 0.0f;
        for (int i = thread; i < n; i += threads) visible[i] = 0;
        if (thread < 4) img_to_ref[4 * face + thread] = ref_to_img[4 * face + thread] = 0.0f;
        if (thread == 0) {
            view[face] = 0;
            good[face] = 0;
        }
        return;
    }
    if (thread == 0) rotation_from_euler(g + 1, rotations[0]);
    if (thread == 32) {
        const float none[3] = {0.0f, 0.0f, 0.0f};
        rotation_from_euler(none, rotations[1]);
    }
    if (thread >= 64 && thread < 70) upright[thread - 64] = thread == 64 ? scale : 0.0f;
    for (int i = thread; i < 3 * n; i += threads) shape[i] = shape_flat(mean, modes, p, m, 3 * n, i);
    __syncthreads();
    for (int i = thread; i < n; i += threads)
#pragma unroll
        for (int axis = 0; axis < 2; ++axis) {
            const float x = shape[i], y = shape[n + i], z = shape[2 * n + i];
            const float at = project(g, rotations[0], axis, x, y, z);
            landmarks[2 * i + axis] = points[axis * n + i] = at;
            points[(2 + axis) * n + i] = project(upright, rotations[1], axis, x, y, z);
        }
    align_with_scale(points, n, sums, matrix, &extended);

    int nearest = 0;
    float least = 0.0f;
    for (int k = 0; k < views; ++k) {
        const float a = g[1] - centres[3 * k], b = g[2] - centres[3 * k + 1], c = g[3] - centres[3 * k + 2];
        const float distance = (a * a + b * b) + c * c;
        if (k == 0 || distance < least) {  // the first wins ties
            nearest = k;
            least = distance;
        }
    }
    for (int i = thread; i < n; i += threads) visible[i] = visibility[nearest * n + i];
    if (thread == 0) {
        float inverse[4] = {0.0f, 0.0f, 0.0f, 0.0f};
        if (extended) invert_2x2(matrix, inverse);
#pragma unroll
        for (int k = 0; k < 4; ++k) {
            img_to_ref[4 * face + k] = matrix[k];
            ref_to_img[4 * face + k] = inverse[k];
        }
        view[face] = nearest;
        good[face] = static_cast<u8>(extended);
    }
}
