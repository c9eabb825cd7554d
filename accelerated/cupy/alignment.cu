// Aligned faces (spec 60.2): a block a face, from its landmarks to its 112 x 112 pixels, the mask in shared memory.
//
// The mask is the union of triangles, each filled by one warp inside its bounding box. For a face with a triangle that
// has (nearly) no area, or with a pixel that passes a triangle's side tests just outside its box, the C++ program's
// walk over the pixels matters (reference/alignment.face_mask), in which each pixel depends on the one before it. Then
// every row is walked by a thread of its own, from the triangle in which the row above ended; as that is not known yet,
// rows are walked again until no end changes. The first row starts from none, so the second is right after the second
// round at the latest, and so on: what no longer changes is the walk's. Faces end outside all triangles in nearly all
// rows, so two rounds or three suffice where there can be 113.
//
// Defined by the launcher: the side of the aligned face, its numbers of rigid points and of points lifted to the
// forehead, for example
//   -DSIZE=112 -DRIGID=24 -DFOREHEAD=12
#include "sampling.cuh"
#include "similarity.cuh"

// Twice the area, px^2, below which rounding decides a triangle's side tests, so that the face is walked.
__device__ constexpr float kSliver = 0.05f;
constexpr int kNoTriangle = -1;

struct Triangle {
    float ax, ay, bx, by, cx, cy;
    float side_a, side_b, side_c;  // of each corner, of the line through the other two
    __device__ float low_x() const { return min(ax, min(bx, cx)); }
    __device__ float high_x() const { return max(ax, max(bx, cx)); }
    __device__ float low_y() const { return min(ay, min(by, cy)); }
    __device__ float high_y() const { return max(ay, max(by, cy)); }
};

__device__ Triangle triangle_of(const float (*polygon)[2], const int* corners) {
    Triangle t;
    t.ax = polygon[corners[0]][0], t.ay = polygon[corners[0]][1];
    t.bx = polygon[corners[1]][0], t.by = polygon[corners[1]][1];
    t.cx = polygon[corners[2]][0], t.cy = polygon[corners[2]][1];
    t.side_a = __fmaf_rn(t.cx - t.bx, t.ay - t.by, (t.bx - t.ax) * (t.cy - t.by));
    t.side_b = (t.cx - t.ax) * (t.by - t.ay) + (t.ax - t.bx) * (t.cy - t.ay);
    t.side_c = (t.bx - t.ax) * (t.cy - t.ay) + (t.ax - t.cx) * (t.by - t.ay);
    return t;
}

// The three side tests of reference/alignment.SIDE_TESTS, with the products that the reference build keeps exact.
__device__ bool passes(const Triangle& t, float x, float y) {
    const float of_a = __fmaf_rn(t.cx - t.bx, y - t.by, (t.bx - x) * (t.cy - t.by));
    const float of_b = __fmaf_rn(t.cx - t.ax, y - t.ay, (t.ax - x) * (t.cy - t.ay));
    const float of_c = __fmaf_rn(t.ax - x, t.by - t.ay, (t.bx - t.ax) * (y - t.ay));
    return of_a * t.side_a >= 0.0f && of_b * t.side_b >= 0.0f && of_c * t.side_c >= 0.0f;
}

__device__ bool in_box(const Triangle& t, float x, float y) {
    return t.low_x() <= x && x <= t.high_x() && t.low_y() <= y && y <= t.high_y();
}

