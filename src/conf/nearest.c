/* nearest.c - "did you mean": the candidate with the smallest edit distance (Levenshtein with neighbour swaps, "optimal
 * string alignment"), when it is small enough to be a slip of the finger. */
#include <stdio.h>

#include "load.h"

enum { NEAREST_LEN_MAX = 48 };

static unsigned smaller(unsigned a, unsigned b) { return a < b ? a : b; }

static unsigned edit_distance(struct span a, struct span b)
{
	unsigned rows[3][NEAREST_LEN_MAX + 1], *older = rows[0], *last = rows[1], *row = rows[2];
	for (unsigned j = 0; j <= b.len; j++)
		older[j] = last[j] = j;
	for (unsigned i = 1; i <= a.len; i++) {
		row[0] = i;
		for (unsigned j = 1; j <= b.len; j++) {
			unsigned differs = char_lower(a.at[i - 1]) != char_lower(b.at[j - 1]);
			row[j] = smaller(smaller(last[j] + 1, row[j - 1] + 1), last[j - 1] + differs);
			if (i > 1 && j > 1 && a.at[i - 1] == b.at[j - 2] && a.at[i - 2] == b.at[j - 1])
				row[j] = smaller(row[j], older[j - 2] + 1);
		}
		unsigned *spare = older;
		older = last;
		last = row;
		row = spare;
	}
	return last[b.len];
}

void nearest_init(struct nearest *n, struct span wanted)
{
	*n = (struct nearest){ .wanted = wanted, .distance = (unsigned)-1 };
}

void nearest_offer(struct nearest *n, const char *prefix, struct span candidate)
{
	if (n->wanted.len > NEAREST_LEN_MAX || candidate.len > NEAREST_LEN_MAX)
		return;
	unsigned distance = edit_distance(n->wanted, candidate);
	/* A candidate in another block must be exact: it says where the key belongs, not how it is spelt. */
	if (distance >= n->distance || (*prefix && distance))
		return;
	n->distance = distance;
	snprintf(n->best, sizeof(n->best), "%s" SPAN_FMT, prefix, SPAN_ARG(candidate));
}

bool nearest_found(const struct nearest *n)
{
	return n->distance <= (n->wanted.len + 2) / 3;
}
