/* schema.h - configuration tables: one row is the whole truth about a key.
 *
 * From the same rows outrigger parses, defaults, checks ranges, writes error messages, the effective configuration, the
 * JSON Schema, conf/outrigger.yaml and docs/configuration.md. A module that wants settings declares a struct, a table of
 * rows for it, and a `conf_block` that names the table; it never sees YAML.
 *
 *	struct deadline_conf { uint64_t timeout_us; };
 *	static const struct conf_key deadline_keys[] = {
 *		CONF_DURATION(struct deadline_conf, "timeout", timeout_us, "15s", "1ms", "24h", "the whole request, ..."),
 *		CONF_END
 *	};
 */
#ifndef CONF_SCHEMA_H
#define CONF_SCHEMA_H

#include "base/arena.h"
#include "base/span.h"

/* How a value is written, and the C type at `offset`. */
enum conf_type {
	CONF_T_BOOL,      /* true, false                          bool                                         */
	CONF_T_COUNT,     /* 42                                   uint64_t                                     */
	CONF_T_DURATION,  /* (number unit)+: us ms s m h d        uint64_t microseconds                        */
	CONF_T_SIZE,      /* B KB MB GB KiB MiB GiB               uint64_t bytes                               */
	CONF_T_RATE,      /* n/(s|m|h)                            struct conf_rate                             */
	CONF_T_BYTE_RATE, /* 500B/s                               uint64_t bytes per second                    */
	CONF_T_SHARE,     /* n%  (decimals allowed)               double 0..1                                  */
	CONF_T_TEXT,      /* any scalar                           struct span                                  */
	CONF_T_WORD,      /* one of `words`                       unsigned: index into words                   */
	CONF_T_TEXTS,     /* a string or a list of strings        struct conf_texts                            */
	CONF_T_MAP,       /* {name: value}                        struct conf_map                              */
	CONF_T_TEXT_OR_MAP, /* either                             struct conf_choice                           */
	CONF_T_BLOCK,     /* a nested mapping: `keys`             the nested struct, in place                  */
	CONF_T_LIST,      /* a list (or just one) of mappings     struct conf_list of item_size structs; a plain
	                     string stands for {<first key>: string}                                           */
	CONF_T_NAMED,     /* {name: {mapping}}                    struct conf_list of item_size structs that begin with struct span name */
	CONF_T_CUSTOM,    /* `read` turns the text of a scalar (or of each list element) into the value        */
	/* Presets are written as in the file. Those of TEXTS and CUSTOM may be lists: "[GET, HEAD]"; MAP, BLOCK, LIST and NAMED have none. */
};

struct conf_upstream;
struct conf_route;
struct conf_rate  { uint64_t count, per_us; };
struct conf_texts { struct span *at; unsigned count; };
struct conf_pair  { struct span name, value; };
struct conf_map   { struct conf_pair *at; unsigned count; };
struct conf_choice { struct span text; struct conf_map map; };     /* map.count 0: the text */
struct conf_list  { void *at; unsigned count; };

enum conf_flag {
	CONF_ONCE      = 1,   /* read at start only: a reload says so instead of pretending */
	CONF_SECRET    = 2,   /* never printed                                              */
	CONF_REQUIRED  = 4,
	CONF_LATER     = 8,   /* known, but not in this version: refused as such            */
};

/* Where `read` and `check` report errors. */
struct conf_reading;
/* An error at the value being read, with file:line:column and a caret line. `part` is the piece of the text that is wrong
 * (the caret goes there), or SPAN_NONE for all of it. In a `check` it is a piece of a text that stands in the settings, or
 * the name of a key of the block ("backoff.base" for nested ones): the caret goes to its value, wherever that was written. */
void conf_complain(struct conf_reading *, struct span part, const char *message, ...) __attribute__((format(printf, 3, 4)));
/* The same by name only. */
void conf_complain_key(struct conf_reading *, const char *key, const char *message, ...) __attribute__((format(printf, 3, 4)));
/* What would be right, for the complaint just made: "write 10s (seconds) or 10ms (milliseconds)". */
void conf_hint(struct conf_reading *, const char *hint, ...) __attribute__((format(printf, 2, 3)));
/* In a check: is there such a store under `redis`? If not, complains at that piece of text. */
bool conf_store_exists(struct conf_reading *, struct span name);
/* In a reader of a CONF_T_CUSTOM: the text is a duration between min and max, as written; complains when it is none. */
bool conf_read_duration(struct conf_reading *, const char *key, struct span text, const char *min, const char *max, uint64_t *us);
/* In the check of a block: what the block of that name says on the same route; *settings NULL: it is not named there. false: this is not
 * about one route, and nothing can be said. */
bool conf_beside(const struct conf_reading *, const char *block, const void **settings);
struct arena *conf_arena(struct conf_reading *);      /* lives as long as the configuration */
/* For readers of a route's keys: the upstream of that name, or the one made for that URL. NULL: there is none, and that is complained about. */
struct conf_upstream *conf_upstream_of(struct conf_reading *, struct span name_or_url);
/* In a block's reader or check: the route that is read; NULL: it is another level. */
const struct conf_route *conf_route_of(const struct conf_reading *);

