/* splice.c - pipes: made when needed, a few kept for the next body. */
#include "splice.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

enum { PIPE_BYTES = 1024 * 1024, PIPES_KEPT = 32 };

struct splice {
	struct chunk   chunk;             /* first: slices point at it */
	struct loop   *loop;
	struct splice *next;
	int            out, in;           /* read end, write end */
	size_t         inside;
};

static struct splice *splice_of(struct chunk *c) { return container_of(c, struct splice, chunk); }

static void destroy(struct splice *s)
{
	close(s->out);
	close(s->in);
	free(s);
}

static void release(struct chunk *c)
{
	struct splice *s = splice_of(c);
	struct loop *loop = s->loop;
	if (s->inside || loop->splice_count >= PIPES_KEPT) {      /* bytes that nobody wrote must not reach anybody else */
		destroy(s);
		return;
	}
	s->next = loop->splices;
	loop->splices = s;
	loop->splice_count++;
}

static struct splice *take(struct loop *loop)
{
	int ends[2];
	struct splice *s = loop->splices;
	if (s) {
		loop->splices = s->next;
		loop->splice_count--;
		s->chunk.refs = 1;
		return s;
	}
	s = calloc(1, sizeof(*s));
	if (!s || pipe2(ends, O_NONBLOCK | O_CLOEXEC) != 0) {
		free(s);
		return NULL;
	}
	fcntl(ends[1], F_SETPIPE_SZ, PIPE_BYTES); /* may be refused (fs.pipe-user-pages-soft): a smaller one works too */
	*s = (struct splice){ .chunk = { .refs = 1, .release = release }, .loop = loop, .out = ends[0], .in = ends[1] };
	return s;
}

ssize_t splice_read(struct loop *loop, struct splice **pipe, int from, size_t most, struct slice *got)
{
	if (!*pipe && !(*pipe = take(loop))) {
		errno = EINVAL;                   /* no descriptors, no memory: the caller reads as usual */
		return -1;
	}
	struct splice *s = *pipe;
	ssize_t n = splice(from, NULL, s->in, NULL, most, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
	if (n > 0) {
		s->inside += (size_t)n;
		*got = (struct slice){ &s->chunk, NULL, (size_t)n };
	}
	return n;
}

ssize_t splice_write(struct slice bytes, int to)
{
	struct splice *s = splice_of(bytes.chunk);
	ssize_t n = splice(s->out, NULL, to, NULL, bytes.len, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
	if (n > 0)
		s->inside -= (size_t)n;
	return n;
}

void splice_done(struct splice **pipe)
{
	if (*pipe)
		chunk_unref(&(*pipe)->chunk);
	*pipe = NULL;
}

void splice_pool_fini(struct loop *loop)
{
	while (loop->splices) {
		struct splice *s = loop->splices;
		loop->splices = s->next;
		destroy(s);
	}
	loop->splice_count = 0;
}
