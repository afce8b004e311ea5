/* supervisor.c - see supervisor.h. One thread, no loop: it waits for signals, and looks at the server's pulses twice a second.
 *
 * Signals may come to the server too, from a terminal or a service manager that tells the whole group. So orders are passed on as counts and bits in
 * memory that both share, and TERM that comes both ways is one TERM (server.c).
 */
#include "app/supervisor.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "app/estate.h"
#include "app/keeper.h"
#include "app/notify.h"
#include "base/log.h"
#include "resources.h"

enum {
	TICK_US = 500000,
	SETTLED_US = 1000000,                 /* who lived so long is replaced at once ...                           */
	STABLE_US = 10000000,                 /* ... and who lived so long has made good for all crashes before       */
	BACKOFF_US = 100000, BACKOFF_MAX_US = 10000000,
	STILL_MIN_TICKS = 4,                  /* a loop with nothing to do turns once a second */
	ABORT_TICKS = 4,                      /* SIGABRT has not helped: SIGKILL          */
	LEAVING_TICKS = 60,                   /* tearing down takes no longer             */
};

struct pulse { uint64_t seen_us; unsigned still; };       /* for so many ticks of ours: time that we did not run does not count */

struct supervisor {
	struct conf   *conf;
	const struct conf_reader *reader;
	struct sockets sockets;
	struct survivors survivors;           /* of the server that has died, until the next one has them */
	struct estate *estate;
	sigset_t       signals, before;
	int            signal_fd;
	struct notify  notify;                /* the service manager, if there is one */
	int            ear, mouth;            /* what servers tell it; -1: nobody wants to know */
	int            keeper, asking;        /* both ends of what they ask it for: sockets     */
	pid_t          pid;                   /* the server; 0: none runs */
	uint64_t       started_us, next_tick_us;
	struct pulse  *pulses;                /* [workers + 1]; the last is the control loop's */
	unsigned       leaving, aborting;     /* ticks */
	bool           stopping, hung;        /* hung: the watchdog has ended it */
	uint64_t       backoff_us;            /* before the next that does not live long  */
};

static void nobody_to_wake(void *self) { (void)self; }    /* the log is flushed at every turn anyway */

/* ── orders ── */

static void pass_on(struct supervisor *v, int number)
{
	struct estate *e = v->estate;
	if (number == SIGTERM || number == SIGINT)
		__atomic_fetch_add(&e->stops, 1, __ATOMIC_RELEASE);
	else
		__atomic_fetch_or(&e->orders, number == SIGQUIT ? ORDER_QUIT : number == SIGHUP ? ORDER_RELOAD : ORDER_REOPEN, __ATOMIC_RELEASE);
	v->stopping |= number == SIGTERM || number == SIGINT || number == SIGQUIT;
	if (v->pid)
		kill(v->pid, ORDERS_SIGNAL);
}

/* ── the watchdog ── */

static bool is_still(struct pulse *p, const uint64_t *at)
{
	uint64_t now = __atomic_load_n(at, __ATOMIC_RELAXED);
	p->still = now && now == p->seen_us ? p->still + 1 : 0;
	p->seen_us = now;
	return p->still != 0;
}

static void end_it(struct supervisor *v, const char *who)
{
	struct log_line l;
	log_begin(&l, LOG_ERROR, "watchdog");
	log_u64(&l, "pid", (uint64_t)v->pid);
	log_text(&l, "stands_still", who);
	log_end(&l);
	v->hung = true;
	v->aborting = 1;
	kill(v->pid, SIGABRT);
	kill(v->pid, SIGCONT);                    /* one that is stopped gets no other signal */
}

static void look(struct supervisor *v)
{
	unsigned limit = (unsigned)(v->conf->watchdog_us / TICK_US), workers = v->estate->workers;
	if (limit && limit < STILL_MIN_TICKS)
		limit = STILL_MIN_TICKS;
	if (v->aborting) {
		if (++v->aborting > ABORT_TICKS)
			kill(v->pid, SIGKILL);
		return;
	}
	if (__atomic_load_n(&v->estate->leaving, __ATOMIC_ACQUIRE)) {
		if (++v->leaving > LEAVING_TICKS)
			end_it(v, "its end");
		return;
	}
	if (!limit)
		return;
	for (unsigned i = 0; i <= workers; i++) {
		bool control = i == workers;
		if (is_still(&v->pulses[i], control ? &v->estate->control_pulse_us : &v->estate->worker[i].pulse_us) && v->pulses[i].still >= limit) {
			end_it(v, control ? "the control loop" : "a data loop");
			return;
		}
	}
}

