/* The kernel for one kind of vectors: _kernel.c includes this once for each.

   Before that it defines, and this undefines again:
   KIND(name)   the name for this kind            TARGET   what compilers need for it
   VECTOR       some floats in a register         LANES    how many
   PARTS        vectors of a component that are worked on at a time: of four components
                their sums, of one its values, and a coefficient fill the registers
   FACES        rows of pixels, with three of components, whose products fill the registers
   MIXED        components of which two vectors each fill them
   BYTES        reads so many bytes as floats
   ZERO, LOAD, STORE, ALL (a number in all lanes), MAX, LESS (r - a * x),
   MORE (r + a * x) and SUMS (of all lanes of each of FACES vectors) */

/* components of the next group, each of which has about as many */
#define SIDE_BY_SIDE(left) CEIL(left, CEIL(left, MIXED))
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

/* Lower <F, G F> / 2 - <C, F> row by row, for as many `sweeps`, in F (k, m) >= 0; G (k, k). */
static TARGET int KIND(sweep)(const Py_buffer *of, double sweeps)
{
    const ptrdiff_t k = of->shape[0], m = of->shape[1];
    const ptrdiff_t F_stride = stride(of), G_stride = stride(of + 1), C_stride = stride(of + 2);
    const float *G = of[1].buf, *C = of[2].buf;
    float *F = of->buf;
    float *memory = malloc(sizeof(float) * (size_t)(k * (k + 1 + ROWS + 2 * WIDTH) + 16));
    if (memory == NULL)
        return -1;
    float *now = (float *)(((uintptr_t)memory + 63) / 64 * 64), *goal = now + k * WIDTH;
    float *upper = goal + k * WIDTH, *lower = upper + k * k, *inverse = lower + k * ROWS;
    float largest = 0;
    for (ptrdiff_t t = 0; t < k; t++) {
        inverse[t] = G[t * (G_stride + 1)];
        largest = inverse[t] > largest ? inverse[t] : largest;
    }
    for (ptrdiff_t t = 0; t < k; t++)
        inverse[t] = inverse[t] > DEAD * largest ? 1 / inverse[t] : 0;
    memset(now, 0, sizeof(float) * (size_t)(2 * k * WIDTH));

    /* the coefficients in the order of their use: those of a group side by side, and apart
       from them those of components that the group itself has just improved */
    for (ptrdiff_t t = 0, rows; t < k; t += rows) {
        rows = GROUP(k - t);
        for (ptrdiff_t i = 0; i < rows; i++) {
            const float *g = G + (t + i) * G_stride, by = inverse[t + i];
            for (ptrdiff_t u = 0; u < k; u++)
                upper[t * k + u * rows + i] = t <= u && u < t + i ? 0 : by * g[u];
            upper[t * k + (t + i) * rows + i] = by > 0 ? 0 : -1;
            for (ptrdiff_t l = 0; l < i; l++)
                lower[t * ROWS + i * rows + l] = by * g[t + l];
        }
    }
    for (ptrdiff_t first = 0; first < m; first += WIDTH) {
        ptrdiff_t columns = m - first < WIDTH ? m - first : WIDTH;
        size_t some = sizeof(float) * (size_t)columns;
        for (ptrdiff_t t = 0; t < k; t++) {
            const float *c = C + t * C_stride + first;
            memcpy(now + t * WIDTH, F + t * F_stride + first, some);
            for (ptrdiff_t j = 0; j < columns; j++)
                goal[t * WIDTH + j] = inverse[t] * c[j];
        }
        for (ptrdiff_t visit = 0; visit < (ptrdiff_t)sweeps; visit++)
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
            memcpy(F + t * F_stride + first, now + t * WIDTH, some);
    }
    free(memory);
    return 0;
}

/* Write columns of a row of pixels or numbers to a tile, a vector at each `step`, then 0. */
static INLINE TARGET void KIND(fill)(const void *row, int is_bytes, ptrdiff_t first,
                                     ptrdiff_t columns, float *tile, ptrdiff_t step)
{
    const uint8_t *bytes = (const uint8_t *)row + first;
    const float *floats = (const float *)row + first;
    for (; columns >= LANES; columns -= LANES, bytes += LANES, floats += LANES, tile += step)
        STORE(tile, is_bytes ? BYTES(bytes) : LOAD(floats));
    for (ptrdiff_t l = 0; columns > 0 && l < LANES; l++)
        tile[l] = l >= columns ? 0 : is_bytes ? bytes[l] : floats[l];
}

