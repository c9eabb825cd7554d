// CEN responses (spec 40.6, 40.7): small networks of all landmarks and faces, one product after another, fused.
//
// Every second position of an area is a row. The rows that one expert sees, of all faces of a view and, in front
// view, of the mirrored partner's areas too, lie behind each other; a block takes ROWS of them through the whole
// network. It samples their areas, normalises the patches into shared memory, (taps, rows), and then keeps everything
// there: the first layer is made CHUNK units at a time, which the second layer at once adds to sums that stay in
// registers; later layers are written over their own inputs. A thread's tile is up to 16 rows by 4 units: rows come
// from shared memory as broadcasts, weights straight from global memory, four floats for each product row, loaded
// four rows ahead. In memory the units of a layer are turned (a thread has every GROUPS-th unit) so that neighbouring
// threads write to different banks. Each output is one sum over ascending inputs by fused multiply-adds, whatever
// block and thread it falls to: results depend neither on ROWS nor on the batch.
//
// 64 faces while tracking (68 landmarks; w = 9 with 300, 100 and 50 units and w = 7 with 500, 200 and 100) are 63
// GFLOP, 0.94 ms at the 67 TFLOP/s that an H200 has in float32. Expected are 55 to 65 % of that, about 1.6 ms: 150 of
// 160 threads have a tile (94 %); of the instructions in the inner loops, as compiled for it, 88 % are fused
// multiply-adds in the second layer and 82 to 86 % in the others; 15 warps a multiprocessor hide most, not all, of
// the latencies between layers. A block reads its expert's weights once, 0.3 or 0.7 MB for 48 rows: 2.6 GB in all or
// 24 FLOP a byte, 1.6 TB/s from the L2 cache, which should be within its reach. Blocks that run together share one,
// so that HBM gives each weight about once: 0.1 GB, 0.2 GB where faces show all views. It has been run on the host
// only (parity_tests/cuda_on_host), never on a GPU.
//
// Defined by the launcher: the side of a patch in px; units and activations (0 sigmoid, 2 ReLU, else none) of all
// layers, of which the last has one unit; sizes of tiles, for example
//   -DSUPPORT=11 -DUNITS=_(500)_(200)_(100)_(1) -DACTIVATIONS=_(2)_(2)_(2)_(0) -DCHUNK=100 -DROWS=48 -DTHREADS=160
#include "areas.cuh"
#include "cen.cuh"

// What a block works on: `count` rows from row `first` on of one expert in one view.
struct Work {
    const int* task;  // expert, number of areas a face, and of each area its landmark and whether it is mirrored
    int first_face, first, count, half;

    __device__ int area_of(int row) const { return (first + row) / half; }
    __device__ int face(int area) const { return first_face + area / task[1]; }
    __device__ int landmark(int area) const { return task[2 + 2 * (area % task[1])]; }
    __device__ bool mirrored(int area) const { return task[3 + 2 * (area % task[1])] != 0; }
};

// Rows of the patches that `work` is about, from areas in `pixels` (side * side each) into `inputs` (TAPS, STRIDE).
__device__ inline void normalise(const Work& work, const float* pixels, int window, float* inputs) {
    constexpr int SHARERS = THREADS / ROWS;  // threads of a row, each of which works out its contrast
    const int row = threadIdx.x % ROWS, side = window + SUPPORT - 1;
    if (static_cast<int>(threadIdx.x) >= SHARERS * ROWS) return;
    if (row >= work.count) {
        for (int tap = threadIdx.x / ROWS; tap < TAPS; tap += SHARERS) inputs[tap * STRIDE + row] = 0.0f;
        return;
    }
    const int area = work.area_of(row), q = 2 * ((work.first + row) % work.half) + 1;
    const int column = q / window, step = work.mirrored(area) ? -1 : 1;
    const float* const first = pixels + (area - work.area_of(0)) * side * side + q % window * side
                               + (step < 0 ? side - 1 - column : column);
    const Contrast contrast = contrast_of<SUPPORT>(first, side, step);
    for (int tap = threadIdx.x / ROWS; tap < TAPS; tap += SHARERS) {
        const float pixel = first[tap % SUPPORT * side + tap / SUPPORT * step];
        inputs[tap * STRIDE + row] = (pixel - contrast.mean) * contrast.factor;
    }
}

// Faces that are good in the order of their views, as they come within a view: order (faces,), and where each view's
// begin, starts (views + 1,). A thread for each entry of both, which counts what comes before it.
extern "C" __global__ void __launch_bounds__(256)
group_by_view(const int* __restrict__ view, const u8* __restrict__ good, int faces, int views, int* __restrict__ order,
              int* __restrict__ starts) {
    const int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= faces + views + 1 || (i < faces && !good[i])) return;
    const int own = i < faces ? view[i] : i - faces, last = i < faces ? i : 0;
    int before = 0;