/* ── what is left of a server ── */

static void tell_requests(struct supervisor *v, uint64_t *named, uint64_t *unnamed)
{
	uint64_t now_ms = clock_wall_ms();
	for (unsigned w = 0; w < v->estate->workers; w++) {
		const struct estate_worker *from = &v->estate->worker[w];
		*unnamed += from->beyond;
		for (unsigned i = 0; i < ESTATE_REQUESTS; i++) {
			const struct estate_request *r = &from->request[i];
			struct log_line l;
			if (!r->live || r->id_len > ESTATE_ID || r->route_len > ESTATE_ROUTE)
				continue;
			++*named;
			log_begin(&l, LOG_ERROR, "request_lost");
			log_span(&l, "request_id", (struct span){ r->id, r->id_len });
			log_span(&l, "route", (struct span){ r->route, r->route_len });
			log_u64(&l, "in_flight_ms", now_ms > r->since_ms ? now_ms - r->since_ms : 0);
			log_end(&l);
			if (*named % 64 == 0)
				log_flush();
		}
	}
}

static enum restart_cause cause_of(const struct supervisor *v, int status)
{
	if (v->hung)
		return RESTART_watchdog;
	if (WIFEXITED(status))
		return RESTART_exit;
	return WTERMSIG(status) == SIGKILL ? RESTART_killed : WTERMSIG(status) == SIGABRT ? RESTART_abort : RESTART_crash;
}

static void tell_crash(struct supervisor *v, pid_t pid, int status, uint64_t wait_us)
{
	enum restart_cause cause = cause_of(v, status);
	uint64_t named = 0, unnamed = 0;
	struct log_line l;

	v->estate->restarts[cause]++;
	log_begin(&l, LOG_ERROR, "server_died");
	log_u64(&l, "pid", (uint64_t)pid);
	log_text(&l, "cause", restart_cause_name(cause));
	const char *name = WIFSIGNALED(status) ? sigabbrev_np(WTERMSIG(status)) : NULL;
	if (name)
		log_text(&l, "signal", name);
	else if (WIFSIGNALED(status))             /* a real-time one */
		log_u64(&l, "signal", (uint64_t)WTERMSIG(status));
	else
		log_u64(&l, "exit", (uint64_t)WEXITSTATUS(status));
	log_f(&l, "lived_s", "%.3f", (double)(clock_now_us() - v->started_us) / 1e6);
	log_u64(&l, "connections", v->estate->connections);      /* of clients */
	log_u64(&l, "connections_kept", v->survivors.count);
	log_u64(&l, "replaced_in_ms", wait_us / 1000);
	log_end(&l);
	tell_requests(v, &named, &unnamed);
	if (named + unnamed) {
		log_begin(&l, LOG_ERROR, "requests_lost");
		log_u64(&l, "named", named);
		log_u64(&l, "unnamed", unnamed);
		log_end(&l);
	}
}

/* Crashes one after another are worth waiting between; one now and then is not. */
static uint64_t back_off(struct supervisor *v)
{
	uint64_t lived_us = clock_now_us() - v->started_us, wait_us = v->backoff_us;
	if (lived_us >= STABLE_US)
		v->backoff_us = 0;
	if (lived_us >= SETTLED_US && __atomic_load_n(&v->estate->serving_us, __ATOMIC_RELAXED))
		return 0;
	v->backoff_us = wait_us ? wait_us * 2 : BACKOFF_US;
	if (v->backoff_us > BACKOFF_MAX_US)
		v->backoff_us = BACKOFF_MAX_US;
	return wait_us;
}

