/* The sweeps of a factor and its products with pixels, for x86-64 with AVX2 or AVX-512 and for
   arm64; see hals.py. Where this cannot be built or loaded, NumPy does the same. */

#define Py_LIMITED_API 0x030B0000 /* one build for Python 3.11 and all that follow */
#include <Python.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#if defined(__GNUC__)
#define INLINE inline __attribute__((always_inline))
#define UNROLL _Pragma("GCC unroll 12")
#else
#define INLINE __forceinline
#define UNROLL
#endif

/* Writes to the first of three matrices, given a number; -1 where memory is short. */
typedef int job(const Py_buffer *of, double number);

struct kernel {
    job *sweep, *cross, *combine, *extrapolate;
};

/* How far rows of float32 are apart, in numbers. */
static ptrdiff_t stride(const Py_buffer *view)
{
    return view->strides[0] / (ptrdiff_t)sizeof(float);
}

#define DEAD 1e-12f /* of the largest diagonal entry; see hals.py */
#define CHUNK 1024 /* columns of rows that are multiplied with one another at a time */
#define SOME 128   /* faces that are added up at a time */
#define ROWS 4     /* components that are improved together, so that values are loaded once */
#define CEIL(a, b) (((a) + (b) - 1) / (b))
#define GROUP(left) ((left) >= ROWS ? ROWS : (left) >= 2 ? 2 : 1)

#if defined(__x86_64__) || defined(_M_X64)
#include <immintrin.h>

#if defined(__GNUC__) /* where compilers would load a value again for each of its uses */
#define IN_REGISTER(x) __asm__("" : "+v"(x))
#else
#define IN_REGISTER(x)
#endif

#define KIND(name) name##_avx512
#define VECTOR __m512
#define LANES 16
#define PARTS 4
#define FACES 8
#define MIXED 12
#define ZERO _mm512_setzero_ps()
#define LOAD _mm512_loadu_ps
#define BYTES(x) _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm_loadu_si128((const void *)(x))))
#define STORE _mm512_storeu_ps
#define ALL _mm512_set1_ps
#define MAX _mm512_max_ps
#define LESS(r, a, x) _mm512_fnmadd_ps(a, x, r)
#define MORE(r, a, x) _mm512_fmadd_ps(a, x, r)
#define SUMS sums_avx512
#if defined(__GNUC__)
#define TARGET __attribute__((target("avx512f,fma")))
#else
#define TARGET
#endif
/* of FACES vectors: each step adds up halves, and leaves half as many vectors */
static INLINE TARGET void sums_avx512(__m512 *x, float *sums)
{
    const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 2, 6, 10, 14, 0, 0, 0, 0, 0, 0, 0, 0);
    UNROLL for (int i = 0; i < 4; i++)
        x[i] = _mm512_add_ps(_mm512_shuffle_f32x4(x[2 * i], x[2 * i + 1], 0x44),
                             _mm512_shuffle_f32x4(x[2 * i], x[2 * i + 1], 0xEE));
    UNROLL for (int i = 0; i < 2; i++)
        x[i] = _mm512_add_ps(_mm512_shuffle_f32x4(x[2 * i], x[2 * i + 1], 0x88),
                             _mm512_shuffle_f32x4(x[2 * i], x[2 * i + 1], 0xDD));
    x[0] = _mm512_add_ps(_mm512_shuffle_ps(x[0], x[1], 0x44),
                         _mm512_shuffle_ps(x[0], x[1], 0xEE));
    x[0] = _mm512_add_ps(x[0], _mm512_shuffle_ps(x[0], x[0], 0xB1));
    x[0] = _mm512_permutexvar_ps(order, x[0]);
    _mm256_storeu_ps(sums, _mm512_castps512_ps256(x[0]));
}
#include "_kernel.h"

#define KIND(name) name##_avx2
#define VECTOR __m256
#define LANES 8
#define PARTS 3
#define FACES 4
#define MIXED 6
#define ZERO _mm256_setzero_ps()
#define LOAD _mm256_loadu_ps
#define BYTES(x) _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_loadl_epi64((const void *)(x))))
#define STORE _mm256_storeu_ps
#define ALL _mm256_set1_ps
#define MAX _mm256_max_ps
#define LESS(r, a, x) _mm256_fnmadd_ps(a, x, r)
#define MORE(r, a, x) _mm256_fmadd_ps(a, x, r)
#define SUMS sums_avx2
#if defined(__GNUC__)
#define TARGET __attribute__((target("avx2,fma")))
#else
#define TARGET
#endif
static INLINE TARGET void sums_avx2(__m256 *x, float *sums)
{
    const __m256i order = _mm256_setr_epi32(0, 4, 2, 6, 0, 0, 0, 0);
    UNROLL for (int i = 0; i < 2; i++)
        x[i] = _mm256_add_ps(_mm256_permute2f128_ps(x[2 * i], x[2 * i + 1], 0x20),
                             _mm256_permute2f128_ps(x[2 * i], x[2 * i + 1], 0x31));
    x[0] = _mm256_add_ps(_mm256_shuffle_ps(x[0], x[1], 0x44),
                         _mm256_shuffle_ps(x[0], x[1], 0xEE));
    x[0] = _mm256_add_ps(x[0], _mm256_shuffle_ps(x[0], x[0], 0xB1));
    _mm_storeu_ps(sums, _mm256_castps256_ps128(_mm256_permutevar8x32_ps(x[0], order)));
}
#include "_kernel.h"