struct conf_key {
	const char *name;
	enum conf_type type;
	size_t offset;
	const char *preset;                    /* the default, as a user would write it; NULL: empty, 0, false, absent */
	const char *min, *max;                 /* as a user would write them; NULL: unbounded                          */
	const char *const *words;              /* CONF_T_WORD: NULL-terminated, in index order                         */
	const struct conf_key *keys;           /* CONF_T_BLOCK, CONF_T_LIST, CONF_T_NAMED                              */
	size_t item_size;                      /* CONF_T_LIST, CONF_T_NAMED, and of the struct of a CONF_T_BLOCK       */
	/* CONF_T_CUSTOM: called once a scalar (a list calls it once per element, index counting up; an empty list once with
	 * text.at NULL). Index 0 begins a new value: it replaces what a less specific level left in the field, and must not
	 * write through its pointers. Complains and returns false when the text is wrong. `field` points at the member.
	 * The text lives as long as the configuration.
	 * CONF_T_TEXT, TEXTS, MAP: NULL, or looks at each text after it was stored and may complain, or replace it through
	 * `field` (struct span *; of a MAP struct conf_pair *, first with the name and index 2i, then with the value and 2i+1). */
	bool (*read)(struct conf_reading *, void *field, struct span text, unsigned index);
	size_t present_offset;                 /* != CONF_NO_PRESENCE: offset of a bool set true when the user wrote the key */
	unsigned flags;
	const char *help;                      /* one line, plain words                                                */
	const char *example;                   /* shown in docs; NULL: the preset                                      */
};

#define CONF_NO_PRESENCE ((size_t)-1)
#define CONF_ROW(s, n, m, t, ...) { .name = (n), .type = (t), .offset = offsetof(s, m), .present_offset = CONF_NO_PRESENCE, __VA_ARGS__ }
#define CONF_BOOL(s, n, m, def, text)             CONF_ROW(s, n, m, CONF_T_BOOL, .preset = (def), .help = (text))
#define CONF_COUNT(s, n, m, def, lo, hi, text)    CONF_ROW(s, n, m, CONF_T_COUNT, .preset = (def), .min = (lo), .max = (hi), .help = (text))
#define CONF_DURATION(s, n, m, def, lo, hi, text) CONF_ROW(s, n, m, CONF_T_DURATION, .preset = (def), .min = (lo), .max = (hi), .help = (text))
#define CONF_SIZE(s, n, m, def, lo, hi, text)     CONF_ROW(s, n, m, CONF_T_SIZE, .preset = (def), .min = (lo), .max = (hi), .help = (text))
#define CONF_SHARE(s, n, m, def, text)            CONF_ROW(s, n, m, CONF_T_SHARE, .preset = (def), .min = "0%", .max = "100%", .help = (text))
#define CONF_TEXT(s, n, m, def, text)             CONF_ROW(s, n, m, CONF_T_TEXT, .preset = (def), .help = (text))
#define CONF_WORD(s, n, m, list, def, text)       CONF_ROW(s, n, m, CONF_T_WORD, .preset = (def), .words = (list), .help = (text))
#define CONF_TEXTS(s, n, m, def, text)            CONF_ROW(s, n, m, CONF_T_TEXTS, .preset = (def), .help = (text))
#define CONF_MAP(s, n, m, text)                   CONF_ROW(s, n, m, CONF_T_MAP, .help = (text))
#define CONF_BLOCK(s, n, m, table, text)          CONF_ROW(s, n, m, CONF_T_BLOCK, .keys = (table), .item_size = sizeof(((s *)0)->m), .help = (text))
#define CONF_LIST(s, n, m, item, table, text)     CONF_ROW(s, n, m, CONF_T_LIST, .keys = (table), .item_size = sizeof(item), .help = (text))
#define CONF_CUSTOM(s, n, m, reader, def, text)   CONF_ROW(s, n, m, CONF_T_CUSTOM, .read = (reader), .preset = (def), .help = (text))
/* A key of a later version, so that using it is answered with "not in this version" and not with "unknown key". */
#define CONF_NOT_YET(n, text)                     { .name = (n), .present_offset = CONF_NO_PRESENCE, .flags = CONF_LATER, .help = (text) }
#define CONF_END                                  { .name = NULL }

/* Levels at which the keys of a block may stand. The more specific level wins, key by key. */
enum conf_level { CONF_DEFAULTS = 1, CONF_UPSTREAM = 2, CONF_ROUTE = 4, CONF_EVERYWHERE = 7 };

/* The settings of one policy. `name` NULL: its keys stand directly at the level (timeout: 15s); else they stand in a
 * mapping of that name (retry: {...}). A block is `present` on a route when it, or a level above, names it. */
struct conf_block {
	const char *name;
	const struct conf_key *keys;
	size_t size;
	unsigned levels;                       /* enum conf_level, or-ed */
	bool scalar_ok;                        /* `key: scalar` is short for {<first key but enabled>: scalar} */
	                                       /* `key: off` (or false) is {enabled: false} whenever the table has a bool "enabled" */
	bool optional;                         /* does nothing unless named: then left out of the effective configuration */
	/* Cross-checks after all levels were applied; complains through conf_complain. NULL: none. */
	bool (*check)(struct conf_reading *, void *settings);
	const char *help;
};

#endif
