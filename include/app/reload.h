/* reload.h - another configuration while it runs (behaviour §12; design §7): all of it or nothing.
 *
 *   read and check ─▶ upstreams: those that are unchanged stay, new ones are looked up ─▶ each data thread builds its routes
 *   ─▶ from here on it is what is shown ─▶ each data thread adopts it ─▶ the old one goes when its last exchange ends
 *
 * Whatever fails before the third arrow leaves everything as it was, and is told: in the log, /readyz?verbose, /status.json, the metrics, and the
 * answer of POST /reload. State of policies is kept by name (core/shared.h); counters too; listeners by their address; endpoints and pools of an
 * upstream when nothing about it has changed but its policies' settings. What is read at start only (workers, admin.listen ...) must be the same.
 */
#ifndef APP_RELOAD_H
#define APP_RELOAD_H

#include "app/server.h"

/* How to read the configuration again (text.at != NULL: its file's bytes were these), and whether to do so whenever the file changes. */
struct conf_reader { struct conf *(*read)(void *self, struct span text, struct conf_report *); void *self; bool watch; };

enum reload_step { RELOAD_IDLE, RELOAD_LOOKING_UP, RELOAD_BUILDING, RELOAD_ADOPTING };
struct reload {
	struct server     *server;
	struct conf_reader reader;            /* read == NULL: there is no file */
	enum reload_step   step;
	/* the next one */
	struct conf       *conf;
	struct upstream  **upstreams;
	struct trust      *trust;
	struct stores     *stores;
	struct sockets     added;             /* of listeners that are new */
	uint64_t           left_us;           /* when a listener was last taken away */
	unsigned           waiting;           /* data threads that have not answered */
	bool               failed;
	/* the one before, until all have adopted */
	struct conf       *old_conf;
	struct upstream  **old_upstreams; unsigned old_count;
	struct trust      *old_trust;
	struct stores     *old_stores;
	/* for people */
	bool               refused;           /* the last one was: what is on disk is not what runs */
	struct text        error;             /* why */
	uint64_t           succeeded, failures, last_wall_ms;     /* last_wall_ms: of the last that succeeded; at first, of the start */
};

struct reload *reload_new(struct server *, struct conf_reader);
void reload_free(struct reload *);
/* Begins one. Says in `out` what has changed, or why not. Returns the status for POST /reload: 200, 409 (not now), 422 (refused). Control thread. */
int  reload_begin(struct reload *, struct text *out);
/* Messages of data threads. */
void reload_built(struct message *);
void reload_adopted(struct message *);

#endif
