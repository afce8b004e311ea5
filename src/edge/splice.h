/* splice.h - private: body bytes that stay in the kernel, in a pipe between two sockets.
 *
 * A long body of known length concerns nobody here: it goes from socket to pipe to socket by reference to the kernel's pages, which saves
 * copying it twice. A pipe is a chunk whose bytes are elsewhere (buf.h): it has one reader at a time, its slices are written in the order
 * they were read, and what is dropped unwritten spoils it.
 */
#ifndef SRC_EDGE_SPLICE_H
#define SRC_EDGE_SPLICE_H

#include "edge/loop.h"

enum {
	SPLICE_MIN = 64 * 1024,                   /* shorter bodies are cheaper to copy */
	SPLICE_MOST = 512 * 1024,                 /* one read takes no more             */
};

struct splice;
/* As read(2): bytes, 0 at the end, -1 with errno. *pipe is made when NULL. */
ssize_t splice_read(struct loop *, struct splice **pipe, int from, size_t most, struct slice *got);
ssize_t splice_write(struct slice, int to);       /* as write(2) */
void    splice_done(struct splice **);    /* the reader's reference; *pipe becomes NULL (and may be NULL already) */
void    splice_pool_fini(struct loop *);

#endif
