/* The sweeps of a factor, for x86-64 with AVX2 or AVX-512 and for arm64; see hals.py.

   Where this cannot be built or loaded, NumPy does the same. */

#define Py_LIMITED_API 0x030B0000 /* one build for Python 3.11 and all that follow */
#include <Python.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#if defined(__GNUC__)
#define INLINE inline __attribute__((always_inline))
#define UNROLL _Pragma("GCC unroll 8")
#else
#define INLINE __forceinline
#define UNROLL
#endif

struct problem { /* F[t] = max(targets[t] - A[t] @ F, 0), row by row; strides in floats */
    float *F;
    const float *A, *targets;
    ptrdiff_t F_stride, A_stride, targets_stride, k, m, sweeps;
};

#define ROWS 4 /* components that are improved together, so that values are loaded once */
#define GROUP(left) ((left) >= ROWS ? ROWS : (left) >= 2 ? 2 : 1)

#if defined(__x86_64__) || defined(_M_X64)
#include <immintrin.h>

#define KIND(name) name##_avx512
#define VECTOR __m512
#define LANES 16
#define PARTS 4
#define ZERO _mm512_setzero_ps()
#define LOAD _mm512_loadu_ps
#define STORE _mm512_storeu_ps
#define ALL _mm512_set1_ps
#define MAX _mm512_max_ps
#define LESS(r, a, x) _mm512_fnmadd_ps(a, x, r)
#if defined(__GNUC__)
#define TARGET __attribute__((target("avx512f,fma")))
#else
#define TARGET
#endif
#include "_sweeps.h"

#define KIND(name) name##_avx2
#define VECTOR __m256
#define LANES 8
#define PARTS 3
#define ZERO _mm256_setzero_ps()
#define LOAD _mm256_loadu_ps
#define STORE _mm256_storeu_ps
#define ALL _mm256_set1_ps
#define MAX _mm256_max_ps
#define LESS(r, a, x) _mm256_fnmadd_ps(a, x, r)
#if defined(__GNUC__)
#define TARGET __attribute__((target("avx2,fma")))
#else
#define TARGET
#endif
#include "_sweeps.h"

#if defined(__GNUC__)
#define HAS_AVX512 __builtin_cpu_supports("avx512f")
#define HAS_AVX2 (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
#else
#define WIN32_LEAN_AND_MEAN
#include <windows.h>
#define HAS_AVX512 IsProcessorFeaturePresent(41) /* PF_AVX512F_INSTRUCTIONS_AVAILABLE */
#define HAS_AVX2 IsProcessorFeaturePresent(40)   /* PF_AVX2_INSTRUCTIONS_AVAILABLE */
#endif

static int (*choose(void))(const struct problem *)
{
    return HAS_AVX512 ? sweep_avx512 : HAS_AVX2 ? sweep_avx2 : NULL;
}

#elif defined(__aarch64__) || defined(_M_ARM64)
#include <arm_neon.h>

#define KIND(name) name##_neon
#define TARGET
#define VECTOR float32x4_t
#define LANES 4
#define PARTS 4
#define ZERO vdupq_n_f32(0)
#define LOAD vld1q_f32
#define STORE vst1q_f32
#define ALL vdupq_n_f32
#define MAX vmaxq_f32
#define LESS(r, a, x) vfmsq_f32(r, a, x)
#include "_sweeps.h"

static int (*choose(void))(const struct problem *)
{
    return sweep_neon;
}

#else
#error "No vectors are known for this processor: NumPy does the sweeps."
#endif

static int (*chosen)(const struct problem *);

/* Get a matrix of float32 whose rows lie each in one piece, and how far they are apart. */
static int get(PyObject *of, Py_buffer *view, int flags, ptrdiff_t *stride)
{
    if (PyObject_GetBuffer(of, view, flags | PyBUF_STRIDES | PyBUF_FORMAT) < 0)
        return -1;
    if (view->ndim == 2 && view->format != NULL && strcmp(view->format, "f") == 0 &&
        (view->strides[1] == sizeof(float) || view->shape[1] <= 1) &&
        view->strides[0] % (ptrdiff_t)sizeof(float) == 0) {
        *stride = view->strides[0] / (ptrdiff_t)sizeof(float);
        return 0;
    }
    PyBuffer_Release(view);
    PyErr_SetString(PyExc_ValueError, "not a matrix of float32 with rows in one piece");
    return -1;
}

static PyObject *sweep_rows(PyObject *module, PyObject *args)
{
    PyObject *objects[3], *result = NULL;
    Py_buffer F, A, targets;
    struct problem of;
    int status;
    (void)module;
    if (!PyArg_ParseTuple(args, "OOOn", objects, objects + 1, objects + 2, &of.sweeps))
        return NULL;
    if (get(objects[0], &F, PyBUF_WRITABLE, &of.F_stride) < 0)
        return NULL;
    if (get(objects[1], &A, 0, &of.A_stride) < 0)
        goto release_F;
    if (get(objects[2], &targets, 0, &of.targets_stride) < 0)
        goto release_A;
    of.F = F.buf, of.A = A.buf, of.targets = targets.buf;
    of.k = F.shape[0], of.m = F.shape[1];
    if (A.shape[0] != of.k || A.shape[1] != of.k || targets.shape[0] != of.k ||
        targets.shape[1] != of.m) {
        PyErr_SetString(PyExc_ValueError, "the shapes do not fit together");
    } else {
        Py_BEGIN_ALLOW_THREADS
        status = chosen(&of);
        Py_END_ALLOW_THREADS
        result = status < 0 ? PyErr_NoMemory() : Py_NewRef(Py_None);
    }
    PyBuffer_Release(&targets);
release_A:
    PyBuffer_Release(&A);
release_F:
    PyBuffer_Release(&F);
    return result;
}

static PyMethodDef methods[] = {
    {"sweep_rows", sweep_rows, METH_VARARGS, "Improve a factor in place; see hals.py."},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, "_sweeps", NULL, 0, methods, NULL, NULL, NULL, NULL,
};

PyMODINIT_FUNC PyInit__sweeps(void)
{
    chosen = choose();
    if (chosen == NULL) {
        PyErr_SetString(PyExc_ImportError, "this processor has no AVX2");
        return NULL;
    }
    return PyModule_Create(&definition);
}
