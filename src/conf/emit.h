/* emit.h - one walk over the configuration, two forms of it: YAML with comments, or JSON. */
#ifndef CONF_EMIT_H
#define CONF_EMIT_H

#include "base/json.h"
#include "load.h"

struct emit {
	struct text *out;
	struct json *json;                      /* NULL: YAML */
	unsigned indent;
	bool dash;                              /* the next line begins an element of a list */
};

void emit_map_open(struct emit *, const char *name);
void emit_map_named(struct emit *, struct span name);       /* a name of the user's, quoted when it must be */
void emit_map_close(struct emit *);
void emit_list_open(struct emit *, const char *name);
void emit_list_close(struct emit *);
void emit_item_open(struct emit *);                         /* a mapping in a list */
void emit_item_close(struct emit *);
/* The value of a row at `field`; `written` is its text when the row is CONF_T_CUSTOM; `comment` may be NULL. */
void emit_row(struct emit *, const struct conf_key *row, const void *field, struct span written, const char *comment);
/* Plain when YAML reads it back as this very text, else in double quotes; `flow` inside [] and {}. */
void emit_yaml_text(struct text *, struct span, bool flow);

#endif
