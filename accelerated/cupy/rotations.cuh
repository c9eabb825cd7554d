// Rotations of a face (spec 30.1, 30.5) and the small singular value decomposition that they and similarities need, for
// one thread each. Roundings are those of reference/pdm.py, similarity.py and numerics.py: float32 where the reference
// program stores float32, double where it accumulates or calls sin, atan2 and the like, fused only where it fuses.
// Matrices are row-major.
#pragma once

#include "common.cuh"

constexpr int SVD_SWEEPS = 30;
constexpr float FLOAT_EPSILON = 1.1920928955078125e-07f;
constexpr float FLOAT_TINY = 1.1754943508222875e-38f;
constexpr double DOUBLE_EPSILON = 2.220446049250313e-16;
// Two columns count as orthogonal below two units of rounding of their norms.
constexpr double ORTHOGONAL = 2.0 * static_cast<double>(FLOAT_EPSILON);

// `value` within [low, high]; what is not a number stays so.
template <class T> __device__ inline T clamped(T value, T low, T high) {
    return value < low ? low : value > high ? high : value;
}

// R = Rx Ry Rz (3, 3) of Euler angles (3,) in rad.
__device__ inline void rotation_from_euler(const float* euler, float* r) {
    double s[3], c[3];
#pragma unroll
    for (int k = 0; k < 3; ++k) sincos(static_cast<double>(euler[k]), &s[k], &c[k]);
    const float s1 = static_cast<float>(s[0]), s2 = static_cast<float>(s[1]), s3 = static_cast<float>(s[2]);
    const float c1 = static_cast<float>(c[0]), c2 = static_cast<float>(c[1]), c3 = static_cast<float>(c[2]);
    r[0] = c2 * c3;
    r[1] = -c2 * s3;
    r[2] = s2;
    r[3] = __fmaf_rn(c1, s3, c3 * s1 * s2);
    r[4] = __fmaf_rn(-(s1 * s2), s3, c1 * c3);
    r[5] = -c2 * s1;
    r[6] = __fmaf_rn(s1, s3, -(c1 * c3 * s2));
    r[7] = __fmaf_rn(c1 * s2, s3, c3 * s1);
    r[8] = c1 * c2;
}

// Euler angles (3,) in rad of a rotation (3, 3), through a quaternion.
__device__ inline void euler_from_rotation(const float* r, float* euler) {
    const float q0 = sqrtf(1.0f + r[0] + r[4] + r[8]) / 2.0f;
    const float q1 = (r[7] - r[5]) / (4.0f * q0);
    const float q2 = (r[2] - r[6]) / (4.0f * q0);
    const float q3 = (r[3] - r[1]) / (4.0f * q0);
    const float sine_y = __fmaf_rn(q0, q2, q1 * q3);
    const float sine_x = __fmaf_rn(q0, q1, -(q2 * q3)), sine_z = __fmaf_rn(q0, q3, -(q1 * q2));
    const float cosine_x = __fmaf_rn(q3, q3, __fmaf_rn(-q2, q2, __fmaf_rn(q0, q0, -(q1 * q1))));
    const float cosine_z = __fmaf_rn(-q3, q3, __fmaf_rn(-q2, q2, __fmaf_rn(q0, q0, q1 * q1)));
    euler[0] = static_cast<float>(atan2(2.0 * static_cast<double>(sine_x), static_cast<double>(cosine_x)));
    euler[1] = static_cast<float>(asin(clamped(2.0 * static_cast<double>(sine_y), -1.0, 1.0)));
    euler[2] = static_cast<float>(atan2(2.0 * static_cast<double>(sine_z), static_cast<double>(cosine_z)));
}

// Turns columns i and j of a matrix, given as rows, until they are orthogonal, and v with them; false if they are.
template <int N> __device__ inline bool make_orthogonal(float* columns, float* v, int i, int j) {
    double norm_i = 0.0, norm_j = 0.0, product = 0.0;
#pragma unroll
    for (int k = 0; k < N; ++k) {
        const double a = static_cast<double>(columns[N * i + k]), b = static_cast<double>(columns[N * j + k]);
        norm_i += a * a;
        norm_j += b * b;
        product += a * b;
    }
    if (fabs(product) <= ORTHOGONAL * sqrt(norm_i * norm_j)) return false;
    const double beta = norm_i - norm_j, gamma = hypot(2.0 * product, beta);
    float sine, cosine;
    if (beta < 0.0) {
        sine = static_cast<float>(sqrt((gamma - beta) * 0.5 / gamma));
        cosine = static_cast<float>(2.0 * product / (gamma * static_cast<double>(sine) * 2.0));
    } else {
        cosine = static_cast<float>(sqrt((gamma + beta) / (gamma * 2.0)));
        sine = static_cast<float>(2.0 * product / (gamma * static_cast<double>(cosine) * 2.0));
    }
#pragma unroll
    for (int k = 0; k < N; ++k) {
        float a = columns[N * i + k], b = columns[N * j + k];
        columns[N * i + k] = cosine * a + sine * b;
        columns[N * j + k] = -sine * a + cosine * b;
        a = v[N * i + k];
        b = v[N * j + k];
        v[N * i + k] = cosine * a + sine * b;
        v[N * j + k] = -sine * a + cosine * b;
    }
    return true;
}

