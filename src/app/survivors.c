/* survivors.c - see survivors.h. */
#include "app/survivors.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static bool has_room(struct survivors *s)
{
	if (s->count < s->room)
		return true;
	unsigned room = s->room ? s->room * 2 : 64;
	struct survivor *at = room <= SURVIVORS_MAX ? realloc(s->at, room * sizeof(*at)) : NULL;
	if (!at)
		return false;
	s->at = at;
	s->room = room;
	return true;
}

void survivors_add(struct survivors *s, int fd, struct span address)
{
	if (address.len >= SURVIVORS_ADDRESS || !has_room(s)) {
		close(fd);
		return;
	}
	struct survivor *one = &s->at[s->count++];
	one->fd = fd;
	memcpy(one->address, address.at, address.len);
	one->address[address.len] = '\0';
}

void survivors_close(struct survivors *s)
{
	for (unsigned i = 0; i < s->count; i++)
		if (s->at[i].fd >= 0)
			close(s->at[i].fd);
	free(s->at);
	*s = (struct survivors){ 0 };
}
