/* shared.h - process-wide cores of policies: what makes `limit: 200` mean 200 in the process, not per worker.
 *
 * A core is a counted piece of memory of one kind, with the name of the upstream or route that it belongs to. The first policy that asks
 * for it creates it; policies of other workers, and of later configurations, get the same one as long as somebody holds it. What
 * is inside protects itself (atomics, or a short lock never held across a callback).
 *
 * A kind also says how its cores are seen: as metrics, as JSON, as words. So all that there is to see of a policy comes from the policy's file.
 */
#ifndef CORE_SHARED_H
#define CORE_SHARED_H

#include "base/hist.h"
#include "base/json.h"
#include "base/span.h"
#include "base/text.h"
#include "core/pressure.h"

struct label { const char *name; struct span value; };

/* What a series' `read` calls, once per sample. The labels go behind the core's own: { "state", SPAN("open") }. */
struct samples {
	void (*real)(struct samples *, const struct label *, unsigned count, double value);
	void (*hist)(struct samples *, const struct label *, unsigned count, const struct hist *);
};

/* One metric of a kind: outrigger_circuit_breaker_state. All samples that can ever be are given from the start, at zero. */
struct core_series {
	const char *name, *type, *help;       /* type: "counter", "gauge", "histogram" */
	void (*read)(void *core, uint64_t now_us, struct samples *);
};

struct core_kind {
	const char *name;                     /* "circuit_breaker": its key in /status.json                       */
	const char *label;                    /* "upstream" or "route": what the core's name names                */
	size_t      size;
	/* Once per core, under the table's lock, on zeroed memory. false: out of memory; nothing is left behind. */
	bool      (*init)(void *core, const void *with);
	/* Taken again, maybe with other parameters (a reload): the newest `with` holds. NULL: there are none. Under the table's lock. */
	void      (*adapt)(void *core, const void *with);
	void      (*fini)(void *core);        /* the last holder gave it back; may be NULL */
	/* What a successor should know when this process has crashed: bytes without pointers, taken every now and then. save returns how
	 * many (0: nothing worth it); restore gets them behind init, and believes nothing that it cannot check. Under the table's lock;
	 * NULL: it begins anew. */
	size_t    (*save)(void *core, uint64_t now_us, void *to, size_t size);
	void      (*restore)(void *core, const void *from, size_t len);
	/* How it is seen; from the control thread at any time. Each may be NULL. */
	const struct core_series *series;     /* ends with a name of NULL                                         */
	void      (*state)(void *core, uint64_t now_us, struct json *);      /* members of an object that is open */
	void      (*summary)(void *core, uint64_t now_us, struct text *);    /* a few words: "open, next try in 3 s" */
	/* How long requests wait in it, by class: on average, of those whose wait has ended since this was last asked; of a class of which nobody's
	 * has, how long its oldest has waited. For one asker. NULL: nobody waits in it. */
	void      (*delays_us)(void *core, uint64_t now_us, uint64_t us[PRESSURE_CLASSES]);
};

struct shared;
struct shared *shared_new(void);
void  shared_free(struct shared *);                                /* all cores must have been given back */
/* `with`: the parameters, as this kind knows them. NULL: out of memory. */
void *shared_take(struct shared *, const struct core_kind *, struct span name, const void *with);
void  shared_hold(struct shared *, void *core);                    /* once more, for a message that is on its way */
void  shared_give(struct shared *, void *core);
/* Visits the cores of one kind (NULL: of all), by name, under the table's lock: do not take or give in there. */
typedef void shared_visit(void *self, const struct core_kind *, struct span name, void *core);
void  shared_each(struct shared *, const struct core_kind *, shared_visit *, void *self);
/* From now on called for each core that is made, behind its init; NULL: no more. */
void  shared_on_new(struct shared *, shared_visit *, void *self);
/* Memory for a table that a successor should find again as it was when this process died: plain numbers, written in place. From a kind's init,
 * adapt or fini only. By name; zeroed unless *found. Without somebody who keeps such memory, or room there, it is ordinary. NULL: none at all. */
void *lasting_take(struct shared *, struct span name, size_t size, bool *found);
void  lasting_give(struct shared *, void *memory);                  /* NULL is harmless */
struct lasting_ops {
	void *(*take)(void *self, struct span name, size_t size, bool *found);    /* NULL: no room */
	bool  (*give)(void *self, void *memory);                            /* false: it is not from here */
};
void  shared_lasts_by(struct shared *, const struct lasting_ops *, void *self);
/* The one core of that kind and name, for a moment; false: there is none. */
bool  shared_with(struct shared *, const char *kind, struct span name, shared_visit *, void *self);

#endif
