// Threads of a block as fibers: a switch of stacks without a system call, for x86-64 and aarch64.
#pragma once

#include <cstddef>
#include <cstdint>
#include <sys/mman.h>

#if defined(__APPLE__)
#define FIBER_SYMBOL "_cuda_on_host_switch"
#define FIBER_HIDDEN ".private_extern _cuda_on_host_switch\n"
#else
#define FIBER_SYMBOL "cuda_on_host_switch"
#define FIBER_HIDDEN ".hidden cuda_on_host_switch\n"
#endif

// Keeps the registers that a call preserves on the stack, stores its pointer at `save`, and goes on at `load`.
extern "C" __attribute__((visibility("hidden"))) void cuda_on_host_switch(void** save, void* load);

#if defined(__x86_64__)
asm(".text\n.globl " FIBER_SYMBOL "\n" FIBER_HIDDEN FIBER_SYMBOL ":\n"
    "pushq %rbp\npushq %rbx\npushq %r12\npushq %r13\npushq %r14\npushq %r15\n"
    "movq %rsp, (%rdi)\nmovq %rsi, %rsp\n"
    "popq %r15\npopq %r14\npopq %r13\npopq %r12\npopq %rbx\npopq %rbp\nret\n");
#elif defined(__aarch64__)
asm(".text\n.globl " FIBER_SYMBOL "\n" FIBER_HIDDEN ".p2align 2\n" FIBER_SYMBOL ":\n"
    "sub sp, sp, #160\n"
    "stp x19, x20, [sp, #0]\nstp x21, x22, [sp, #16]\nstp x23, x24, [sp, #32]\nstp x25, x26, [sp, #48]\n"
    "stp x27, x28, [sp, #64]\nstp x29, x30, [sp, #80]\n"
    "stp d8, d9, [sp, #96]\nstp d10, d11, [sp, #112]\nstp d12, d13, [sp, #128]\nstp d14, d15, [sp, #144]\n"
    "mov x9, sp\nstr x9, [x0]\nmov sp, x1\n"
    "ldp x19, x20, [sp, #0]\nldp x21, x22, [sp, #16]\nldp x23, x24, [sp, #32]\nldp x25, x26, [sp, #48]\n"
    "ldp x27, x28, [sp, #64]\nldp x29, x30, [sp, #80]\n"
    "ldp d8, d9, [sp, #96]\nldp d10, d11, [sp, #112]\nldp d12, d13, [sp, #128]\nldp d14, d15, [sp, #144]\n"
    "add sp, sp, #160\nret\n");
#else
#error "cuda_on_host switches stacks on x86-64 and aarch64 only"
#endif

namespace cuda_on_host {

constexpr int kMostThreads = 1024;
// Not a power of two: the tops of all stacks would share the same few cache lines.
constexpr std::size_t kStackBytes = 128 * 1024 + 4096 + 192;
constexpr std::uint64_t kStackMark = 0x5afe57ac5afe57acull;

// The lowest word of a thread's stack, which holds the mark as long as the stack has not overflowed. Below those of the
// first thread there is room for some overflow, too.
inline std::uint64_t* stack_bottom(int thread) {
    constexpr std::size_t kRoom = 4;
    static char* const stacks =
        static_cast<char*>(mmap(nullptr, (kMostThreads + kRoom) * kStackBytes, PROT_READ | PROT_WRITE,
                                MAP_PRIVATE | MAP_ANON | MAP_NORESERVE, -1, 0));
    return reinterpret_cast<std::uint64_t*>(stacks + (thread + kRoom) * kStackBytes);
}

// A stack on which the first switch calls `entry`, which must not return.
inline void* fresh_stack(int thread, void (*entry)()) {
    std::uint64_t* const bottom = stack_bottom(thread);
    *bottom = kStackMark;
    const auto top = (reinterpret_cast<std::uintptr_t>(bottom) + kStackBytes) & ~std::uintptr_t(15);
#if defined(__x86_64__)
    auto* const sp = reinterpret_cast<std::uint64_t*>(top - 64);
    for (int i = 0; i < 8; ++i) sp[i] = 0;
    sp[6] = reinterpret_cast<std::uint64_t>(entry);
#else
    auto* const sp = reinterpret_cast<std::uint64_t*>(top - 160);
    for (int i = 0; i < 20; ++i) sp[i] = 0;
    sp[11] = reinterpret_cast<std::uint64_t>(entry);
#endif
    return sp;
}

}  // namespace cuda_on_host