// u, singular values in descending order, and vt of an (N, N) matrix, by one-sided Jacobi rotations.
template <int N> __device__ inline void jacobi_svd(const float* matrix, float* u, float* values, float* vt) {
    float columns[N * N];
    double singular[N];
#pragma unroll
    for (int i = 0; i < N; ++i)
#pragma unroll
        for (int k = 0; k < N; ++k) {
            columns[N * i + k] = matrix[N * k + i];
            vt[N * i + k] = i == k ? 1.0f : 0.0f;
        }
    for (int sweep = 0; sweep < SVD_SWEEPS; ++sweep) {
        bool turned = false;
#pragma unroll
        for (int i = 0; i < N - 1; ++i)
#pragma unroll
            for (int j = i + 1; j < N; ++j)
                if (make_orthogonal<N>(columns, vt, i, j)) turned = true;
        if (!turned) break;
    }
#pragma unroll
    for (int i = 0; i < N; ++i) {
        double total = 0.0;
#pragma unroll
        for (int k = 0; k < N; ++k) {
            const double a = static_cast<double>(columns[N * i + k]);
            total += a * a;
        }
        singular[i] = sqrt(total);
    }
#pragma unroll
    for (int end = N - 1; end > 0; --end)  // equal ones keep their order
#pragma unroll
        for (int i = 0; i < end; ++i) {
            if (!(singular[i] < singular[i + 1])) continue;
            const double value = singular[i];
            singular[i] = singular[i + 1];
            singular[i + 1] = value;
#pragma unroll
            for (int k = 0; k < N; ++k) {
                const float a = columns[N * i + k], b = vt[N * i + k];
                columns[N * i + k] = columns[N * (i + 1) + k];
                vt[N * i + k] = vt[N * (i + 1) + k];
                columns[N * (i + 1) + k] = a;
                vt[N * (i + 1) + k] = b;
            }
        }
#pragma unroll
    for (int i = 0; i < N; ++i) {
        const double own = singular[i];
        const float reciprocal = static_cast<float>(own > static_cast<double>(FLOAT_TINY) ? 1.0 / own : 0.0);
        values[i] = static_cast<float>(own);
#pragma unroll
        for (int k = 0; k < N; ++k) u[N * k + i] = columns[N * i + k] * reciprocal;
    }
}

// out = a b of (N, N) matrices, accumulated in double and stored in float32 (spec 90.5).
template <int N> __device__ inline void product_f64(const float* a, const float* b, float* out) {
#pragma unroll
    for (int i = 0; i < N; ++i)
#pragma unroll
        for (int j = 0; j < N; ++j) {
            double total = 0.0;
#pragma unroll
            for (int k = 0; k < N; ++k)
                total += static_cast<double>(a[N * i + k]) * static_cast<double>(b[N * k + j]);
            out[N * i + j] = static_cast<float>(total);
        }
}

// The nearest rotation to a (3, 3) matrix.
__device__ inline void orthonormalise(const float* matrix, float* out) {
    float u[9], values[3], vt[9], m[9];
    jacobi_svd<3>(matrix, u, values, vt);
    product_f64<3>(u, vt, m);
    const double d[9] = {m[0], m[1], m[2], m[3], m[4], m[5], m[6], m[7], m[8]};
    const double determinant = d[0] * (d[4] * d[8] - d[5] * d[7]) - d[1] * (d[3] * d[8] - d[5] * d[6])
                               + d[2] * (d[3] * d[7] - d[4] * d[6]);
    const float flip[9] = {1.0f, 0.0f, 0.0f, 0.0f, 1.0f, 0.0f, 0.0f, 0.0f, static_cast<float>(determinant)};
    product_f64<3>(u, flip, m);
    product_f64<3>(m, vt, out);
}

// out = a b of (3, 3) matrices by fused multiply-adds in order of the inner index.
__device__ inline void product_3x3(const float* a, const float* b, float* out) {
#pragma unroll
    for (int i = 0; i < 3; ++i)
#pragma unroll
        for (int j = 0; j < 3; ++j)
            out[3 * i + j] = __fmaf_rn(a[3 * i + 2], b[6 + j], __fmaf_rn(a[3 * i + 1], b[3 + j], a[3 * i] * b[j]));
}

