/* shortage.c - preloaded into a running outrigger: from SHORTAGE_AFTER_MS after its start, one of SHORTAGE allocations fails, at random (SHORTAGE_SEED). */
#include <dlfcn.h>
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <time.h>

static struct {
	void   *(*malloc)(size_t), *(*calloc)(size_t, size_t), *(*realloc)(void *, size_t);
	uint64_t begins_ms, every, state;
	bool     asked, ready, began;
} now;

/* What dlsym itself allocates before the real ones are known. Never given back. */
static _Alignas(16) char early[1 << 16];
static size_t early_used;

static uint64_t clock_ms(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static uint64_t setting(const char *name, uint64_t preset)
{
	const char *value = getenv(name);
	return value ? strtoull(value, NULL, 10) : preset;
}

/* At the first call of all, while there is one thread. */
static void begin(void)
{
	if (now.asked)
		return;
	now.asked = true;
	now.malloc = (void *(*)(size_t))dlsym(RTLD_NEXT, "malloc");
	now.calloc = (void *(*)(size_t, size_t))dlsym(RTLD_NEXT, "calloc");
	now.realloc = (void *(*)(void *, size_t))dlsym(RTLD_NEXT, "realloc");
	now.every = setting("SHORTAGE", 10);
	now.state = setting("SHORTAGE_SEED", 1) * 0x9e3779b97f4a7c15;
	now.begins_ms = clock_ms() + setting("SHORTAGE_AFTER_MS", 1000);
	now.ready = true;
}

/* Threads race for the state; any number will do. */
static bool fails(void)
{
	if (!now.began && clock_ms() < now.begins_ms)
		return false;
	now.began = true;
	now.state ^= now.state << 13;
	now.state ^= now.state >> 7;
	now.state ^= now.state << 17;
	if (now.state % now.every != 0)
		return false;
	errno = ENOMEM;
	return true;
}

static void *take_early(size_t n)
{
	void *at = early + early_used;
	early_used += (n + 15) & ~(size_t)15;
	if (early_used > sizeof(early))
		abort();
	return at;
}

void *malloc(size_t n)
{
	begin();
	return !now.ready ? take_early(n) : fails() ? NULL : now.malloc(n);
}

void *calloc(size_t n, size_t size)
{
	begin();
	return !now.ready ? take_early(n * size) : fails() ? NULL : now.calloc(n, size);
}

void *realloc(void *p, size_t n)
{
	begin();
	bool was_early = (char *)p >= early && (char *)p < early + sizeof(early);
	if (was_early || (!now.ready && !p)) {
		char *to = malloc(n);
		for (size_t i = 0; was_early && to && i < n && (char *)p + i < early + sizeof(early); i++)
			to[i] = ((char *)p)[i];
		return to;
	}
	return fails() ? NULL : now.realloc(p, n);
}

extern void __libc_free(void *);
void free(void *p)
{
	if (p && !((char *)p >= early && (char *)p < early + sizeof(early)))
		__libc_free(p);
}
