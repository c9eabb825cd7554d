// What a .cu file of ours means to a host compiler: CUDA's words and the functions that our kernels use, each with the
// result that the GPU gives. Fast-math intrinsics (__expf and the like) are missing on purpose.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <type_traits>

#include "machine.h"

#define CUDA_ON_HOST 1
#define __global__
#define __device__
#define __host__
#define __constant__ static
#if defined(__ELF__)
#define __shared__ static __attribute__((section("cuda_shared")))
#else
#define __shared__ static
#endif
#define __forceinline__ inline __attribute__((always_inline))
#define __noinline__ __attribute__((noinline))
#define __launch_bounds__(...)
#define __align__(n) __attribute__((aligned(n)))
#define DYNAMIC_SHARED(type, name) type* const name = reinterpret_cast<type*>(cuda_on_host::dynamic_shared)

constexpr int warpSize = 32;

// ---- barriers and warps ---------------------------------------------------------------------------------------------

#define __syncthreads() static_cast<void>(cuda_on_host::barrier(__LINE__))
#define __syncthreads_count(predicate) cuda_on_host::barrier(__LINE__, predicate)
#define __syncthreads_or(predicate) (cuda_on_host::barrier(__LINE__, predicate) != 0)
#define __syncthreads_and(predicate) (cuda_on_host::barrier(__LINE__, !(predicate)) == 0)
#define __syncwarp(...) cuda_on_host::WarpSync{__LINE__}(__VA_ARGS__)
#define __ballot_sync(mask, predicate) cuda_on_host::ballot(__LINE__, mask, predicate)
#define __any_sync(mask, predicate) (cuda_on_host::ballot(__LINE__, mask, predicate) != 0)
#define __all_sync(mask, predicate) (cuda_on_host::ballot(__LINE__, mask, !(predicate)) == 0)
#define __shfl_sync(...) cuda_on_host::shuffle(__LINE__, __VA_ARGS__)
#define __shfl_down_sync(...) cuda_on_host::shuffle_down(__LINE__, __VA_ARGS__)
#define __shfl_up_sync(...) cuda_on_host::shuffle_up(__LINE__, __VA_ARGS__)
#define __shfl_xor_sync(...) cuda_on_host::shuffle_xor(__LINE__, __VA_ARGS__)

namespace cuda_on_host {

inline int lane() { return machine.current % kLanes; }
struct WarpSync {
    int line;
    void operator()(unsigned mask = ~0u) const { warp_call(line, kSync, mask, 0, 0); }
};
inline unsigned ballot(int line, unsigned mask, int predicate) {
    return static_cast<unsigned>(warp_call(line, kBallot, mask, predicate != 0, 0));
}
template <class T> T exchange(int line, unsigned mask, T value, int source) {
    static_assert(std::is_arithmetic_v<T> && (sizeof(T) == 4 || sizeof(T) == 8), "shuffles move 4 or 8 bytes");
    unsigned long long bits = 0;
    std::memcpy(&bits, &value, sizeof value);
    bits = warp_call(line, kShuffle, mask, bits, source);
    std::memcpy(&value, &bits, sizeof value);
    return value;
}
template <class T> T shuffle(int line, unsigned mask, T value, int source, int width = kLanes) {
    return exchange(line, mask, value, (lane() & ~(width - 1)) | (source & (width - 1)));
}
template <class T> T shuffle_down(int line, unsigned mask, T value, unsigned delta, int width = kLanes) {
    const int from = lane() + static_cast<int>(delta);
    return exchange(line, mask, value, from <= (lane() | (width - 1)) ? from : lane());
}
template <class T> T shuffle_up(int line, unsigned mask, T value, unsigned delta, int width = kLanes) {
    const int from = lane() - static_cast<int>(delta);
    return exchange(line, mask, value, from >= (lane() & ~(width - 1)) ? from : lane());
}
template <class T> T shuffle_xor(int line, unsigned mask, T value, int bits, int width = kLanes) {
    const int from = lane() ^ bits;
    return exchange(line, mask, value, from <= (lane() | (width - 1)) ? from : lane());
}

// Conversions saturate on the GPU, and make 0 of what is not a number.
template <class To, class From> To saturated(From value) {
    if (!(value == value)) return 0;
    if (value >= static_cast<From>(std::numeric_limits<To>::max())) return std::numeric_limits<To>::max();
    if (value <= static_cast<From>(std::numeric_limits<To>::min())) return std::numeric_limits<To>::min();
    return static_cast<To>(value);
}
template <class To, class From> To same_bits(From value) {
    static_assert(sizeof(To) == sizeof(From));
    To bits;
    std::memcpy(&bits, &value, sizeof bits);
    return bits;
}

}  // namespace cuda_on_host