/* Add the products of FACES faces with 3 components, in tiles, to `out`, a component a row. */
static INLINE TARGET void KIND(dots)(ptrdiff_t steps, const float *faces, const float *H,
                                     float out[3][FACES])
{
    VECTOR sums[3][FACES], h[3];
    UNROLL for (int i = 0; i < FACES; i++)
        UNROLL for (int t = 0; t < 3; t++)
            sums[t][i] = ZERO;
    for (ptrdiff_t j = 0; j < steps; j++, H += 3 * LANES, faces += FACES * LANES) {
        UNROLL for (int t = 0; t < 3; t++)
            h[t] = LOAD(H + t * LANES);
        UNROLL for (int i = 0; i < FACES; i++) {
            VECTOR x = LOAD(faces + i * LANES);
            IN_REGISTER(x);
            UNROLL for (int t = 0; t < 3; t++)
                sums[t][i] = MORE(sums[t][i], h[t], x);
        }
    }
    UNROLL for (int t = 0; t < 3; t++)
        SUMS(sums[t], out[t]);
}

/* products (k, n) = F (k, p) @ X' (p, n), for columns that fit in the cache, one after the
   other, whose sums are added up in double precision; of F with itself, but half of them */
static TARGET int KIND(cross)(const Py_buffer *of, double gain)
{
    const ptrdiff_t k = of->shape[0], n = of->shape[1], p = of[1].shape[1];
    const ptrdiff_t groups = (k + 2) / 3;
    const ptrdiff_t out_stride = stride(of), F_stride = stride(of + 1), X_step = of[2].strides[0];
    const int is_bytes = *of[2].format == 'B';
    const int is_gram = of[1].buf == of[2].buf && of[1].strides[0] == X_step && k == n && !is_bytes;
    const float *F = of[1].buf;
    const char *X = of[2].buf;
    float *products = of->buf;
    float out[3][FACES];
    float *memory = calloc((size_t)(CHUNK * (FACES + 3 * groups) + 16), sizeof(float));
    double *sums = calloc((size_t)(k * n + 1), sizeof(double));
    if (memory == NULL || sums == NULL) {
        free(memory);
        free(sums);
        return -1;
    }
    float *tile = (float *)(((uintptr_t)memory + 63) / 64 * 64), *H = tile + CHUNK * FACES;
    for (ptrdiff_t first = 0; first < p; first += CHUNK) {
        ptrdiff_t columns = p - first < CHUNK ? p - first : CHUNK;
        ptrdiff_t steps = (columns + LANES - 1) / LANES;
        for (ptrdiff_t t = 0; t < k; t++)
            KIND(fill)(F + t * F_stride, 0, first, columns,
                       H + t / 3 * 3 * CHUNK + t % 3 * LANES, 3 * LANES);
        for (ptrdiff_t i = 0; i < n; i += FACES) {
            ptrdiff_t faces = n - i < FACES ? n - i : FACES;
            for (ptrdiff_t f = 0; f < faces; f++)
                KIND(fill)(X + (i + f) * X_step, is_bytes, first, columns,
                           tile + f * LANES, FACES * LANES);
            for (ptrdiff_t t = 0; t < k && !(is_gram && t >= i + FACES); t += 3) {
                KIND(dots)(steps, tile, H + t * CHUNK, out);
                for (ptrdiff_t u = t; u < k && u < t + 3; u++)
                    for (ptrdiff_t f = 0; f < faces; f++)
                        sums[u * n + i + f] += out[u - t][f];
            }
        }
    }
    for (ptrdiff_t t = 0; t < k; t++)
        for (ptrdiff_t i = 0; i < n; i++)
            products[t * out_stride + i] =
                (float)((float)gain * sums[is_gram && t > i ? i * n + t : t * n + i]);
    free(memory);
    free(sums);
    return 0;
}

/* Add up faces, two vectors of each, with the weights of some components. */
static INLINE TARGET void KIND(mix)(int rows, ptrdiff_t faces, const float *tile,
                                    const float *W, float gain, float *out, ptrdiff_t stride)
{
    VECTOR sums[MIXED][2];
    UNROLL for (int t = 0; t < rows; t++)
        sums[t][0] = sums[t][1] = ZERO;
    for (ptrdiff_t i = 0; i < faces; i++, tile += 2 * LANES, W += rows) {
        VECTOR x = LOAD(tile), y = LOAD(tile + LANES);
        UNROLL for (int t = 0; t < rows; t++) {
            VECTOR w = ALL(W[t]);
            sums[t][0] = MORE(sums[t][0], x, w);
            sums[t][1] = MORE(sums[t][1], y, w);
        }
    }
    UNROLL for (int t = 0; t < rows; t++, out += stride) {
        STORE(out, MORE(LOAD(out), ALL(gain), sums[t][0]));
        STORE(out + LANES, MORE(LOAD(out + LANES), ALL(gain), sums[t][1]));
    }
}

