/* gzip.c - see gzip.h.
 *
 * Always true: zlib never slides its window, which would be a third of its work. A piece fits into the window as a whole, and a full flush
 * behind it lets zlib begin anew in front. What it forgets there is found again within a few lines, for pages repeat themselves.
 */
#include "gzip.h"

#include <limits.h>
#include <stdlib.h>
#include <zlib.h>

enum { WINDOW_BITS = 15, GZIP_FRAME = 16, MEMORY_LEVEL = 5, PIECE_BYTES = 60 * 1024, FLUSH_BYTES = 16 };

static bool begin(z_stream *z)
{
	*z = (z_stream){ 0 };
	return deflateInit2(z, Z_BEST_SPEED, Z_DEFLATED, WINDOW_BITS + GZIP_FRAME, MEMORY_LEVEL, Z_DEFAULT_STRATEGY) == Z_OK;
}

/* false: `out` was too small. */
static bool pack(z_stream *z, struct span in, char *out, size_t room)
{
	bool going = true;
	z->next_out = (Bytef *)out;
	z->avail_out = (uInt)room;
	while (going && in.len) {
		struct span piece = span_first(in, PIECE_BYTES);
		in = span_from(in, piece.len);
		z->next_in = (z_const Bytef *)(uintptr_t)piece.at;
		z->avail_in = (uInt)piece.len;
		going = deflate(z, in.len ? Z_FULL_FLUSH : Z_FINISH) == (in.len ? Z_OK : Z_STREAM_END) && z->avail_out;
	}
	return going;
}

bool gzip_text(struct text *t)
{
	z_stream z;
	if (!t->owned || t->cut || !t->len || t->len > UINT_MAX / 2 || !begin(&z))
		return false;
	size_t room = deflateBound(&z, (uLong)t->len) + (t->len / PIECE_BYTES + 1) * FLUSH_BYTES;
	char *out = malloc(room);
	bool whole = out && pack(&z, text_span(t), out, room);
	size_t len = (size_t)z.total_out;
	deflateEnd(&z);
	if (!whole) {
		free(out);
		return false;
	}
	char *fit = realloc(out, len);
	free(t->at);
	t->at = fit ? fit : out;
	t->len = t->size = len;
	return true;
}