#if defined(__GNUC__)
#define HAS_AVX512 __builtin_cpu_supports("avx512f")
#define HAS_AVX2 (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
#else
#define WIN32_LEAN_AND_MEAN
#include <windows.h>
#define HAS_AVX512 IsProcessorFeaturePresent(41) /* PF_AVX512F_INSTRUCTIONS_AVAILABLE */
#define HAS_AVX2 IsProcessorFeaturePresent(40)   /* PF_AVX2_INSTRUCTIONS_AVAILABLE */
#endif

static const struct kernel *choose(void)
{
    return HAS_AVX512 ? &kernel_avx512 : HAS_AVX2 ? &kernel_avx2 : NULL;
}

#elif defined(__aarch64__) || defined(_M_ARM64)
#include <arm_neon.h>

#define IN_REGISTER(x)

static INLINE float32x4_t bytes_neon(const uint8_t *bytes)
{
    uint32_t four;
    memcpy(&four, bytes, sizeof(four));
    return vcvtq_f32_u32(vmovl_u16(vget_low_u16(vmovl_u8(vcreate_u8(four)))));
}

#define KIND(name) name##_neon
#define TARGET
#define VECTOR float32x4_t
#define LANES 4
#define PARTS 4
#define FACES 8
#define MIXED 12
#define ZERO vdupq_n_f32(0)
#define LOAD vld1q_f32
#define BYTES bytes_neon
#define STORE vst1q_f32
#define ALL vdupq_n_f32
#define MAX vmaxq_f32
#define LESS(r, a, x) vfmsq_f32(r, a, x)
#define MORE(r, a, x) vfmaq_f32(r, a, x)
#define SUMS sums_neon
static INLINE void sums_neon(const float32x4_t *x, float *sums)
{
    UNROLL for (int i = 0; i < 8; i++)
        sums[i] = vaddvq_f32(x[i]);
}
#include "_kernel.h"

static const struct kernel *choose(void)
{
    return &kernel_neon;
}

#else
#error "No vectors are known for this processor: NumPy does the sweeps."
#endif

static const struct kernel *chosen;

/* Get a matrix whose rows lie each in one piece; `types` are those that it may have. */
static int get(PyObject *of, Py_buffer *view, int flags, const char *types)
{
    if (PyObject_GetBuffer(of, view, flags | PyBUF_STRIDES | PyBUF_FORMAT) < 0)
        return -1;
    if (view->ndim == 2 && view->format != NULL && strlen(view->format) == 1 &&
        strchr(types, *view->format) != NULL &&
        (view->strides[1] == view->itemsize || view->shape[1] <= 1) &&
        view->strides[0] % view->itemsize == 0)
        return 0;
    PyBuffer_Release(view);
    PyErr_Format(PyExc_ValueError, "not a matrix of type %s with rows in one piece", types);
    return -1;
}

/* Do a job with arguments from Python: float32, the third matrix of one of the `types`.
   Each letter of `shapes`, rows and columns of the matrices in turn, is one number. */
static PyObject *call(PyObject *args, const char *shapes, const char *types, job *work)
{
    PyObject *objects[3];
    Py_buffer views[3];
    double number;
    int got = 0, status = 0;
    if (!PyArg_ParseTuple(args, "OOOd", objects, objects + 1, objects + 2, &number))
        return NULL;
    while (got < 3 &&
           get(objects[got], views + got, got ? 0 : PyBUF_WRITABLE, got == 2 ? types : "f") == 0)
        got++;
    if (got == 3) {
        for (int i = 0; i < 6; i++)
            for (int j = 0; j < i; j++)
                if (shapes[i] == shapes[j] &&
                    views[i / 2].shape[i % 2] != views[j / 2].shape[j % 2])
                    status = -1;
        if (status < 0) {
            PyErr_SetString(PyExc_ValueError, "the shapes do not fit together");
        } else {
            Py_BEGIN_ALLOW_THREADS
            status = work(views, number);
            Py_END_ALLOW_THREADS
            if (status < 0)
                PyErr_NoMemory();
        }
    }
    for (int i = 0; i < got; i++)
        PyBuffer_Release(views + i);
    return got < 3 || status < 0 ? NULL : Py_NewRef(Py_None);
}

static PyObject *sweep(PyObject *module, PyObject *args)
{
    (void)module;
    return call(args, "kmkkkm", "f", chosen->sweep);
}

static PyObject *cross(PyObject *module, PyObject *args)
{
    (void)module;
    return call(args, "knkpnp", "fB", chosen->cross);
}

static PyObject *combine(PyObject *module, PyObject *args)
{
    (void)module;
    return call(args, "kpknnp", "fB", chosen->combine);
}

static PyObject *extrapolate(PyObject *module, PyObject *args)
{
    (void)module;
    return call(args, "kmkmkm", "f", chosen->extrapolate);
}

static PyMethodDef methods[] = {
    {"sweep", sweep, METH_VARARGS, "Improve a factor in place; see hals.py."},
    {"cross", cross, METH_VARARGS, "Multiply components and pixels; see hals.py."},
    {"combine", combine, METH_VARARGS, "Multiply weights and pixels; see hals.py."},
    {"extrapolate", extrapolate, METH_VARARGS, "Move a factor on; see hals.py."},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, "_kernel", NULL, 0, methods, NULL, NULL, NULL, NULL,
};

PyMODINIT_FUNC PyInit__kernel(void)
{
    chosen = choose();
    if (chosen == NULL) {
        PyErr_SetString(PyExc_ImportError, "this processor has no AVX2");
        return NULL;
    }
    return PyModule_Create(&definition);
}