inline void __threadfence() {}
inline void __threadfence_block() {}
inline void __trap() { cuda_on_host::fail("thread %d: __trap()", cuda_on_host::machine.current); }

// ---- memory ---------------------------------------------------------------------------------------------------------

template <class T> T __ldg(const T* address) { return *address; }
#define CUDA_ON_HOST_ATOMIC(name, expression)                                   \
    template <class T> T name(T* address, std::common_type_t<T> value) {        \
        const T old = *address;                                                 \
        *address = static_cast<T>(expression);                                  \
        return old;                                                             \
    }
CUDA_ON_HOST_ATOMIC(atomicAdd, old + value)
CUDA_ON_HOST_ATOMIC(atomicSub, old - value)
CUDA_ON_HOST_ATOMIC(atomicMax, value > old ? value : old)
CUDA_ON_HOST_ATOMIC(atomicMin, value < old ? value : old)
CUDA_ON_HOST_ATOMIC(atomicExch, value)
CUDA_ON_HOST_ATOMIC(atomicAnd, old & value)
CUDA_ON_HOST_ATOMIC(atomicOr, old | value)
CUDA_ON_HOST_ATOMIC(atomicXor, old ^ value)
template <class T> T atomicCAS(T* address, std::common_type_t<T> compare, std::common_type_t<T> value) {
    const T old = *address;
    if (old == compare) *address = value;
    return old;
}

// ---- numbers --------------------------------------------------------------------------------------------------------

