// What the network detectors and landmarkers compute besides convolutions (reference/networks/layers.py): pixels to
// maps, norms, sums and products of maps, pools, means and instance norms. Maps are (images, channels, height, width).
//
// Blocks of a kernel with a plane of outputs: (i, j) makes outputs j * blockDim.x on of map i of all images.
#include "activation.cuh"

#define LANES 32

// Which values of a plane a thread makes.
struct Places {
    int at, step;
};
__device__ inline Places places() {
    return {int(blockIdx.y * blockDim.x + threadIdx.x), int(gridDim.y * blockDim.x)};
}

// images (count, plane, 3) to maps (count, 3, plane): map c of the values `table` (3, 256) gives to bytes of colour
// colours[c].
extern "C" __global__ void __launch_bounds__(256)
read_pixels(const u8* __restrict__ images, int plane, const float* __restrict__ table, const int* __restrict__ colours,
            float* __restrict__ out) {
    const int image = blockIdx.x / 3, map = blockIdx.x % 3, colour = colours[map];
    const u8* const own = images + i64(image) * plane * 3 + colour;
    float* const to = out + i64(blockIdx.x) * plane;
    for (Places p = places(); p.at < plane; p.at += p.step) to[p.at] = table[map * 256 + own[i64(p.at) * 3]];
}

// Some maps of others, each value times a factor plus a summand, both of its map, then activated: channels first_in on of
// maps (count, in_maps, in_height, in_width), of which there is only one image where they are `repeated`, to channels
// first_map on of out (count, out_maps, height, width). Row y of the result is row y * in_height / height, and so are the
// columns.
extern "C" __global__ void __launch_bounds__(256)
each_value(const float* __restrict__ maps, int repeated, int in_maps, int first_in, int in_height, int in_width,
           const float* __restrict__ factors, const float* __restrict__ summands, const float* __restrict__ slopes,
           int activation, int channels, float* __restrict__ out, int height, int width, int out_maps, int first_map) {
    const int image = blockIdx.x / channels, channel = blockIdx.x % channels;
    const float* const own = maps + (i64(repeated ? 0 : image) * in_maps + first_in + channel) * in_height * in_width;
    float* const to = out + (i64(image) * out_maps + first_map + channel) * height * width;
    const float factor = factors[channel], summand = summands[channel], slope = slopes[channel];
    for (Places p = places(); p.at < height * width; p.at += p.step) {
        const int row = int(i64(p.at / width) * in_height / height), column = int(i64(p.at % width) * in_width / width);
        to[p.at] = activated(own[row * in_width + column] * factor + summand, activation, slope);
    }
}

// One set of maps plus (or, where `times`, multiplied by) another, activated: maps (count, channels, height, width) and
// others (count, other_maps, other_height, other_width), either as many maps or one for all; sizes as above.
extern "C" __global__ void __launch_bounds__(256)
two_values(const float* __restrict__ maps, const float* __restrict__ others, int other_maps, int other_height,
           int other_width, int times, const float* __restrict__ slopes, int activation, int channels,
           float* __restrict__ out, int height, int width) {
    const int image = blockIdx.x / channels, channel = blockIdx.x % channels;
    const i64 other = i64(image) * other_maps + (other_maps == 1 ? 0 : channel);
    const float* const own = maps + i64(blockIdx.x) * height * width;
    const float* const with = others + other * other_height * other_width;
    float* const to = out + i64(blockIdx.x) * height * width;
    const float slope = slopes[channel];
    for (Places p = places(); p.at < height * width; p.at += p.step) {
        const int row = int(i64(p.at / width) * other_height / height);
        const int column = int(i64(p.at % width) * other_width / width);
        const float one = own[p.at], two = with[row * other_width + column];
        to[p.at] = activated(times ? one * two : one + two, activation, slope);
    }
}

// The largest value of each window, of what is inside the maps (maps of all images, height, width).
extern "C" __global__ void __launch_bounds__(256)
largest(const float* __restrict__ maps, int height, int width, int kernel, int stride, int padding,
        float* __restrict__ out, int out_height, int out_width) {
    const float* const own = maps + i64(blockIdx.x) * height * width;
    float* const to = out + i64(blockIdx.x) * out_height * out_width;
    for (Places p = places(); p.at < out_height * out_width; p.at += p.step) {
        const int top = p.at / out_width * stride - padding, left = p.at % out_width * stride - padding;
        const int y0 = max(top, 0), x0 = max(left, 0);
        float value = own[y0 * width + x0];
        for (int y = y0; y < min(height, top + kernel); ++y)
            for (int x = x0; x < min(width, left + kernel); ++x) value = max(value, own[y * width + x]);
        to[p.at] = value;
    }
}

// The sum of a block's values in double, in an order of its own that depends on the number of threads only.
__device__ inline double block_total(double value, double* parts) {
    const int warp = threadIdx.x / LANES, lane = threadIdx.x % LANES, warps = blockDim.x / LANES;
#pragma unroll
    for (int step = LANES / 2; step > 0; step /= 2) value += __shfl_xor_sync(0xffffffffu, value, step);
    __syncthreads();
    if (lane == 0) parts[warp] = value;
    __syncthreads();
    double total = parts[0];
    for (int w = 1; w < warps; ++w) total += parts[w];
    return total;
}

// The mean of each map (maps of all images, plane), a block each.
extern "C" __global__ void __launch_bounds__(256)
mean_of_map(const float* __restrict__ maps, int plane, float* __restrict__ out) {
    __shared__ double parts[256 / LANES];
    const float* const own = maps + i64(blockIdx.x) * plane;
    double sum = 0.0;
    for (int i = threadIdx.x; i < plane; i += blockDim.x) sum += double(own[i]);
    sum = block_total(sum, parts);
    if (threadIdx.x == 0) out[blockIdx.x] = float(sum / double(plane));
}

// Each map with mean 0 and variance 1 (plus `epsilon` under its root), activated; a block each. out like maps.
extern "C" __global__ void __launch_bounds__(256)
normed_map(const float* __restrict__ maps, int plane, double epsilon, const float* __restrict__ slopes, int activation,
           int channels, float* __restrict__ out) {
    __shared__ double parts[256 / LANES];
    const float* const own = maps + i64(blockIdx.x) * plane;
    float* const to = out + i64(blockIdx.x) * plane;
    double sum = 0.0, squares = 0.0;
    for (int i = threadIdx.x; i < plane; i += blockDim.x) sum += double(own[i]);
    const double mean = block_total(sum, parts) / double(plane);
    for (int i = threadIdx.x; i < plane; i += blockDim.x) {
        const double centred = double(own[i]) - mean;
        squares += centred * centred;
    }
    const double deviation = sqrt(block_total(squares, parts) / double(plane) + epsilon);
    const float slope = slopes[blockIdx.x % channels];
    for (int i = threadIdx.x; i < plane; i += blockDim.x)
        to[i] = activated(float((double(own[i]) - mean) / deviation), activation, slope);
}
