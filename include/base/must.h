/* must.h - what is always true, checked always.
 *
 * must() is for bugs only: a condition that no peer, clock, limit or operator can make false. It writes what was
 * claimed, lets the witness (set by whoever runs the loop) dump what was being walked, and aborts; the supervisor restarts.
 */
#ifndef BASE_MUST_H
#define BASE_MUST_H

#define must(claim) ((claim) ? (void)0 : must_fail(#claim, __FILE__, __LINE__, __func__))

_Noreturn void must_fail(const char *claim, const char *file, int line, const char *function);

/* Called with `self` before the abort, on the failing thread; writes to stderr only. One witness per thread. */
void must_witness(void (*tell)(void *self), void *self);

#endif
