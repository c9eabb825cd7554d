// What the face detector does besides its networks (spec 20): pyramids and crops straight from bytes to normalised
// planes, and the places where P-Net sees a face, in the reference's order.
//
// Defined by the launcher: the threads of a block, for example
//   -DTHREADS=256
#include "resize.cuh"

// images (S, height, width, 3) to pyramids (S, 3 * pixels): of each level (n_levels, 3: rows, columns, its first of
// `pixels` pixels) the planes R, G, B. Block (i, s): pixels i * THREADS on of image s.
extern "C" __global__ void pyramids(const u8* __restrict__ images, int height, int width,
                                    const int* __restrict__ levels, int n_levels, int pixels,
                                    float* __restrict__ planes) {
    const int pixel = blockIdx.x * THREADS + threadIdx.x;
    if (pixel >= pixels) return;
    int level = 0;
    while (level + 1 < n_levels && pixel >= levels[3 * (level + 1) + 2]) ++level;
    const int rows = levels[3 * level], columns = levels[3 * level + 1], first = levels[3 * level + 2];
    const Part whole = {images + i64(blockIdx.y) * height * width * 3, height, width, 0, 0, height, width};
    float* const own = planes + (i64(blockIdx.y) * pixels + first) * 3;
    const int at = pixel - first;
    resized_pixel(whole, rows, columns, at / columns, at % columns, own + at, rows * columns);
}

// The crops of boxes (K, 5: image, x, y, width, height) that R-Net and O-Net look at (spec 20.8), (K, 3, side, side).
// Block (k, i): pixels i * THREADS on of crop k.
extern "C" __global__ void crops(const u8* __restrict__ images, int height, int width, const i64* __restrict__ boxes,
                                 int side, float* __restrict__ planes) {
    const int pixel = blockIdx.y * THREADS + threadIdx.x;
    if (pixel >= side * side) return;
    const i64* const box = boxes + 5 * i64(blockIdx.x);
    // A crop starts one pixel left of and above its box and holds nothing of the row and column behind it.
    const u8* const image = images + box[0] * height * width * 3;
    const Part part = {image, height, width, box[2] - 1, box[1] - 1, box[4] + 1, box[3] + 1};
    float* const own = planes + i64(blockIdx.x) * 3 * side * side;
    resized_pixel(part, side, side, pixel / side, pixel % side, own + pixel, side * side);
}

// A place where P-Net sees a face: which image and level, where on the level, and P-Net's six values.
struct Sight {
    int level, x, y;
    float values[6];
};

// P-Net's maps (S, floats) to sights (S, places), those of a level column after column from its first place on, and
// their counts (S, n_levels). Of a level (n_levels, 4): rows and columns of its maps, its first float and first place.
// A sight has values[0] - values[1] <= limit. Block (l, s): level l of image s.
extern "C" __global__ void __launch_bounds__(THREADS)
see_faces(const float* __restrict__ maps, i64 floats, const int* __restrict__ levels, int n_levels, int places,
          float limit, Sight* __restrict__ sights, int* __restrict__ counts) {
    __shared__ int warp_counts[THREADS / 32];
    const int level = blockIdx.x, image = blockIdx.y, lane = threadIdx.x % warpSize, warp = threadIdx.x / warpSize;
    const int rows = levels[4 * level], columns = levels[4 * level + 1], plane = rows * columns;
    const float* const own = maps + image * floats + levels[4 * level + 2];
    Sight* const out = sights + i64(image) * places + levels[4 * level + 3];
    int found = 0;  // in all places before
    for (int start = 0; start < plane; start += THREADS) {
        const int place = start + threadIdx.x, x = place / rows, y = place % rows, at = y * columns + x;
        const bool here = place < plane && own[at] - own[plane + at] <= limit;
        const unsigned lanes = __ballot_sync(0xffffffffu, here);
        if (lane == 0) warp_counts[warp] = __popc(lanes);
        __syncthreads();
        int before = found + __popc(lanes & ((1u << lane) - 1u)), all = 0;
        for (int w = 0; w < THREADS / 32; ++w) {
            if (w < warp) before += warp_counts[w];
            all += warp_counts[w];
        }
        if (here) {
            Sight sight = {image * n_levels + level, x, y, {}};
            for (int k = 0; k < 6; ++k) sight.values[k] = own[k * plane + at];
            out[before] = sight;
        }
        found += all;
        __syncthreads();
    }
    if (threadIdx.x == 0) counts[image * n_levels + level] = found;
}

// The sights of all images and levels one after the other: levels and sights as above. Block (l, s) moves its own.
extern "C" __global__ void __launch_bounds__(THREADS)
gather_sights(const Sight* __restrict__ sights, const int* __restrict__ counts, const int* __restrict__ levels,
              int n_levels, int places, Sight* __restrict__ gathered) {
    __shared__ int before;
    const int number = blockIdx.y * n_levels + blockIdx.x;
    if (threadIdx.x == 0) before = 0;
    __syncthreads();
    int own = 0;
    for (int k = threadIdx.x; k < number; k += THREADS) own += counts[k];
    if (own) atomicAdd(&before, own);
    __syncthreads();
    const Sight* const from = sights + i64(blockIdx.y) * places + levels[4 * blockIdx.x + 3];
    for (int i = threadIdx.x; i < counts[number]; i += THREADS) gathered[before + i] = from[i];
}