// The rotation nearest to a (3, 3) matrix that is almost one: Newton-Schulz, which doubles the digits.
__device__ inline void polar_rotation(const float* matrix, double* r) {
#pragma unroll
    for (int k = 0; k < 9; ++k) r[k] = static_cast<double>(matrix[k]);
    for (int round = 0; round < 3; ++round) {
        double gram[9], step[9];
#pragma unroll
        for (int i = 0; i < 3; ++i)
#pragma unroll
            for (int j = 0; j < 3; ++j) gram[3 * i + j] = r[i] * r[j] + r[3 + i] * r[3 + j] + r[6 + i] * r[6 + j];
#pragma unroll
        for (int i = 0; i < 3; ++i)
#pragma unroll
            for (int j = 0; j < 3; ++j)
                step[3 * i + j] = 1.5 * r[3 * i + j] - 0.5 * (r[3 * i] * gram[j] + r[3 * i + 1] * gram[3 + j]
                                                              + r[3 * i + 2] * gram[6 + j]);
#pragma unroll
        for (int k = 0; k < 9; ++k) r[k] = step[k];
    }
}

// Axis-angle vector (3,) of a rotation (3, 3).
__device__ inline void axis_angle_from_rotation(const float* rotation, double* out) {
    double r[9];
    polar_rotation(rotation, r);
    double x = r[7] - r[5], y = r[2] - r[6], z = r[3] - r[1];
    const double sine = sqrt(x * x + y * y + z * z) / 2.0;
    const double cosine = clamped((r[0] + r[4] + r[8] - 1.0) / 2.0, -1.0, 1.0);
    const double theta = acos(cosine);
    double factor = theta / (2.0 * sine);
    if (!(sine >= 1e-5)) {
        if (cosine > 0.0) {
            out[0] = out[1] = out[2] = 0.0;
            return;
        }
        // Half a turn: the axis is read off the diagonal, its signs off the first row.
        x = sqrt(fmax((r[0] + 1.0) / 2.0, 0.0));
        y = sqrt(fmax((r[4] + 1.0) / 2.0, 0.0)) * (r[1] < 0.0 ? -1.0 : 1.0);
        z = sqrt(fmax((r[8] + 1.0) / 2.0, 0.0)) * (r[2] < 0.0 ? -1.0 : 1.0);
        if (fabs(x) < fmin(fabs(y), fabs(z)) && (r[5] > 0.0) != (y * z > 0.0)) z = -z;
        factor = theta / sqrt(x * x + y * y + z * z);
    }
    out[0] = x * factor;
    out[1] = y * factor;
    out[2] = z * factor;
}

// Rotation (3, 3) of an axis-angle vector: Rodrigues' formula in double, stored in float32.
__device__ inline void rotation_from_axis_angle(double vx, double vy, double vz, float* out) {
    const double theta = sqrt(vx * vx + vy * vy + vz * vz);
    if (theta < DOUBLE_EPSILON) {
#pragma unroll
        for (int k = 0; k < 9; ++k) out[k] = k % 4 == 0 ? 1.0f : 0.0f;
        return;
    }
    const double x = vx / theta, y = vy / theta, z = vz / theta;
    double s, c;
    sincos(theta, &s, &c);
    const double d = 1.0 - c;
    const double m[9] = {c + d * x * x,     d * x * y - s * z, d * x * z + s * y,
                         d * x * y + s * z, c + d * y * y,     d * y * z - s * x,
                         d * x * z - s * y, d * y * z + s * x, c + d * z * z};
#pragma unroll
    for (int k = 0; k < 9; ++k) out[k] = static_cast<float>(m[k]);
}

// Euler angles (3,) after a small turn w (3,) on the right of rotation `r` (spec 30.5, steps 2 to 4).
__device__ inline void turned_euler(const float* r, const float* w, float* euler) {
    const float small[9] = {1.0f, -w[2], w[1], w[2], 1.0f, -w[0], -w[1], w[0], 1.0f};
    float nearest[9], turned[9];
    double axis[3];
    orthonormalise(small, nearest);
    product_3x3(r, nearest, turned);
    axis_angle_from_rotation(turned, axis);
    // Through a float32 axis-angle vector, as the C++ program stores it.
#pragma unroll
    for (int k = 0; k < 3; ++k) axis[k] = static_cast<double>(static_cast<float>(axis[k]));
    rotation_from_axis_angle(axis[0], axis[1], axis[2], turned);
    euler_from_rotation(turned, euler);
    if (!(euler[0] == euler[0] && euler[1] == euler[1] && euler[2] == euler[2])) euler[0] = euler[1] = euler[2] = 0.0f;
}