/* sums (k, p) = F (k, n) @ X (n, p), for faces that fit in the cache, one after the other */
static TARGET int KIND(combine)(const Py_buffer *of, double gain)
{
    const ptrdiff_t k = of->shape[0], p = of->shape[1], n = of[1].shape[1];
    const ptrdiff_t width = 2 * LANES;
    const ptrdiff_t out_stride = stride(of), F_stride = stride(of + 1), X_step = of[2].strides[0];
    const int is_bytes = *of[2].format == 'B';
    const float *F = of[1].buf;
    const char *X = of[2].buf;
    float *sums = of->buf;
    float *memory = malloc(sizeof(float) * (size_t)(SOME * (width + k) + MIXED * width + 16));
    if (memory == NULL)
        return -1;
    float *tile = (float *)(((uintptr_t)memory + 63) / 64 * 64), *edge = tile + SOME * width;
    float *W = edge + MIXED * width;
    for (ptrdiff_t t = 0; t < k; t++)
        memset(sums + t * out_stride, 0, sizeof(float) * (size_t)p);
    for (ptrdiff_t i = 0; i < n; i += SOME) {
        ptrdiff_t faces = n - i < SOME ? n - i : SOME;
        for (ptrdiff_t t = 0, rows; t < k; t += rows) {
            rows = SIDE_BY_SIDE(k - t);
            for (ptrdiff_t u = 0; u < rows; u++)
                for (ptrdiff_t f = 0; f < faces; f++)
                    W[t * faces + f * rows + u] = F[(t + u) * F_stride + i + f];
        }
        for (ptrdiff_t first = 0; first < p; first += width) {
            ptrdiff_t columns = p - first < width ? p - first : width, rows;
            for (ptrdiff_t f = 0; f < faces; f++)
                if (columns == width) /* which compilers should know */
                    KIND(fill)(X + (i + f) * X_step, is_bytes, first, width,
                               tile + f * width, LANES);
                else
                    KIND(fill)(X + (i + f) * X_step, is_bytes, first, columns,
                               tile + f * width, LANES);
            for (ptrdiff_t t = 0; t < k; t += rows) {
                ptrdiff_t stride = out_stride;
                float *out = sums + t * stride + first;
                rows = SIDE_BY_SIDE(k - t);
                if (columns < width) {
                    memset(edge, 0, sizeof(float) * MIXED * 2 * LANES);
                    out = edge, stride = width;
                }
#define CASE(n)                                                                             \
    case n:                                                                                 \
        KIND(mix)(n, faces, tile, W + t * faces, (float)gain, out, stride);             \
        break;
                switch (rows) {
                    CASE(1) CASE(2) CASE(3) CASE(4) CASE(5) CASE(6)
#if MIXED > 6
                    CASE(7) CASE(8) CASE(9) CASE(10) CASE(11) CASE(12)
#endif
                }
#undef CASE
                if (columns < width)
                    for (ptrdiff_t u = 0; u < rows; u++)
                        for (ptrdiff_t j = 0; j < columns; j++)
                            sums[(t + u) * out_stride + first + j] += edge[u * width + j];
            }
        }
    }
    free(memory);
    return 0;
}

/* out = max(now + beta (now - before), 0), all (k, m), rounded at each step as NumPy does */
static TARGET int KIND(extrapolate)(const Py_buffer *of, double beta)
{
    const ptrdiff_t k = of->shape[0], m = of->shape[1];
    const VECTOR one = ALL(1), by = ALL((float)beta);
    float edge[3][LANES];
    memset(edge, 0, sizeof(edge));
    for (ptrdiff_t t = 0; t < k; t++)
        for (ptrdiff_t j = 0; j < m; j += LANES) {
            float *rows[3];
            size_t some = sizeof(float) * (size_t)(m - j < LANES ? m - j : LANES);
            for (int i = 0; i < 3; i++)
                rows[i] = (float *)of[i].buf + t * stride(of + i) + j;
            float *out = rows[0];
            if (m - j < LANES)
                for (int i = 0; i < 3; i++)
                    rows[i] = memcpy(edge[i], rows[i], some);
            VECTOR now = LOAD(rows[1]), change = LESS(now, one, LOAD(rows[2]));
            STORE(rows[0], MAX(ZERO, MORE(now, one, MORE(ZERO, by, change))));
            if (m - j < LANES)
                memcpy(out, edge[0], some);
        }
    return 0;
}

static const struct kernel KIND(kernel) = {KIND(sweep), KIND(cross), KIND(combine),
                                           KIND(extrapolate)};

#undef KIND
#undef TARGET
#undef VECTOR
#undef LANES
#undef PARTS
#undef WIDTH
#undef FACES
#undef MIXED
#undef ZERO
#undef LOAD
#undef BYTES
#undef STORE
#undef ALL
#undef MAX
#undef LESS
#undef MORE
#undef SUMS
#undef SIDE_BY_SIDE
