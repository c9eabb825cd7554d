// What every kernel file shares: names of types, and dynamic shared memory in a form that a host compiler can read too.
// NVRTC has no standard headers, so none are included here or in the kernels.
#pragma once

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;
typedef long long i64;

// DYNAMIC_SHARED(float, buffer): a pointer to the launch's `shared_bytes` of shared memory, aligned to 16 bytes. Once in
// a kernel; several arrays are parts of the one buffer.
#ifndef DYNAMIC_SHARED
#define DYNAMIC_SHARED(type, name)                               \
    extern __shared__ __align__(16) unsigned char dynamic_shared_bytes[]; \
    type* const name = reinterpret_cast<type*>(dynamic_shared_bytes)
#endif
