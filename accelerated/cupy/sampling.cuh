// Images sampled at positions in 1/32 px (spec 90.2), neighbours outside the image counting as 0.
#pragma once

#include "areas.cuh"

constexpr int SUBPIXELS = 1 << SUBPIXEL_BITS;

// A gray image of `height` rows of `width` pixels, `line` bytes from row to row, at a position.
__device__ inline float sample_gray(const u8* image, int line, int height, int width, i64 px, i64 py) {
    const i64 x = px >> SUBPIXEL_BITS, y = py >> SUBPIXEL_BITS;
    if (x < -1 || x >= width || y < -1 || y >= height) return 0.0f;
    const float fx = static_cast<float>(px & SUBPIXEL_MASK) * (1.0f / SUBPIXELS);
    const float fy = static_cast<float>(py & SUBPIXEL_MASK) * (1.0f / SUBPIXELS);
    const float gx = 1.0f - fx, gy = 1.0f - fy;
    const bool left = x >= 0, right = x + 1 < width, above = y >= 0, below = y + 1 < height;
    const u8* const at = image + y * line + x;
    float value = 0.0f;
    if (above && left) value += static_cast<float>(at[0]) * (gy * gx);
    if (above && right) value += static_cast<float>(at[1]) * (gy * fx);
    if (below && left) value += static_cast<float>(at[line]) * (fy * gx);
    if (below && right) value += static_cast<float>(at[line + 1]) * (fy * fx);
    return value;
}

// An image (height, width, 3) at a position, by OpenCV's integer weights.
__device__ inline void sample_colour(const u8* image, int height, int width, i64 px, i64 py, u8* out) {
    const i64 x = px >> SUBPIXEL_BITS, y = py >> SUBPIXEL_BITS;
    const int fx = static_cast<int>(px & SUBPIXEL_MASK), fy = static_cast<int>(py & SUBPIXEL_MASK);
    const int gx = SUBPIXELS - fx, gy = SUBPIXELS - fy;
    const bool left = x >= 0 && x < width, right = x >= -1 && x + 1 < width;
    const bool above = y >= 0 && y < height, below = y >= -1 && y + 1 < height;
    const u8* const at = image + (y * width + x) * 3;
    const i64 line = i64(width) * 3;
#pragma unroll
    for (int c = 0; c < 3; ++c) {
        int total = 0;
        if (above && left) total += at[c] * (gx * gy);
        if (above && right) total += at[3 + c] * (fx * gy);
        if (below && left) total += at[line + c] * (gx * fy);
        if (below && right) total += at[line + 3 + c] * (fx * fy);
        out[c] = static_cast<u8>((total * SUBPIXELS + (1 << 14)) >> 15);
    }
}
