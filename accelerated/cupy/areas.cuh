// Areas of interest and their patches (spec 40.4, 40.6, 90.2, 90.5): sampled and normalised as the reference does,
// whole numbers where OpenCV has them, floats added up in the reference order.
#pragma once

#include "common.cuh"

// OpenCV's fixed-point positions: affine increments in 1/1024 px, sampling positions in 1/32 px.
constexpr int SUBPIXEL_BITS = 5, AFFINE_BITS = 10;
constexpr int SUBPIXEL_MASK = (1 << SUBPIXEL_BITS) - 1;
constexpr i64 AFFINE_ROUND = 1 << (AFFINE_BITS - SUBPIXEL_BITS - 1);

// Where the upright area of `side` px around a landmark lies in the image: x = a u - b v + tx, y = b u + a v + ty.
struct Area {
    double a, b, tx, ty;
};

__device__ inline Area area_around(const float* landmark, const float* ref_to_img, int side) {
    const float x = landmark[0], y = landmark[1], a = ref_to_img[0], b = -ref_to_img[1];
    const float half = 0.5f * static_cast<float>(side - 1);
    // In this order and precision: any other moves several percent of the maps to a neighbouring 1/32 px cell.
    const float tx = (x - a * half) + b * half, ty = (y - a * half) - b * half;
    return {static_cast<double>(a), static_cast<double>(b), static_cast<double>(tx), static_cast<double>(ty)};
}

// A position in 1/32 px: of the column's part and the row's part, each rounded to 1/1024 px.
__device__ inline i64 subpixels(double along_row, double along_column) {
    constexpr double ONE = 1 << AFFINE_BITS;
    const i64 across = __double2ll_rn(along_row * ONE), down = __double2ll_rn(along_column * ONE) + AFFINE_ROUND;
    return (down + across) >> (AFFINE_BITS - SUBPIXEL_BITS);
}

// Pixels of the images that areas are cut from: whole grey levels; floats where areas that somebody else has cut out of
// an image are the images themselves (the launcher defines PIXEL then).
#ifndef PIXEL
#define PIXEL u8
#endif

// The pixel (row, column) of an area, from an image (height, width) outside of which everything is 0.
__device__ inline float area_pixel(const PIXEL* image, int height, int width, const Area& area, int row, int column) {
    const i64 px = subpixels(area.a * column, -area.b * row + area.tx);
    const i64 py = subpixels(area.b * column, area.a * row + area.ty);
    const i64 x = px >> SUBPIXEL_BITS, y = py >> SUBPIXEL_BITS;
    if (x < -1 || x >= width || y < -1 || y >= height) return 0.0f;
    constexpr float STEP = 1.0f / (1 << SUBPIXEL_BITS);
    const float fx = static_cast<float>(static_cast<int>(px) & SUBPIXEL_MASK) * STEP;
    const float fy = static_cast<float>(static_cast<int>(py) & SUBPIXEL_MASK) * STEP;
    const float gx = 1.0f - fx, gy = 1.0f - fy;
    // Sums of whole grey levels in multiples of 1/1024 are exact, in whatever order; so are floats at whole positions.
    const PIXEL* const at = image + y * width + x;
    const bool left = x >= 0, right = x + 1 < width, above = y >= 0, below = y + 1 < height;
    float value = above && left ? static_cast<float>(at[0]) * (gy * gx) : 0.0f;
    if (above && right) value += static_cast<float>(at[1]) * (gy * fx);
    if (below && left) value += static_cast<float>(at[width]) * (fy * gx);
    if (below && right) value += static_cast<float>(at[width + 1]) * (fy * fx);
    return value;
}

// What takes a patch's contrast away: pixels are normalised to (pixel - mean) * factor.
struct Contrast {
    float mean, factor;
};

// Of the PATCH x PATCH patch whose first pixel is `first`, in rows `side` apart; columns go by `step`, which is -1 in
// a mirrored area. Sums row by row for the mean and column by column for the norm.
template <int PATCH> __device__ inline Contrast contrast_of(const float* first, int side, int step) {
    float total = 0.0f, squares = 0.0f;
    for (int v = 0; v < PATCH; ++v)
#pragma unroll
        for (int u = 0; u < PATCH; ++u) total += first[v * side + u * step];
    const float mean = total / static_cast<float>(PATCH * PATCH);
    for (int u = 0; u < PATCH; ++u)
#pragma unroll
        for (int v = 0; v < PATCH; ++v) {
            const float centred = first[v * side + u * step] - mean;
            squares += centred * centred;
        }
    const float norm = sqrtf(squares);
    return {mean, norm != 0.0f ? static_cast<float>(1.0 / static_cast<double>(norm)) : 1.0f};
}