inline float __fmaf_rn(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
inline double __fma_rn(double a, double b, double c) { return __builtin_fma(a, b, c); }
inline float __fmul_rn(float a, float b) { return a * b; }
inline float __fadd_rn(float a, float b) { return a + b; }
inline float __fsub_rn(float a, float b) { return a - b; }
inline float __fdiv_rn(float a, float b) { return a / b; }
inline float __frcp_rn(float a) { return 1.0f / a; }
inline float __fsqrt_rn(float a) { return __builtin_sqrtf(a); }
inline double __dmul_rn(double a, double b) { return a * b; }
inline double __dadd_rn(double a, double b) { return a + b; }
inline double __dsub_rn(double a, double b) { return a - b; }
inline double __ddiv_rn(double a, double b) { return a / b; }
inline double __dsqrt_rn(double a) { return __builtin_sqrt(a); }
// Correctly rounded here; the GPU's is within 2 units in the last place.
inline float rsqrtf(float a) { return static_cast<float>(1.0 / __builtin_sqrt(static_cast<double>(a))); }
inline double rsqrt(double a) { return 1.0 / __builtin_sqrt(a); }
inline void sincosf(float a, float* s, float* c) { *s = std::sin(a); *c = std::cos(a); }
inline void sincos(double a, double* s, double* c) { *s = std::sin(a); *c = std::cos(a); }

inline int __float2int_rn(float a) { return cuda_on_host::saturated<int>(__builtin_nearbyintf(a)); }
inline int __float2int_rz(float a) { return cuda_on_host::saturated<int>(__builtin_truncf(a)); }
inline int __float2int_rd(float a) { return cuda_on_host::saturated<int>(__builtin_floorf(a)); }
inline int __float2int_ru(float a) { return cuda_on_host::saturated<int>(__builtin_ceilf(a)); }
inline int __double2int_rn(double a) { return cuda_on_host::saturated<int>(__builtin_nearbyint(a)); }
inline int __double2int_rz(double a) { return cuda_on_host::saturated<int>(__builtin_trunc(a)); }
inline int __double2int_rd(double a) { return cuda_on_host::saturated<int>(__builtin_floor(a)); }
inline int __double2int_ru(double a) { return cuda_on_host::saturated<int>(__builtin_ceil(a)); }
inline long long __double2ll_rz(double a) { return cuda_on_host::saturated<long long>(__builtin_trunc(a)); }
inline long long __double2ll_rn(double a) { return cuda_on_host::saturated<long long>(__builtin_nearbyint(a)); }
inline float __int2float_rn(int a) { return static_cast<float>(a); }
inline float __uint2float_rn(unsigned a) { return static_cast<float>(a); }
inline float __double2float_rn(double a) { return static_cast<float>(a); }
inline int __float_as_int(float a) { return cuda_on_host::same_bits<int>(a); }
inline unsigned __float_as_uint(float a) { return cuda_on_host::same_bits<unsigned>(a); }
inline float __int_as_float(int a) { return cuda_on_host::same_bits<float>(a); }
inline float __uint_as_float(unsigned a) { return cuda_on_host::same_bits<float>(a); }
inline long long __double_as_longlong(double a) { return cuda_on_host::same_bits<long long>(a); }
inline double __longlong_as_double(long long a) { return cuda_on_host::same_bits<double>(a); }

inline int __popc(unsigned a) { return __builtin_popcount(a); }
inline int __popcll(unsigned long long a) { return __builtin_popcountll(a); }
inline int __clz(int a) { return a ? __builtin_clz(static_cast<unsigned>(a)) : 32; }
inline int __ffs(int a) { return __builtin_ffs(a); }

#define CUDA_ON_HOST_EXTREMES(T)                            \
    inline T min(T a, T b) { return b < a ? b : a; }        \
    inline T max(T a, T b) { return a < b ? b : a; }
CUDA_ON_HOST_EXTREMES(int)
CUDA_ON_HOST_EXTREMES(unsigned)
CUDA_ON_HOST_EXTREMES(long)
CUDA_ON_HOST_EXTREMES(unsigned long)
CUDA_ON_HOST_EXTREMES(long long)
CUDA_ON_HOST_EXTREMES(unsigned long long)
inline float min(float a, float b) { return __builtin_fminf(a, b); }
inline float max(float a, float b) { return __builtin_fmaxf(a, b); }
inline double min(double a, double b) { return __builtin_fmin(a, b); }
inline double max(double a, double b) { return __builtin_fmax(a, b); }

// ---- vectors --------------------------------------------------------------------------------------------------------

#define CUDA_ON_HOST_VECTORS(T, name)                                                                            \
    struct __align__(2 * sizeof(T)) name##2 { T x, y; };                                                         \
    struct name##3 { T x, y, z; };                                                                               \
    struct __align__(4 * sizeof(T) < 16 ? 4 * sizeof(T) : 16) name##4 { T x, y, z, w; };                         \
    inline name##2 make_##name##2(T x, T y) { return {x, y}; }                                                   \
    inline name##3 make_##name##3(T x, T y, T z) { return {x, y, z}; }                                           \
    inline name##4 make_##name##4(T x, T y, T z, T w) { return {x, y, z, w}; }
CUDA_ON_HOST_VECTORS(float, float)
CUDA_ON_HOST_VECTORS(double, double)
CUDA_ON_HOST_VECTORS(int, int)
CUDA_ON_HOST_VECTORS(unsigned char, uchar)
