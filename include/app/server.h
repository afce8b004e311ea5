/* server.h - the server process: configuration, listening sockets, data threads, and the control thread that runs them.
 *
 * The control thread is the main thread. It owns everything here; data threads read what is immutable while they run (conf, gate, trust,
 * upstreams' shared parts) and are otherwise talked to by messages.
 *
 *   life    STARTING ─▶ SERVING ─▶ DELAYING ─▶ DRAINING ─▶ over           (DELAYING: shutdown.delay; /readyz says no)
 *   /drain  SERVING ◀─▶ "draining by request": not ready, keep-alive off, still accepting: what a rolling deploy wants before TERM
 */
#ifndef APP_SERVER_H
#define APP_SERVER_H

#include "app/data_thread.h"
#include "app/notify.h"
#include "app/estate.h"
#include "app/sandbox.h"
#include "app/sockets.h"
#include "app/overload.h"
#include "conf/conf.h"
#include "core/shared.h"
#include "http/forward.h"

#define LIVES(X) X(starting) X(serving) X(delaying) X(draining) X(stopping)
enum life {
#define X(word) LIFE_##word,
	LIVES(X)
#undef X
};
const char *life_name(enum life);

enum { EXIT_DONE = 0, EXIT_USAGE = 64, EXIT_LISTEN = 69, EXIT_INTERNAL = 70, EXIT_CONFIG = 78 };

struct resolver; struct fetcher; struct health; struct admin; struct access_log; struct metrics; struct rows; struct reload;
struct conf_watch; struct flags; struct stores; struct keyring; struct tracing;
struct conf_reader;

struct server {
	struct conf        *conf;
	struct loop         control;
	struct shared      *shared;
	struct gate        *gate;
	struct trust       *trust;
	struct upstream   **upstreams;        /* [conf->upstream_count] */
	struct data_thread *threads; unsigned thread_count;
	struct sockets      sockets;          /* until listeners have them */
	int                 keeper;           /* whom to ask for more; -1: nobody holds them but this process */
	struct survivors   *survivors;        /* clients of the server before: data threads let them in */
	struct sandbox      sandbox;
	struct estate      *estate;           /* NULL: there is no supervisor */
	void               *saved_memory; struct span saved;     /* what cores were before the crash; until it serves */
	struct resolver    *resolver;
	struct stores      *stores;
	struct fetcher     *fetcher;
	struct health      *health;
	struct keyring     *keyring;          /* gets the keys that tokens are checked with */
	struct flags       *flags;
	struct admin       *admin;
	struct access_log  *access_log;
	struct tracing     *tracing;
	struct rows        *rows;
	struct reload      *reload;
	struct conf_watch  *conf_watch;       /* NULL: nobody asked for it */
	enum life           life;             /* written by the control thread only */
	unsigned            unsettled;        /* what is waited for before it serves: names, keys, flags */
	bool                asked_to_drain;   /* POST /drain                         */
	unsigned            drained;          /* threads that have nothing left      */
	uint64_t            started_us, started_wall_ms;
	char                config_digest[65];
	char                instance[INSTANCE_ID];   /* drawn when the process starts; in Via */
	unsigned            stops;            /* TERMs and INTs that were carried out, and that came here directly */
	unsigned            direct_stops;
	uv_signal_t         signals[6];
	struct timer        patience, delay, log_again, save_again, heartbeat;
	struct overload     overload;
	struct notify       notify;           /* the service manager, if there is one */
	uv_async_t          log_bell;
	int                 exit_code;
};

struct server_start {
	const struct conf_reader *reader;     /* how to read the configuration again; NULL: there is no file */
	/* from a supervisor; NULL: there is none */
	struct sockets           *sockets;
	struct survivors         *survivors;
	struct estate            *estate;
	const sigset_t           *signals;    /* the mask once there are handlers */
	int                       keeper;     /* see keeper.h */
	int                       notify;     /* where the service manager is told; -1: there is none */
};
/* Runs until stopped; returns the exit code. Takes over the configuration. */
int  server_run(struct conf *, const struct server_start *);
void server_keep_conf(struct server *);           /* for a successor; after it was put there */
void server_save(struct server *);                /* ... and the state of cores, now */
/* Control thread only. */
void server_stop(struct server *, bool at_once);  /* TERM; at once: QUIT, or a second TERM */
void server_drain(struct server *, bool drain);   /* POST /drain, /undrain */
void server_digest(struct server *);              /* of server->conf, after it was put there */
void server_tell_ready(struct server *);          /* the service manager: at the start, and when a reload is over */
bool server_is_ready(const struct server *);      /* without the upstreams' part: see admin */
/* Any data thread. */
void server_thread_drained(struct server *);

#endif