// Sets the pixels of a triangle, by the lanes of a warp; false where the order of the walk may matter.
__device__ bool fill(const Triangle& t, u8* mask) {
    if (!(fabsf((t.bx - t.ax) * (t.cy - t.ay) - (t.cx - t.ax) * (t.by - t.ay)) > kSliver)) return false;
    const float edge = SIZE + 2.0f;
    // A border of one pixel is asked as well, only to see that nothing there passes.
    const int x0 = max(__float2int_rd(max(t.low_x(), -2.0f)) - 1, 0);
    const int y0 = max(__float2int_rd(max(t.low_y(), -2.0f)) - 1, 0);
    const int x1 = min(__float2int_ru(min(t.high_x(), edge)) + 1, SIZE - 1);
    const int y1 = min(__float2int_ru(min(t.high_y(), edge)) + 1, SIZE - 1);
    const int width = x1 - x0 + 1, lane = threadIdx.x % warpSize;
    if (width < 1) return true;
    bool regular = true;
    for (int i = lane; i < width * (y1 - y0 + 1); i += warpSize) {
        const int column = x0 + i % width, row = y0 + i / width;
        const float x = static_cast<float>(column), y = static_cast<float>(row);
        if (!passes(t, x, y)) continue;
        if (in_box(t, x, y))
            mask[row * SIZE + column] = 1;
        else
            regular = false;
    }
    return regular;
}

// The first triangle that a pixel lies in, behind the boxes as the walk asks them; none is -1.
__device__ int first_triangle(const float (*polygon)[2], const int* triangles, int n_triangles, int pixel) {
    const float x = static_cast<float>(pixel % SIZE), y = static_cast<float>(pixel / SIZE);
    for (int k = 0; k < n_triangles; ++k) {
        const Triangle t = triangle_of(polygon, triangles + 3 * k);
        if (in_box(t, x, y) && passes(t, x, y)) return k;
    }
    return kNoTriangle;
}

// A row of the walk from triangle `current` of the pixel before it; the triangle it ends in.
__device__ int walk_row(const float (*polygon)[2], const int* triangles, const short* first, int row, int current,
                        u8* mask) {
    Triangle t = triangle_of(polygon, triangles + 3 * max(current, 0));
    for (int column = 0; column < SIZE; ++column) {
        if (current < 0 || !passes(t, static_cast<float>(column), static_cast<float>(row))) {
            current = first[row * SIZE + column];
            if (current >= 0) t = triangle_of(polygon, triangles + 3 * current);
        }
        mask[row * SIZE + column] = current >= 0;
    }
    return current;
}

// Where the sampling positions of rows and columns begin, in 1/1024 px (spec 90.2), of a forward matrix (2, 3).
__device__ void affine_positions(const float* matrix, i64 (*across)[SIZE], i64 (*down)[SIZE]) {
    constexpr double AFFINE_UNITS = 1 << AFFINE_BITS;
    const double m00 = matrix[0], m01 = matrix[1], m02 = matrix[2], m10 = matrix[3], m11 = matrix[4], m12 = matrix[5];
    const double determinant = m00 * m11 - m01 * m10;
    const double reciprocal = determinant != 0.0 ? 1.0 / determinant : 0.0;
    const double a11 = m11 * reciprocal, a22 = m00 * reciprocal, a12 = -m01 * reciprocal, a21 = -m10 * reciprocal;
    const double b1 = -a11 * m02 - a12 * m12, b2 = -a21 * m02 - a22 * m12;
    for (int i = threadIdx.x; i < SIZE; i += blockDim.x) {
        across[0][i] = __double2ll_rn(a11 * i * AFFINE_UNITS);
        across[1][i] = __double2ll_rn(a21 * i * AFFINE_UNITS);
        down[0][i] = __double2ll_rn((a12 * i + b1) * AFFINE_UNITS) + AFFINE_ROUND;
        down[1][i] = __double2ll_rn((a22 * i + b2) * AFFINE_UNITS) + AFFINE_ROUND;
    }
}

