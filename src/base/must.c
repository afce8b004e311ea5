/* must.c - says which claim was false, lets this thread's witness tell what it was walking, and aborts.
 *
 * The witness is taken down before it is called: a claim that fails inside it aborts at once.
 */
#include "base/must.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

static _Thread_local struct { void (*tell)(void *self); void *self; } witness;

void must_witness(void (*tell)(void *self), void *self)
{
	witness.tell = tell;
	witness.self = self;
}

void must_fail(const char *claim, const char *file, int line, const char *function)
{
	void (*tell)(void *self) = witness.tell;

	witness.tell = NULL;
	fprintf(stderr, "outrigger: must(%s) is false in %s, %s:%d\n", claim, function, file, line);
	if (tell)
		tell(witness.self);
	fflush(stderr);
	abort();
}
