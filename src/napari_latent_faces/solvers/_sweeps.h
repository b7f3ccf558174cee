/* The sweeps for one kind of vectors: _sweeps.c includes this once for each.

   Before that it defines, and this undefines again:
   KIND(name)   the name for this kind            TARGET   what compilers need for it
   VECTOR       some floats in a register         LANES    how many
   PARTS        vectors of a component that are worked on at a time: of four components
                their sums, of one its values, and a coefficient fill the registers
   ZERO, LOAD, STORE, ALL (a number in all lanes), MAX and LESS (r - a * x) */

#define WIDTH (LANES * PARTS) /* columns worked on at a time; they stay in the cache */

/* Improve `rows` components from `t` on, each seeing what those before it have become. */
static INLINE TARGET void KIND(group)(int rows, ptrdiff_t k, ptrdiff_t t, const float *upper,
                                      const float *lower, const float *goal, float *now)
{
    VECTOR rest[ROWS][PARTS], x[PARTS];
    UNROLL for (int i = 0; i < rows; i++)
        UNROLL for (int j = 0; j < PARTS; j++)
            rest[i][j] = LOAD(goal + (t + i) * WIDTH + j * LANES);
    for (ptrdiff_t u = 0; u < k; u++) {
        UNROLL for (int j = 0; j < PARTS; j++)
            x[j] = LOAD(now + u * WIDTH + j * LANES);
        UNROLL for (int i = 0; i < rows; i++) {
            VECTOR a = ALL(upper[u * rows + i]);
            UNROLL for (int j = 0; j < PARTS; j++)
                rest[i][j] = LESS(rest[i][j], a, x[j]);
        }
    }
    UNROLL for (int i = 0; i < rows; i++) {
        UNROLL for (int j = 0; j < PARTS; j++) {
            rest[i][j] = MAX(ZERO, rest[i][j]); /* NaN stays NaN */
            STORE(now + (t + i) * WIDTH + j * LANES, rest[i][j]);
        }
        UNROLL for (int l = i + 1; l < rows; l++) {
            VECTOR a = ALL(lower[l * rows + i]);
            UNROLL for (int j = 0; j < PARTS; j++)
                rest[l][j] = LESS(rest[l][j], a, rest[i][j]);
        }
    }
}

static TARGET int KIND(sweep)(const struct problem *of)
{
    const ptrdiff_t k = of->k;
    float *memory = malloc(sizeof(float) * (size_t)(k * (k + ROWS + 2 * WIDTH) + 16));
    if (memory == NULL)
        return -1;
    float *now = (float *)(((uintptr_t)memory + 63) / 64 * 64), *goal = now + k * WIDTH;
    float *upper = goal + k * WIDTH, *lower = upper + k * k;
    memset(now, 0, sizeof(float) * (size_t)(2 * k * WIDTH));

    /* the coefficients in the order of their use: those of a group side by side, and apart
       from them those of components that the group itself has just improved */
    for (ptrdiff_t t = 0, rows; t < k; t += rows) {
        rows = GROUP(k - t);
        for (ptrdiff_t i = 0; i < rows; i++) {
            const float *a = of->A + (t + i) * of->A_stride;
            for (ptrdiff_t u = 0; u < k; u++)
                upper[t * k + u * rows + i] = t <= u && u < t + i ? 0 : a[u];
            for (ptrdiff_t l = 0; l < i; l++)
                lower[t * ROWS + i * rows + l] = a[t + l];
        }
    }
    for (ptrdiff_t first = 0; first < of->m; first += WIDTH) {
        size_t some = sizeof(float) * (size_t)(of->m - first < WIDTH ? of->m - first : WIDTH);
        for (ptrdiff_t t = 0; t < k; t++) {
            memcpy(now + t * WIDTH, of->F + t * of->F_stride + first, some);
            memcpy(goal + t * WIDTH, of->targets + t * of->targets_stride + first, some);
        }
        for (ptrdiff_t visit = 0; visit < of->sweeps; visit++)
            for (ptrdiff_t t = 0, rows; t < k; t += rows) {
                rows = GROUP(k - t);
#define CASE(n)                                                                             \
    case n:                                                                                 \
        KIND(group)(n, k, t, upper + t * k, lower + t * ROWS, goal, now);                   \
        break;
                switch (rows) {
                    CASE(4) CASE(2) CASE(1)
                }
#undef CASE
            }
        for (ptrdiff_t t = 0; t < k; t++)
            memcpy(of->F + t * of->F_stride + first, now + t * WIDTH, some);
    }
    free(memory);
    return 0;
}

#undef KIND
#undef TARGET
#undef VECTOR
#undef LANES
#undef PARTS
#undef WIDTH
#undef ZERO
#undef LOAD
#undef STORE
#undef ALL
#undef MAX
#undef LESS