// images (S, height, width, 3), frame (B,), landmarks (B, n_points, 2), g (B, 6), mean_shape (2, RIGID), rigid
// (RIGID,), forehead (FOREHEAD,), triangles (n_triangles, 3) to aligned (B, SIZE, SIZE, 3) and good (B,): 0 where the
// rigid landmarks coincide. Faces that are not active, or not good, are black.
extern "C" __global__ void __launch_bounds__(256)
align_faces(const u8* __restrict__ images, int height, int width, const int* __restrict__ frame,
            const float* __restrict__ landmarks, int n_points, const float* __restrict__ g,
            const u8* __restrict__ active, const float* __restrict__ mean_shape, const int* __restrict__ rigid,
            const int* __restrict__ forehead, float forehead_shift, const int* __restrict__ triangles, int n_triangles,
            u8* __restrict__ aligned, u8* __restrict__ good) {
    DYNAMIC_SHARED(float, dynamic);
    float (*const polygon)[2] = reinterpret_cast<float (*)[2]>(dynamic);
    __shared__ float points[4 * RIGID], linear[4], matrix[6];
    __shared__ double sums[SIMILARITY_SUMS];
    __shared__ int there;
    __shared__ u8 mask[SIZE * SIZE];
    __shared__ short first[SIZE * SIZE];
    __shared__ int row_end[SIZE];
    __shared__ i64 across[2][SIZE], down[2][SIZE];
    const int face = blockIdx.x, thread = threadIdx.x, threads = blockDim.x;
    const float* const own = landmarks + i64(face) * n_points * 2;
    u8* const out = aligned + i64(face) * (SIZE * SIZE * 3);

    for (int i = thread; i < 2 * RIGID; i += threads) {
        points[i] = own[2 * rigid[i % RIGID] + i / RIGID];
        points[2 * RIGID + i] = mean_shape[i];
    }
    for (int i = thread; i < SIZE * SIZE; i += threads) mask[i] = 0;
    align_with_scale(points, RIGID, sums, linear, &there);
    if (thread < 2) {
        const float a = linear[2 * thread], b = linear[2 * thread + 1];
        matrix[3 * thread] = a;
        matrix[3 * thread + 1] = b;
        matrix[3 * thread + 2] = (SIZE / 2) - __fmaf_rn(b, g[6 * face + 5], a * g[6 * face + 4]);
    }
    if (thread == 0) good[face] = there;
    __syncthreads();
    if (!there || !active[face]) {
        for (int i = thread; i < SIZE * SIZE * 3; i += threads) out[i] = 0;
        return;
    }

    for (int i = thread; i < 2 * n_points; i += threads) {
        const double x = own[i / 2 * 2], y = own[i / 2 * 2 + 1];
        const float* const m = matrix + i % 2 * 3;
        float value = static_cast<float>(x * static_cast<double>(m[0]) + y * static_cast<double>(m[1])) + m[2];
        if (i % 2)
            for (int k = 0; k < FOREHEAD; ++k)
                if (forehead[k] == i / 2) value -= forehead_shift;
        polygon[i / 2][i % 2] = value;
    }
    affine_positions(matrix, across, down);
    __syncthreads();

    bool regular = true;
    for (int k = thread / warpSize; k < n_triangles; k += threads / warpSize)
        regular &= fill(triangle_of(polygon, triangles + 3 * k), mask);
    if (!__syncthreads_and(regular)) {
        for (int i = thread; i < SIZE * SIZE; i += threads)
            first[i] = static_cast<short>(first_triangle(polygon, triangles, n_triangles, i));
        int started = kNoTriangle;
        __syncthreads();
        for (bool again = true; again;) {
            if (thread < SIZE) row_end[thread] = walk_row(polygon, triangles, first, thread, started, mask);
            __syncthreads();
            const int above = thread > 0 && thread < SIZE ? row_end[thread - 1] : kNoTriangle;
            again = __syncthreads_or(above != started);
            started = above;
        }
    }

    const u8* const image = images + i64(frame[face]) * height * width * 3;
    for (int i = thread; i < SIZE * SIZE; i += threads) {
        u8 colour[3] = {0, 0, 0};
        if (mask[i]) {
            constexpr int SHIFT = AFFINE_BITS - SUBPIXEL_BITS;
            const i64 px = (down[0][i / SIZE] + across[0][i % SIZE]) >> SHIFT;
            const i64 py = (down[1][i / SIZE] + across[1][i % SIZE]) >> SHIFT;
            sample_colour(image, height, width, px, py, colour);
        }
#pragma unroll
        for (int c = 0; c < 3; ++c) out[3 * i + c] = colour[c];
    }
}