/* Did it end by itself, in order? Then so do we. */
static bool is_the_end(const struct supervisor *v, int status, int *code)
{
	if (WIFEXITED(status)) {
		*code = WEXITSTATUS(status);
		return v->stopping || v->estate->leaving || *code == EXIT_DONE || *code == EXIT_USAGE || *code == EXIT_LISTEN
			|| *code == EXIT_INTERNAL || *code == EXIT_CONFIG;
	}
	*code = EXIT_INTERNAL;
	return v->stopping;
}

/* ── waiting ── */

static void take_signals(struct supervisor *v)
{
	struct signalfd_siginfo s;
	while (read(v->signal_fd, &s, sizeof(s)) == sizeof(s))
		if (s.ssi_signo != SIGCHLD)
			pass_on(v, (int)s.ssi_signo);
}

static void listen_to_it(struct supervisor *v)
{
	char message[1024];
	ssize_t n;
	while (v->ear >= 0 && (n = recv(v->ear, message, sizeof(message), MSG_DONTWAIT)) > 0)
		notify_pass_on(&v->notify, (struct span){ message, (size_t)n });
}

/* Until the server has ended (true, and how), or `until_us`. */
static bool wait_for_it(struct supervisor *v, uint64_t until_us, int *status)
{
	for (;;) {
		uint64_t now = clock_now_us(), next = v->next_tick_us < until_us ? v->next_tick_us : until_us, left = next > now ? next - now : 0;
		struct pollfd on[] = {
			{ .fd = v->signal_fd, .events = POLLIN }, { .fd = v->ear, .events = POLLIN }, { .fd = v->keeper, .events = POLLIN },
		};
		poll(on, 3, left < TICK_US ? (int)((left + 999) / 1000) : TICK_US / 1000);
		take_signals(v);
		listen_to_it(v);
		keeper_answer(v->keeper, &v->sockets, &v->survivors);
		for (pid_t pid; (pid = waitpid(-1, status, WNOHANG)) > 0; )       /* others than the server: orphans, if we are process 1 */
			if (pid == v->pid)
				return true;
		log_flush();
		now = clock_now_us();
		if (now >= until_us || (v->stopping && !v->pid))
			return false;
		if (now >= v->next_tick_us) {
			v->next_tick_us = now + TICK_US;
			if (v->pid)
				look(v);
		}
	}
}

/* ── the server ── */

/* A reload may have come between: what was in force when the last one died is what the next one begins with. */
static void take_conf_in_force(struct supervisor *v)
{
	struct span text = estate_kept(&v->estate->conf);
	struct conf_report report;
	if (!text.len || !v->reader || span_eq(text, v->conf->text_read))
		return;
	conf_report_init(&report);
	struct conf *now = v->reader->read(v->reader->self, text, &report);
	conf_report_fini(&report);
	if (!now) {
		log_event(LOG_ERROR, "reload_forgotten", NULL);
		return;
	}
	conf_unref(v->conf);
	v->conf = now;
}

static void close_ours(struct supervisor *v)
{
	close(v->signal_fd);
	if (v->ear >= 0)
		close(v->ear);
	if (v->keeper >= 0)
		close(v->keeper);
	notify_fini(&v->notify);
}

static int serve(struct supervisor *v, pid_t parent)
{
	log_after_fork();
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)                  /* it was gone before it could be a condition */
		return EXIT_INTERNAL;
	take_conf_in_force(v);
	close_ours(v);
	free(v->pulses);
	return server_run(v->conf, &(struct server_start){ .reader = v->reader, .sockets = &v->sockets, .survivors = &v->survivors,
		.estate = v->estate, .signals = &v->before, .notify = v->mouth, .keeper = v->asking });
}

static int give_up(struct supervisor *v, int code)
{
	close_ours(v);
	if (v->mouth >= 0)
		close(v->mouth);
	if (v->asking >= 0)
		close(v->asking);
	sockets_close(&v->sockets, v->conf);
	survivors_close(&v->survivors);
	estate_free(v->estate);
	free(v->pulses);
	conf_unref(v->conf);
	log_stop();
	return code;
}

