/* h1_held.c - the piece of a head, or of trailers, that came without its end.
 *
 * Invariants: `held` is NULL unless there is such a piece, and as small as a chunk for it can be; nothing is gathered beyond
 * h1_held_limit, because the scan refuses first; what is collected is one run in the arena and `held` is gone.
 */
#include "h1_guard.h"

/* The largest section that is read, in pieces or whole: what one chunk can hold is the end of all limits. */
uint32_t h1_held_limit(const struct h1_reader *r)
{
	return r->limits->max_header_bytes < CHUNK_BODY ? r->limits->max_header_bytes : CHUNK_BODY;
}

bool h1_held_add(struct h1_reader *r, struct span piece)
{
	size_t need = (r->held ? r->held->used : 0) + piece.len;

	if (!r->held || need > r->held->size) {
		struct chunk *bigger = chunk_new(r->pool, need <= CHUNK_SMALL ? CHUNK_SMALL : need <= CHUNK_HEAD ? CHUNK_HEAD : CHUNK_BODY);

		if (!bigger)
			return false;
		if (r->held) {
			memcpy(bigger->data, r->held->data, r->held->used);
			bigger->used = r->held->used;
		}
		h1_held_drop(r);
		r->held = bigger;
	}
	memcpy(r->held->data + r->held->used, piece.at, piece.len);
	r->held->used += (unsigned)piece.len;
	return true;
}

struct span h1_held_collect(struct h1_reader *r, struct span piece)
{
	size_t held = r->held ? r->held->used : 0;
	char *to = r->arena ? arena_text(r->arena, held + piece.len) : NULL;

	if (!to)
		return SPAN_NONE;
	if (held)
		memcpy(to, r->held->data, held);
	memcpy(to + held, piece.at, piece.len);
	h1_held_drop(r);
	return (struct span){ to, held + piece.len };
}

void h1_held_drop(struct h1_reader *r)
{
	chunk_unref(r->held);
	r->held = NULL;
}

size_t h1_reader_held(const struct h1_reader *r)
{
	return r->held ? r->held->used : 0;
}
