// Running medians by histogram (spec 60.5) of several videos at once. A dimension of a video is one thread, which goes
// through the video's frames in time order and remembers in which bin its median lies.
//
// Defined by the launcher: the types of the descriptors (float or double) and of the counts (u16 or u32), for example
//   -DVALUE=float -DCOUNT=u16
#include "common.cuh"

// Group g of the batch are the rows starts[g] up to starts[g + 1]: frames of video videos[g], which no other group has.
//
// descriptors (N, dimensions), success (N,), counts (V, dimensions, bins), place, below, median (V, dimensions),
// frames, total (V,) as they were before the batch, to medians (N, dimensions).
extern "C" __global__ void medians(const VALUE* __restrict__ descriptors, const u8* __restrict__ success,
                                   const int* __restrict__ videos, const int* __restrict__ starts, int dimensions,
                                   int bins, double low, double high, double lowest, const i64* __restrict__ frames,
                                   const i64* __restrict__ total, COUNT* counts, int* place, i64* below, double* median,
                                   double* __restrict__ out) {
    const int d = blockIdx.y * blockDim.x + threadIdx.x;
    if (d >= dimensions) return;
    const int group = blockIdx.x, video = videos[group];
    const size_t state = size_t(video) * dimensions + d;
    COUNT* const histogram = counts + state * bins;
    const double width = (high - low) / bins;
    i64 seen = frames[video], counted = total[video], under = below[state];
    int at = place[state];
    double current = median[state];
    for (int row = starts[group]; row < starts[group + 1]; ++row) {
        if (++seen % 2 == 1) {  // only odd frames reach the histogram
            const double value = double(descriptors[size_t(row) * dimensions + d]);
            if (success[row]) {
                const double position = (value - low) * bins / (high - low);
                const int bin = int(min(max(position, 0.0), bins - 1.0));  // truncates
                ++histogram[bin];
                under += bin < at;
                ++counted;
            }
            if (counted == 1) {
                current = max(value, lowest);
            } else {
                const i64 half = (counted + 1) / 2;
                while (under >= half && at > 0) under -= histogram[--at];
                while (under + histogram[at] < half) under += histogram[at++];
                current = max(low + at * width + 0.5 * width, lowest);
            }
        }
        out[size_t(row) * dimensions + d] = current;
    }
    place[state] = at;
    below[state] = under;
    median[state] = current;
}

// Counts the frames of a batch, after `medians`: a thread a group.
extern "C" __global__ void advance(const u8* __restrict__ success, const int* __restrict__ videos,
                                   const int* __restrict__ starts, int groups, i64* frames, i64* total) {
    const int group = blockIdx.x * blockDim.x + threadIdx.x;
    if (group >= groups) return;
    i64 seen = frames[videos[group]], counted = total[videos[group]];
    for (int row = starts[group]; row < starts[group + 1]; ++row) counted += ++seen % 2 == 1 && success[row];
    frames[videos[group]] = seen;
    total[videos[group]] = counted;
}
