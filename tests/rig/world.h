/* world.h - the real core and the real policies under a real configuration, between pretend neighbours, in virtual time.
 *
 *   guests   pretend clients (client_ops): guest.h         script   scripted upstreams (upstream_ops): script.h
 *   store    a pretend shared store (store_ops)            doors    witness, turner, asker: policies that watch and meddle
 *
 * A step is one thing that happens: an event of the outside, or the timers that are due. A turn is exchanges_run() until nothing is
 * ready. As in the real loop, what happens only posts; between two turns lie as many steps as `drain_every` says. So one can stop after any
 * step and take a client away: world.watch is called after each of them.
 *
 * world_close() checks what must hold after any history whatever: every exchange had one last word, all doors are settled, no timer is
 * armed, no call is pending, no endpoint is busy, no body chunk is out.
 */
#ifndef RIG_WORLD_H
#define RIG_WORLD_H

#include "clock.h"
#include "conf/conf.h"
#include "core/exchange.h"
#include "core/shared.h"
#include "core/store.h"
#include "guest.h"
#include "kept.h"
#include "pretend_keys.h"
#include "script.h"

enum { GUESTS_MAX = 48, UPSTREAMS_MAX = 8, DOORS_MAX = 64, STORE_CALLS_MAX = 128, EPOCH_US = 1000000 };
#define WORLD_WALL_MS UINT64_C(1795000000000)         /* when it begins */

struct world_plan {
	struct span config;                   /* the file's text                                            */
	uint64_t seed;
	bool     witnesses;                   /* between all doors                                          */
	bool     asker;                       /* a door that asks the store, before and after                */
	unsigned turner;                      /* a door that turns away every n-th; 0: none                  */
	uint64_t store_us;                    /* how long the store takes; 0: it answers within the question */
	bool     quiet;                       /* a configuration that cannot be loaded is not printed        */
	unsigned drain_every;                 /* steps per turn; 0: 1                                       */
	const struct policy_type *outside, *inside;   /* a door of the test's own before retry, and one before balance; NULL: none */
};

struct asked { struct event event; struct store_call *call; struct world *world; bool busy; char reply[256]; struct span said; };

struct world {
	struct world_plan plan;
	struct worker     worker;
	struct clock      clock;
	struct shared    *shared;
	struct conf      *conf;
	struct router    *router;
	struct upstream  *upstreams[UPSTREAMS_MAX];
	struct script     scripts[UPSTREAMS_MAX];
	struct guest      guests[GUESTS_MAX]; unsigned guest_count;
	struct message   *inbox, **inbox_end;  /* what was posted to the worker runs at the beginning of the next turn */
	struct store      store;
	struct asked      asked[STORE_CALLS_MAX]; unsigned asked_pending, asked_total;
	struct kept       kept[KEPT_MAX];     /* what idempotency keeps in the store */
	enum store_result store_says;
	bool              store_limits;       /* scripts say: over the limit */
	unsigned          store_held;
	const struct policy_type *types[DOORS_MAX]; unsigned type_count;
	struct pretend_keys keys;
	struct flag_book  flags;
	unsigned          turned;
	uint64_t          simulated_us;       /* of a random world: how long it lived                       */
	uint64_t          steps, over;        /* over: on_over was called this often                        */
	void            (*watch)(struct world *); void *watcher;
};

/* The worker's clock starts at EPOCH_US; times of guests and scripts are counted from there. false: out of memory (nothing is left
 * behind), or a configuration that is refused (its report is printed to stderr). */
bool world_open(struct world *, const struct world_plan *);
void world_close(struct world *);
uint64_t world_now_us(const struct world *);

/* One thing happens. false: nothing is left to happen. */
bool world_step(struct world *);
void world_turn(struct world *);
/* Steps and turns until nothing happens any more, or until (not including) the time given. */
void world_run(struct world *);
void world_run_until(struct world *, uint64_t us);

/* A guest of this world, arriving at `at_us`; fields can still be set until it is run. */
struct guest *world_guest(struct world *, uint64_t at_us, const char *method, const char *target);
struct script *world_script(struct world *, const char *upstream);    /* NULL: the first one's  */
struct endpoint *world_endpoint(struct world *, const char *name);
void world_print(const struct world *);

/* Pretend bytes: a stream of them can be told from every other one, and each of its places from every other place. */
struct slice world_bytes(struct world *, uint64_t stream, uint64_t at, size_t n);    /* unref .chunk afterwards */
bool world_bytes_are(uint64_t stream, uint64_t at, struct span);

extern const struct policy_type witness_outside, witness_inside, turner_policy, asker_policy;
extern const struct store_ops pretend_store_ops;

#endif
