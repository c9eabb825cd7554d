// The anchors in which RetinaFace may see a face (reference/networks/retinaface.py), picked out of its outputs in the
// order of `priors`: level after level, row after row, column after column, anchor after anchor. Few of thousands.
//
// Defined by the launcher: the threads of a block, for example
//   -DTHREADS=256
#include "common.cuh"

#define LEVELS 3
#define ANCHORS 2  // at a place
#define VALUES 16  // of an anchor: 4 of the box, 2 classes, 10 of the points

// The outputs of one level for all images: (count, ANCHORS * 4 or 2 or 10, places) each, anchor after anchor.
struct Outputs {
    const float *boxes, *classes, *points;
    int places;
};

struct Seen {
    int anchor;  // its number in the image
    float values[VALUES];
};

// Anchors with classes[0] - classes[1] <= limit to seen (count, anchors of an image), those of an image from its first on,
// and their numbers (count,). Block (i): image i.
extern "C" __global__ void __launch_bounds__(THREADS)
see_faces(const float* __restrict__ boxes_8, const float* __restrict__ classes_8, const float* __restrict__ points_8,
          int places_8, const float* __restrict__ boxes_16, const float* __restrict__ classes_16,
          const float* __restrict__ points_16, int places_16, const float* __restrict__ boxes_32,
          const float* __restrict__ classes_32, const float* __restrict__ points_32, int places_32, float limit,
          Seen* __restrict__ seen, int* __restrict__ counts) {
    __shared__ int warp_counts[THREADS / 32];
    const Outputs levels[LEVELS] = {{boxes_8, classes_8, points_8, places_8},
                                    {boxes_16, classes_16, points_16, places_16},
                                    {boxes_32, classes_32, points_32, places_32}};
    const int image = blockIdx.x, lane = threadIdx.x % warpSize, warp = threadIdx.x / warpSize;
    Seen* const out = seen + i64(image) * ANCHORS * (places_8 + places_16 + places_32);
    int found = 0, before_level = 0;  // anchors that were seen, and all anchors of the levels before
    for (int k = 0; k < LEVELS; ++k) {
        const int places = levels[k].places;
        for (int start = 0; start < places * ANCHORS; start += THREADS) {
            const int number = start + threadIdx.x, place = number / ANCHORS, anchor = number % ANCHORS;
            const i64 first = i64(image) * ANCHORS + anchor;  // of the anchors of this level, in maps
            const float* const classes = levels[k].classes + first * 2 * places + place;
            const bool here = number < places * ANCHORS && classes[0] - classes[places] <= limit;
            const unsigned lanes = __ballot_sync(0xffffffffu, here);
            if (lane == 0) warp_counts[warp] = __popc(lanes);
            __syncthreads();
            int at = found + __popc(lanes & ((1u << lane) - 1u)), all = 0;
            for (int w = 0; w < THREADS / 32; ++w) {
                if (w < warp) at += warp_counts[w];
                all += warp_counts[w];
            }
            if (here) {
                const float* const box = levels[k].boxes + first * 4 * places + place;
                const float* const points = levels[k].points + first * 10 * places + place;
                Seen one = {before_level + number, {}};
                for (int v = 0; v < 4; ++v) one.values[v] = box[v * places];
                for (int v = 0; v < 2; ++v) one.values[4 + v] = classes[v * places];
                for (int v = 0; v < 10; ++v) one.values[6 + v] = points[v * places];
                out[at] = one;
            }
            found += all;
            __syncthreads();
        }
        before_level += places * ANCHORS;
    }
    if (threadIdx.x == 0) counts[image] = found;
}

// The seen anchors of all images one after the other; seen and counts as above. Block (i) moves those of image i.
extern "C" __global__ void __launch_bounds__(THREADS)
gather_faces(const Seen* __restrict__ seen, const int* __restrict__ counts, int anchors, Seen* __restrict__ gathered) {
    const int image = blockIdx.x;
    i64 before = 0;
    for (int k = 0; k < image; ++k) before += counts[k];
    const Seen* const from = seen + i64(image) * anchors;
    for (int i = threadIdx.x; i < counts[image]; i += THREADS) gathered[before + i] = from[i];
}
