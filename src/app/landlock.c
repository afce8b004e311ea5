/* landlock.c - which files a server may still open (Landlock, since Linux 5.13; its library is the kernel itself).
 *
 * Folders, not files, where something may be replaced while we run: an editor, a ConfigMap and a log's rotation put a new file in the old
 * one's place. Descriptors that are open already are not touched.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "core/keys.h"
#include "sandbox_parts.h"

enum { PATH_BYTES = 4096 };

/* Newer than some systems' headers. */
#define FS_TRUNCATE   (1ULL << 14)                /* version 3 */
#define FS_IOCTL_DEV  (1ULL << 15)                /* version 5 */
#define NET_BIND_TCP  (1ULL << 0)                 /* version 4 */
#define SCOPE_ALL     3ULL                        /* version 6: abstract sockets and signals of others */
struct ruleset { uint64_t fs, net, scoped; };

#define READ   (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR | (SANITIZED ? LANDLOCK_ACCESS_FS_EXECUTE : 0))
#define WRITE  (LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_MAKE_REG)
#define REMOVE LANDLOCK_ACCESS_FS_REMOVE_FILE
#define OF_FILES (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_EXECUTE)  /* what a rule on a file may say */

static const char *const readable[] = {
	/* names and addresses, certificates, libraries that libc loads late, and what we are told about ourselves */
	"/etc/resolv.conf", "/etc/hosts", "/etc/nsswitch.conf", "/etc/host.conf", "/etc/gai.conf", "/etc/services", "/run/systemd/resolve",
	"/etc/ssl", "/etc/pki", "/etc/ca-certificates", "/etc/ld.so.cache", "/usr", "/lib", "/lib64",
	"/proc", "/sys/fs/cgroup", "/sys/devices/system/cpu", "/dev/urandom", "/dev/null",
};

struct rules { int fd; bool failed; };

static void allow(struct rules *r, const char *path, uint64_t what)
{
	struct stat st;
	int fd = open(path, O_PATH | O_CLOEXEC);
	if (fd < 0)
		return;                           /* what is not there cannot be opened anyway */
	if (fstat(fd, &st) == 0) {
		struct landlock_path_beneath_attr rule = { .parent_fd = fd, .allowed_access = S_ISDIR(st.st_mode) ? what : what & OF_FILES };
		if (syscall(__NR_landlock_add_rule, r->fd, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) != 0)
			r->failed = true;
	}
	close(fd);
}

/* The folder of a file, or, where that would be everything, only the file. */
static void allow_around(struct rules *r, const char *path, uint64_t what)
{
	char folder[PATH_BYTES];
	const char *slash = strrchr(path, '/');
	size_t len = slash ? (size_t)(slash - path) : 0;
	if (slash && (len == 0 || strncmp(path, "/dev/", 5) == 0 || strncmp(path, "/proc/", 6) == 0)) {
		allow(r, path, what);
		return;
	}
	if (len >= sizeof(folder))
		return;
	memcpy(folder, slash ? path : ".", slash ? len : 1);
	folder[slash ? len : 1] = '\0';
	allow(r, folder, what);
}

static void allow_file(struct rules *r, struct span file, uint64_t what)
{
	char path[PATH_BYTES];
	if (!file.len || file.len >= sizeof(path))
		return;
	memcpy(path, file.at, file.len);
	path[file.len] = '\0';
	allow_around(r, path, what);
	char *real = realpath(path, NULL);        /* a link: there, too */
	if (real && strcmp(real, path) != 0)
		allow_around(r, real, what);
	free(real);
}

static void allow_socket_file(struct rules *r, struct span address)
{
	if (span_starts(address, SPAN("unix:")))
		allow_file(r, span_from(address, 5), REMOVE);
}

static void allow_what_conf_names(struct rules *r, const struct conf *c)
{
	if (!span_eq(c->file, SPAN("-")) && !span_eq(c->file, SPAN("command line")))
		allow_file(r, c->file, READ);
	allow_file(r, c->admin.token_file, READ);
	if (span_starts(c->flags.from, SPAN("file:")))
		allow_file(r, span_from(c->flags.from, 5), READ);
	for (unsigned i = 0; i < c->redis_count; i++)
		allow_file(r, c->redis[i].password_file, READ);
	if (c->access_log.to == CONF_LOG_FILE)
		allow_file(r, c->access_log.file, WRITE);
	for (unsigned i = 0; i < c->listener_count; i++)
		allow_socket_file(r, c->listeners[i].address);
	allow_socket_file(r, c->admin.listen);
}

int landlock_version(void)
{
	long version = syscall(__NR_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
	return version > 0 ? (int)version : 0;
}

/* Keys of tokens, from a file. */
static void allow_key_file(void *self, const struct core_kind *kind, struct span name, void *core)
{
	(void)kind;
	(void)core;
	if (span_starts(name, SPAN("file:")))
		allow_file(self, span_from(name, 5), READ);
}

int landlock_enter(const struct conf *conf, struct shared *shared)
{
	int version = landlock_version();
	if (!version)
		return 0;
	struct ruleset all = {
		.fs = (1ULL << 13) - 1,           /* everything of version 1 */
		.net = version >= 4 && conf->supervisor ? NET_BIND_TCP : 0,       /* else a reload's new listeners are opened here */
		.scoped = version >= 6 ? SCOPE_ALL : 0,
	};
	all.fs |= (version >= 2 ? LANDLOCK_ACCESS_FS_REFER : 0) | (version >= 3 ? FS_TRUNCATE : 0) | (version >= 5 ? FS_IOCTL_DEV : 0);
	size_t size = version >= 6 ? sizeof(all) : version >= 4 ? 2 * sizeof(uint64_t) : sizeof(uint64_t);
	struct rules r = { .fd = (int)syscall(__NR_landlock_create_ruleset, &all, size, 0) };
	if (r.fd < 0)
		return -1;
	for (unsigned i = 0; i < sizeof(readable) / sizeof(*readable); i++)
		allow(&r, readable[i], READ);
	allow(&r, "/dev/null", LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE);
	allow_what_conf_names(&r, conf);
	shared_each(shared, &key_source_kind, allow_key_file, &r);
	if (syscall(__NR_landlock_restrict_self, r.fd, 0) != 0)
		r.failed = true;
	close(r.fd);
	return r.failed ? -1 : version;
}
