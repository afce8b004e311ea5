/* reference.h - words about rows that the reference page, `help KEY` and the example file share. reference.c */
#ifndef CONF_REFERENCE_H
#define CONF_REFERENCE_H

#include "emit.h"

/* "duration", "one of auto, text, json", "list of texts", ... */
void reference_form(const struct conf_key *, struct text *);
/* "defaults, upstreams, routes" */
void reference_levels(unsigned levels, struct text *);
/* The default as it would stand in the file, quoted when needed; nothing when there is none. */
void reference_preset(const struct conf_key *, struct text *);

#endif
