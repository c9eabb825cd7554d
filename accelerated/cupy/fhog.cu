// FHOG descriptors (spec 60.3) of aligned faces: a block a face, the histograms of all cells in shared memory.
//
// Pixels are taken in strips of the eight rows that vote for the same two rows of cells. Of a strip, threads first work
// out every pixel's direction and gradient length; then each entry of the two rows of histograms gathers its own votes
// in raster order. No atomics, and sums in the order of the reference: the same bits.
//
// Defined by the launcher: sizes in px and cells, and the constants of reference/fhog.py, for example
//   -DHEIGHT=112 -DWIDTH=112 -DROWS=14 -DCOLUMNS=14 -DVECTOR_COLUMNS=104
//   -DTRUNCATION=0.2f -DHALF_TRUNCATION=0.1f -DENERGY_FLOOR=0.0001f -DTEXTURE_GAIN=0.4714f
#include "common.cuh"

#define CELL 8
#define ORIENTATIONS 9
#define SIGNED 18
#define FEATURES 31
#define LARGEST 255                  // of a difference of two bytes
#define SPAN (2 * LARGEST + 1)
#define NO_VOTE 255

__device__ constexpr int kBottom = (ROWS * CELL < HEIGHT ? ROWS * CELL : HEIGHT) - 1;     // pixels that vote: 1 up to
__device__ constexpr int kRight = (COLUMNS * CELL < WIDTH ? COLUMNS * CELL : WIDTH) - 1;  // but not including this
__device__ constexpr int kInnerRows = ROWS - 2, kInnerColumns = COLUMNS - 2;

struct Vote {
    u8 direction;
    float length;
};

// The gradient of the colour channel in which it is longest; of equals the last of R, G, B in the vector loop's columns
// and the first in the others.
__device__ Vote vote_of(const u8* face, const u8* directions, int y, int x) {
    const bool in_vector_loop = x - 1 < VECTOR_COLUMNS;
    int gx = 0, gy = 0, longest = -1;
    for (int k = 0; k < 3; ++k) {
        const int c = in_vector_loop ? k : 2 - k;
        const u8* const pixel = face + (y * WIDTH + x) * 3 + c;
        const int dx = int(pixel[3]) - int(pixel[-3]);
        const int dy = int(pixel[3 * WIDTH]) - int(pixel[-3 * WIDTH]);
        const int length2 = dx * dx + dy * dy;
        if (length2 > longest) {
            gx = dx;
            gy = dy;
            longest = length2;
        }
    }
    if (longest == 0) return {NO_VOTE, 0.0f};
    return {directions[(gy + LARGEST) * SPAN + gx + LARGEST], sqrtf(float(longest))};
}

// How far a pixel lies from the centre of cell `first` towards the next one, in cells: odd multiples of 1/16, exact.
__device__ float beyond(int pixel, int first) { return (float(pixel) + 0.5f) / float(CELL) - 0.5f - float(first); }

// The votes of a strip for entry `bin` of one cell, added to `total` in raster order.
__device__ float gather(float total, const u8* strip_directions, const float* strip_lengths, int strip, int below,
                        int column, int bin) {
    for (int k = 0; k < CELL; ++k) {
        const float fy = beyond(strip * CELL + CELL / 2 + k, strip);
        const float wy = below ? fy : 1.0f - fy;
        for (int side = 1; side >= 0; --side) {  // left of the centre the cell is the right one of the two
            const int first = (column - side) * CELL + CELL / 2;
            for (int i = 0; i < CELL; ++i) {
                const int x = first + i;
                if (x < 1 || x >= kRight || strip_directions[k * WIDTH + x] != bin) continue;
                const float fx = beyond(x, column - side);
                const float wx = side ? fx : 1.0f - fx;
                const float length = strip_lengths[k * WIDTH + x];
                total += x - 1 < VECTOR_COLUMNS ? (wx * length) * wy : (wy * wx) * length;
            }
        }
    }
    return total;
}

