/* gzip.c - see gzip.h. */
#include "gzip.h"

#include <limits.h>
#include <stdlib.h>
#include <zlib.h>

/* A small hash table: zlib slides all of it each time its window is full, and with pages that repeat themselves nothing is lost. */
enum { WINDOW_BITS = 15, GZIP_FRAME = 16, MEMORY_LEVEL = 5 };

bool gzip_text(struct text *t)
{
	z_stream z = { 0 };
	if (!t->owned || t->cut || t->len > UINT_MAX / 2
			|| deflateInit2(&z, Z_BEST_SPEED, Z_DEFLATED, WINDOW_BITS + GZIP_FRAME, MEMORY_LEVEL, Z_DEFAULT_STRATEGY) != Z_OK)
		return false;
	uLong room = deflateBound(&z, (uLong)t->len);
	char *out = malloc(room);
	z.next_in = (z_const Bytef *)t->at;
	z.avail_in = (uInt)t->len;
	z.next_out = (Bytef *)out;
	z.avail_out = (uInt)room;
	bool whole = out && deflate(&z, Z_FINISH) == Z_STREAM_END;
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
