/* crash.c - see crash.h. */
#include "app/crash.h"

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <time.h>

#include "app/keeper.h"
#include "app/server.h"
#include "edge/front_h1.h"

enum { PATIENCE_STEPS = 150, STEP_NS = 200000, STACK = 32 * 1024 };

static const int faults[] = { SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT };
enum { FAULTS = sizeof(faults) / sizeof(*faults) };

/* A process has one server and dies once. */
static struct server *server;
static struct sigaction before[FAULTS];
static unsigned dying, told;                  /* atomic; told: loops that have passed theirs on */
static _Thread_local struct data_thread *here;
static _Thread_local char stack[STACK];       /* a fault may well be that the other one is used up */

/* ── passing on ── */

struct parcel { const struct listener *from; unsigned count; int fds[KEEPER_FDS]; };

static void send_off(struct parcel *p)
{
	if (p->count)
		keeper_leave(server->keeper, p->from->address, p->fds, p->count);
	p->count = 0;
}

static void put_in(void *self, const struct listener *from, int fd)
{
	struct parcel *p = self;
	if (p->from != from || p->count == KEEPER_FDS)
		send_off(p);
	p->from = from;
	p->fds[p->count++] = fd;
}

static void pass_on(struct data_thread *t)
{
	struct parcel p = { .count = 0 };
	front_h1_at_rest(&t->step, put_in, &p);
	send_off(&p);
}

/* Another thread is dying. This one has begun no turn, so all that it has is whole; and it begins none any more. */
static void stand_still(void *self)
{
	pass_on(self);
	__atomic_add_fetch(&told, 1, __ATOMIC_RELEASE);
	for (;;)
		poll(NULL, 0, -1);
}

static void pass_all_on(void)
{
	unsigned others = 0;
	for (unsigned i = 0; i < server->thread_count; i++)
		if (&server->threads[i] != here && server->threads[i].running) {
			loop_halt(&server->threads[i].loop);
			others++;
		}
	if (here)
		pass_on(here);
	for (int i = 0; i < PATIENCE_STEPS && __atomic_load_n(&told, __ATOMIC_ACQUIRE) < others; i++)
		nanosleep(&(struct timespec){ 0, STEP_NS }, NULL);
}

/* ── the fault ── */

void crash_unwatch(void)
{
	for (unsigned i = 0; server && i < FAULTS; i++)
		sigaction(faults[i], &before[i], NULL);
}

static void at_fault(int number, siginfo_t *why, void *context)
{
	(void)context;
	while (__atomic_exchange_n(&dying, 1, __ATOMIC_ACQ_REL))
		poll(NULL, 0, -1);                /* somebody else was first, and ends us all */
	pass_all_on();
	crash_unwatch();
	if (why->si_code <= 0)                    /* sent by somebody; a fault of our own happens again when this returns */
		raise(number);
}

static void take_stack(void)
{
	stack_t old;
	if (sigaltstack(NULL, &old) == 0 && (old.ss_flags & SS_DISABLE))
		sigaltstack(&(stack_t){ .ss_sp = stack, .ss_size = sizeof(stack) }, NULL);
}

void crash_thread_begins(struct data_thread *t)
{
	sigset_t set;
	if (server == NULL)
		return;
	here = t;
	take_stack();
	sigemptyset(&set);
	for (unsigned i = 0; i < FAULTS; i++)
		sigaddset(&set, faults[i]);
	pthread_sigmask(SIG_UNBLOCK, &set, NULL); /* blocked, they would end the process without a word */
}

void crash_watch(struct server *s)
{
	struct sigaction a = { .sa_sigaction = at_fault, .sa_flags = SA_SIGINFO | SA_ONSTACK };
	server = s;
	for (unsigned i = 0; i < s->thread_count; i++) {
		s->threads[i].loop.on_halt = stand_still;
		s->threads[i].loop.halt_self = &s->threads[i];
	}
	take_stack();
	sigemptyset(&a.sa_mask);
	for (unsigned i = 0; i < FAULTS; i++)
		sigaddset(&a.sa_mask, faults[i]); /* a second one, in the handler, ends it */
	for (unsigned i = 0; i < FAULTS; i++)
		sigaction(faults[i], &a, &before[i]);
}
