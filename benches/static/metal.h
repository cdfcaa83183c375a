// Lets NVRTC compile the Metal Shading Language that naga writes, after what `nvidia.py` replaces. Only what kernels need.
#pragma once
typedef unsigned int uint;
typedef unsigned char uchar;
typedef unsigned short ushort;
#define device
#define thread
#define constant const
#define threadgroup
#define WGT_INLINE static __forceinline__ __device__
// Only moved.
struct half { ushort bits; };
namespace metal {
using ::uint;
template <class T, int N> struct vec;
// `v.zx` is written `v.of<2, 0>()`.
#define WGT_PARTS \
    __device__ T& operator[](uint i) { return (&x)[i]; } \
    __device__ T operator[](uint i) const { return (&x)[i]; } \
    template <int a, int b> __device__ vec<T, 2> of() const { return vec<T, 2>((&x)[a], (&x)[b]); } \
    template <int a, int b, int c> __device__ vec<T, 3> of() const { return vec<T, 3>((&x)[a], (&x)[b], (&x)[c]); } \
    template <int a, int b, int c, int d> __device__ vec<T, 4> of() const { return vec<T, 4>((&x)[a], (&x)[b], (&x)[c], (&x)[d]); }
template <class T> struct __align__(sizeof(T) * 2) vec<T, 2> {
    T x, y;
    vec() = default;
    __device__ constexpr explicit vec(T s) : x(s), y(s) {}
    __device__ constexpr vec(T a, T b) : x(a), y(b) {}
    template <class U> __device__ explicit vec(vec<U, 2> v) : x(T(v.x)), y(T(v.y)) {}
    WGT_PARTS
};
template <class T> struct __align__(sizeof(T) * 4) vec<T, 3> {
    T x, y, z;
    vec() = default;
    __device__ constexpr explicit vec(T s) : x(s), y(s), z(s) {}
    __device__ constexpr vec(T a, T b, T c) : x(a), y(b), z(c) {}
    __device__ constexpr vec(vec<T, 2> v, T c) : x(v.x), y(v.y), z(c) {}
    __device__ constexpr vec(T a, vec<T, 2> v) : x(a), y(v.x), z(v.y) {}
    template <class U> __device__ explicit vec(vec<U, 3> v) : x(T(v.x)), y(T(v.y)), z(T(v.z)) {}
    WGT_PARTS
};
template <class T> struct __align__(sizeof(T) * 4) vec<T, 4> {
    T x, y, z, w;
    vec() = default;
    __device__ constexpr explicit vec(T s) : x(s), y(s), z(s), w(s) {}
    __device__ constexpr vec(T a, T b, T c, T d) : x(a), y(b), z(c), w(d) {}
    __device__ constexpr vec(vec<T, 3> v, T d) : x(v.x), y(v.y), z(v.z), w(d) {}
    __device__ constexpr vec(T a, vec<T, 3> v) : x(a), y(v.x), z(v.y), w(v.z) {}
    __device__ constexpr vec(vec<T, 2> v, vec<T, 2> u) : x(v.x), y(v.y), z(u.x), w(u.y) {}
    __device__ constexpr vec(vec<T, 2> v, T c, T d) : x(v.x), y(v.y), z(c), w(d) {}
    template <class U> __device__ explicit vec(vec<U, 4> v) : x(T(v.x)), y(T(v.y)), z(T(v.z)), w(T(v.w)) {}
    WGT_PARTS
};
#define WGT_NAMES(T, n) typedef vec<T, 2> n##2; typedef vec<T, 3> n##3; typedef vec<T, 4> n##4;
WGT_NAMES(float, float) WGT_NAMES(int, int) WGT_NAMES(uint, uint) WGT_NAMES(bool, bool) WGT_NAMES(half, half)
// elementwise operations
#define WGT_BIN(op) \
    template <class T> WGT_INLINE auto operator op(vec<T, 2> a, vec<T, 2> b) { return vec<decltype(a.x op b.x), 2>(a.x op b.x, a.y op b.y); } \
    template <class T> WGT_INLINE auto operator op(vec<T, 3> a, vec<T, 3> b) { return vec<decltype(a.x op b.x), 3>(a.x op b.x, a.y op b.y, a.z op b.z); } \
    template <class T> WGT_INLINE auto operator op(vec<T, 4> a, vec<T, 4> b) { return vec<decltype(a.x op b.x), 4>(a.x op b.x, a.y op b.y, a.z op b.z, a.w op b.w); } \
    template <class T, int N> WGT_INLINE auto operator op(vec<T, N> a, T b) { return a op vec<T, N>(b); } \
    template <class T, int N> WGT_INLINE auto operator op(T a, vec<T, N> b) { return vec<T, N>(a) op b; }
WGT_BIN(+) WGT_BIN(-) WGT_BIN(*) WGT_BIN(/) WGT_BIN(%) WGT_BIN(&) WGT_BIN(|) WGT_BIN(^) WGT_BIN(<<) WGT_BIN(>>)
WGT_BIN(<) WGT_BIN(<=) WGT_BIN(>) WGT_BIN(>=) WGT_BIN(==) WGT_BIN(!=)
#define WGT_UN(op) \
    template <class T> WGT_INLINE auto operator op(vec<T, 2> a) { return vec<T, 2>(op a.x, op a.y); } \
    template <class T> WGT_INLINE auto operator op(vec<T, 3> a) { return vec<T, 3>(op a.x, op a.y, op a.z); } \
    template <class T> WGT_INLINE auto operator op(vec<T, 4> a) { return vec<T, 4>(op a.x, op a.y, op a.z, op a.w); }
WGT_UN(-) WGT_UN(~) WGT_UN(!)
#define WGT_F1(name) \
    template <class T> WGT_INLINE auto name(vec<T, 2> a) { return vec<T, 2>(name(a.x), name(a.y)); } \
    template <class T> WGT_INLINE auto name(vec<T, 3> a) { return vec<T, 3>(name(a.x), name(a.y), name(a.z)); } \
    template <class T> WGT_INLINE auto name(vec<T, 4> a) { return vec<T, 4>(name(a.x), name(a.y), name(a.z), name(a.w)); }
#define WGT_F2(name) \
    template <class T> WGT_INLINE auto name(vec<T, 2> a, vec<T, 2> b) { return vec<T, 2>(name(a.x, b.x), name(a.y, b.y)); } \
    template <class T> WGT_INLINE auto name(vec<T, 3> a, vec<T, 3> b) { return vec<T, 3>(name(a.x, b.x), name(a.y, b.y), name(a.z, b.z)); } \
    template <class T> WGT_INLINE auto name(vec<T, 4> a, vec<T, 4> b) { return vec<T, 4>(name(a.x, b.x), name(a.y, b.y), name(a.z, b.z), name(a.w, b.w)); }
#define WGT_F3(name) \
    template <class T> WGT_INLINE auto name(vec<T, 2> a, vec<T, 2> b, vec<T, 2> c) { return vec<T, 2>(name(a.x, b.x, c.x), name(a.y, b.y, c.y)); } \
    template <class T> WGT_INLINE auto name(vec<T, 3> a, vec<T, 3> b, vec<T, 3> c) { return vec<T, 3>(name(a.x, b.x, c.x), name(a.y, b.y, c.y), name(a.z, b.z, c.z)); } \
    template <class T> WGT_INLINE auto name(vec<T, 4> a, vec<T, 4> b, vec<T, 4> c) { return vec<T, 4>(name(a.x, b.x, c.x), name(a.y, b.y, c.y), name(a.z, b.z, c.z), name(a.w, b.w, c.w)); }
// the approximations that a Vulkan driver uses too (GLSL.std.450 asks for no more)
WGT_INLINE float exp(float x) { return __expf(x); }
WGT_INLINE float exp2(float x) { float r; asm("ex2.approx.f32 %0, %1;" : "=f"(r) : "f"(x)); return r; }
WGT_INLINE float log(float x) { return __logf(x); }
WGT_INLINE float log2(float x) { return __log2f(x); }
WGT_INLINE float sin(float x) { return __sinf(x); }
WGT_INLINE float cos(float x) { return __cosf(x); }
WGT_INLINE float tanh(float x) { float e = __expf(2.0f * x); return __fdividef(e - 1.0f, e + 1.0f); }
WGT_INLINE float pow(float x, float y) { return __powf(x, y); }
WGT_INLINE float powr(float x, float y) { return __powf(x, y); }
WGT_INLINE float sqrt(float x) { float r; asm("sqrt.approx.f32 %0, %1;" : "=f"(r) : "f"(x)); return r; }
WGT_INLINE float rsqrt(float x) { return ::rsqrtf(x); }
WGT_INLINE float floor(float x) { return ::floorf(x); }
WGT_INLINE float ceil(float x) { return ::ceilf(x); }
WGT_INLINE float trunc(float x) { return ::truncf(x); }
WGT_INLINE float rint(float x) { return ::rintf(x); }
WGT_INLINE float fract(float x) { return x - ::floorf(x); }
WGT_INLINE float sign(float x) { return float(x > 0.0f) - float(x < 0.0f); }
WGT_INLINE float abs(float x) { return ::fabsf(x); }
WGT_INLINE int abs(int x) { return ::abs(x); }
WGT_INLINE float ldexp(float x, int n) { return ::ldexpf(x, n); }
WGT_INLINE float min(float a, float b) { return ::fminf(a, b); }
WGT_INLINE float max(float a, float b) { return ::fmaxf(a, b); }
WGT_INLINE uint min(uint a, uint b) { return a < b ? a : b; }
WGT_INLINE uint max(uint a, uint b) { return a > b ? a : b; }
WGT_INLINE int min(int a, int b) { return a < b ? a : b; }
WGT_INLINE int max(int a, int b) { return a > b ? a : b; }
template <class T> WGT_INLINE T clamp(T x, T a, T b) { return min(max(x, a), b); }
WGT_INLINE float fma(float a, float b, float c) { return ::__fmaf_rn(a, b, c); }
template <class T> WGT_INLINE T mix(T a, T b, T t) { return fma(b - a, t, a); }
WGT_INLINE uint popcount(uint x) { return __popc(x); }
WGT_INLINE uint clz(uint x) { return __clz(x); }
WGT_INLINE uint ctz(uint x) { return x ? __ffs(x) - 1 : 32; }
WGT_INLINE uint reverse_bits(uint x) { return __brev(x); }
WGT_F1(exp) WGT_F1(exp2) WGT_F1(log) WGT_F1(log2) WGT_F1(sin) WGT_F1(cos) WGT_F1(tanh) WGT_F1(sqrt) WGT_F1(rsqrt) WGT_F1(floor) WGT_F1(ceil)
WGT_F1(trunc) WGT_F1(rint) WGT_F1(abs) WGT_F1(sign) WGT_F1(fract) WGT_F2(min) WGT_F2(max) WGT_F2(pow) WGT_F3(fma)
template <class T> WGT_INLINE T select(T a, T b, bool c) { return c ? b : a; }
template <class T> WGT_INLINE vec<T, 2> select(vec<T, 2> a, vec<T, 2> b, bool2 c) { return vec<T, 2>(c.x ? b.x : a.x, c.y ? b.y : a.y); }
template <class T> WGT_INLINE vec<T, 3> select(vec<T, 3> a, vec<T, 3> b, bool3 c) { return vec<T, 3>(c.x ? b.x : a.x, c.y ? b.y : a.y, c.z ? b.z : a.z); }
template <class T> WGT_INLINE vec<T, 4> select(vec<T, 4> a, vec<T, 4> b, bool4 c) { return vec<T, 4>(c.x ? b.x : a.x, c.y ? b.y : a.y, c.z ? b.z : a.z, c.w ? b.w : a.w); }
WGT_INLINE bool any(bool2 a) { return a.x | a.y; }
WGT_INLINE bool any(bool3 a) { return a.x | a.y | a.z; }
WGT_INLINE bool any(bool4 a) { return a.x | a.y | a.z | a.w; }
WGT_INLINE bool all(bool2 a) { return a.x & a.y; }
WGT_INLINE bool all(bool3 a) { return a.x & a.y & a.z; }
WGT_INLINE bool all(bool4 a) { return a.x & a.y & a.z & a.w; }
template <class T> WGT_INLINE T dot(vec<T, 2> a, vec<T, 2> b) { return a.x * b.x + a.y * b.y; }
template <class T> WGT_INLINE T dot(vec<T, 3> a, vec<T, 3> b) { return a.x * b.x + a.y * b.y + a.z * b.z; }
template <class T> WGT_INLINE T dot(vec<T, 4> a, vec<T, 4> b) { return a.x * b.x + a.y * b.y + a.z * b.z + a.w * b.w; }
struct float4x4 {
    float4 c[4];
    float4x4() = default;
    __device__ float4x4(float4 a, float4 b, float4 d, float4 e) : c{a, b, d, e} {}
    __device__ float4& operator[](uint i) { return c[i]; }
    __device__ float4 operator[](uint i) const { return c[i]; }
};
WGT_INLINE float4x4 transpose(float4x4 m) {
    return float4x4(float4(m.c[0].x, m.c[1].x, m.c[2].x, m.c[3].x), float4(m.c[0].y, m.c[1].y, m.c[2].y, m.c[3].y),
                    float4(m.c[0].z, m.c[1].z, m.c[2].z, m.c[3].z), float4(m.c[0].w, m.c[1].w, m.c[2].w, m.c[3].w));
}
WGT_INLINE float4 operator*(float4x4 m, float4 v) { return m.c[0] * v.x + m.c[1] * v.y + m.c[2] * v.z + m.c[3] * v.w; }
// Cooperative matrices by the instructions of CUDA's `wmma`. Metal has no word for the side of a product that a matrix is on,
// so that all are loaded as its left one: as many registers and instructions.
#define WGT_EIGHT(c, r) c(r[0]), c(r[1]), c(r[2]), c(r[3]), c(r[4]), c(r[5]), c(r[6]), c(r[7])
struct simdgroup_half16x16 { uint r[8]; };
struct simdgroup_float16x16 { float r[8]; };
#define WGT_LOAD(way) \
    asm volatile("wmma.load.a.sync.aligned." way ".m16n16k16.shared.f16 {%0,%1,%2,%3,%4,%5,%6,%7}, [%8], %9;" \
                 : WGT_EIGHT("=r", m.r) : "r"(uint(__cvta_generic_to_shared(from))), "r"(stride))
WGT_INLINE void simdgroup_load(simdgroup_half16x16& m, const half* from, int stride, int, bool turned) {
    if (turned) WGT_LOAD("col"); else WGT_LOAD("row");
}
WGT_INLINE void simdgroup_store(simdgroup_float16x16 m, float* to, int stride) {
    asm volatile("wmma.store.d.sync.aligned.row.m16n16k16.shared.f32 [%8], {%0,%1,%2,%3,%4,%5,%6,%7}, %9;"
                 :: WGT_EIGHT("f", m.r), "r"(uint(__cvta_generic_to_shared(to))), "r"(stride) : "memory");
}
WGT_INLINE void simdgroup_multiply_accumulate(simdgroup_float16x16& d, simdgroup_half16x16 a, simdgroup_half16x16 b,
                                              simdgroup_float16x16 c) {
    asm volatile("wmma.mma.sync.aligned.row.col.m16n16k16.f32.f32 {%0,%1,%2,%3,%4,%5,%6,%7}, "
                 "{%8,%9,%10,%11,%12,%13,%14,%15}, {%16,%17,%18,%19,%20,%21,%22,%23}, {%24,%25,%26,%27,%28,%29,%30,%31};"
                 : WGT_EIGHT("=f", d.r) : WGT_EIGHT("r", a.r), WGT_EIGHT("r", b.r), WGT_EIGHT("f", c.r));
}
enum class mem_flags { mem_none, mem_device, mem_threadgroup };
WGT_INLINE void threadgroup_barrier(mem_flags) { __syncthreads(); }
WGT_INLINE void simdgroup_barrier(mem_flags) { __syncwarp(); }
template <class T> WGT_INLINE T simd_shuffle(T x, uint i) { return __shfl_sync(~0u, x, i); }
template <class T> WGT_INLINE T simd_shuffle_xor(T x, uint i) { return __shfl_xor_sync(~0u, x, i); }
template <class T> WGT_INLINE T simd_shuffle_up(T x, uint i) { return __shfl_up_sync(~0u, x, i); }
template <class T> WGT_INLINE T simd_shuffle_down(T x, uint i) { return __shfl_down_sync(~0u, x, i); }
template <class T> WGT_INLINE T simd_broadcast(T x, uint i) { return __shfl_sync(~0u, x, i); }
template <class T> WGT_INLINE T simd_broadcast_first(T x) { return __shfl_sync(~0u, x, 0); }
template <class T> WGT_INLINE T simd_sum(T x) { for (int i = 16; i; i >>= 1) x += __shfl_xor_sync(~0u, x, i); return x; }
template <class T> WGT_INLINE T simd_max(T x) { for (int i = 16; i; i >>= 1) x = max(x, __shfl_xor_sync(~0u, x, i)); return x; }
template <class T> WGT_INLINE T simd_min(T x) { for (int i = 16; i; i >>= 1) x = min(x, __shfl_xor_sync(~0u, x, i)); return x; }
WGT_INLINE bool simd_any(bool x) { return __any_sync(~0u, x); }
WGT_INLINE bool simd_all(bool x) { return __all_sync(~0u, x); }
enum memory_order { memory_order_relaxed };
struct atomic_uint { uint v; };
struct atomic_int { int v; };
#define WGT_ATOM(name, f) template <class A, class T> WGT_INLINE T atomic_fetch_##name##_explicit(A* a, T x, memory_order) { return f(&a->v, x); }
WGT_ATOM(add, atomicAdd) WGT_ATOM(min, atomicMin) WGT_ATOM(max, atomicMax) WGT_ATOM(and, atomicAnd) WGT_ATOM(or, atomicOr) WGT_ATOM(xor, atomicXor)
template <class A, class T> WGT_INLINE T atomic_exchange_explicit(A* a, T x, memory_order) { return atomicExch(&a->v, x); }
template <class A> WGT_INLINE auto atomic_load_explicit(A* a, memory_order) { return *(volatile decltype(a->v)*)&a->v; }
template <class A, class T> WGT_INLINE void atomic_store_explicit(A* a, T x, memory_order) { *(volatile decltype(a->v)*)&a->v = x; }
} // namespace metal
template <class T, class U> WGT_INLINE T as_type(U u) {
    static_assert(sizeof(T) == sizeof(U), "as_type");
    T t; memcpy(&t, &u, sizeof(T));
    return t;
}
