// Landmark validation (spec 50.8), but for the networks (convnet.cu): what they are shown, and what their scores mean.
//
// A block warps one face, triangle by triangle, to the frame of the view whose head orientation is nearest. Sampling
// positions are the reference's to the last bit. Statistics are in double; each thread adds up the pixels it has, and
// the threads' sums are added in a fixed tree.
//
// Defined by the launcher: what lies between two views' arrays, for example
//   -DTHREADS=256 -DMOST_PIXELS=2642 -DMOST_TRIANGLES=111
#include "sampling.cuh"

__device__ constexpr double kBoxMargin = 3.0;  // px around the landmarks

// Sum over all threads of the block, known to all of them; `parts` is shared memory for one double a warp.
__device__ double block_sum(double value, double* parts) {
#pragma unroll
    for (int step = 16; step > 0; step /= 2) value += __shfl_down_sync(0xffffffffu, value, step);
    __syncthreads();
    if (threadIdx.x % warpSize == 0) parts[threadIdx.x / warpSize] = value;
    __syncthreads();
    double total = 0.0;
    for (int warp = 0; warp < THREADS / 32; ++warp) total += parts[warp];
    return total;
}

// The network whose head orientation is nearest, the first of equals; rotation (3,), centres (n_views, 3) rad.
__device__ int nearest_view(const float* rotation, const double* centres, int n_views) {
    int nearest = 0;
    double least = 0.0;
    for (int view = 0; view < n_views; ++view) {
        double squares = 0.0;
        for (int k = 0; k < 3; ++k) {
            const double difference = static_cast<double>(rotation[k]) - centres[3 * view + k];
            squares += difference * difference;
        }
        const double distance = sqrt(squares);
        if (view == 0 || distance < least) {
            nearest = view;
            least = distance;
        }
    }
    return nearest;
}

// One side of the part of the image around the landmarks: from the smallest and largest of every second value.
__device__ void region_along(const float* landmarks, int n_points, int size, int* region) {
    float low = landmarks[0], high = landmarks[0];
    for (int i = 1; i < n_points; ++i) {
        low = min(low, landmarks[2 * i]);
        high = max(high, landmarks[2 * i]);
    }
    const i64 start = max(__double2ll_rz(static_cast<double>(low) - kBoxMargin), 0ll);
    const i64 stop = min(__double2ll_rz(static_cast<double>(high) + kBoxMargin), i64(size - 1));
    region[0] = static_cast<int>(min(start, i64(size)));
    region[1] = static_cast<int>(max(stop, i64(-1)));
}

