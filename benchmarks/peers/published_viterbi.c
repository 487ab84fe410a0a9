/* The customized Viterbi search as published: one list of states per survivor, searched from end to
 * end for every pair of states, and the matrices copied for each fragment as arguments by value are.
 * Written from the description, for comparison only; cc -O3 -shared -fPIC.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

static void *copied(const void *source, size_t bytes) {
    void *copy = malloc(bytes);
    memcpy(copy, source, bytes);
    return copy;
}

static int holds(const int *list, long length, int state) {
    for (long k = 0; k < length; k++)
        if (list[k] == state) return 1;
    return 0;
}

/* Search from residue `first` on; write the frozen path and return its length. */
static long fragment(const double *log_t_given, const double *log_e_given, const double *log_pi,
                     const long *codes, long first, long length, int n, const char *is_free,
                     int *path) {
    double *log_t = copied(log_t_given, sizeof(double) * n * n);
    double *log_e = copied(log_e_given, sizeof(double) * n * 20);
    double *value = malloc(sizeof(double) * n), *next = malloc(sizeof(double) * n);
    int **lists = malloc(sizeof(int *) * n), **longer = malloc(sizeof(int *) * n);
    for (int s = 0; s < n; s++) {
        value[s] = log_pi[s] + log_e[s * 20 + codes[first]];
        lists[s] = copied(&s, sizeof(int));
    }
    long done = 1;
    int stuck = 0;
    for (; first + done < length && !stuck; done++) {
        for (int s = 0; s < n; s++) longer[s] = NULL;
        for (int s = 0; s < n && !stuck; s++) {
            if (!is_free[s]) continue;
            double best = -INFINITY;
            int from = -1;
            for (int p = 0; p < n; p++) {
                if (!is_free[p] || holds(lists[p], done, s)) continue;
                double total = value[p] + log_t[(size_t)p * n + s] + log_e[s * 20 + codes[first + done]];
                if (total > best) best = total, from = p;
            }
            if (from < 0) {
                stuck = 1;
                break;
            }
            next[s] = best;
            longer[s] = malloc(sizeof(int) * (done + 1));
            memcpy(longer[s], lists[from], sizeof(int) * done);
            longer[s][done] = s;
        }
        int **drop = stuck ? longer : lists;
        for (int s = 0; s < n; s++) free(drop[s]), drop[s] = NULL;
        if (stuck) break;
        int **kept = lists;
        lists = longer, longer = kept;
        double *old = value;
        value = next, next = old;
    }
    int end = -1;
    for (int s = 0; s < n; s++)
        if (is_free[s] && (end < 0 || value[s] > value[end])) end = s;
    memcpy(path, lists[end], sizeof(int) * done);
    for (int s = 0; s < n; s++) free(lists[s]);
    free(lists), free(longer), free(value), free(next), free(log_t), free(log_e);
    return done;
}

/* Fill state and fragment number of each residue; return how many residues found a state. */
long published_viterbi(const double *log_t, const double *log_e, const double *log_pi,
                       const long *codes, long length, int n, int *path, int *number) {
    char *is_free = malloc(n);
    memset(is_free, 1, n);
    long at = 0, left = n;
    for (int count = 0; at < length && left > 0; count++) {
        long done = fragment(log_t, log_e, log_pi, codes, at, length, n, is_free, path + at);
        for (long k = at; k < at + done; k++) is_free[path[k]] = 0, number[k] = count;
        at += done, left -= done;
    }
    free(is_free);
    return at;
}