static bool hold_signals(struct supervisor *v)
{
	static const int numbers[] = { SIGTERM, SIGINT, SIGQUIT, SIGHUP, SIGUSR1, SIGCHLD };
	sigemptyset(&v->signals);
	for (unsigned i = 0; i < sizeof(numbers) / sizeof(*numbers); i++)
		sigaddset(&v->signals, numbers[i]);
	signal(SIGCHLD, SIG_DFL);                 /* ignored, as some parents leave it, there would be nothing to wait for */
	sigset_t all = v->signals;
	sigaddset(&all, ORDERS_SIGNAL);
	sigprocmask(SIG_BLOCK, &all, &v->before);
	v->signal_fd = signalfd(-1, &v->signals, SFD_CLOEXEC | SFD_NONBLOCK);
	return v->signal_fd >= 0;
}

/* The manager hears the process that it has started, so what servers have to say comes this way. */
static bool reach_manager(struct supervisor *v)
{
	int pair[2];
	const char *why = "", *wanted = getenv("NOTIFY_SOCKET");
	if (!notify_init(&v->notify, -1, &why))
		log_event(LOG_WARN, "notify_failed", "error", why, NULL);
	if (!wanted || !*wanted)
		return true;
	if (socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, pair) != 0)
		return false;
	v->ear = pair[0];
	v->mouth = pair[1];
	return true;
}

/* true: in the child. */
static bool start(struct supervisor *v)
{
	struct log_line l;
	estate_next(v->estate);
	sockets_listen_again(&v->sockets);
	memset(v->pulses, 0, (v->estate->workers + 1) * sizeof(*v->pulses));
	v->leaving = v->aborting = 0;
	v->hung = false;
	v->started_us = clock_now_us();
	v->next_tick_us = v->started_us + TICK_US;
	fflush(NULL);
	v->pid = fork();
	if (v->pid == 0)
		return true;
	if (v->pid < 0) {                         /* no memory, or no process: as if it had died at once */
		v->pid = 0;
		log_event(LOG_ERROR, "no_process", "error", strerror(errno), NULL);
		return false;
	}
	survivors_close(&v->survivors);           /* it has them now; held here too, they could not be closed */
	log_begin(&l, LOG_INFO, "server_started");
	log_u64(&l, "pid", (uint64_t)v->pid);
	log_end(&l);
	log_flush();
	return false;
}

int supervisor_run(struct conf *conf, const struct conf_reader *reader)
{
	struct supervisor v = { .conf = conf, .reader = reader, .signal_fd = -1, .ear = -1, .mouth = -1, .keeper = -1, .asking = -1,
		.notify = { .fd = -1 } };
	pid_t self = getpid();
	int status = 0, code = sockets_open(&v.sockets, conf);

	resources_raise_descriptor_limit();       /* a dying server may leave it as many as it had */
	v.estate = estate_new((unsigned)conf->workers);
	v.pulses = calloc(conf->workers + 1, sizeof(*v.pulses));
	if (code == EXIT_DONE && (!v.estate || !v.pulses || !hold_signals(&v) || !reach_manager(&v)
			|| !keeper_pair(&v.keeper, &v.asking))) {
		fprintf(stderr, "outrigger: supervisor: %s\n", strerror(errno));
		code = EXIT_INTERNAL;
	}
	if (code != EXIT_DONE)
		return give_up(&v, code);
	log_start(nobody_to_wake, NULL);
	for (;;) {
		if (start(&v))
			return serve(&v, self);
		if (v.pid) {
			wait_for_it(&v, UINT64_MAX, &status);
			pid_t pid = v.pid;
			v.pid = 0;
			keeper_answer(v.keeper, &v.sockets, &v.survivors);        /* its last words may have come just now */
			if (is_the_end(&v, status, &code))
				return give_up(&v, code);
			uint64_t wait_us = back_off(&v);
			tell_crash(&v, pid, status, wait_us);
			wait_for_it(&v, clock_now_us() + wait_us, &status);
		} else
			wait_for_it(&v, clock_now_us() + back_off(&v) + BACKOFF_US, &status);
		if (v.stopping)
			return give_up(&v, EXIT_DONE);
	}
}