// gray (S, height, width), frame (B,), landmarks (B, n_points, 2), rotations (B, 3), active (B,); of the views: centres
// (n_views, 3), triangles, alpha and beta (n_views, MOST_TRIANGLES, 3) of which n_triangles (n_views,) count, pixels,
// triangle_of, means and deviations (n_views, MOST_PIXELS) of which n_pixels (n_views,) count, origins (n_views, 2).
// To frames (B, rows * columns), and views (B,): -1 for faces that are not active or hardly in the image, whose frames
// are left as they are. pixels: row * columns + column.
extern "C" __global__ void __launch_bounds__(THREADS)
face_frames(const u8* __restrict__ gray, int height, int width, const int* __restrict__ frame,
            const float* __restrict__ landmarks, int n_points, const float* __restrict__ rotations,
            const u8* __restrict__ active, const double* __restrict__ centres, int n_views,
            const int* __restrict__ triangles, const int* __restrict__ n_triangles, const float* __restrict__ alpha,
            const float* __restrict__ beta, const int* __restrict__ pixels, const int* __restrict__ triangle_of,
            const int* __restrict__ n_pixels, const float* __restrict__ origins, const double* __restrict__ means,
            const double* __restrict__ deviations, int rows, int columns, float* __restrict__ frames,
            int* __restrict__ views) {
    __shared__ float values[MOST_PIXELS];
    __shared__ float warps[MOST_TRIANGLES][2][3];
    __shared__ double parts[THREADS / 32];
    __shared__ int region[2][2], shared_view;
    const int face = blockIdx.x, thread = threadIdx.x;
    const float* const own = landmarks + i64(face) * n_points * 2;
    if (thread == 0) shared_view = active[face] ? nearest_view(rotations + 3 * face, centres, n_views) : -1;
    if (thread / warpSize == 1 && thread % warpSize < 2)
        region_along(own + thread % warpSize, n_points, thread % warpSize ? height : width, region[thread % warpSize]);
    __syncthreads();
    const int view = shared_view, x0 = region[0][0], x1 = region[0][1], y0 = region[1][0], y1 = region[1][1];
    const bool there = view >= 0 && x1 - x0 > 1 && y1 - y0 > 1;
    if (thread == 0) views[face] = there ? view : -1;
    if (!there) return;

    for (int i = thread; i < 2 * n_triangles[view]; i += THREADS) {
        const int t = i / 2, c = i % 2, at = (view * MOST_TRIANGLES + t) * 3;
        const float origin = static_cast<float>(c ? y0 : x0);
        const float first = own[2 * triangles[at] + c] - origin;
        const float side_a = (own[2 * triangles[at + 1] + c] - origin) - first;
        const float side_b = (own[2 * triangles[at + 2] + c] - origin) - first;
        warps[t][c][0] = first + side_a * alpha[at] + side_b * beta[at];
        warps[t][c][1] = side_a * alpha[at + 1] + side_b * beta[at + 1];
        warps[t][c][2] = side_a * alpha[at + 2] + side_b * beta[at + 2];
    }
    float* const out = frames + i64(face) * rows * columns;
    for (int i = thread; i < rows * columns; i += THREADS) out[i] = 0.0f;
    __syncthreads();

    const u8* const corner = gray + (i64(frame[face]) * height + y0) * width + x0;
    const int count = n_pixels[view], start = view * MOST_PIXELS;
    double total = 0.0;
    for (int i = thread; i < count; i += THREADS) {
        const int pixel = pixels[start + i];
        const float (*const q)[3] = warps[triangle_of[start + i]];
        const float xi = static_cast<float>(pixel % columns) + origins[2 * view];
        const float yi = static_cast<float>(pixel / columns) + origins[2 * view + 1];
        const float x = q[0][0] + q[0][1] * xi + q[0][2] * yi, y = q[1][0] + q[1][1] * xi + q[1][2] * yi;
        const i64 px = __double2ll_rn(static_cast<double>(x) * SUBPIXELS);
        const i64 py = __double2ll_rn(static_cast<double>(y) * SUBPIXELS);
        values[i] = sample_gray(corner, width, y1 - y0, x1 - x0, px, py);
        total += static_cast<double>(values[i]);
    }
    const double mean = block_sum(total, parts) / count;
    double squares = 0.0;
    for (int i = thread; i < count; i += THREADS) {
        const double difference = static_cast<double>(values[i]) - mean;
        squares += difference * difference;
    }
    double deviation = sqrt(block_sum(squares, parts) / count);
    if (deviation == 0.0) deviation = 1.0;
    for (int i = thread; i < count; i += THREADS) {
        const double value = (static_cast<double>(values[i]) - mean) / deviation;
        out[pixels[start + i]] = static_cast<float>((value - means[start + i]) / deviations[start + i]);
    }
}

// Scores (count, bins) to confidences (count,), the first of equal bins; 0 where the view (count,) is negative.
extern "C" __global__ void confidences(const float* __restrict__ scores, const int* __restrict__ views, int count,
                                       int bins, float* __restrict__ confidence) {
    const int face = blockIdx.x * blockDim.x + threadIdx.x;
    if (face >= count) return;
    double value = 0.0;
    if (views[face] >= 0) {
        const float* const own = scores + i64(face) * bins;
        int best = 0;
        for (int bin = 1; bin < bins; ++bin)
            if (own[bin] > own[best]) best = bin;
        value = 0.5 * (1.0 - (-1.0 + 1.0 / bins + best * 2.0 / bins));
    }
    confidence[face] = static_cast<float>(value);
}
