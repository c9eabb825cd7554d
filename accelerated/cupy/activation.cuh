// What follows the sums of a network's layer (spec 20.3, 10.5).
#pragma once

#include "common.cuh"

enum Activation { kNothing, kPRelu, kRelu, kSigmoid, kAbove };

__device__ inline float activated(float value, int activation, float slope) {
    if (activation == kPRelu) return value >= 0.0f ? value : value * slope;
    if (activation == kRelu) return value < 0.0f ? 0.0f : value;
    if (activation == kSigmoid) return 1.0f / (1.0f + float(exp(-double(value))));
    if (activation == kAbove) return value > slope ? 1.0f : 0.0f;
    return value;
}