// One of the 31 features of a cell: `signed_` are its 18 entries; limits and gains of the four blocks around it.
__device__ float feature(const float* signed_, const float* largest, const float* gain, int which) {
    float terms[4];
    if (which < SIGNED + ORIENTATIONS) {
        const float value = which < SIGNED ? signed_[which] : signed_[which - SIGNED] + signed_[which - ORIENTATIONS];
        for (int lane = 0; lane < 4; ++lane) terms[lane] = min(value, largest[lane]) * gain[lane];
        return (terms[0] + terms[1]) + (terms[2] + terms[3]);
    }
    const int lane = which - SIGNED - ORIENTATIONS;
    float texture = 0.0f;
    for (int o = 0; o < SIGNED; o += 3) {
        for (int i = 0; i < 3; ++i) terms[i] = min(signed_[o + i], largest[lane]) * gain[lane];
        texture += (terms[0] + terms[1]) + terms[2];
    }
    return texture * TEXTURE_GAIN;
}

// faces (N, HEIGHT, WIDTH, 3), directions (511, 511) to descriptors (N, (ROWS - 2) * (COLUMNS - 2) * 31).
extern "C" __global__ void __launch_bounds__(256)
fhog(const u8* __restrict__ faces, const u8* __restrict__ directions, float* __restrict__ descriptors) {
    __shared__ float histograms[ROWS * COLUMNS * SIGNED];
    __shared__ float energy[ROWS * COLUMNS];
    __shared__ float limits[kInnerRows * kInnerColumns * 4], gains[kInnerRows * kInnerColumns * 4];
    __shared__ float strip_lengths[CELL * WIDTH];
    __shared__ u8 strip_directions[CELL * WIDTH];
    const u8* const face = faces + size_t(blockIdx.x) * (HEIGHT * WIDTH * 3);
    const int thread = threadIdx.x, threads = blockDim.x;

    for (int i = thread; i < ROWS * COLUMNS * SIGNED; i += threads) histograms[i] = 0.0f;
    for (int strip = -1; strip < ROWS; ++strip) {  // its upper row of cells; the row above the image has no votes
        for (int i = thread; i < CELL * WIDTH; i += threads) {
            const int y = strip * CELL + CELL / 2 + i / WIDTH, x = i % WIDTH;
            Vote vote = {NO_VOTE, 0.0f};
            if (y >= 1 && y < kBottom && x >= 1 && x < kRight) vote = vote_of(face, directions, y, x);
            strip_directions[i] = vote.direction;
            strip_lengths[i] = vote.length;
        }
        __syncthreads();
        for (int i = thread; i < 2 * COLUMNS * SIGNED; i += threads) {
            const int below = i / (COLUMNS * SIGNED), column = i / SIGNED % COLUMNS, bin = i % SIGNED;
            const int row = strip + below;
            if (row < 0 || row >= ROWS) continue;
            float* const entry = histograms + (row * COLUMNS + column) * SIGNED + bin;
            *entry = gather(*entry, strip_directions, strip_lengths, strip, below, column, bin);
        }
        __syncthreads();
    }

    for (int cell = thread; cell < ROWS * COLUMNS; cell += threads) {
        float total = 0.0f;
        for (int o = 0; o < ORIENTATIONS; ++o) {
            const float unsigned_ = histograms[cell * SIGNED + o] + histograms[cell * SIGNED + o + ORIENTATIONS];
            total = __fmaf_rn(unsigned_, unsigned_, total);
        }
        energy[cell] = total;
    }
    __syncthreads();
    for (int i = thread; i < kInnerRows * kInnerColumns * 4; i += threads) {
        // The block below right of the cell, above right, below left, above left.
        const int lane = i % 4, inner = i / 4;
        const int top = inner / kInnerColumns + 1 - lane % 2, left = inner % kInnerColumns + 1 - lane / 2;
        const float* const at = energy + top * COLUMNS + left;
        const float block = ((at[0] + at[1]) + at[COLUMNS]) + at[COLUMNS + 1];
        limits[i] = TRUNCATION * sqrtf(block + ENERGY_FLOOR);
        gains[i] = HALF_TRUNCATION / limits[i];
    }
    __syncthreads();
    float* const out = descriptors + size_t(blockIdx.x) * (kInnerRows * kInnerColumns * FEATURES);
    for (int i = thread; i < kInnerRows * kInnerColumns * FEATURES; i += threads) {
        const int inner = i / FEATURES;
        const int cell = (inner / kInnerColumns + 1) * COLUMNS + inner % kInnerColumns + 1;
        out[i] = feature(histograms + cell * SIGNED, limits + inner * 4, gains + inner * 4, i % FEATURES);
    }
}
