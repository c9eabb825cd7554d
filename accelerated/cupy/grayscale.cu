// Gray images (spec 00): integer arithmetic, four pixels a thread where addresses allow it, for words of bytes.
//
// Defined by the launcher: the weights of B, G and R in units of 2**-SHIFT, for example
//   -DBLUE=3735 -DGREEN=19235 -DRED=9798 -DSHIFT=15
#include "common.cuh"

__device__ u32 gray_of(u32 blue, u32 green, u32 red) {
    return (BLUE * blue + GREEN * green + RED * red + (1u << (SHIFT - 1))) >> SHIFT;
}

// images (pixels, 3) to gray (pixels,).
extern "C" __global__ void to_gray(const u8* __restrict__ images, i64 pixels, u8* __restrict__ gray) {
    const i64 first = (i64(blockIdx.x) * blockDim.x + threadIdx.x) * 4;
    if (first >= pixels) return;
    const u8* const from = images + 3 * first;
    u8* const to = gray + first;
    const bool words = ((reinterpret_cast<size_t>(images) | reinterpret_cast<size_t>(gray)) & 3) == 0;
    if (words && first + 4 <= pixels) {
        const u32* const w = reinterpret_cast<const u32*>(from);
        const u32 a = w[0], b = w[1], c = w[2];  // bytes B G R B, G R B G, R B G R, the first lowest
        const u32 one = gray_of(a & 255, a >> 8 & 255, a >> 16 & 255);
        const u32 two = gray_of(a >> 24, b & 255, b >> 8 & 255);
        const u32 three = gray_of(b >> 16 & 255, b >> 24, c & 255);
        const u32 four = gray_of(c >> 8 & 255, c >> 16 & 255, c >> 24);
        *reinterpret_cast<u32*>(to) = one | two << 8 | three << 16 | four << 24;
        return;
    }
    for (int i = 0; i < 4 && first + i < pixels; ++i)
        to[i] = u8(gray_of(from[3 * i], from[3 * i + 1], from[3 * i + 2]));
}
