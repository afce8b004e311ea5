/* value.h - the grammar of single values: durations, sizes, rates, shares; reading and canonical writing.
 *
 * Units are compulsory; decimals are allowed where the result is a whole number of microseconds or bytes.
 */
#ifndef CONF_VALUE_H
#define CONF_VALUE_H

#include "base/text.h"
#include "conf/schema.h"

enum value_fault { VALUE_OK, VALUE_NO_NUMBER, VALUE_NO_UNIT, VALUE_BAD_UNIT, VALUE_TOO_LARGE, VALUE_TOO_FINE };

/* `part` becomes the piece of text that is wrong. */
enum value_fault value_duration(struct span, uint64_t *us, struct span *part);
enum value_fault value_size(struct span, uint64_t *bytes, struct span *part);
enum value_fault value_rate(struct span, struct conf_rate *, struct span *part);
enum value_fault value_byte_rate(struct span, uint64_t *bytes_per_s, struct span *part);
enum value_fault value_share(struct span, double *, struct span *part);
enum value_fault value_count(struct span, uint64_t *, struct span *part);

void value_write_duration(uint64_t us, struct text *);
void value_write_size(uint64_t bytes, struct text *);
void value_write_rate(struct conf_rate, struct text *);
void value_write_share(double, struct text *);
/* The member behind `row` (a scalar type, not CUSTOM) as a user would write it; texts without quotes. */
void value_write(const struct conf_key *row, const void *field, struct text *);

#endif
