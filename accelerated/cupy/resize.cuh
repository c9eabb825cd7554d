// Bilinear resizing to the detector's inputs (spec 20.2, 20.8, 90.3): columns first, then rows, with the roundings of
// reference/resampling.resize_bilinear_f32; then the normalisation of spec 20.2.
#pragma once

#include "common.cuh"

// The two neighbours of a position along one axis of the source, and how much the second one weighs.
struct Neighbours {
    i64 first, second;
    float weight;
};

__device__ inline Neighbours neighbours(i64 source, int destination, int index) {
    const double scale = 1.0 / (static_cast<double>(destination) / static_cast<double>(source));
    const float position = static_cast<float>((index + 0.5) * scale - 0.5);
    const float whole = floorf(position);
    const i64 at = static_cast<i64>(whole);
    Neighbours found = {at < 0 ? 0 : at > source - 1 ? source - 1 : at, 0, position - whole};
    if (at < 0 || at >= source - 1) found.weight = 0.0f;
    found.second = found.first + 1 < source ? found.first + 1 : source - 1;
    return found;
}

// A part of an image (height, width, 3), which may begin and end outside of it, where everything is 0.
struct Part {
    const u8* image;
    int image_height, image_width;
    i64 top, left, height, width;

    __device__ float at(i64 y, i64 x, int c) const {
        y += top;
        x += left;
        if (y < 0 || y >= image_height || x < 0 || x >= image_width) return 0.0f;
        return static_cast<float>(image[(y * image_width + x) * 3 + c]);
    }
};

// Pixel (y, x) of the part resized to (rows, columns), normalised, as the networks want it: R, G, B, `plane` apart.
__device__ inline void resized_pixel(const Part& part, int rows, int columns, int y, int x, float* out, int plane) {
    constexpr float MEAN = 127.5f, FACTOR = 0.0078125f;
    if (part.height == 2 * i64(rows) && part.width == 2 * i64(columns)) {  // exactly 2:1 is area averaging
        for (int c = 0; c < 3; ++c) {
            float value = part.at(2 * y, 2 * x, c) + part.at(2 * y, 2 * x + 1, c);
            value = (value + part.at(2 * y + 1, 2 * x, c)) + part.at(2 * y + 1, 2 * x + 1, c);
            out[(2 - c) * plane] = (value * 0.25f - MEAN) * FACTOR;
        }
        return;
    }
    const Neighbours down = neighbours(part.height, rows, y), across = neighbours(part.width, columns, x);
    const float wx = across.weight, wy = down.weight;
    for (int c = 0; c < 3; ++c) {
        const float one = part.at(down.first, across.first, c), two = part.at(down.first, across.second, c);
        const float three = part.at(down.second, across.first, c), four = part.at(down.second, across.second, c);
        const float upper = one * (1.0f - wx) + two * wx, lower = three * (1.0f - wx) + four * wx;
        const float value = upper * (1.0f - wy) + lower * wy;
        out[(2 - c) * plane] = (value - MEAN) * FACTOR;
    }
}
