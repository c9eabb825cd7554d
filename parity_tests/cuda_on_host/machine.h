// One block after the other, its threads as fibers that take turns at barriers and warp functions. Threads that wait for
// others that never come, uninitialised shared memory and overflowing stacks are found out.
#pragma once

#include <cstdarg>
#include <cstdio>
#include <cstring>
#include <utility>

#include "fibers.h"

struct uint3 { unsigned x, y, z; };
struct dim3 {
    unsigned x, y, z;
    constexpr dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_) {}
};
inline uint3 threadIdx, blockIdx;
inline dim3 blockDim, gridDim;

#if defined(__ELF__)
// Bounds of the shared variables of a source, which the linker knows.
extern "C" __attribute__((weak, visibility("hidden"))) char __start_cuda_shared[], __stop_cuda_shared[];
#endif

namespace cuda_on_host {

constexpr int kLanes = 32;
constexpr std::size_t kSharedBytes = 64 * 1024, kSharedGuard = 4096;

enum State { kReady, kBarrier, kWarp, kDone };
enum WarpCall { kSync, kShuffle, kBallot };

struct Thread {
    void* stack;
    State state;
    uint3 index;
    int line;            // of the call it waits in
    WarpCall call;
    unsigned mask;       // lanes that take part
    int source;          // lane that a shuffle reads
    unsigned long long value, result;
};

struct Machine {
    Thread threads[kMostThreads];
    int count, current;
    void* scheduler;
    void (*invoke)(void**);
    void** arguments;
    bool backwards;
    char error[512];
};
inline Machine machine;
alignas(256) inline unsigned char dynamic_shared[kSharedBytes + kSharedGuard];

inline void fail(const char* format, ...) {
    if (machine.error[0]) return;
    va_list values;
    va_start(values, format);
    std::vsnprintf(machine.error, sizeof machine.error, format, values);
    va_end(values);
}

inline Thread& self() { return machine.threads[machine.current]; }

inline void to_scheduler(State state) {
    Thread& thread = self();
    thread.state = state;
    cuda_on_host_switch(&thread.stack, machine.scheduler);
}

inline void thread_main() {
    machine.invoke(machine.arguments);
    to_scheduler(kDone);
    __builtin_trap();  // nobody resumes a thread that has ended
}

// What all threads of the block gave as `value`, summed.
inline int barrier(int line, int value = 0) {
    Thread& thread = self();
    thread.line = line;
    thread.value = value != 0;
    to_scheduler(kBarrier);
    return static_cast<int>(self().result);
}

inline unsigned long long warp_call(int line, WarpCall call, unsigned mask, unsigned long long value, int source) {
    Thread& thread = self();
    thread.line = line;
    thread.call = call;
    thread.mask = mask;
    thread.value = value;
    thread.source = source;
    if (!(mask >> (machine.current % kLanes) & 1))
        fail("line %d: thread %d calls a warp function whose mask %08x leaves it out", line, machine.current, mask);
    to_scheduler(kWarp);
    return self().result;
}

// Completes the warp call that `lane` of the warp from thread `first` on waits in, if all of its lanes do.
inline bool complete_warp_call(int first, int lane) {
    const Thread asking = machine.threads[first + lane];
    for (int k = 0; k < kLanes; ++k) {
        if (!(asking.mask >> k & 1)) continue;
        if (first + k >= machine.count) return false;
        const Thread& other = machine.threads[first + k];
        if (other.state != kWarp || other.mask != asking.mask || other.call != asking.call || other.line != asking.line)
            return false;
    }
    unsigned long long ballot = 0, values[kLanes];
    for (int k = 0; k < kLanes; ++k) {
        const bool in = asking.mask >> k & 1;
        values[k] = in ? machine.threads[first + k].value : ~0ull;  // a lane outside the mask: not a number
        if (in && values[k]) ballot |= 1ull << k;
    }
    for (int k = 0; k < kLanes; ++k) {
        if (!(asking.mask >> k & 1)) continue;
        Thread& thread = machine.threads[first + k];
        thread.result = asking.call == kShuffle ? values[thread.source] : ballot;
        thread.state = kReady;
    }
    return true;
}

inline bool complete_warp_calls() {
    bool any = false;
    for (int i = 0; i < machine.count; ++i)
        if (machine.threads[i].state == kWarp) any |= complete_warp_call(i / kLanes * kLanes, i % kLanes);
    return any;
}

inline void release_barrier() {
    unsigned long long sum = 0;
    for (int i = 0; i < machine.count; ++i) sum += machine.threads[i].value;
    for (int i = 0; i < machine.count; ++i) {
        machine.threads[i].result = sum;
        machine.threads[i].state = kReady;
    }
}

// Nobody can go on. True if that is because all wait at the same barrier.
inline bool all_at_one_barrier() {
    const Thread& first = machine.threads[0];
    for (int i = 0; i < machine.count; ++i) {
        const Thread& other = machine.threads[i];
        if (other.state == kBarrier && first.state == kBarrier && other.line == first.line) continue;
        static const char* const doing[] = {"runs", "waits at a barrier", "waits in a warp function", "has ended"};
        int a = 0, b = i;  // two that differ; or one whose warp function cannot complete
        for (int k = 0; k < machine.count; ++k)
            if (machine.threads[k].state != kDone) { a = k; break; }
        for (int k = 0; k < machine.count; ++k)
            if (machine.threads[k].state != machine.threads[a].state || machine.threads[k].line != machine.threads[a].line)
                { b = k; break; }
        const Thread &s = machine.threads[a], &t = machine.threads[b];
        char where[32] = "";
        if (t.state != kDone) std::snprintf(where, sizeof where, " (line %d)", t.line);
        fail("block (%u, %u, %u): thread %d %s (line %d), while thread %d %s%s%s", blockIdx.x, blockIdx.y, blockIdx.z, a,
             doing[s.state], s.line, b, doing[t.state], where,
             a == b ? ": its mask names other or missing lanes" : "");
        return false;
    }
    return true;
}

inline void run_turns() {
    for (int k = 0; k < machine.count && !machine.error[0]; ++k) {
        const int i = machine.backwards ? machine.count - 1 - k : k;
        if (machine.threads[i].state != kReady) continue;
        machine.current = i;
        threadIdx = machine.threads[i].index;
        cuda_on_host_switch(&machine.scheduler, machine.threads[i].stack);
        if (*stack_bottom(i) != kStackMark) fail("thread %d: its local arrays overflow the stack of %zu bytes", i, kStackBytes);
    }
}

inline void run_block() {
    for (int i = 0; i < machine.count; ++i) {
        Thread& thread = machine.threads[i];
        thread.stack = fresh_stack(i, thread_main);
        thread.state = kReady;
        thread.line = 0;
        const unsigned n = i;
        thread.index = {n % blockDim.x, n / blockDim.x % blockDim.y, n / (blockDim.x * blockDim.y)};
    }
    while (!machine.error[0]) {
        run_turns();
        int done = 0;
        for (int i = 0; i < machine.count; ++i) done += machine.threads[i].state == kDone;
        if (machine.error[0] || done == machine.count) return;
        if (complete_warp_calls()) continue;
        if (!all_at_one_barrier()) return;
        release_barrier();
    }
}

// Runs a kernel; an empty text, or what it did wrong. Shared memory starts as bytes of `fill`.
inline const char* launch(void (*invoke)(void**), const unsigned* shape, std::size_t shared, void** arguments,
                          int backwards, int fill) {
    machine.invoke = invoke;
    machine.arguments = arguments;
    machine.backwards = backwards;
    machine.error[0] = 0;
    gridDim = dim3(shape[0], shape[1], shape[2]);
    blockDim = dim3(shape[3], shape[4], shape[5]);
    machine.count = blockDim.x * blockDim.y * blockDim.z;
    const unsigned long long blocks = 1ull * gridDim.x * gridDim.y * gridDim.z;
    for (unsigned long long k = 0; k < blocks && !machine.error[0]; ++k) {
        const unsigned long long b = backwards ? blocks - 1 - k : k;
        blockIdx = {unsigned(b % gridDim.x), unsigned(b / gridDim.x % gridDim.y),
                    unsigned(b / (1ull * gridDim.x * gridDim.y))};
        std::memset(dynamic_shared, fill, shared + kSharedGuard);
#if defined(__ELF__)
        if (__start_cuda_shared) std::memset(__start_cuda_shared, fill, __stop_cuda_shared - __start_cuda_shared);
#endif
        run_block();
        for (std::size_t i = 0; i < kSharedGuard; ++i)
            if (dynamic_shared[shared + i] != fill) {
                fail("block (%u, %u, %u) writes beyond its %zu bytes of dynamic shared memory", blockIdx.x, blockIdx.y,
                     blockIdx.z, shared);
                break;
            }
    }
    return machine.error;
}

// What a kernel declares: for each parameter "p" or "c" (pointer to constants), and kind and bytes as in NumPy.
template <class T> constexpr char kind_of() {
    if constexpr (std::is_same_v<T, bool>) return 'b';
    else if constexpr (std::is_floating_point_v<T>) return 'f';
    else if constexpr (std::is_integral_v<T>) return std::is_signed_v<T> ? 'i' : 'u';
    else return 'V';
}
template <class P> int describe(char* out) {
    if constexpr (std::is_pointer_v<P>) {
        using Target = std::remove_pointer_t<P>;
        int size = 0;
        if constexpr (!std::is_void_v<Target>) size = sizeof(Target);
        return std::sprintf(out, "%c%c%d ", std::is_const_v<Target> ? 'c' : 'p', kind_of<std::remove_cv_t<Target>>(), size);
    } else {
        static_assert(std::is_arithmetic_v<P>, "parameters of kernels are pointers and numbers");
        return std::sprintf(out, "%c%zu ", kind_of<P>(), sizeof(P));
    }
}
template <class... P> const char* signature(void (*)(P...)) {
    static char text[8 * sizeof...(P) + 8];
    char* at = text;
    ((at += describe<P>(at)), ...);
    return text;
}

template <class... P, std::size_t... I> void call(void (*kernel)(P...), void** a, std::index_sequence<I...>) {
    kernel(*static_cast<P*>(a[I])...);
}
template <class... P> void call(void (*kernel)(P...), [[maybe_unused]] void** arguments) {
    call(kernel, arguments, std::index_sequence_for<P...>());
}

}  // namespace cuda_on_host

// All else is hidden: the C library has functions that are called as a kernel may be, `advance` for one.
#define CUDA_ON_HOST_VISIBLE extern "C" __attribute__((visibility("default"))) const char*
#define CUDA_ON_HOST_KERNEL(name)                                                                                  \
    CUDA_ON_HOST_VISIBLE cuda_on_host_signature_##name() { return cuda_on_host::signature(name); }                 \
    CUDA_ON_HOST_VISIBLE cuda_on_host_launch_##name(const unsigned* shape, std::size_t shared, void** arguments,   \
                                                    int backwards, int fill) {                                     \
        return cuda_on_host::launch([](void** a) { cuda_on_host::call(name, a); }, shape, shared, arguments,       \
                                    backwards, fill);                                                              \
    }