#pragma unroll 8
    for (int k = 0; k < faces; ++k)
        before += static_cast<int>(good[k] != 0) & (static_cast<int>(view[k] < own)
                                                    | (static_cast<int>(view[k] == own) & static_cast<int>(k < last)));
    if (i < faces)
        order[before] = i;
    else
        starts[own] = before;
}

// gray (S, height, width); of every face its image, landmarks (points, 2) and ref_to_img (2, 2); order and starts of
// `group_by_view`; tasks (views, gridDim.y, 6), see `Work`; weights of all experts. Out: responses (faces, points,
// half) at odd positions, column by column. Grid (blocks of rows, tasks); shared: areas, or values of layers.
extern "C" __global__ void __launch_bounds__(THREADS, 512 / THREADS)
cen_responses(const PIXEL* __restrict__ gray, int height, int width, const int* __restrict__ frame,
              const float* __restrict__ landmarks, const float* __restrict__ ref_to_img, int points,
              const int* __restrict__ order, const int* __restrict__ starts, int views, const int* __restrict__ tasks,
              const float* __restrict__ weights, int window, float* __restrict__ responses) {
    DYNAMIC_SHARED(float, shared);
    float* const chunk = shared + TAPS * STRIDE;
    Work work;
    work.half = (window * window - 1) / 2;
    int block = blockIdx.x;
    for (int view = 0;; ++view) {
        if (view == views) return;
        work.task = tasks + (view * gridDim.y + blockIdx.y) * 6;
        work.first_face = starts[view];
        const int rows = (starts[view + 1] - starts[view]) * work.task[1] * work.half;
        work.first = block * ROWS;
        work.count = min(ROWS, rows - work.first);
        if (work.count > 0) break;
        block -= (rows + ROWS - 1) / ROWS;
    }

    const int side = window + SUPPORT - 1, first_area = work.area_of(0);
    const int areas = work.area_of(work.count - 1) - first_area + 1;
    for (int i = threadIdx.x; i < areas * side * side; i += THREADS) {
        const int area = first_area + i / (side * side), pixel = i % (side * side);
        const int face = order[work.face(area)];
        const PIXEL* const image = gray + static_cast<i64>(frame[face]) * height * width;
        const float* const landmark = landmarks + 2 * (face * points + work.landmark(area));
        const Area place = area_around(landmark, ref_to_img + 4 * face, side);
        chunk[i] = area_pixel(image, height, width, place, pixel / side, pixel % side);
    }
    __syncthreads();
    normalise(work, chunk, window, shared);
    __syncthreads();

    const float* const own = weights + static_cast<i64>(work.task[0]) * start_of(kLayers);
    first_layers(own, shared, chunk);
    later_layers<2>(own, shared);
    const int row = threadIdx.x;
    if (row >= work.count) return;
    constexpr int DEPTH = kUnits[kLayers - 2];
    const float* const last = own + start_of(kLayers - 1);
    float sum = 0.0f;
    for (int k = 0; k < DEPTH; ++k) sum = __fmaf_rn(last[k], shared[k * STRIDE + row], sum);
    const int area = work.area_of(row), face = order[work.face(area)];
    responses[(static_cast<i64>(face) * points + work.landmark(area)) * work.half + (work.first + row) % work.half] =
        activated<kActivations[kLayers - 1]>(sum + last[DEPTH]);
}

// Maps (faces, points, w, w) of responses: positions between are means of their neighbours, maps of mirrored areas
// are turned back. sources (views, points): 0 no expert (the map is 0), 1 the area as it is, 2 mirrored.
extern "C" __global__ void __launch_bounds__(256)
cen_maps(const float* __restrict__ responses, const int* __restrict__ view, const u8* __restrict__ good,
         const u8* __restrict__ sources, int points, int window, int maps_in_all, float* __restrict__ maps) {
    const int positions = window * window;
    const i64 at = static_cast<i64>(blockIdx.x) * blockDim.x + threadIdx.x;
    if (at >= static_cast<i64>(maps_in_all) * positions) return;
    const int map = static_cast<int>(at / positions), q = static_cast<int>(at % positions);
    const int face = map / points, source = good[face] ? sources[view[face] * points + map % points] : 0;
    if (source == 0) {
        maps[at] = 0.0f;
        return;
    }
    const int row = q / window, column = source == 2 ? window - 1 - q % window : q % window;
    const float* const odd = responses + static_cast<i64>(map) * (positions / 2);
    auto value = [&](int i, int j) {
        return i >= 0 && i < window && j >= 0 && j < window ? odd[(j * window + i - 1) / 2] : 0.0f;
    };
    if ((row + column) % 2) {
        maps[at] = value(row, column);
        return;
    }
    const int neighbours = (row > 0) + (row < window - 1) + (column > 0) + (column < window - 1);
    const float share = static_cast<float>(1.0 / neighbours);
    float mean = value(row, column - 1) * share;
    mean = mean + value(row - 1, column) * share;
    mean = mean + value(row + 1, column) * share;
    maps[at] = mean + value(row, column + 1) * share;
}
