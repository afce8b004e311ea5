/* flag_set.h - private: how a set of flags lies in memory. Read by flag_read.c, asked by flags.c. */
#ifndef SRC_CORE_FLAG_SET_H
#define SRC_CORE_FLAG_SET_H

#include "base/arena.h"
#include "base/map.h"
#include "core/flags.h"
#include "core/request_key.h"

struct flag_variant { struct span name; double until; };     /* its share begins where that of the one before ends */
struct flag {
	struct map_entry entry;
	bool             enabled;
	double           share;
	struct request_key key;
	struct flag_variant *variants; unsigned variant_count;
	struct span      text;                /* the definition, members sorted: equal texts are equal flags */
};
struct flag_set {
	unsigned     refs;                    /* atomic */
	struct arena arena;
	struct map   flags;
	struct span  document;
};

#endif
