// Geometry descriptors (spec 60.4): the displacement of every coordinate from the mean face, then the parameters.
//
// Defined by the launcher: the type of the parameters, for example
//   -DPARAMETER=float
#include "common.cuh"

// modes (m, size), parameters (n, m) to descriptors (n, size + m); a thread a value, sums over the modes in their order.
extern "C" __global__ void geometry(const double* __restrict__ modes, const PARAMETER* __restrict__ parameters, int n,
                                    int m, int size, double* __restrict__ descriptors) {
    const i64 at = i64(blockIdx.x) * blockDim.x + threadIdx.x;
    const int length = size + m;
    if (at >= i64(n) * length) return;
    const PARAMETER* const p = parameters + at / length * m;
    const int i = int(at % length);
    double value = 0.0;
    if (i < size)
        for (int j = 0; j < m; ++j) value += modes[j * size + i] * double(p[j]);
    else
        value = double(p[i - size]);
    descriptors[at] = value;
}
