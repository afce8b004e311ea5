/* fields_put.h - adding a field whose id is known already. Private to http/. */
#ifndef HTTP_FIELDS_PUT_H
#define HTTP_FIELDS_PUT_H

#include "http/fields.h"

static inline bool fields_put(struct fields *f, struct field field)
{
	if (f->count >= f->size)
		return false;
	f->at[f->count++] = field;
	f->present |= (UINT64_C(1) << field.id) & ~UINT64_C(1);
	return true;
}

#endif
