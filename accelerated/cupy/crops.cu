// What landmark networks see of faces (reference/networks/crops.py), cut out of images on the device with the bits of the
// reference: squares resized by OpenCV's integer weights, and STAR's crops, enlarged and moved. What lies outside the
// image is black.
#include "sampling.cuh"

#define RESIZE_BITS 11  // of the weights of a resize

// Two neighbours of a place of the result along one axis, and their weights in 1/2048.
struct Pair {
    int first, second, one, two;
};

__device__ inline Pair pair_of(int source, int destination, int index, bool border) {
    const double scale = 1.0 / (static_cast<double>(destination) / static_cast<double>(source));
    const float position = static_cast<float>((index + 0.5) * scale - 0.5);
    const float whole = floorf(position);
    const int at = static_cast<int>(whole);
    const float part = border && (at < 0 || at >= source - 1) ? 0.0f : position - whole;
    constexpr float kOne = 1 << RESIZE_BITS;
    return {min(max(at, 0), source - 1), min(max(at + 1, 0), source - 1), __float2int_rn((1.0f - part) * kOne),
            __float2int_rn(part * kOne)};
}

// A square of an image (height, width, 3), whose places count from its own corner.
struct Square {
    const u8* image;
    int height, width;
    i64 left, top;

    __device__ int at(int row, int column, int colour) const {
        const i64 y = top + row, x = left + column;
        if (y < 0 || y >= height || x < 0 || x >= width) return 0;
        return image[(y * width + x) * 3 + colour];
    }
    __device__ int across(int row, const Pair& columns, int colour) const {
        return at(row, columns.first, colour) * columns.one + at(row, columns.second, colour) * columns.two;
    }
};

// images (S, height, width, 3), squares (K, 4: image, left, top, size) to crops (K, side, side, 3).
// Block (k, i): pixels i * blockDim.x on of crop k.
extern "C" __global__ void squares(const u8* __restrict__ images, int height, int width,
                                   const i64* __restrict__ where, int side, u8* __restrict__ crops) {
    const int pixel = blockIdx.y * blockDim.x + threadIdx.x;
    if (pixel >= side * side) return;
    const i64* const own = where + 4 * i64(blockIdx.x);
    const Square square = {images + own[0] * height * width * 3, height, width, own[1], own[2]};
    const int size = static_cast<int>(own[3]), row = pixel / side, column = pixel % side;
    u8* const out = crops + (i64(blockIdx.x) * side * side + pixel) * 3;
    const Pair rows = pair_of(size, side, row, false), columns = pair_of(size, side, column, true);
    for (int c = 0; c < 3; ++c) {
        int value;
        if (size == side) {
            value = square.at(row, column, c);
        } else if (size == 2 * side) {
            value = (square.at(2 * row, 2 * column, c) + square.at(2 * row, 2 * column + 1, c) +
                     square.at(2 * row + 1, 2 * column, c) + square.at(2 * row + 1, 2 * column + 1, c) + 2) >> 2;
        } else {
            const int above = ((square.across(rows.first, columns, c) >> 4) * rows.one) >> 16;
            const int below = ((square.across(rows.second, columns, c) >> 4) * rows.two) >> 16;
            value = (above + below + 2) >> 2;
        }
        out[c] = static_cast<u8>(value);
    }
}

// images as above, inverses (K, 4: factor and shift of x, factor and shift of y, from the crop to the image), frame (K,)
// to crops (K, side, side, 3). Blocks as above.
extern "C" __global__ void enlarged(const u8* __restrict__ images, int height, int width,
                                    const int* __restrict__ frame, const double* __restrict__ inverses, int side,
                                    u8* __restrict__ crops) {
    const int pixel = blockIdx.y * blockDim.x + threadIdx.x;
    if (pixel >= side * side) return;
    const double* const own = inverses + 4 * i64(blockIdx.x);
    constexpr double kLimit = 2147483647.0;  // beyond what an integer holds OpenCV takes the largest
    i64 at[2];
    const int steps[2] = {pixel % side, pixel / side};
    for (int axis = 0; axis < 2; ++axis) {
        const double position = (own[2 * axis] * steps[axis] + own[2 * axis + 1]) * SUBPIXELS;
        at[axis] = __double2ll_rn(min(max(position, -kLimit), kLimit));
    }
    sample_colour(images + i64(frame[blockIdx.x]) * height * width * 3, height, width, at[0], at[1],
                  crops + (i64(blockIdx.x) * side * side + pixel) * 3);
}
