// Values of all linear AU models (spec 60.6): a block a frame and model, whose threads share the products and add up
// their sums in one fixed tree. A value depends on its frame alone.
#include "common.cuh"

#define THREADS 128

// The sum of `value` over the block, in thread 0: within warps from lane to lane, then over the warps.
__device__ double block_sum(double value) {
    __shared__ double of_warp[THREADS / 32];
    for (int offset = 16; offset > 0; offset /= 2) value += __shfl_down_sync(0xffffffffu, value, offset);
    if (threadIdx.x % 32 == 0) of_warp[threadIdx.x / 32] = value;
    __syncthreads();
    double sum = 0.0;
    for (int warp = 0; warp < THREADS / 32; ++warp) sum += of_warp[warp];
    return sum;
}

// What becomes of a model's value: an intensity is the value, a presence one of two numbers by its sign.
__device__ double outcome(double value, const double* outcomes, int model, int intensities) {
    if (model < intensities) return value;
    const double* const of_sign = outcomes + 2 * (model - intensities);
    return value > 0.0 ? of_sign[1] : of_sign[0];
}

// hog (n, split), geometry (n, rest), weights (models, split + rest), biases (models,), outcomes (presences, 2): not
// there, there; to out (n, models). Grid (n, models).
extern "C" __global__ void __launch_bounds__(THREADS)
predict(const float* __restrict__ hog, const double* __restrict__ geometry, const double* __restrict__ weights,
        const double* __restrict__ biases, const double* __restrict__ outcomes, int split, int rest, int intensities,
        double* __restrict__ out) {
    const int frame = blockIdx.x, model = blockIdx.y, models = gridDim.y;
    const double* const weight = weights + size_t(model) * (split + rest);
    double sum = 0.0;
    for (int i = threadIdx.x; i < split; i += THREADS)
        sum = __fma_rn(double(hog[size_t(frame) * split + i]), weight[i], sum);
    for (int i = threadIdx.x; i < rest; i += THREADS)
        sum = __fma_rn(geometry[size_t(frame) * rest + i], weight[split + i], sum);
    sum = block_sum(sum);
    if (threadIdx.x == 0)
        out[size_t(frame) * models + model] = outcome(sum + biases[model], outcomes, model, intensities);
}

// The same with running medians of the shapes of hog and geometry, which models with dynamic[model] set subtract.
extern "C" __global__ void __launch_bounds__(THREADS)
predict_dynamic(const float* __restrict__ hog, const double* __restrict__ geometry,
                const double* __restrict__ hog_median, const double* __restrict__ geometry_median,
                const u8* __restrict__ dynamic, const double* __restrict__ weights, const double* __restrict__ biases,
                const double* __restrict__ outcomes, int split, int rest, int intensities, double* __restrict__ out) {
    const int frame = blockIdx.x, model = blockIdx.y, models = gridDim.y;
    const double* const weight = weights + size_t(model) * (split + rest);
    const bool moved = dynamic[model];
    double sum = 0.0;
    for (int i = threadIdx.x; i < split; i += THREADS) {
        const size_t at = size_t(frame) * split + i;
        sum = __fma_rn(moved ? double(hog[at]) - hog_median[at] : double(hog[at]), weight[i], sum);
    }
    for (int i = threadIdx.x; i < rest; i += THREADS) {
        const size_t at = size_t(frame) * rest + i;
        sum = __fma_rn(moved ? geometry[at] - geometry_median[at] : geometry[at], weight[split + i], sum);
    }
    sum = block_sum(sum);
    if (threadIdx.x == 0)
        out[size_t(frame) * models + model] = outcome(sum + biases[model], outcomes, model, intensities);
}
